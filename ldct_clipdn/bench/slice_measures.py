"""Everything that is measured of one denoised slice, against full dose and against its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.core.metrics import RULERS
from ldct_clipdn.ct.edge import EdgeMeter, find_skin_edge
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.ct.nps import SpectrumMeter, cut_rois, find_uniform_rois
from ldct_clipdn.ct.quality import CLIPPED_SHARE
from ldct_clipdn.ct.residual import structure_correlation
from ldct_clipdn.ct.tissue import TISSUES, body_mask, smooth, tissue_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["Measures", "SliceProbe"]

WINDOWS: Final = {
    column: next(ruler for ruler in RULERS if ruler.name == name)
    for column, name in (("4096", "full"), ("2000", "2000 HU"), ("400", "abdomen"))
}
"""The windows that papers report, by their width in HU; standard SSIM."""

LEAST_PIXELS: Final = 500
"""Pixels of a tissue that its mean HU needs."""

LEAST_ROIS: Final = 4
"""Uniform regions that a slice's mean frequency needs; the same before and after."""

ISOTROPIC: Final = (1.0, 1.0)
"""Frequencies are compared with those of the same slice, in any unit."""

NAN: Final = float("nan")


@dataclass(frozen=True)
class Measures:
    """One slice; NaN where it cannot be said.

    Parameters
    ----------
    psnr_4096, ssim_4096, rmse_4096
        Against the noisy full dose in [-1024, 3072] HU, in dB, up to 1, in HU.
    psnr_2000, ssim_2000, rmse_2000
        The same in [-1000, 1000] HU.
    psnr_400, ssim_400, rmse_400
        The same in [-160, 240] HU.
    bias_lung, bias_fat, bias_soft, bias_bone
        Mean change of the tissue in HU; not judged where over 1 % of it lies at the lowest HU that
        can be stored.
    nps_shift
        Relative change of the noise power's mean frequency in uniform soft tissue.
    edge_ratio
        Frequency of half transfer from air to skin, after over before; below 1 is blur.
    structure
        Correlation of the change with the anatomy's edges; noise alone gives about 0.
    """

    psnr_4096: float
    ssim_4096: float
    rmse_4096: float
    psnr_2000: float
    ssim_2000: float
    rmse_2000: float
    psnr_400: float
    ssim_400: float
    rmse_400: float
    bias_lung: float
    bias_fat: float
    bias_soft: float
    bias_bone: float
    nps_shift: float
    edge_ratio: float
    structure: float


class SliceProbe:
    """Knows where in a low-dose slice to measure, for any number of results.

    Parameters
    ----------
    low
        [H, W] in HU.
    full
        The same at normal dose.
    """

    def __init__(self, low: Plane, full: Plane) -> None:
        self._low, self._full = low, full
        smoothed = smooth(low)
        self._body = body_mask(smoothed)
        masks = {name: tissue_mask(smoothed, tissue) for name, tissue in TISSUES.items()}
        self._tissues = {
            name: mask if _is_judged(low[mask]) else None for name, mask in masks.items()
        }
        self._rois = find_uniform_rois(low, smoothed, tissue_mask(smoothed, TISSUES["soft"]))
        self._skin = find_skin_edge(low, smoothed, self._body)
        self._frequency, self._edge = self._mean_frequency(low), self._half_transfer(low)

    def measure(self, result: Plane) -> Measures:
        """Measure one result.

        Parameters
        ----------
        result
            [H, W] in HU.

        Returns
        -------
        Measures
            All of it.
        """
        change = result - self._low
        structure = structure_correlation(self._low, change, self._body)
        values = self._scores(result) | {
            f"bias_{name}": NAN if mask is None else float(change[mask].mean(dtype=np.float64))
            for name, mask in self._tissues.items()
        }
        values["nps_shift"] = self._mean_frequency(result) / self._frequency - 1
        values["edge_ratio"] = self._half_transfer(result) / self._edge
        values["structure"] = NAN if structure is None else structure
        return Measures(**values)

    def _scores(self, result: Plane) -> dict[str, float]:
        scores = {name: ruler.score(result, self._full) for name, ruler in WINDOWS.items()}
        return {
            f"{measure}_{name}": value
            for name, one in scores.items()
            for measure, value in one._asdict().items()
        }

    def _mean_frequency(self, hu: Plane) -> float:
        if len(self._rois) < LEAST_ROIS:
            return NAN
        meter = SpectrumMeter(ISOTROPIC)
        meter.add(cut_rois(hu, self._rois))
        return meter.spectrum().average or NAN

    def _half_transfer(self, hu: Plane) -> float:
        meter = EdgeMeter()
        meter.add(hu, self._skin)
        return meter.f50(1.0) or NAN


def _is_judged(hu: Plane) -> bool:
    """Say whether a tissue's mean tells: enough pixels, and few that noise could not lower."""
    return hu.size >= LEAST_PIXELS and bool((hu <= AIR_HU).mean() <= CLIPPED_SHARE)
