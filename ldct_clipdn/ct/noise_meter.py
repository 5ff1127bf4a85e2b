"""How noisy is a CT image, in HU, from the image alone: a meter that coloured noise does not fool.

The mode of the local standard deviations in soft tissue. Most windows of a slice hold
no edge, so what occurs most often is noise; an estimator that looks at the finest scale only, as
scikit-image's `estimate_sigma` does, reads a quarter of CT's coloured noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ldct_clipdn.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NoiseMeter",
    "Unread",
    "gaussian_blur",
    "local_sd",
    "measure_noise",
    "mode_in_tissue",
    "soft_tissue",
]

WINDOW: Final = 11
"""Side of the square in which a local standard deviation is taken, in pixels."""

TISSUE_HU: Final = (-20.0, 150.0)
"""Smoothed values that count as soft tissue."""

SMOOTHING: Final = 2.0
"""Standard deviation of the smoothing that decides what is soft tissue, in pixels."""

EROSION: Final = 6
"""Pixels taken off the soft tissue's border."""

FEWEST_WINDOWS: Final = 500
"""Below this many windows there is no reading: a mode of few values is chance."""

AIR_BELOW_HU: Final = -900.0
"""Smoothed values below this are air, also where noise of 250 HU is cut off at -1024 HU."""

HIDING_HU: Final = 100.0
"""Noise that hides soft tissue: of water, 20 HU from the limit, few windows are found in it."""

Unread = Literal["too noisy", "no noise", "no tissue"]
"""Why there is no reading."""

BINS_PER_OCTAVE: Final = 40
LOWEST_HU: Final = 0.25
OCTAVES: Final = 12
PEAK_WIDTH: Final = 0.06
"""Standard deviation of the smoothing of the histogram, in natural logarithms of HU."""


class NoiseMeter:
    """Reads the noise of a series slice by slice; keeps a histogram, not the slices."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS_PER_OCTAVE * OCTAVES)
        self._levels: list[float] = []
        self._tissue = 0
        self._counts_elsewhere = np.zeros_like(self._counts)

    def add(self, hu: NDArray[np.floating]) -> float:
        """Read one slice.

        Parameters
        ----------
        hu
            [H, W] in HU.

        Returns
        -------
        float
            The slice's noise in HU; NaN where there is no reading.
        """
        image = _as_image(hu)
        sd, tissue = local_sd(image), soft_tissue(image)
        counts = _histogram(sd[tissue])
        self._counts += counts
        self._tissue += int(tissue.sum())
        level = _mode(counts)
        if np.isfinite(level):
            self._levels.append(level)
        else:
            not_air = soft_tissue(image, limits=(AIR_BELOW_HU, np.inf))
            self._counts_elsewhere += _histogram(sd[not_air])
        return level

    @property
    def level(self) -> float:
        """Noise of all slices together in HU; NaN where there is no reading."""
        return _mode(self._counts)

    @property
    def unread(self) -> Unread | None:
        """Why there is no `level`; None where there is one.

        `too noisy`: in most places that are no air, whatever they are, noise is such that soft
        tissue cannot be told. `no noise`: there is soft tissue, and it is even.
        """
        if np.isfinite(self.level):
            return None
        if self._tissue >= FEWEST_WINDOWS:
            return "no noise"
        return "too noisy" if _mode(self._counts_elsewhere) > HIDING_HU else "no tissue"

    @property
    def spread(self) -> tuple[float, float]:
        """5th and 95th percentile of the slices' noise in HU; NaN where no slice had a reading.

        `level` may lie outside: it is the mode of the windows of all slices together, also of those
        that have too few for a reading of their own.
        """
        if not self._levels:
            return float("nan"), float("nan")
        low, high = np.percentile(self._levels, (5, 95))
        return float(low), float(high)


def measure_noise(hu: NDArray[np.floating]) -> float:
    """Estimate the standard deviation of the noise, white or coloured.

    Mode of the histogram of local standard deviations (11 x 11 pixels) over soft tissue: smoothed
    value in [-20, 150] HU, eroded by 6 pixels.

    Parameters
    ----------
    hu
        [H, W] or [Z, H, W] in HU.

    Returns
    -------
    float
        In HU; NaN where there is too little soft tissue for a reading.

    Raises
    ------
    DataError
        When the array has another number of axes.
    """
    meter = NoiseMeter()
    for one in hu[None] if hu.ndim == 2 else hu:
        meter.add(one)
    return meter.level


def mode_in_tissue(noise: NDArray[np.floating], hu: NDArray[np.floating]) -> float:
    """Read noise, alone or within a slice, where the slice has soft tissue.

    Parameters
    ----------
    noise
        [H, W] in HU.
    hu
        The slice that says where soft tissue is.

    Returns
    -------
    float
        In HU; NaN where there is too little soft tissue for a reading.
    """
    return _mode(_histogram(local_sd(_as_image(noise))[soft_tissue(_as_image(hu))]))


def soft_tissue(
    image: Tensor, *, limits: tuple[float, float] = TISSUE_HU, erosion: int = EROSION
) -> Tensor:
    """Find soft tissue by its smoothed value, as the meter wants it; `ct.tissue` has the masks.

    Parameters
    ----------
    image
        [H, W] in HU.
    limits
        Lowest and highest smoothed HU.
    erosion
        Pixels to take off the border.

    Returns
    -------
    torch.Tensor
        Bool [H, W].
    """
    value = gaussian_blur(image, SMOOTHING)
    outside = ~((value >= limits[0]) & (value <= limits[1]))
    side = 2 * erosion + 1
    # what lies beyond the image is not known to be tissue
    padded = F.pad(outside[None, None].float(), [erosion] * 4, value=1.0)
    # rows, then columns: the same, in a third of the time
    across = F.max_pool2d(padded, (1, side), stride=1)
    return F.max_pool2d(across, (side, 1), stride=1)[0, 0] == 0


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian, cut off at four times its deviation; the border is repeated.

    Parameters
    ----------
    image
        [H, W].
    sigma
        Standard deviation in pixels.

    Returns
    -------
    torch.Tensor
        Same shape, float32.
    """
    reach = int(np.ceil(4 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = F.pad(image.float()[None, None], [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(x, kernel[None, None, None]), kernel[None, None, :, None])[0, 0]


def local_sd(image: Tensor) -> Tensor:
    """Give the sample standard deviation in the meter's window around each pixel.

    Parameters
    ----------
    image
        [H, W] in HU.

    Returns
    -------
    torch.Tensor
        Same shape, in HU; at the border from the part of the window that lies inside.
    """
    x = image.double()[None, None]
    mean, square = (_box_mean(one) for one in (x, x * x))
    variance = (square - mean * mean).clamp(min=0) * WINDOW**2 / (WINDOW**2 - 1)
    return variance.sqrt()[0, 0].float()


def _box_mean(x: Tensor) -> Tensor:
    reach = WINDOW // 2
    x = F.avg_pool2d(x, (1, WINDOW), 1, (0, reach), count_include_pad=False)
    return F.avg_pool2d(x, (WINDOW, 1), 1, (reach, 0), count_include_pad=False)


def _as_image(hu: NDArray[np.floating]) -> Tensor:
    if hu.ndim != 2:
        raise DataError(
            f"noise is read from slices, not from an array of shape {list(hu.shape)}",
            remedy="Give [H, W] or [Z, H, W] in HU",
        )
    return torch.from_numpy(np.array(hu, dtype=np.float32))


def _histogram(values: Tensor) -> NDArray[np.float64]:
    """Count in bins of equal ratio, so that 3 HU and 100 HU are read equally well."""
    place = (torch.log2(values / LOWEST_HU) * BINS_PER_OCTAVE).long()
    size = BINS_PER_OCTAVE * OCTAVES
    place = place[(values > LOWEST_HU) & (place < size)]
    return torch.bincount(place, minlength=size).double().numpy()


def _mode(counts: NDArray[np.float64]) -> float:
    if counts.sum() < FEWEST_WINDOWS:
        return float("nan")
    step = np.log(2) / BINS_PER_OCTAVE
    reach = int(np.ceil(3 * PEAK_WIDTH / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / PEAK_WIDTH) ** 2)
    # counts per HU, not per ratio: the definition's histogram has bins of equal width
    centres = LOWEST_HU * np.exp((np.arange(counts.size) + 0.5) * step)
    density = np.convolve(counts, kernel, mode="same") / centres
    return float(centres[int(np.argmax(density))])
