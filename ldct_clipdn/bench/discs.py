"""Discs: drawn, and their edges read as the task transfer function (AAPM TG-233)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.signal.windows import tukey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.floating]

__all__ = ["Transfer", "contrast_of", "disc", "disc_transfer", "radius_px"]

EDGE_MM: Final = 1.1
"""Width over which the disc turns into its surroundings: the blur of a soft kernel, as in
`ct/phantom.py`."""

BINS_PER_PX: Final = 5
REACH_PX: Final = 9.0
"""The edge is followed so far to both sides, in pixels."""

TAPER_SHARE: Final = 0.5
"""Share of the followed edge over which the slope is faded out, half at either end."""

FINE: Final = 32
"""Padding of the Fourier transform."""


class Transfer(NamedTuple):
    """How much of each frequency passes.

    Parameters
    ----------
    frequency
        In 1/mm, [N].
    transfer
        1 at frequency 0, [N].
    """

    frequency: NDArray[np.floating]
    transfer: NDArray[np.floating]

    @property
    def f50(self) -> float:
        """Frequency in 1/mm at which the transfer falls to one half; NaN where it does not."""
        return self.falls_to(0.5)

    def falls_to(self, level: float) -> float:
        """Find where the transfer first falls below a level.

        Parameters
        ----------
        level
            Between 0 and 1.

        Returns
        -------
        float
            In 1/mm; NaN where it does not fall so far.
        """
        below = np.flatnonzero(self.transfer < level)
        if not below.size:
            return float("nan")
        k = int(below[0])
        share = (self.transfer[k - 1] - level) / (self.transfer[k - 1] - self.transfer[k])
        return float(self.frequency[k - 1] + share * (self.frequency[k] - self.frequency[k - 1]))


def radius_px(size: int) -> NDArray[np.float64]:
    """Measure each pixel's distance from the middle.

    Parameters
    ----------
    size
        Side of the image in pixels.

    Returns
    -------
    numpy.ndarray
        [size, size], from pixel (size // 2, size // 2), in pixels.
    """
    axis = np.arange(size) - size // 2
    return np.hypot(axis[:, None], axis[None, :])


def disc(size: int, diameter_mm: float, pixel_mm: float) -> NDArray[np.float32]:
    """Draw a disc of height 1 around pixel (size // 2, size // 2).

    Parameters
    ----------
    size
        Side of the image in pixels.
    diameter_mm
        Measured at half height.
    pixel_mm
        Distance of pixels in mm.

    Returns
    -------
    numpy.ndarray
        float32 [size, size], 0 to 1.
    """
    inside = diameter_mm / 2 - radius_px(size) * pixel_mm
    return (0.5 + inside / EDGE_MM).clip(0, 1).astype(np.float32)


def contrast_of(image: Plane, diameter_mm: float, pixel_mm: float) -> float:
    """Measure the contrast of a disc: its full core less a ring around it.

    Parameters
    ----------
    image
        [size, size] in HU with a disc as `disc` draws it.
    diameter_mm, pixel_mm
        As drawn.

    Returns
    -------
    float
        In HU.
    """
    distance = radius_px(len(image)) * pixel_mm
    core = distance <= (diameter_mm - EDGE_MM) / 2
    ring = (distance > diameter_mm / 2 + 2) & (distance < diameter_mm / 2 + 5)
    return float(image[core].mean() - image[ring].mean())


def disc_transfer(image: Plane, diameter_mm: float, pixel_mm: float) -> Transfer:
    """Read the transfer off a disc's edge, finer than the pixels since it runs in all directions.

    Parameters
    ----------
    image
        [size, size] in HU with a disc around pixel (size // 2, size // 2).
    diameter_mm, pixel_mm
        As drawn.

    Returns
    -------
    Transfer
        Up to the pixels' Nyquist frequency.
    """
    edge_px = diameter_mm / 2 / pixel_mm
    place = np.floor((radius_px(len(image)) - edge_px + REACH_PX) * BINS_PER_PX).astype(int)
    bins = int(2 * REACH_PX * BINS_PER_PX)
    use = (place >= 0) & (place < bins)
    count = np.bincount(place[use], minlength=bins)
    total = np.bincount(place[use], image[use], minlength=bins)
    seen = np.flatnonzero(count)
    step = np.interp(np.arange(bins), seen, total[seen] / count[seen])
    line = np.diff(step) * tukey(bins - 1, TAPER_SHARE)
    transfer = np.abs(np.fft.rfft(line, FINE * bins))
    frequency = np.fft.rfftfreq(FINE * bins, pixel_mm / BINS_PER_PX)
    kept = frequency <= 0.5 / pixel_mm
    return Transfer(frequency[kept], transfer[kept] / transfer[0])
