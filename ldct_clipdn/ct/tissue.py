"""Where lung, fat, soft tissue and bone are in a noisy slice, and where the body ends.

Masks drawn on noisy pixels select on the noise: a perfect result then seems biased by up to 28 HU.
So all masks come from the smoothed slice and keep away from borders.

This is what quality, residual and spectra are measured by. The noise meter, and the dose simulation
with it, has definitions of its own (`noise_meter.gaussian_blur`, `local_sd`, `soft_tissue`: torch,
less smoothing, a wider margin, sample deviation), with which its readings were checked; a test
relates the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]

__all__ = ["TISSUES", "Tissue", "body_mask", "shrink", "smooth", "tissue_mask", "window_sd"]

SMOOTHING_PX: Final = 3.0
"""Standard deviation of the Gaussian that is applied before thresholding, in pixels."""

SKIN_HU: Final = -500.0
"""Half way between air and skin."""


class Tissue(NamedTuple):
    """A tissue by its HU.

    Parameters
    ----------
    low, high
        Limits of the smoothed slice in HU.
    margin_px
        Pixels that are taken off the mask's border.
    """

    low: float
    high: float
    margin_px: int = 3


TISSUES: Final = {
    "lung": Tissue(-950, -650),
    "fat": Tissue(-140, -60),
    "soft": Tissue(-20, 150),
    "bone": Tissue(250, 3000, margin_px=5),
}
"""The tissues whose HU are watched, their limits and margins (docs/quality.md)."""


def smooth(hu: Plane) -> Plane:
    """Smooth a slice for thresholding: a Gaussian of 3 pixels, cut off at three times that.

    Parameters
    ----------
    hu
        float32 [H, W] in HU.

    Returns
    -------
    numpy.ndarray
        Same shape; white noise is weaker by a factor of about 11.
    """
    smoothed: Plane = ndimage.gaussian_filter(hu, SMOOTHING_PX, mode="nearest", truncate=3)
    return smoothed


def tissue_mask(smoothed: Plane, tissue: Tissue) -> Mask:
    """Find one tissue.

    Parameters
    ----------
    smoothed
        As `smooth` gives it, [H, W] in HU.
    tissue
        One of `TISSUES`.

    Returns
    -------
    numpy.ndarray
        bool [H, W].
    """
    within = (smoothed >= tissue.low) & (smoothed <= tissue.high)
    return shrink(within, tissue.margin_px)


def shrink(mask: Mask, pixels: int) -> Mask:
    """Take pixels off the border of a mask; beyond the image nothing is known, so nothing is lost.

    Parameters
    ----------
    mask
        bool [H, W].
    pixels
        How many, counted along rows, columns and diagonals.

    Returns
    -------
    numpy.ndarray
        bool [H, W].
    """
    smaller: Mask = ndimage.minimum_filter(mask, 2 * pixels + 1, mode="nearest")
    return smaller


def window_sd(hu: Plane, size: int) -> NDArray[np.float64]:
    """Give the population standard deviation in a square window around every pixel.

    Parameters
    ----------
    hu
        [H, W] in HU.
    size
        Side of the window in pixels.

    Returns
    -------
    numpy.ndarray
        float64 [H, W] in HU; at the border the image is mirrored.
    """
    # about the mean first: squares of HU around -1000 would drown the variance in rounding
    centred = hu.astype(np.float64) - hu.mean(dtype=np.float64)
    mean = ndimage.uniform_filter(centred, size)
    square = ndimage.uniform_filter(centred**2, size)
    sd: NDArray[np.float64] = np.sqrt(np.maximum(square - mean**2, 0))
    return sd


def body_mask(smoothed: Plane) -> Mask:
    """Find the body: the largest thing that is no air, with the air inside it.

    Parameters
    ----------
    smoothed
        As `smooth` gives it, [H, W] in HU.

    Returns
    -------
    numpy.ndarray
        bool [H, W]; empty where all is air.
    """
    things, _ = ndimage.label(smoothed > SKIN_HU)
    sizes = np.bincount(things.ravel())[1:]
    if not sizes.size:
        return np.zeros(smoothed.shape, dtype=np.bool_)
    gaps, _ = ndimage.label(things != np.argmax(sizes) + 1)
    rim = np.unique(np.concatenate((gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1])))
    outside = np.zeros(gaps.max() + 1, dtype=np.bool_)
    outside[rim[rim > 0]] = True
    inside: Mask = ~outside[gaps]
    return inside
