"""Simulated against real low dose: noise as strong, as coloured and as uneven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch

from ldct_clipdn.ct.kernel import PROBED_HU, REGION_BLUR_PX, noise_regions
from ldct_clipdn.ct.noise_meter import gaussian_blur
from ldct_clipdn.ct.nps import SpectrumMeter, cut_rois

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Volume = NDArray[np.float32]

__all__ = ["Agreement", "Place", "Spread", "compare_noise", "compare_own_noise"]

TILE: Final = 32
TILE_TISSUES: Final = {
    "lung": (-950.0, -500.0),
    "fat": (-200.0, -50.0),
    "soft": (-50.0, 150.0),
    "bone": (150.0, 1000.0),
}
"""By the mean of the smoothed full dose over the tile; other tiles are air and its borders."""

CLIPPED_HU: Final = -1020.0
RADIUS_PX: Final = 100
"""Centre and edge of the field meet here."""

NEAR: Final = 0.2
"""A ratio that is off by no more is called near."""


class Place(NamedTuple):
    """Tiles of one tissue, slice or part of the field.

    Parameters
    ----------
    tiles
        How many.
    ratio
        Median of the ratio of standard deviations.
    within
        Share of tiles whose ratio is within 20 % of 1.
    """

    tiles: int
    ratio: float
    within: float


class Spread(NamedTuple):
    """How unevenly simulated noise follows that of slices.

    Parameters
    ----------
    slices
        Standard deviation over slices of the logarithm of simulated over own noise.
    regions
        Mean over slices of the same over a slice's uniform regions; chance is in it.
    uniform
        How many regions.
    """

    slices: float
    regions: float
    uniform: int


@dataclass(frozen=True)
class Agreement:
    """Simulated over real noise.

    Parameters
    ----------
    overall
        All tiles without clipped pixels.
    by_place
        The same by tissue, slice (from 0), centre and edge.
    spectrum
        Distance of the variance-normalised radial spectra, sum f |sim - real| / sum f real.
    lag_simulated, lag_real
        Autocorrelation at one pixel, in x and y.
    """

    overall: Place
    by_place: dict[str, Place]
    spectrum: float
    lag_simulated: tuple[float, float]
    lag_real: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Give the median ratio of all tiles."""
        return self.overall.ratio

    @property
    def within(self) -> float:
        """Give the share of all tiles whose ratio is within 20 % of 1."""
        return self.overall.within


def compare_noise(full: Volume, real: Volume, simulated: Volume) -> Agreement:
    """Compare in tiles of 32 x 32 pixels.

    Parameters
    ----------
    full
        Full dose, [Z, H, W] in HU.
    real
        Real low dose minus full dose, in HU.
    simulated
        Simulated low dose minus full dose, in HU.

    Returns
    -------
    Agreement
        Over all tiles without clipped pixels; spectra and lags over those of soft tissue.
    """
    places: dict[str, list[float]] = {}
    ratios: list[float] = []
    soft: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for number, (f, r, s) in enumerate(zip(full, real, simulated, strict=True)):
        smoothed = gaussian_blur(torch.from_numpy(f), REGION_BLUR_PX).numpy()
        for row in range(0, f.shape[0] - TILE + 1, TILE):
            for column in range(0, f.shape[1] - TILE + 1, TILE):
                cut = np.s_[row : row + TILE, column : column + TILE]
                tissue = _tissue(float(smoothed[cut].mean()))
                if tissue is None or min(f[cut].min(), (f + r)[cut].min()) < CLIPPED_HU:
                    continue
                ratio = float(s[cut].std() / r[cut].std())
                ratios.append(ratio)
                off = np.hypot(row + TILE / 2 - f.shape[0] / 2, column + TILE / 2 - f.shape[1] / 2)
                ring = "centre" if off < RADIUS_PX else "edge"
                for place in (tissue, f"slice {number}", ring):
                    places.setdefault(place, []).append(ratio)
                if tissue == "soft":
                    soft.append((r[cut], s[cut]))
    real_tiles, simulated_tiles = (np.stack(one) for one in zip(*soft, strict=True))
    return Agreement(
        overall=_place(ratios),
        by_place={name: _place(one) for name, one in sorted(places.items())},
        spectrum=_distance(_radial(simulated_tiles), _radial(real_tiles)),
        lag_simulated=_lags(simulated_tiles),
        lag_real=_lags(real_tiles),
    )


def compare_own_noise(full: Volume, simulated: Volume) -> Spread:
    """Say how evenly noise simulated at full dose follows the noise that slices came with.

    Parameters
    ----------
    full
        [Z, H, W] in HU.
    simulated
        Noise alone, of the same slices, in HU; a factor common to all does not count.

    Returns
    -------
    Spread
        Over uniform soft tissue; slices with fewer than two regions are left out.
    """
    ratios = []
    for plane, noise in zip(full, simulated, strict=True):
        corners = noise_regions(plane, PROBED_HU)
        if len(corners) > 1:
            ratios.append(
                [np.log(_noise_hu(noise, one) / _noise_hu(plane, one)) for one in corners]
            )
    return Spread(
        float(np.std([np.median(one) for one in ratios])),
        float(np.mean([np.std(one) for one in ratios])),
        sum(map(len, ratios)),
    )


def _noise_hu(plane: Plane, corner: tuple[int, int]) -> float:
    meter = SpectrumMeter((1.0, 1.0))
    meter.add(cut_rois(plane, [corner]))
    return meter.spectrum().noise_hu


def _place(ratios: list[float]) -> Place:
    found = np.array(ratios)
    near = np.abs(found - 1) <= NEAR
    return Place(len(found), float(np.median(found)), float(near.mean()))


def _tissue(hu: float) -> str | None:
    return next((name for name, (low, high) in TILE_TISSUES.items() if low <= hu < high), None)


def _radial(tiles: NDArray[np.float32]) -> NDArray[np.float64]:
    """Average the spectra of tiles over rings at 1/32 .. 16/32 cycles per pixel; of mean 1."""
    power = np.mean(np.abs(np.fft.fft2(tiles - tiles.mean((1, 2), keepdims=True))) ** 2, axis=0)
    frequency = np.fft.fftfreq(TILE)
    ring = np.rint(np.hypot(frequency[:, None], frequency) * TILE).astype(int).ravel()
    rings = np.bincount(ring, power.ravel()) / np.bincount(ring)
    return np.asarray(rings[1 : TILE // 2 + 1] / power.mean())


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    frequency = np.arange(1, len(one) + 1)
    return float((frequency * np.abs(one - other)).sum() / (frequency * other).sum())


def _lags(tiles: NDArray[np.float32]) -> tuple[float, float]:
    centred = tiles - tiles.mean((1, 2), keepdims=True)
    variance = float((centred**2).mean())
    across = float((centred[:, :, 1:] * centred[:, :, :-1]).mean())
    down = float((centred[:, 1:] * centred[:, :-1]).mean())
    return across / variance, down / variance
