"""Hounsfield units: the network's range and the display windows; all their arithmetic is here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike, NDArray

    Image = TypeVar("Image", NDArray[np.float32], torch.Tensor)

__all__ = [
    "AIR_HU",
    "WINDOWS",
    "HURange",
    "Window",
    "begins_with_air",
    "blend_weight",
    "checked_hu",
]

AIR_HU: Final = -1024.0
"""What stands in for pixels that are no image (padding), in HU."""

EMPTY_HU: Final = -1000.0
"""Nothing is less dense than air: a value below is noise, or no image."""

NOISE_BELOW_HU: Final = 300.0
"""How far below a range that begins with air values are its noise; what is far lower is padding."""

FADE_BELOW_HU: Final = 100.0
"""Width of the fade from denoised to original below the range, or below that noise."""

FADE_ABOVE_HU: Final = 200.0
"""Width of the fade from denoised to original above the range."""


@dataclass(frozen=True)
class HURange:
    """The HU that the network sees as 0 to 1.

    The default is the published one: [-1024, 3072], 4096 HU wide. Noise of sigma 5 on the 0..255
    scale of this range is 5 / 255 of 4096 HU = 80.3 HU.

    Parameters
    ----------
    low
        HU that becomes 0.
    high
        HU that becomes 1.

    Raises
    ------
    ConfigError
        When the range is empty or not finite.
    """

    low: float = -1024.0
    high: float = 3072.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"the HU range [{self.low}, {self.high}] is empty or not finite",
                remedy="Give two numbers, the lower first, such as -1024 and 3072",
            )

    @property
    def width(self) -> float:
        """Width in HU."""
        return self.high - self.low

    def to_unit(self, hu: Image) -> Image:
        """Map HU to the unit scale, without clipping.

        Parameters
        ----------
        hu
            Array or tensor of any shape, in HU.

        Returns
        -------
        array or tensor
            Same shape and type of container; 0 at `low`, 1 at `high`, outside where HU are outside.
        """
        return (hu - self.low) / self.width

    def from_unit(self, unit: Image) -> Image:
        """Map the unit scale back to HU, without clipping.

        Parameters
        ----------
        unit
            Array or tensor of any shape.

        Returns
        -------
        array or tensor
            Same shape, in HU.
        """
        return unit * self.width + self.low

    def clip(self, hu: Image) -> Image:
        """Limit HU to the range.

        Parameters
        ----------
        hu
            Array or tensor of any shape, in HU.

        Returns
        -------
        array or tensor
            Same shape, every value in [`low`, `high`].
        """
        return hu.clip(self.low, self.high)


class Window(HURange):
    """A display window: the HU shown as black and as white."""

    @property
    def level(self) -> float:
        """Window centre in HU."""
        return (self.low + self.high) / 2


WINDOWS: Final = {
    "abdomen": Window(-160.0, 240.0),
    "lung": Window(-1350.0, 150.0),
    "bone": Window(-550.0, 1450.0),
    "brain": Window(0.0, 80.0),
}
"""Display windows in HU; `abdomen` is the one of the paper's figures."""


def blend_weight(hu: NDArray[np.float32], hu_range: HURange) -> NDArray[np.float32]:
    """Say how much of the network's change each pixel takes.

    1 inside the range, and within 300 HU below it where it begins with air; outside, where the
    network has seen nothing (metal, tissue below a narrow range), falling linearly to 0 over 100 HU
    below and 200 HU above.

    Parameters
    ----------
    hu
        Array of any shape, in HU.
    hu_range
        The network's range.

    Returns
    -------
    numpy.ndarray
        Same shape, float32, in [0, 1].
    """
    lowest = hu_range.low - (NOISE_BELOW_HU if begins_with_air(hu_range) else 0.0)
    below = 1 - (lowest - hu) / FADE_BELOW_HU
    above = 1 - (hu - hu_range.high) / FADE_ABOVE_HU
    weight: NDArray[np.float32] = np.minimum(below, above).clip(0, 1).astype(np.float32)
    return weight


def begins_with_air(hu_range: HURange) -> bool:
    """Say whether what lies below a range can be nothing but noise, or no image.

    Parameters
    ----------
    hu_range
        The range.

    Returns
    -------
    bool
        True of the published range.
    """
    return hu_range.low <= EMPTY_HU


def checked_hu(hu: ArrayLike) -> NDArray[np.float32]:
    """Take what a caller calls HU, or say why it is none.

    Parameters
    ----------
    hu
        [H, W] or [Z, H, W], real and finite.

    Returns
    -------
    numpy.ndarray
        float32, same shape; not copied where it is that already.

    Raises
    ------
    ConfigError
        When shape or values cannot be used.
    """
    given = np.asarray(hu)
    if given.dtype.kind not in "biuf":
        raise ConfigError(f"values of type {given.dtype} are no HU", remedy="Give real numbers")
    if given.ndim not in (2, 3) or 0 in given.shape:
        raise ConfigError(
            f"HU of shape {given.shape} are no slices", remedy="Give [H, W] or [Z, H, W]"
        )
    slices = np.asarray(given, dtype=np.float32)
    if not np.isfinite(slices).all():
        raise ConfigError("the HU hold NaN or infinite values", remedy="Replace them by air, -1024")
    return slices
