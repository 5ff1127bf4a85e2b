"""What the matrix says of series and patients, as CSV and Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from ldct_clipdn.bench.matrix_rows import SliceRow, best_share, gain_of, removed_share
from ldct_clipdn.bench.results import markdown_table, write_rows, write_text
from ldct_clipdn.bench.slice_measures import Measures

__all__ = ["Summary", "short", "summarise", "write_matrix"]

FEWEST_PATIENTS: Final = 6
"""Below this many there is no interval and no p-value, only every patient's value."""

DRAWS: Final = 10_000

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
    slices
        How many.
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
    slices: int
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


def write_matrix(rows: Sequence[SliceRow], folder: Path, left_out: dict[str, str]) -> str:
    """Write `matrix_patients.csv` and `matrix.md`.

    Parameters
    ----------
    rows
        The slices.
    folder
        Where to.
    left_out
        Cases that could not be measured, with the reason.

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
    write_rows(folder / "matrix_patients.csv", [_flat(one) for one in summaries])
    parts = [
        "# The matrix: one fixed model across scanners, kernels, thicknesses and doses",
        "## Gain",
        _gains(summaries),
        "## Patients",
        _patients(summaries),
        "## PSNR",
        _psnrs(summaries),
        "## Beside the noise",
        _side_effects(summaries),
        *([_left_out(left_out)] if left_out else []),
    ]
    text = "\n\n".join(parts) + "\n"
    write_text(folder / "matrix.md", text)
    return text


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


def _summary(rows: list[SliceRow], oracles: list[list[SliceRow]]) -> Summary:
    first = rows[0]
    by_slice = [gain_of([row], [[one[k]] for one in oracles]) for k, row in enumerate(rows)]
    return Summary(
        **{name: getattr(first, name) for name in _IDENTITY},
        slices=len(rows),
        removed=removed_share(rows),
        gain=gain_of(rows, oracles),
        worst_gain=min((one for one in by_slice if math.isfinite(one)), default=NAN),
        truth_gain=1 / best_share(oracles),
        truth_psnr=_mean(row.truth_psnr for row in rows),
        noise_returned=sum(row.noise_returned for row in rows),
        means={name: _mean(getattr(row, name) for row in rows) for name in MEASURES},
    )


_IDENTITY: Final = (
    "patient", "series", "scanner", "kernel", "thickness_mm", "dose", "training", "method", "kind",
    "setting",
)  # fmt: skip


def _flat(one: Summary) -> dict[str, Any]:
    values = asdict(one)
    return {**values, **values.pop("means")}


def _mean(values: Iterable[float]) -> float:
    known = [one for one in values if math.isfinite(one)]
    return sum(known) / len(known) if known else NAN


def _gains(summaries: Sequence[Summary]) -> str:
    """Gain of every method on every series and dose; below 1 in bold for networks."""
    methods = [one for one in _methods(summaries) if one != "input"]
    lines = _by_place(summaries, methods, _gain_text, lambda one: _number(one.truth_gain, 3))
    return (
        "Share of the input's squared error to the truth that is removed (fair error), over "
        "that of the best classic filter at its best setting on these very slices (oracle). Lowest "
        "slice in brackets; bold: a network below 1.\n\n" + lines
    )


def _psnrs(summaries: Sequence[Summary]) -> str:
    lines = _by_place(
        summaries, _methods(summaries), _psnr_text, lambda one: _number(one.truth_psnr, 2)
    )
    return (
        "In [-160, 240] HU against the noisy full dose, in dB. *n*: noise returned, in so "
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
    lines = [["scanner", "series", "training", "dose", *methods, "truth"]]
    for known in places.values():
        first = next(iter(known.values()))
        cells = [text(known[name]) if name in known else "" for name in methods]
        lines.append(
            [first.scanner, short(first.series), first.training, first.dose, *cells, truth(first)]
        )
    return markdown_table(lines)


def _patients(summaries: Sequence[Summary]) -> str:
    """Per dose and method every held-out patient's value, and what these say together."""
    lines = [["dose", "method", "patients", "geometric mean", "lowest", "95 % interval", "p"]]
    doses = dict.fromkeys(one.dose for one in summaries)
    networks = {one.method for one in summaries if one.kind == "network"}
    for dose in doses:
        for method in _methods(summaries):
            values = _by_patient(summaries, dose, method)
            if values and method != "input":
                tested = _tested(values) if method in networks else ["", ""]
                mean = f"{math.exp(np.log(values).mean()):.3f}"
                lines.append([dose, method, str(len(values)), mean, f"{min(values):.3f}", *tested])
    return (
        "Held-out patients and phantoms together: gain, geometric mean over a patient's series, "
        "then over patients. Of networks the interval (bootstrap over patients) and p (Wilcoxon's "
        f"signed rank test against 1, two-sided); neither below {FEWEST_PATIENTS} patients.\n\n"
        + markdown_table(lines)
    )


def _by_patient(summaries: Sequence[Summary], dose: str, method: str) -> list[float]:
    logs: dict[str, list[float]] = {}
    for one in summaries:
        if (one.dose, one.method, one.training) == (dose, method, "held out") and one.gain > 0:
            logs.setdefault(one.patient, []).append(math.log(one.gain))
    return [math.exp(sum(some) / len(some)) for some in logs.values()]


def _tested(values: Sequence[float]) -> list[str]:
    """Give interval and p-value of patients' gains; nothing of fewer than six."""
    if len(values) < FEWEST_PATIENTS:
        return ["", ""]
    from scipy.stats import wilcoxon

    logs = np.log(values)
    draws = np.random.default_rng(0).choice(logs, (DRAWS, len(logs))).mean(axis=1)
    low, high = np.exp(np.percentile(draws, (2.5, 97.5)))
    p = f"{wilcoxon(logs).pvalue:.3f}" if np.any(logs) else ""
    return [f"{low:.3f} to {high:.3f}", p]


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


def _left_out(left_out: dict[str, str]) -> str:
    return "Left out: " + "; ".join(f"{name} ({why})" for name, why in left_out.items()) + "."


def _methods(summaries: Iterable[Summary]) -> list[str]:
    return list(dict.fromkeys(one.method for one in summaries))


def _gain_text(one: Summary) -> str:
    shown = f"{_number(one.gain, 3)} ({_number(one.worst_gain, 3)})"
    return f"**{shown}**" if one.kind == "network" and one.gain < 1 else shown


def _psnr_text(one: Summary) -> str:
    flag = f" *n {one.noise_returned}/{one.slices}*" if one.noise_returned else ""
    return _number(one.means["psnr_400"], 2) + flag


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else ""
