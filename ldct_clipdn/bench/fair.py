"""The fair error: results on real low dose judged without paying for the reference's own noise.

The full-dose reference F shares its noise with the quarter-dose Q = F + added noise, so plain PSNR
against F rewards handing noise back, and the truth itself scores poorly. The noise of
F* = F - a (Q - F), with a = (vF + c) / (vA + c), is uncorrelated with Q's: differences of mean
(D - F*)^2 between two methods are unbiased differences of their errors to the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from ldct_clipdn.ct.hu import WINDOWS
from ldct_clipdn.ct.kernel import noise_regions
from ldct_clipdn.ct.noise_meter import TISSUE_HU, measure_noise, soft_tissue
from ldct_clipdn.ct.nps import ROI_PX
from ldct_clipdn.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["FairSet", "NoiseShares", "best_share", "measure_shares", "window_psnr"]

MASK_HU: Final = (-100.0, 200.0)
"""Smoothed full dose that counts: soft tissue with its borders to fat and to contrast medium."""

MASK_EROSION: Final = 3


@dataclass(frozen=True)
class NoiseShares:
    """Variances of the noise in a pair, in HU^2.

    Parameters
    ----------
    full
        Of the full dose, vF.
    added
        Of what was added to it, vA.
    covariance
        Between the two, c.
    blocks
        Uniform blocks that were measured.
    share_error
        Standard error of `share`, by leaving out one slice after the other (jackknife); NaN of
        fewer than two slices.
    """

    full: float
    added: float
    covariance: float
    blocks: int
    share_error: float = float("nan")

    @property
    def share(self) -> float:
        """What of the added noise is taken off the full dose: a."""
        return _share(self.full, self.added, self.covariance)

    @property
    def dose(self) -> float:
        """Share of the dose that the low dose is worth: variances of noise are as 1 / dose."""
        return self.full / (self.full + 2 * self.covariance + self.added)

    @property
    def truth(self) -> float:
        """Mean squared difference of the noise-free truth and F*: what no method passes."""
        a = self.share
        return self.full - 2 * a * self.covariance + a * a * self.added


def measure_shares(full: Volume, quarter: Volume) -> NoiseShares:
    """Measure the noise of a pair in uniform blocks of soft tissue, each freed of its trend.

    Parameters
    ----------
    full
        [Z, H, W] in HU.
    quarter
        The same slices at low dose.

    Returns
    -------
    NoiseShares
        Over all blocks.

    Raises
    ------
    DataError
        When there is no uniform block.
    """
    trend = _trend(ROI_PX)
    blocks = 0
    by_slice: list[NDArray[np.float64]] = []  # sums of squares: full, added, both
    for f, q in zip(full, quarter, strict=True):
        sums = np.zeros(3)
        places = noise_regions(f, TISSUE_HU)
        for row, column in places:
            cut = np.s_[row : row + ROI_PX, column : column + ROI_PX]
            e, m = (_without_trend(one, trend) for one in (f[cut], (q - f)[cut]))
            sums += (e @ e, m @ m, e @ m)
        if len(places):
            by_slice.append(sums)
            blocks += len(places)
    if not blocks:
        raise DataError("the pair has no uniform block of soft tissue")
    freedom = blocks * (ROI_PX**2 - trend.shape[1])
    v_full, v_added, both = (float(one) / freedom for one in np.sum(by_slice, axis=0))
    return NoiseShares(v_full, v_added, both, blocks, _share_error(np.stack(by_slice)))


def _share(full: float, added: float, covariance: float) -> float:
    return (full + covariance) / (added + covariance)


def _share_error(by_slice: NDArray[np.float64]) -> float:
    """Give the jackknife's standard error: neighbouring blocks are not independent, slices are."""
    count = len(by_slice)
    if count < 2:
        return float("nan")
    without = [_share(*one) for one in by_slice.sum(axis=0) - by_slice]
    return float(np.sqrt((count - 1) * np.var(without)))


def _without_trend(block: Volume, trend: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = block.reshape(-1).astype(np.float64)
    return flat - trend @ (trend.T @ flat)


def _trend(size: int) -> NDArray[np.float64]:
    """Orthonormal planes over a square."""
    axis = np.linspace(-1, 1, size)
    y, x = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y], axis=1))
    return basis


def _mask(full: NDArray[np.float32]) -> NDArray[np.bool_]:
    return soft_tissue(torch.from_numpy(full), limits=MASK_HU, erosion=MASK_EROSION).numpy()


class FairSet:
    """Pairs of one kernel, and what a result on them is worth.

    Parameters
    ----------
    full
        [Z, H, W] in HU.
    quarter
        The same slices at low dose.
    """

    def __init__(self, full: Volume, quarter: Volume) -> None:
        self.full = full
        self.quarter = quarter
        self.shares = measure_shares(full, quarter)
        self.target = full - np.float32(self.shares.share) * (quarter - full)
        self.mask = np.stack([_mask(one) for one in full])

    @property
    def truth(self) -> float:
        """Error of the noise-free truth, for noise as strong as in the mask: nothing passes it."""
        added = (self.quarter - self.full)[self.mask].var()
        return self.shares.truth * float(added) / self.shares.added

    @property
    def read_noise_hu(self) -> float:
        """Noise of the low dose, read from it alone; NaN where it has too little soft tissue."""
        return measure_noise(self.quarter)

    @property
    def noise_hu(self) -> float:
        """The same; where it cannot be read, of the pair's blocks, which only an oracle knows."""
        level = self.read_noise_hu
        blocks = self.shares.full + 2 * self.shares.covariance + self.shares.added
        return level if np.isfinite(level) else float(np.sqrt(blocks))

    def error(self, result: Volume) -> float:
        """Give the mean squared difference to F* in soft tissue.

        Parameters
        ----------
        result
            [Z, H, W] in HU, unclipped.

        Returns
        -------
        float
            In HU^2; only differences of it mean anything.
        """
        return float(np.mean((result - self.target)[self.mask].astype(np.float64) ** 2))

    def error_by_slice(self, result: Volume) -> list[float]:
        """Give the same for every slice.

        Parameters
        ----------
        result
            [Z, H, W] in HU, unclipped.

        Returns
        -------
        list of float
            In HU^2; NaN where a slice has no soft tissue.
        """
        pairs = zip(result - self.target, self.mask, strict=True)
        return [
            float(np.mean(one[mask].astype(np.float64) ** 2)) if mask.any() else float("nan")
            for one, mask in pairs
        ]

    def removed(self, result: Volume) -> float:
        """Give the share of the quarter dose's squared error that a result takes away.

        Parameters
        ----------
        result
            [Z, H, W] in HU, unclipped.

        Returns
        -------
        float
            0 for the input, 1 for the noise-free truth, below 0 where a result does harm.
        """
        raw = self.error(self.quarter)
        return (raw - self.error(result)) / (raw - self.truth)


def best_share(removed: Iterable[float]) -> float:
    """Give what the best oracle filter removes: what others are measured by.

    Parameters
    ----------
    removed
        Share of the input's error that each oracle filter takes away.

    Returns
    -------
    float
        NaN where there is no oracle, or none helps.
    """
    return max((share for share in removed if share > 0), default=math.nan)


def window_psnr(result: Volume, reference: Volume) -> float:
    """Give the PSNR with both clipped to the abdomen window, mean over slices.

    Parameters
    ----------
    result
        [Z, H, W] in HU.
    reference
        Same shape.

    Returns
    -------
    float
        In dB, peak 400 HU.
    """
    window = WINDOWS["abdomen"]
    errors = np.mean((window.clip(result) - window.clip(reference)) ** 2, axis=(1, 2))
    return float(np.mean(10 * np.log10(window.width**2 / errors)))
