"""What the matrix says of patients: every one's gain, and what all say together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ldct_clipdn.bench.cases import HELD_OUT
from ldct_clipdn.bench.matrix_summary import NAN, Summary, mean, short
from ldct_clipdn.bench.results import markdown_table
from ldct_clipdn.core.words import counted

__all__ = ["FEWEST_PATIENTS", "PatientRow", "patient_rows", "patients_table"]

FEWEST_PATIENTS: Final = 6
"""Below this many there is no interval and no p-value, only every patient's value."""

PHANTOM: Final = "phantom"
"""Who has it in the name is no patient."""

DRAWS: Final = 10_000


@dataclass(frozen=True)
class PatientRow:
    """One method on one patient at one dose.

    Parameters
    ----------
    patient, scanner, training, dose, method, kind
        As in `SliceRow`; the scanner of the first series.
    series
        How many.
    removed, gain, psnr_400
        Mean over series; of a gain over those where a filter helps, by which it is measured.
    worst_gain
        Of the slice where it is lowest.
    """

    patient: str
    scanner: str
    training: str
    dose: str
    method: str
    kind: str
    series: int
    removed: float
    gain: float
    worst_gain: float
    psnr_400: float


def patient_rows(summaries: Iterable[Summary]) -> list[PatientRow]:
    """Put series together by patient, dose and method.

    Parameters
    ----------
    summaries
        Of any series and methods.

    Returns
    -------
    list of PatientRow
        In the order in which they come.
    """
    groups: dict[tuple[str, str, str, str], list[Summary]] = {}
    for one in summaries:
        groups.setdefault((one.patient, one.training, one.dose, one.method), []).append(one)
    return [
        PatientRow(
            patient=some[0].patient,
            scanner=some[0].scanner,
            training=some[0].training,
            dose=some[0].dose,
            method=some[0].method,
            kind=some[0].kind,
            series=len(some),
            removed=mean(one.removed for one in some),
            gain=mean(one.gain for one in some),
            worst_gain=min((g for one in some if math.isfinite(g := one.worst_gain)), default=NAN),
            psnr_400=mean(one.means["psnr_400"] for one in some),
        )
        for some in groups.values()
    ]


def patients_table(rows: Sequence[PatientRow], judged: str) -> str:
    """Draw per dose and method what held-out patients say together, and the judged one's values.

    Parameters
    ----------
    rows
        Of all methods.
    judged
        The method whose gain on every patient is shown.

    Returns
    -------
    str
        Markdown.
    """
    held_out = [one for one in rows if one.training == HELD_OUT and one.method != "input"]
    return "\n\n".join(
        (
            "Held-out patients and phantoms: gain, mean over a patient's series, then over "
            "patients; harm counts as what it is. What weights, strength or recipe were chosen by "
            "is in none of it. Of networks the interval (bootstrap over patients) and p "
            "(Wilcoxon's signed rank test of the gain less 1, two-sided), both without phantoms; "
            f"neither below {FEWEST_PATIENTS} patients.",
            _together(held_out),
            f"Every patient's gain by {judged}, mean over series:",
            _every_patient([one for one in held_out if one.method == judged]),
        )
    )


def _together(held_out: Sequence[PatientRow]) -> str:
    lines = [["dose", "method", "patients", "mean", "lowest", "95 % interval", "p"]]
    networks = {one.method for one in held_out if one.kind == "network"}
    for dose in dict.fromkeys(one.dose for one in held_out):
        for method in dict.fromkeys(one.method for one in held_out):
            gains = _by_patient(held_out, dose, method)
            if gains:
                values = [*gains.values()]
                patients = [gain for name, gain in gains.items() if PHANTOM not in name.lower()]
                tested = _tested(patients) if method in networks else ["", ""]
                mean, lowest = f"{np.mean(values):.3f}", f"{min(values):.3f}"
                count = _count(len(patients), len(values) - len(patients))
                lines.append([dose, method, count, mean, lowest, *tested])
    return markdown_table(lines)


def _count(patients: int, phantoms: int) -> str:
    return f"{patients} + {counted(phantoms, PHANTOM)}" if phantoms else str(patients)


def _every_patient(judged: Sequence[PatientRow]) -> str:
    doses = list(dict.fromkeys(one.dose for one in judged))
    gains = {dose: _by_patient(judged, dose, one.method) for one in judged for dose in doses}
    lines = [["patient", "scanner", *doses]]
    for patient, scanner in {one.patient: one.scanner for one in judged}.items():
        known = [gains[dose].get(patient) for dose in doses]
        cells = ["" if gain is None else f"{gain:.3f}" for gain in known]
        lines.append([short(patient), scanner, *cells])
    return markdown_table(lines)


def _by_patient(rows: Iterable[PatientRow], dose: str, method: str) -> dict[str, float]:
    """Give each patient's gain; none where no filter helps."""
    chosen = (one for one in rows if (one.dose, one.method) == (dose, method))
    return {one.patient: one.gain for one in chosen if math.isfinite(one.gain)}


def _tested(values: Sequence[float]) -> list[str]:
    """Give interval and p-value of patients' gains; nothing of fewer than six."""
    if len(values) < FEWEST_PATIENTS:
        return ["", ""]
    from scipy.stats import wilcoxon

    gains = np.asarray(values)
    means = np.random.default_rng(0).choice(gains, (DRAWS, len(gains))).mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    p = f"{wilcoxon(gains - 1).pvalue:.3f}" if np.any(gains != 1) else ""
    return [f"{low:.3f} to {high:.3f}", p]
