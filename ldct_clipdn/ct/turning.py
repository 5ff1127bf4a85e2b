"""How a slice's noise turns with the tube: read off the slice, since no header says it.

In a helix the weights by which opposite sides make up a slice change with a ray's distance from the
axis, so that one half of the body is noisier, in other slices another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from ldct_clipdn.ct.noise_meter import gaussian_blur, soft_tissue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.ct.projection import Beam

__all__ = ["STEADY", "Turning", "log_variance", "read_turning"]

Turning = tuple[float, float]
"""Logarithm of a ray's variance per 100 mm off the axis, towards columns and towards rows."""

STEADY: Final[Turning] = (0.0, 0.0)
"""Nothing turns."""

UNIT_MM: Final = 100.0

TILE_PX: Final = 32
FEWEST_PIXELS: Final = 250
"""Of a tile, in tissue, for a reading."""

FEWEST_TILES: Final = 20
TISSUE_HU: Final = (-150.0, 170.0)
"""Smoothed values of fat, soft tissue and contrast medium."""

EROSION_PX: Final = 6
SMOOTHING_PX: Final = 3.0
STEEPEST_HU: Final = 4.0
"""Slope of the smoothed slice, in HU per pixel, above which a pixel counts as anatomy."""

FINE_PX: Final = 1.5
"""Noise is read from what this smoothing takes off: little anatomy is so fine."""

LOWEST_HU: Final = 0.25
"""A tile without noise counts as this."""

MAD_TO_SD: Final = 1.4826

VIEW_STEP: Final = 4

LEAST_ARRIVING: Final = 1e-30
"""Behind much metal nothing is left, to the computer's precision."""

SPREAD: Final = 0.25
"""Of a tile's reading of log variance; and of the two numbers over slices (train/mayo_L143)."""

ANATOMY_HU: Final = 3.0
"""What fine anatomy leaves in a tile, about. Noise that is not stronger tells nothing; the nearer
it is, the less."""


def log_variance(turning: Turning, angle: Tensor, offset_mm: Tensor) -> Tensor:
    """Say how much more variance a ray has for the tube's place.

    Parameters
    ----------
    turning
        Of the slice.
    angle
        Direction of the view in radians.
    offset_mm
        The ray's distance from the axis in mm, broadcast against `angle`.

    Returns
    -------
    torch.Tensor
        Natural logarithm of the factor.
    """
    columns, rows = turning
    return (columns * angle.cos() + rows * angle.sin()) * offset_mm / UNIT_MM


def read_turning(plane: NDArray[np.float32], arriving: Tensor, beam: Beam) -> Turning:
    """Find by what turning the noise expected in tiles of tissue has the strength it has there.

    Robust least squares: a tile with anatomy in it counts for little. Numbers are held near zero
    where tiles say little, and the more the weaker the noise is.

    Parameters
    ----------
    plane
        [H, W] in HU, with the noise that it came with.
    arriving
        Share of the quanta of each ray if nothing turned, [views, rays].
    beam
        Their geometry.

    Returns
    -------
    Turning
        `STEADY` where there is too little tissue, or hardly more noise than fine anatomy.
    """
    from scipy.optimize import least_squares

    rows, columns, sd_hu = _tile_noise(plane).T
    if len(sd_hu) < FEWEST_TILES or np.median(sd_hu) < ANATOMY_HU:
        return STEADY
    spread = np.hypot(SPREAD, 2 * (ANATOMY_HU / np.median(sd_hu)) ** 2)
    angle = torch.tensor(beam.angles, dtype=torch.float64)[::VIEW_STEP]
    middle = (beam.size - 1) / 2
    x, y = (torch.from_numpy(one - middle)[:, None] for one in (columns, rows))
    offset_px = x * angle.cos() + y * angle.sin()
    ray = (offset_px * beam.rays_per_pixel + (beam.rays - 1) / 2).round().long()
    seen = arriving[::VIEW_STEP].cpu().double()[torch.arange(len(angle)), ray]
    variance = 1 / seen.clamp(min=LEAST_ARRIVING)
    found = torch.from_numpy(2 * np.log(sd_hu))

    def misfit(unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        level, *turning = unknown.tolist()
        more = log_variance(tuple(turning), angle, offset_px * beam.pixel_mm)
        expected = (variance * more.exp()).mean(dim=1).log()
        return np.concatenate([(expected + level - found) / spread, np.divide(turning, SPREAD)])

    start = float((found - variance.mean(dim=1).log()).median())
    result = least_squares(misfit, [start, *STEADY], loss="soft_l1")
    towards_columns, towards_rows = result.x[1:].tolist()
    return towards_columns, towards_rows


def _tile_noise(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give row, column and noise in HU of every tile that has tissue enough, [N, 3]."""
    image = torch.from_numpy(plane)
    smooth = gaussian_blur(image, SMOOTHING_PX)
    slope = torch.hypot(*torch.gradient(smooth))
    tissue = soft_tissue(image, limits=TISSUE_HU, erosion=EROSION_PX) & (slope < STEEPEST_HU)
    fine = (image - gaussian_blur(image, FINE_PX)).numpy()
    tiles = []
    for top in range(0, plane.shape[0] - TILE_PX + 1, TILE_PX):
        for left in range(0, plane.shape[1] - TILE_PX + 1, TILE_PX):
            cut = np.s_[top : top + TILE_PX, left : left + TILE_PX]
            rows, columns = np.nonzero(tissue[cut].numpy())
            if len(rows) < FEWEST_PIXELS:
                continue
            values = fine[cut][rows, columns]
            sd_hu = MAD_TO_SD * np.median(np.abs(values - np.median(values)))
            tiles.append((top + rows.mean(), left + columns.mean(), max(sd_hu, LOWEST_HU)))
    return np.array(tiles).reshape(-1, 3)
