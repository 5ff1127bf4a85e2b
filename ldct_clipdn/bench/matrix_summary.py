"""What the matrix's slices say together, by series, dose and method."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

from ldct_clipdn.bench.fair import best_share
from ldct_clipdn.bench.matrix_rows import SliceRow, gain_of, removed_share
from ldct_clipdn.bench.slice_measures import Measures

__all__ = ["MEASURES", "NAN", "Summary", "mean", "short", "summarise"]

LONGEST: Final = 18
"""Letters of a word in a printed table."""

NAN: Final = float("nan")

MEASURES: Final = tuple(one.name for one in fields(Measures))


@dataclass(frozen=True)
class Summary:
    """One method on one series at one dose.

    Parameters
    ----------
    patient, series, scanner, kernel, thickness_mm, dose, training, method, kind, setting
        As in `SliceRow`.
    dose_effective
        What the low dose is worth, by its noise.
    slices
        How many.
    approximate
        Slices whose simulation is only approximate.
    removed
        Share of the input's error to the truth that is taken away.
    gain
        `removed` over that of the best oracle filter.
    worst_gain
        The same of the slice where it is lowest.
    truth_gain
        What the noise-free truth would gain.
    truth_psnr
        What it would score in [-160, 240] HU, mean over slices.
    noise_returned
        Slices whose PSNR is above the truth's.
    means
        Of every measure, over the slices that have it; NaN where none has.
    """

    patient: str
    series: str
    scanner: str
    kernel: str
    thickness_mm: str
    dose: str
    training: str
    method: str
    kind: str
    setting: str
    dose_effective: float
    slices: int
    approximate: int
    removed: float
    gain: float
    worst_gain: float
    truth_gain: float
    truth_psnr: float
    noise_returned: int
    means: dict[str, float]

    @property
    def place(self) -> tuple[str, str]:
        """The matrix's row."""
        return self.series, self.dose


def summarise(rows: Iterable[SliceRow]) -> list[Summary]:
    """Put slices together by series, dose and method.

    Parameters
    ----------
    rows
        Of any number of cases.

    Returns
    -------
    list of Summary
        In the order in which they come.
    """
    cases: dict[tuple[str, str], dict[str, list[SliceRow]]] = {}
    for row in rows:
        cases.setdefault((row.series, row.dose), {}).setdefault(row.method, []).append(row)
    return [
        _summary(of_method, [one for one in methods.values() if one[0].kind == "oracle"])
        for methods in cases.values()
        for of_method in methods.values()
    ]


def short(name: str) -> str:
    """Cut long words, such as a patient's name that is a UID.

    Parameters
    ----------
    name
        Words with blanks between.

    Returns
    -------
    str
        No word is longer than 18 letters.
    """
    words = (word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…" for word in name.split())
    return " ".join(words)


def mean(values: Iterable[float]) -> float:
    """Average what is known.

    Parameters
    ----------
    values
        Some may be NaN.

    Returns
    -------
    float
        NaN where all are.
    """
    known = [one for one in values if math.isfinite(one)]
    return sum(known) / len(known) if known else NAN


def _summary(rows: list[SliceRow], oracles: list[list[SliceRow]]) -> Summary:
    first = rows[0]
    by_slice = [gain_of([row], [[one[k]] for one in oracles]) for k, row in enumerate(rows)]
    return Summary(
        **{name: getattr(first, name) for name in _IDENTITY},
        dose_effective=first.dose_effective,
        slices=len(rows),
        approximate=sum(bool(row.approximate) for row in rows),
        removed=removed_share(rows),
        gain=gain_of(rows, oracles),
        worst_gain=min((one for one in by_slice if math.isfinite(one)), default=NAN),
        truth_gain=1 / best_share(map(removed_share, oracles)),
        truth_psnr=mean(row.truth_psnr for row in rows),
        noise_returned=sum(row.noise_returned for row in rows),
        means={name: mean(getattr(row, name) for row in rows) for name in MEASURES},
    )


_IDENTITY: Final = (
    "patient", "series", "scanner", "kernel", "thickness_mm", "dose", "training", "method", "kind",
    "setting",
)  # fmt: skip
