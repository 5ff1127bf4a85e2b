"""What the matrix says of series and methods, as CSV and Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from ldct_clipdn.bench.matrix_patients import patient_rows, patients_table
from ldct_clipdn.bench.matrix_rows import SliceRow
from ldct_clipdn.bench.matrix_summary import Summary, short, summarise
from ldct_clipdn.bench.results import markdown_table, number, write_rows, write_text

__all__ = ["write_matrix"]

APPROXIMATE: Final = "†"

BIAS_AIMS: Final = {"bias_soft": 1.0, "bias_lung": 3.0, "bias_bone": 3.0}
"""Largest mean change of a tissue that is aimed at, in HU."""


def write_matrix(
    rows: Sequence[SliceRow], folder: Path, left_out: dict[str, str], judged: str
) -> str:
    """Write `matrix_series.csv`, `matrix_patients.csv` and `matrix.md`.

    Parameters
    ----------
    rows
        The slices.
    folder
        Where to.
    left_out
        What could not be measured, with the reason.
    judged
        The method that aims are for, and whose gain on every patient is shown.

    Returns
    -------
    str
        The Markdown.

    Raises
    ------
    WriteError
        When the folder cannot be written.
    """
    summaries = summarise(rows)
    patients = patient_rows(summaries)
    write_rows(folder / "matrix_series.csv", [_flat(one) for one in summaries])
    write_rows(folder / "matrix_patients.csv", [_rounded(asdict(one)) for one in patients])
    parts = [
        "# The matrix: one fixed model across scanners, kernels, thicknesses and doses",
        "## Gain",
        _gains(summaries),
        "## Patients",
        patients_table(patients, judged),
        "## PSNR",
        _psnrs(summaries),
        "## Beside the noise",
        _side_effects(summaries),
        _bias_aims([one for one in summaries if one.method == judged], judged),
        *([_left_out(left_out)] if left_out else []),
    ]
    text = "\n\n".join(parts) + "\n"
    write_text(folder / "matrix.md", text)
    return text


def _flat(one: Summary) -> dict[str, Any]:
    values = asdict(one)
    return {**values, **values.pop("means")}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Keep four digits after the point: the table of patients is for documents."""
    return {name: round(one, 4) if isinstance(one, float) else one for name, one in values.items()}


def _gains(summaries: Sequence[Summary]) -> str:
    """Gain of every method on every series and dose; below 1 in bold for networks."""
    methods = [one for one in _methods(summaries) if one != "input"]
    lines = _by_place(summaries, methods, _gain_text, lambda one: number(one.truth_gain, 3))
    footnote = (
        f"\n\n{APPROXIMATE}: rays of under 10 quanta, or a body that goes on outside the field, in "
        "a slice at least: the simulation is approximate."
    )
    return (
        "Share of the input's squared error to the truth in soft tissue (neither lung, bone nor "
        "their borders) that is removed (fair error), over that of the best classic filter at its "
        "best setting on these very slices (oracle). Lowest slice in brackets; bold: "
        "a network below 1. Effective: the dose that the low dose's noise is worth, "
        "measured in uniform blocks.\n\n"
        + lines
        + (footnote if any(one.approximate for one in summaries) else "")
    )


def _psnrs(summaries: Sequence[Summary]) -> str:
    lines = _by_place(
        summaries, _methods(summaries), _psnr_text, lambda one: number(one.truth_psnr, 2)
    )
    return (
        "In [-160, 240] HU against the noisy full dose, in dB, at the setting of the least fair "
        "error, which for a filter is not that of the best PSNR. *n*: noise returned, in so "
        "many slices above what the noise-free truth itself would score.\n\n" + lines
    )


def _by_place(
    summaries: Sequence[Summary],
    methods: Sequence[str],
    text: Callable[[Summary], str],
    truth: Callable[[Summary], str],
) -> str:
    places: dict[tuple[str, str], dict[str, Summary]] = {}
    for one in summaries:
        places.setdefault(one.place, {})[one.method] = one
    lines = [["scanner", "series", "training", "dose", "effective", *methods, "truth"]]
    for known in places.values():
        first = next(iter(known.values()))
        cells = [text(known[name]) if name in known else "" for name in methods]
        place = [first.scanner, short(first.series), first.training, first.dose, _effective(first)]
        lines.append([*place, *cells, truth(first)])
    return markdown_table(lines)


def _side_effects(summaries: Sequence[Summary]) -> str:
    """List what methods do beside removing noise: median over series and doses, and extreme."""
    lines = [["method", "bias lung", "fat", "soft", "bone", "NPS shift", "edge ratio", "structure"]]
    for method in _methods(summaries):
        of_method = [one.means for one in summaries if one.method == method]
        cells = [_extreme(of_method, name, digits) for name, digits in _EFFECTS]
        if method != "input":
            lines.append([method, *cells])
    return (
        "Median over series and doses, and in brackets the value farthest from none. Mean change "
        "of a tissue in HU; relative change of the noise's mean frequency; frequency of half "
        "transfer at the skin, after over before; correlation of the change with the anatomy's "
        "edges.\n\n" + markdown_table(lines)
    )


_EFFECTS: Final = (
    ("bias_lung", 2), ("bias_fat", 2), ("bias_soft", 2), ("bias_bone", 2),
    ("nps_shift", 2), ("edge_ratio", 2), ("structure", 3),
)  # fmt: skip


def _extreme(means: Sequence[dict[str, float]], name: str, digits: int) -> str:
    known = [one[name] for one in means if math.isfinite(one[name])]
    if not known:
        return ""
    none = 1.0 if name == "edge_ratio" else 0.0
    farthest = max(known, key=lambda value: abs(value - none))
    return f"{np.median(known):.{digits}f} ({farthest:.{digits}f})"


def _bias_aims(judged: Sequence[Summary], name: str) -> str:
    """Say of each aim whether it was reached, and where it was not."""
    return "\n".join(
        [f"Aims for {name}:\n", *(f"- {_bias_aim(judged, *one)}" for one in BIAS_AIMS.items())]
    )


def _bias_aim(judged: Sequence[Summary], name: str, most: float) -> str:
    known = [one for one in judged if math.isfinite(one.means[name])]
    missed = [
        f"{short(one.series)}, dose {one.dose} ({one.means[name]:+.2f} HU)"
        for one in known
        if abs(one.means[name]) > most
    ]
    tissue = name.removeprefix("bias_")
    reached = f"reached on {len(known) - len(missed)} of {len(known)} series and doses"
    where = f"; missed on {'; '.join(missed)}" if missed else ""
    return f"{tissue}, at most {most:g} HU: {reached}{where}."


def _left_out(left_out: dict[str, str]) -> str:
    return "Left out: " + "; ".join(f"{name} ({why})" for name, why in left_out.items()) + "."


def _methods(summaries: Iterable[Summary]) -> list[str]:
    return list(dict.fromkeys(one.method for one in summaries))


def _gain_text(one: Summary) -> str:
    shown = f"{number(one.gain, 3)} ({number(one.worst_gain, 3)})"
    return f"**{shown}**" if one.kind == "network" and one.gain < 1 else shown


def _effective(one: Summary) -> str:
    mark = f" {APPROXIMATE}" if one.approximate else ""
    return number(one.dose_effective, 3) + mark


def _psnr_text(one: Summary) -> str:
    flag = f" *n {one.noise_returned}/{one.slices}*" if one.noise_returned else ""
    return number(one.means["psnr_400"], 2) + flag
