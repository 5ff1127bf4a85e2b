"""The fair error of a denoiser and of the best classic filters, on real and simulated low dose.

One table: a row per series, dose and method. What simulation adds is independent of the slice's own
noise, so that the fair error serves there as it does on real pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ldct_clipdn.bench.cases import Case, find_cases, leaving_out, read_case
from ldct_clipdn.bench.columns import INPUT_COLUMN, ORACLE, Answer, Column, oracle_columns
from ldct_clipdn.bench.fair import FairSet, best_share, window_psnr
from ldct_clipdn.bench.results import markdown_table, number, write_rows
from ldct_clipdn.errors import DataError

__all__ = ["ProofRow", "proof_table", "run_proof"]

TRUTH: Final = "truth"

HEADINGS: Final = (
    "series", "dose", "method", "removed", "gain", "worst", "PSNR", "bias HU", "setting"
)  # fmt: skip


@dataclass(frozen=True)
class ProofRow:
    """One method on one series at one dose.

    Parameters
    ----------
    series
        Patient, kernel, thickness.
    dose
        `real`, or the simulated share.
    slices
        How many.
    method
        `input`, a classic filter at its best on these very slices, `truth`, or the denoiser.
    removed
        Share of the input's squared error to the truth that is taken away.
    gain
        `removed` over that of the best classic filter; NaN where none helps.
    worst_gain
        The same of the slice where it is lowest, against the same filter and setting, of slices
        where that helps; NaN for what has no single result.
    psnr
        In [-160, 240] HU against the noisy full dose, in dB; NaN for the truth.
    bias_hu
        Mean change in soft tissue.
    setting
        What a filter was set to; for the truth the share `a` of the added noise in F*, with its
        standard error.
    """

    series: str
    dose: str
    slices: int
    method: str
    removed: float
    gain: float
    worst_gain: float
    psnr: float
    bias_hu: float
    setting: str = ""


def run_proof(
    dataset_dir: Path,
    judged: Column,
    target: Path,
    *,
    doses: Sequence[float] = (),
    limit: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[ProofRow]:
    """Measure, write `fair.csv`, and give the rows.

    Parameters
    ----------
    dataset_dir
        Data that the training understands: real pairs, normal dose, or both.
    judged
        The denoiser, as `network_column` makes it.
    target
        Output folder.
    doses
        Shares that are simulated for every series of normal dose.
    limit
        Only so many slices of each series, evenly spread.
    say
        Told of every set before it is measured.

    Returns
    -------
    list of ProofRow
        In the order of the file.

    Raises
    ------
    DataError
        When there is nothing to measure.
    WriteError
        When the folder cannot be written.
    """
    rows: list[ProofRow] = []
    for case in find_cases([dataset_dir], doses, limit):
        say(f"{case.series}, dose {case.dose}, {len(case.slices)} slices")
        with leaving_out(say):
            rows += _measure(case, FairSet(*read_case(case)), judged)
            write_rows(target / "fair.csv", [asdict(one) for one in rows])
    if not rows:
        raise DataError("no series with uniform soft tissue to measure on", path=dataset_dir)
    return rows


def proof_table(rows: Sequence[ProofRow]) -> str:
    """Draw the table.

    Parameters
    ----------
    rows
        As `run_proof` gives them.

    Returns
    -------
    str
        Markdown.
    """
    return markdown_table([HEADINGS, *(_line(row) for row in rows)])


def _line(row: ProofRow) -> list[str]:
    gains = (number(one, 3) for one in (row.removed, row.gain, row.worst_gain))
    others = (number(one, 2) for one in (row.psnr, row.bias_hu))
    return [row.series, row.dose, row.method, *gains, *others, row.setting]


def _measure(case: Case, fair: FairSet, judged: Column) -> list[ProofRow]:
    oracles = [
        (one.name.removesuffix(f" ({ORACLE})"), one.denoise(fair)) for one in oracle_columns()
    ]
    yardstick = best_share(fair.removed(answer.hu) for _, answer in oracles)
    champion = max((answer.hu for _, answer in oracles), key=fair.removed)
    raw = np.array(fair.error_by_slice(fair.quarter))
    by_champion = raw - np.array(fair.error_by_slice(champion))
    helped = by_champion > 0  # not where it is NaN, of a slice without soft tissue

    def row(method: str, answer: Answer) -> ProofRow:
        gains = (raw - np.array(fair.error_by_slice(answer.hu)))[helped] / by_champion[helped]
        return ProofRow(
            series=case.series,
            dose=case.dose,
            slices=len(case.slices),
            method=method,
            removed=fair.removed(answer.hu),
            gain=fair.removed(answer.hu) / yardstick,
            worst_gain=float(min(gains, default=np.nan)) if yardstick > 0 else np.nan,
            psnr=window_psnr(answer.hu, fair.full),
            bias_hu=float((answer.hu - fair.quarter)[fair.mask].mean()),
            setting=answer.setting,
        )

    return [
        row(INPUT_COLUMN.name, INPUT_COLUMN.denoise(fair)),
        *(row(*one) for one in oracles),
        _truth(case, fair, yardstick),
        row(judged.name, judged.denoise(fair)),
    ]


def _truth(case: Case, fair: FairSet, yardstick: float) -> ProofRow:
    nan, shares = float("nan"), fair.shares
    error = f" ± {shares.share_error:.3f}" if np.isfinite(shares.share_error) else ""
    setting = f"a = {shares.share:.3f}{error}, {shares.blocks} blocks"
    return ProofRow(
        case.series, case.dose, len(case.slices), TRUTH, 1.0, 1 / yardstick, nan, nan, 0.0, setting
    )
