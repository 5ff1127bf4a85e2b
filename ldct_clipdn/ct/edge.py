"""How sharp an edge is: the transfer of the step from air to skin (docs/quality.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from ldct_clipdn.ct.tissue import SKIN_HU, shrink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]

__all__ = ["EdgeMeter", "SkinEdge", "find_skin_edge"]

REACH_PX: Final = 12.0
"""The step is followed so far to both sides, in pixels."""

BINS_PER_PX: Final = 5

BINS: Final = int(2 * REACH_PX * BINS_PER_PX)

CONTOUR_PX: Final = 1.5
"""SD in pixels of the Gaussian under which the outline is found, between pixels."""

TAPER_SHARE: Final = 0.25
"""Share of the reach, at either end, over which the slope is faded out."""

OUTLINE_PX: Final = 0.75
"""Pixels so near to the outline make it up; each step in row or column meets one."""

CLEAR_PX: Final = (8, 14)
"""From here to here, in pixels outside the skin, there must be air alone: no table, no cloth."""

CLEAR_HU: Final = -900.0
"""What is above it is no air."""

NEIGHBOUR_PX: Final = 10
"""Skin this near to something else outside it is left out, in pixels."""

LEAST_STEP_HU: Final = 200.0

LEAST_PIXELS: Final = 4000
"""Pixels that an edge needs; fewer give a curve that is mostly noise."""


class SkinEdge:
    """The pixels around the skin, and how far from it each one lies.

    Parameters
    ----------
    where
        True around the skin: bool [H, W].
    distance_px
        Distance of these pixels to the skin in pixels, negative inside: [N].
    """

    def __init__(self, where: Mask, distance_px: NDArray[np.floating]) -> None:
        self.where = where
        first = np.floor((distance_px + REACH_PX) * BINS_PER_PX).astype(int)
        self.bins = first.clip(0, BINS - 1)


def find_skin_edge(hu: Plane, smoothed: Plane, body: Mask) -> SkinEdge:
    """Find the skin that has nothing but air outside it.

    Parameters
    ----------
    hu
        The slice, [H, W] in HU.
    smoothed
        The same, smoothed for thresholding.
    body
        bool [H, W].

    Returns
    -------
    SkinEdge
        Without pixels where there is no such skin.
    """
    distance = _distance(hu, body)
    near, far = CLEAR_PX
    thing = (distance > near) & (distance < far) & (smoothed > CLEAR_HU)
    rim = np.ones_like(body)
    rim[1:-1, 1:-1] = False
    thing |= body & rim  # cut off by the image, and no skin
    blocked = ndimage.maximum_filter(thing, 2 * (NEIGHBOUR_PX + far) + 1, mode="constant")
    where = (np.abs(distance) < REACH_PX) & ~blocked
    return SkinEdge(where, distance[where])


def _distance(hu: Plane, body: Mask) -> NDArray[np.floating]:
    """Give the distance to the outline in pixels, negative inside; infinite where there is none.

    That is the way to the nearest pixel of the outline, along its normal, and from that pixel to
    where the slice passes from skin to air.
    """
    smoothed, *slopes = (
        ndimage.gaussian_filter(hu, CONTOUR_PX, order, mode="nearest")
        for order in ((0, 0), (1, 0), (0, 1))
    )
    level, slope = smoothed - SKIN_HU, np.stack(slopes)
    steepness = np.maximum(np.sqrt((slope**2).sum(axis=0)), 1e-3)
    offset = level / steepness
    rim = (np.abs(offset) < OUTLINE_PX) & ~shrink(body, 2) & ~shrink(~body, 2)
    if not rim.any():
        return np.full(hu.shape, np.inf)
    row, column = ndimage.distance_transform_edt(~rim, return_distances=False, return_indices=True)
    rows, columns = np.ogrid[: hu.shape[0], : hu.shape[1]]
    normal = -(slope / steepness)[:, row, column]
    away = (rows - row) * normal[0] + (columns - column) * normal[1]
    distance: NDArray[np.floating] = away - offset[row, column]
    return distance


class EdgeMeter:
    """Averages the step from air to skin over slices."""

    def __init__(self) -> None:
        self._total = np.zeros(BINS)
        self._count = np.zeros(BINS)

    def add(self, hu: Plane, edge: SkinEdge) -> None:
        """Count a slice in.

        Parameters
        ----------
        hu
            [H, W] in HU.
        edge
            Its skin.
        """
        self._total += np.bincount(edge.bins, hu[edge.where], minlength=BINS)
        self._count += np.bincount(edge.bins, minlength=BINS)

    @property
    def pixels(self) -> int:
        """Count the pixels so far.

        Returns
        -------
        int
            Over all slices.
        """
        return int(self._count.sum())

    def f50(self, pixel_mm: float) -> float | None:
        """Give the frequency at which the transfer falls to one half.

        Parameters
        ----------
        pixel_mm
            Size of a pixel in mm.

        Returns
        -------
        float or None
            In 1/mm; None where too little skin was seen, or where it is no edge: under 200 HU
            high, or sharper than the sampling allows.
        """
        if self.pixels < LEAST_PIXELS or not self._count.all():
            return None
        step = self._total / self._count
        if abs(step[: BINS // 4].mean() - step[-BINS // 4 :].mean()) < LEAST_STEP_HU:
            return None
        line = np.diff(step) * _taper(BINS - 1)
        transfer = np.abs(np.fft.rfft(line, 64 * BINS))
        transfer /= transfer[0]
        below = np.flatnonzero(transfer[: 64 * BINS // BINS_PER_PX + 1] < 0.5)
        if not below.size:
            return None
        last = int(below[0])
        share = (transfer[last - 1] - 0.5) / (transfer[last - 1] - transfer[last])
        return float((last - 1 + share) * BINS_PER_PX / (64 * BINS * pixel_mm))


def _taper(size: int) -> NDArray[np.floating]:
    """Make a window that is 1 in the middle and falls to 0 at both ends."""
    from_end = np.minimum(np.arange(size), np.arange(size)[::-1]) / (TAPER_SHARE * size / 2)
    return np.sin(np.pi / 2 * np.minimum(from_end, 1)) ** 2
