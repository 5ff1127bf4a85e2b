"""Simulated against real low dose: noise as strong, as coloured and as uneven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from ldct_clipdn.ct.noise_meter import smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["Agreement", "compare_noise"]

TILE: Final = 32
TISSUES: Final = {
    "lung": (-950.0, -500.0),
    "fat": (-200.0, -50.0),
    "soft": (-50.0, 150.0),
    "bone": (150.0, 1000.0),
}
"""By the mean of the smoothed full dose over the tile; other tiles are air and its borders."""

CLIPPED_HU: Final = -1020.0
RADIUS_PX: Final = 100
"""Centre and edge of the field meet here."""


@dataclass(frozen=True)
class Agreement:
    """Simulated over real noise.

    Parameters
    ----------
    ratio
        Median over tiles of the ratio of standard deviations.
    within
        Share of tiles whose ratio is within 20 % of 1.
    tiles
        Tiles without clipped pixels.
    by_place
        Median ratio by tissue, slice, centre and edge.
    spectrum
        Distance of the variance-normalised radial spectra, sum f |sim - real| / sum f real.
    lag_simulated, lag_real
        Autocorrelation at one pixel, in x and y.
    """

    ratio: float
    within: float
    tiles: int
    by_place: dict[str, float]
    spectrum: float
    lag_simulated: tuple[float, float]
    lag_real: tuple[float, float]


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
        smoothed = smooth(torch.from_numpy(f), 3.0).numpy()
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
    found = np.array(ratios)
    return Agreement(
        ratio=float(np.median(found)),
        within=float(np.mean(np.abs(found - 1) <= 0.2)),
        tiles=len(found),
        by_place={name: float(np.median(one)) for name, one in sorted(places.items())},
        spectrum=_distance(_radial(simulated_tiles), _radial(real_tiles)),
        lag_simulated=_lags(simulated_tiles),
        lag_real=_lags(real_tiles),
    )


def _tissue(hu: float) -> str | None:
    return next((name for name, (low, high) in TISSUES.items() if low <= hu < high), None)


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
