"""What denoising did to a series, measured without a reference (docs/quality.md), slice by slice.

Nothing holds a whole series: every measure accumulates. Measures that cost time are taken on at
most `MEASURED` slices, evenly spaced.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.core.metrics import RULERS, Scores, mean_scores
from ldct_clipdn.ct.edge import EdgeMeter, find_skin_edge
from ldct_clipdn.ct.flags import Expected, Thresholds, find_flags
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.ct.noise_meter import NoiseMeter
from ldct_clipdn.ct.nps import Spectrum, SpectrumMeter, cut_rois, find_uniform_rois
from ldct_clipdn.ct.quality_record import Bias, Noise, QualityRecord
from ldct_clipdn.ct.residual import FlickerMeter, structure_correlation
from ldct_clipdn.ct.spacing import is_positive, read_distances
from ldct_clipdn.ct.tissue import TISSUES, body_mask, smooth, tissue_mask
from ldct_clipdn.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]
    Slices = NDArray[np.floating | np.integer] | Iterable[NDArray[np.floating | np.integer]]

__all__ = ["QualityMeter", "QualityRecord", "assess_quality"]

MEASURED: Final = 64
"""Slices of a series on which everything is measured; of a longer one every second, third ..."""

LEAST_ROIS: Final = 8
"""Uniform regions that a noise power spectrum needs."""

LEAST_PIXELS: Final = 500
"""Pixels of a tissue that its mean HU needs."""

CLIPPED_SHARE: Final = 0.01
"""Share of pixels at the lowest value that can be stored, beyond which a tissue is not judged."""

GRAIN_PX: Final = 4.0
"""Pixels that CT noise makes one: its correlated area, for standard errors."""

NOTHING_LEFT: Final = 1e-3
"""Share of the noise below which what is left has no texture, but that of rounding."""

LARGE: Final = 3.0
"""Changes beyond this many times the noise are counted."""

IN_MM: Final = (
    "nps_before",
    "nps_after",
    "nps_change",
    "edge_before",
    "edge_after",
    "flicker_hu",
)
"""Measures that need the size of a pixel; the ratios of two of them do not."""


def assess_quality(
    before: Slices,
    after: Slices,
    spacing_mm: float | Sequence[float] | None,
    reference: Slices | None = None,
) -> QualityRecord:
    """Measure what denoising did to a series.

    Parameters
    ----------
    before, after
        One slice [H, W], or several: [Z, H, W], or anything that gives them one after the other;
        in HU.
    spacing_mm
        Distance of rows and of columns in mm, or the pixel size alone; what stands before them, as
        the distance of slices, is ignored. None where it is not known: what is in mm is then not
        measured.
    reference
        The same slices at normal dose, for PSNR, SSIM and RMSE; None where there are none.

    Returns
    -------
    QualityRecord
        With flags, by the default thresholds.

    Raises
    ------
    DataError
        When shapes or numbers of slices differ, there are no slices, or a distance is no positive
        number.
    """
    meter = QualityMeter(spacing_mm, _count(before))
    series = [_one_by_one(one) for one in (before, after, reference) if one is not None]
    for slices in zip_longest(*series):
        if any(one is None for one in slices):
            raise DataError(
                "before, after and reference have different numbers of slices",
                remedy="Give the same slices of each",
            )
        meter.add(*slices)
    return meter.finish()


class QualityMeter:
    """Measures a series as its slices come.

    Parameters
    ----------
    spacing_mm
        Distance of rows and of columns in mm, last of whatever is given; or the pixel size alone;
        None where it is not known: what is in mm is then not measured.
    slices
        How many will come; None measures everything on every one.
    floor_hu
        The lowest value that can be stored, in HU.
    thresholds
        When something is flagged; None takes the defaults.

    Raises
    ------
    DataError
        When a distance is no positive number.
    """

    def __init__(
        self,
        spacing_mm: float | Sequence[float] | None,
        slices: int | None = None,
        *,
        floor_hu: float = AIR_HU,
        thresholds: Thresholds | None = None,
    ) -> None:
        self._is_size_known = spacing_mm is not None
        distances = read_distances(1.0 if spacing_mm is None else spacing_mm)[-2:]
        if len(distances) < 2 or not all(map(is_positive, distances)):
            raise DataError(
                f"pixels of {spacing_mm!r} mm cannot be measured",
                remedy="Give the distances of rows and of columns, or the pixel size",
            )
        self.spacing_mm = (distances[0], distances[1])
        self.thresholds = thresholds or Thresholds()
        self._every = math.ceil((slices or 1) / MEASURED)
        self._shape: tuple[int, ...] | None = None
        self._slices = self._measured = self._nonfinite = self._limited = 0
        self._largest = 0.0
        self._noise = (NoiseMeter(), NoiseMeter())
        self._bias = {name: _BiasMeter(floor_hu) for name in TISSUES}
        self._spectra = tuple(SpectrumMeter(self.spacing_mm) for _ in range(3))
        self._edges = (EdgeMeter(), EdgeMeter())
        self._flicker = FlickerMeter(self.spacing_mm)
        self._structure: list[float] = []
        self._large = [0, 0]
        self._scores: dict[str, tuple[list[Scores], list[Scores]]] = defaultdict(lambda: ([], []))

    def add(
        self,
        before: NDArray[np.floating | np.integer],
        after: NDArray[np.floating | np.integer],
        reference: NDArray[np.floating | np.integer] | None = None,
        *,
        limited: int = 0,
    ) -> None:
        """Measure one slice.

        Parameters
        ----------
        before, after
            [H, W] in HU; padding as air in both. What is no number before is taken as air.
        reference
            The same slice at normal dose, or None; where it is no number, nothing is compared.
        limited
            Pixels whose change was limited.

        Raises
        ------
        DataError
            When the shapes differ, from each other or from the slice before.
        """
        old, new = np.asarray(before, dtype=np.float32), np.asarray(after, dtype=np.float32)
        self._check(old, new)
        outside = ~np.isfinite(old)
        if outside.any():
            old, new = (np.where(outside, np.float32(AIR_HU), one) for one in (old, new))
        unusable = ~np.isfinite(new)
        if unusable.any():
            new = np.where(unusable, old, new)
        change = new - old
        self._nonfinite += int(unusable.sum())
        self._limited += limited
        self._largest = max(self._largest, float(np.abs(change).max()))
        self._flicker.add(old, change)
        if self._slices % self._every == 0:
            self._measure(old, new, change)
        self._slices += 1
        if reference is not None:
            self._score(old, new, np.asarray(reference, dtype=np.float32), outside)

    def finish(self, expected: Expected | None = None) -> QualityRecord:
        """Put the measurements together.

        Parameters
        ----------
        expected
            What was known before; None where nothing was.

        Returns
        -------
        QualityRecord
            With its flags.

        Raises
        ------
        DataError
            When no slice was measured.
        """
        if not self._slices:
            raise DataError("there are no slices to measure")
        noise_before, noise_after = (_noise(meter) for meter in self._noise)
        nps_before, nps_after, nps_change = self._finish_spectra()
        edge_before, edge_after = (meter.f50(self._pixel_mm) for meter in self._edges)
        record = QualityRecord(
            slices=self._slices,
            measured=self._measured,
            noise_before=noise_before,
            noise_after=noise_after,
            noise_unread=self._noise[0].unread,
            noise_reduction=_reduction(noise_before, noise_after),
            bias={name: meter.bias() for name, meter in self._bias.items()},
            nps_before=nps_before,
            nps_after=nps_after,
            nps_change=nps_change,
            nps_shift=_shift(nps_before, nps_after),
            edge_before=edge_before,
            edge_after=edge_after,
            edge_ratio=_ratio(edge_after, edge_before),
            flicker_hu=self._flicker.level(),
            structure=float(np.median(self._structure)) if self._structure else None,
            largest_change_hu=self._largest,
            large_changes=self._large[0] / self._large[1] if self._large[1] else None,
            limited=self._limited,
            nonfinite=self._nonfinite,
            scores=self._finish_scores(),
            expected=expected or Expected(),
            thresholds=self.thresholds,
        )
        record = replace(record, flags=find_flags(record))
        unknown: dict[str, Any] = {} if self._is_size_known else dict.fromkeys(IN_MM)
        return replace(record, **unknown)

    @property
    def _pixel_mm(self) -> float:
        return math.sqrt(self.spacing_mm[0] * self.spacing_mm[1])

    def _check(self, old: Plane, new: Plane) -> None:
        shape = self._shape or old.shape
        if old.ndim != 2 or old.shape != shape or new.shape != shape:
            raise DataError(
                f"a slice of shape {list(new.shape)} cannot be compared with one of shape "
                f"{list(old.shape)} in a series of {list(shape)}",
                remedy="Give slices [H, W] of one size",
            )
        self._shape = shape

    def _measure(self, old: Plane, new: Plane, change: Plane) -> None:
        """Take the measures that cost time."""
        self._measured += 1
        smoothed = smooth(old)
        body = body_mask(smoothed)
        masks = {name: tissue_mask(smoothed, tissue) for name, tissue in TISSUES.items()}
        noise, _ = (meter.add(one) for meter, one in zip(self._noise, (old, new), strict=True))
        if math.isfinite(noise):
            self._large[0] += int((np.abs(change)[body] > LARGE * noise).sum())
            self._large[1] += int(body.sum())
        for name, mask in masks.items():
            self._bias[name].add(old[mask], change[mask])
        corners = find_uniform_rois(old, smoothed, masks["soft"])
        for meter, one in zip(self._spectra, (old, new, change), strict=True):
            meter.add(cut_rois(one, corners))
        skin = find_skin_edge(old, smoothed, body)
        for meter_, one in zip(self._edges, (old, new), strict=True):
            meter_.add(one, skin)
        structure = structure_correlation(old, change, body)
        if structure is not None:
            self._structure.append(structure)

    def _score(self, old: Plane, new: Plane, reference: Plane, outside: Mask) -> None:
        """Compare with the reference; where one of them holds no number, all three are air."""
        self._check(old, reference)
        outside = outside | ~np.isfinite(reference)
        if outside.any():
            air = np.float32(AIR_HU)
            old, new, reference = (np.where(outside, air, one) for one in (old, new, reference))
        for ruler in RULERS:
            for scores, one in zip(self._scores[ruler.name], (old, new), strict=True):
                scores.append(ruler.score(one, reference))

    def _finish_spectra(self) -> Sequence[Spectrum | None]:
        if self._spectra[0].rois < LEAST_ROIS:
            return None, None, None
        return [meter.spectrum() for meter in self._spectra]

    def _finish_scores(self) -> Mapping[str, Mapping[str, Mapping[str, float]]] | None:
        if not self._scores:
            return None
        return {
            name: {
                when: mean_scores(scores)._asdict()
                for when, scores in zip(("before", "after"), pair, strict=True)
            }
            for name, pair in self._scores.items()
        }


class _BiasMeter:
    """Averages the change of one tissue."""

    def __init__(self, floor_hu: float) -> None:
        self._floor = floor_hu
        self._pixels = self._clipped = 0
        self._total = self._square = 0.0

    def add(self, before: Plane, change: Plane) -> None:
        """Count the pixels of one slice in: [N] in HU."""
        change = change.astype(np.float64)
        self._pixels += change.size
        self._clipped += int((before <= self._floor).sum())
        self._total += float(change.sum())
        self._square += float((change**2).sum())

    def bias(self) -> Bias | None:
        """Average; None where the tissue was not seen."""
        if not self._pixels:
            return None
        mean = self._total / self._pixels
        variance = max(self._square / self._pixels - mean**2, 0)
        is_judged = self._pixels >= LEAST_PIXELS and self._clipped <= CLIPPED_SHARE * self._pixels
        error = math.sqrt(variance * GRAIN_PX / self._pixels)
        return Bias(mean, error, self._pixels, is_judged)


def _noise(meter: NoiseMeter) -> Noise | None:
    return Noise(meter.level, *meter.spread) if math.isfinite(meter.level) else None


def _reduction(before: Noise | None, after: Noise | None) -> float | None:
    return None if before is None or after is None else 1 - after.hu / before.hu


def _shift(before: Spectrum | None, after: Spectrum | None) -> float | None:
    if before is None or after is None or after.noise_hu <= NOTHING_LEFT * before.noise_hu:
        return None
    return after.average / before.average - 1


def _ratio(after: float | None, before: float | None) -> float | None:
    return None if after is None or not before else after / before


def _count(slices: Slices) -> int | None:
    return len(slices) if isinstance(slices, np.ndarray) and slices.ndim == 3 else None


def _one_by_one(slices: Slices) -> Iterable[NDArray[np.floating | np.integer]]:
    return (slices,) if isinstance(slices, np.ndarray) and slices.ndim == 2 else slices
