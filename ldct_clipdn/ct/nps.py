"""Noise power spectrum: how much noise there is at which spatial frequency (docs/quality.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from ldct_clipdn.ct.tissue import window_sd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["ROI_PX", "Spectrum", "SpectrumMeter", "cut_rois", "find_uniform_rois"]

ROI_PX: Final = 16
"""Side of a region of interest in pixels: small, since large ones hold anatomy, which seems to be
noise of low frequency as soon as the noise is gone."""

ROIS_PER_SLICE: Final = 8

STRUCTURE_SHARE: Final = 0.25
"""Largest SD of the smoothed slice in a region, in units of the unsmoothed SD: more is anatomy."""

LOWEST_PEAK: Final = 0.05
"""Frequency in 1/mm below which detrending takes power away, so that no peak is looked for."""


@dataclass(frozen=True)
class Spectrum:
    """The noise power spectrum of one series, averaged over regions and directions.

    Parameters
    ----------
    frequency
        Middle of each ring, in 1/mm, up to the Nyquist frequency of the coarser direction.
    power
        Mean over the ring, in HU^2 mm^2.
    average
        Average frequency f_av in 1/mm, weighted by power; 0 where there is no noise.
    peak
        Frequency in 1/mm of the largest power, smoothed over three rings and from 0.05 / mm up.
    noise_hu
        Root of the integral of the two-dimensional spectrum: the standard deviation in HU.
    rois
        Number of regions.
    roi_px
        Side of a region in pixels; detrended by a polynomial of second order.
    """

    frequency: tuple[float, ...]
    power: tuple[float, ...]
    average: float
    peak: float
    noise_hu: float
    rois: int
    roi_px: int


class SpectrumMeter:
    """Averages the spectra of regions as they come.

    Parameters
    ----------
    spacing_mm
        Distance of rows and of columns in mm.
    roi_px
        Side of a region in pixels.
    """

    def __init__(self, spacing_mm: tuple[float, float], roi_px: int = ROI_PX) -> None:
        self.spacing_mm = spacing_mm
        self.roi_px = roi_px
        self.rois = 0
        self._total = np.zeros((roi_px, roi_px))
        self._trend = _trend_basis(roi_px)

    def add(self, rois: NDArray[np.floating]) -> None:
        """Count regions in.

        Parameters
        ----------
        rois
            [N, roi_px, roi_px] in HU; none is fine.
        """
        flat = rois.reshape(len(rois), self.roi_px**2).astype(np.float64)
        flat -= (flat @ self._trend) @ self._trend.T
        spectra = np.abs(np.fft.fft2(flat.reshape(rois.shape))) ** 2
        self._total += spectra.sum(axis=0)
        self.rois += len(rois)

    def spectrum(self) -> Spectrum:
        """Average what was counted in.

        Returns
        -------
        Spectrum
            Of all regions; there must be one at least.
        """
        dy, dx = self.spacing_mm
        power = self._total / self.rois * dx * dy / self.roi_px**2
        frequency, profile = _radial(power, self.spacing_mm)
        total = profile.sum()
        variance = power.sum() / (self.roi_px**2 * dx * dy)
        return Spectrum(
            frequency=tuple(frequency.tolist()),
            power=tuple(profile.tolist()),
            average=float(frequency @ profile / total) if total else 0.0,
            peak=_peak(frequency, profile) if total else 0.0,
            noise_hu=float(np.sqrt(variance)),
            rois=self.rois,
            roi_px=self.roi_px,
        )


def find_uniform_rois(
    hu: Plane, smoothed: Plane, mask: NDArray[np.bool_], roi_px: int = ROI_PX
) -> list[tuple[int, int]]:
    """Find square regions that hold noise and no anatomy, the most uniform first; none overlap.

    Parameters
    ----------
    hu
        [H, W] in HU.
    smoothed
        The same, smoothed, in HU.
    mask
        Where a region may lie: bool [H, W].
    roi_px
        Side of a region in pixels.

    Returns
    -------
    list of tuple
        First row and first column of each region.
    """
    noise = window_sd(hu, roi_px)
    structure = window_sd(smoothed, roi_px)
    free = ndimage.minimum_filter(mask, roi_px, mode="constant")
    rows, columns = np.nonzero(free & (structure < STRUCTURE_SHARE * noise))
    order = np.argsort(structure[rows, columns], kind="stable")
    taken: list[tuple[int, int]] = []
    open_ = np.ones(hu.shape, dtype=np.bool_)
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if open_[row, column]:
            taken.append((row - roi_px // 2, column - roi_px // 2))
            reach = roi_px - 1
            open_[max(row - reach, 0) : row + roi_px, max(column - reach, 0) : column + roi_px] = 0
            if len(taken) == ROIS_PER_SLICE:
                break
    return taken


def cut_rois(hu: Plane, corners: list[tuple[int, int]], roi_px: int = ROI_PX) -> Plane:
    """Cut regions out of a slice.

    Parameters
    ----------
    hu
        [H, W] in HU.
    corners
        First row and first column of each region.
    roi_px
        Side of a region in pixels.

    Returns
    -------
    numpy.ndarray
        float32 [N, roi_px, roi_px].
    """
    cut = [hu[row : row + roi_px, column : column + roi_px] for row, column in corners]
    return np.asarray(cut, dtype=np.float32).reshape(-1, roi_px, roi_px)


def _trend_basis(size: int) -> NDArray[np.float64]:
    """Orthonormal polynomials of second order over a square, [size * size, 6]."""
    axis = np.linspace(-1, 1, size)
    y, x = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=1))
    return basis


def _radial(
    power: NDArray[np.float64], spacing_mm: tuple[float, float]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Average over rings as wide as one bin, up to the Nyquist frequency."""
    size = len(power)
    v, u = (np.fft.fftfreq(size, distance) for distance in spacing_mm)
    radius = np.hypot(v[:, None], u[None, :])
    width = 1 / (size * max(spacing_mm))
    ring = np.rint(radius / width).astype(int)
    count = np.bincount(ring.ravel())[: size // 2 + 1]
    total = np.bincount(ring.ravel(), power.ravel())[: size // 2 + 1]
    return np.arange(len(count)) * width, total / count


def _peak(frequency: NDArray[np.floating], profile: NDArray[np.floating]) -> float:
    smoothed = ndimage.uniform_filter1d(profile, 3, mode="nearest")
    return float(frequency[np.argmax(np.where(frequency < LOWEST_PEAK, -1, smoothed))])
