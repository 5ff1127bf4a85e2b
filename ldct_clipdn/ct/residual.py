"""What denoising changed: is it noise, is it steady from slice to slice, is it too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from ldct_clipdn.ct.tissue import SKIN_HU, shrink, window_sd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]

__all__ = ["LIMIT", "FlickerMeter", "limit_change", "structure_correlation"]

LIMIT: Final = 5.0
"""Largest change of a pixel, in units of the local noise."""

WINDOW_PX: Final = 11
"""Side of the window that local noise is taken in."""

LEAST_NOISE_HU: Final = 2.0
"""Where the slice is smoother than this (clipped air, made-up images), this counts as noise."""

GRADIENT_PX: Final = 1.5
"""SD in pixels of the Gaussian before the gradient is taken."""

NEIGHBOURHOOD_PX: Final = 8.0
"""SD in pixels of the Gaussian under which the strength of the change is averaged."""

MARGIN_PX: Final = 5
"""Pixels taken off the body, so that its outline, the strongest edge, does not decide."""

LEAST_PIXELS: Final = 10_000
"""Pixels of the body that r needs: of fewer, that of pure noise passes the threshold by chance."""

LEAST_SPREAD: Final = 1e-3
"""A change as even as this (a shift) follows nothing; the rest is rounding."""

BLOCK_MM: Final = 16.0


def limit_change(
    before: Plane, after: Plane, *, times: float = LIMIT
) -> tuple[Plane, NDArray[np.bool_]]:
    """Limit the change of each pixel to a multiple of the noise around it.

    Noise alone passes five standard deviations once in two million pixels; a change beyond that
    removes or invents something that is no noise.

    Parameters
    ----------
    before, after
        The slice, float32 [H, W] in HU.
    times
        Largest change in units of the local noise: the standard deviation in 11 x 11 pixels, and
        2 HU at least.

    Returns
    -------
    numpy.ndarray
        The slice after, float32 [H, W] in HU; what was not limited keeps its bits.
    numpy.ndarray
        Where it was limited, bool [H, W].
    """
    change = after - before
    if not change.any():
        return after, np.zeros(after.shape, dtype=np.bool_)
    largest = times * np.maximum(window_sd(before, WINDOW_PX), LEAST_NOISE_HU)
    where = np.abs(change) > largest
    held = before + np.copysign(largest, change)
    return np.where(where, held, after).astype(np.float32), where


def structure_correlation(hu: Plane, change: Plane, body: Mask) -> float | None:
    """Say how much the change follows the edges of the anatomy (docs/quality.md).

    Pearson's r, over the body, of the gradient of the smoothed slice and of the size of the change
    in units of its own local strength. Without that unit a perfect change correlates too, since
    the noise itself is stronger in some places than in others.

    Parameters
    ----------
    hu
        The slice before, [H, W] in HU.
    change
        After minus before, same shape, in HU.
    body
        bool [H, W].

    Returns
    -------
    float or None
        -1 to 1: 0 where nothing changed; None where the body is small, or one row.
    """
    inside = shrink(body, MARGIN_PX)
    if inside.sum() < LEAST_PIXELS or min(hu.shape) < 2:  # one row has no gradient
        return None
    smoothed = ndimage.gaussian_filter(hu, GRADIENT_PX, mode="nearest", truncate=3)
    gradient = np.hypot(*np.gradient(smoothed))[inside]
    size = np.abs(change)[inside] / _local_strength(change, inside)[inside]
    if gradient.std() == 0 or size.std() < LEAST_SPREAD:
        return 0.0
    return float(np.corrcoef(gradient, size)[0, 1])


def _local_strength(change: Plane, inside: Mask) -> NDArray[np.floating]:
    """Give the root mean square of the change around every pixel; what is not inside is ignored."""
    weight = inside.astype(np.float32)
    square, share = (
        ndimage.gaussian_filter(one, NEIGHBOURHOOD_PX, mode="nearest", truncate=3)
        for one in (change**2 * weight, weight)
    )
    strength: NDArray[np.floating] = np.sqrt(square / np.maximum(share, 1e-6)) + np.float32(1e-6)
    return strength


class FlickerMeter:
    """Measures how the mean change of blocks of 16 mm varies along z.

    Parameters
    ----------
    spacing_mm
        Distance of rows and of columns in mm.
    """

    def __init__(self, spacing_mm: tuple[float, float]) -> None:
        self._block = tuple(max(round(BLOCK_MM / one), 1) for one in spacing_mm)
        self._sums: NDArray[np.float64] | None = None

    def add(self, hu: Plane, change: Plane) -> None:
        """Count a slice in; blocks of air do not count.

        Parameters
        ----------
        hu
            The slice before, [H, W] in HU.
        change
            After minus before, same shape, in HU.
        """
        mean = self._block_means(change)
        is_body = self._block_means(hu) > SKIN_HU
        sums = np.stack([np.ones_like(mean), mean, mean**2]) * is_body
        self._sums = sums if self._sums is None else self._sums + sums

    def level(self) -> float | None:
        """Give the standard deviation along z, root mean square over the blocks.

        Returns
        -------
        float or None
            In HU; None where no block of the body was seen three times.
        """
        if self._sums is None:
            return None
        count, total, square = self._sums[:, self._sums[0] >= 3]
        if not count.size:
            return None
        variance = (square - total**2 / count) / (count - 1)
        return float(np.sqrt(np.maximum(variance, 0).mean()))

    def _block_means(self, image: Plane) -> NDArray[np.float64]:
        rows, columns = (np.arange(0, n, b) for n, b in zip(image.shape, self._block, strict=True))
        sums = np.add.reduceat(np.add.reduceat(image.astype(np.float64), rows, 0), columns, 1)
        heights = np.diff(np.append(rows, image.shape[0]))
        widths = np.diff(np.append(columns, image.shape[1]))
        means: NDArray[np.float64] = sums / (heights[:, None] * widths[None, :])
        return means
