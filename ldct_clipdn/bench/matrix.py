"""The matrix: scanner x kernel x thickness x dose against methods, with one fixed model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.bench.cases import SEED, Case, read_case
from ldct_clipdn.bench.columns import Answer, Column
from ldct_clipdn.bench.experiment import Progress
from ldct_clipdn.bench.fair import FairSet, window_psnr
from ldct_clipdn.bench.matrix_rows import Cell, MatrixFile, SliceRow
from ldct_clipdn.bench.results import versions, write_text
from ldct_clipdn.bench.slice_measures import SliceProbe
from ldct_clipdn.bench.worst import keep_worst
from ldct_clipdn.errors import ConfigError, DataError, ReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["LOW_DOSE", "WORST", "MatrixRun", "run_matrix"]

LOW_DOSE: Final = "low_dose"
WORST: Final = "worst"
SETTINGS: Final = "matrix.json"


@dataclass(frozen=True)
class MatrixRun:
    """What came of a run.

    Parameters
    ----------
    rows
        Of the cases and columns that were asked for.
    left_out
        Cases that cannot be measured, with the reason.
    """

    rows: list[SliceRow]
    left_out: dict[str, str]


class _Loaded:
    """A case's pixels and probes, read when the first column needs them."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.fair = FairSet(*read_case(case, folder / LOW_DOSE))
        pairs = zip(self.fair.quarter, self.fair.full, strict=True)
        self.probes = [SliceProbe(low, full) for low, full in pairs]

    def truth_psnr(self, k: int) -> float:
        """Estimate what the noise-free truth would score: the input's error, at F's own noise."""
        shares, one = self.fair.shares, np.s_[k : k + 1]
        input_psnr = window_psnr(self.fair.quarter[one], self.fair.full[one])
        return input_psnr + 10 * math.log10(shares.added / shares.full)


def run_matrix(
    cases: Sequence[Case],
    columns: Sequence[Column],
    folder: Path,
    *,
    judged: str,
    device: str,
    chosen_on: Sequence[Path] = (),
    resume: bool = False,
    progress: Progress | None = None,
) -> MatrixRun:
    """Measure every column on every case; what is in the folder is not computed again.

    Parameters
    ----------
    cases
        The matrix's rows.
    columns
        Its columns, one named `input` among them.
    folder
        Gets `matrix_slices.csv`, `matrix.json`, simulated slices, and the judged method's worst
        tiles.
    judged
        The column whose worst tiles are kept.
    device
        In words, for the record.
    chosen_on
        What the filters' strengths were chosen on, for the record.
    resume
        Go on with what is in the folder; a column whose settings changed is computed anew.
    progress
        Told of every cell.

    Returns
    -------
    MatrixRun
        Rows in the matrix's order.

    Raises
    ------
    ConfigError
        When there are rows and `resume` is false, or two columns or two cases have one name.
    DataError
        When no case can be measured.
    WriteError
        When the folder cannot be written.
    """
    _check_names(cases, columns)
    file = MatrixFile(folder, resume=resume)
    left_out: dict[str, str] = {}
    for done, case in enumerate(cases):
        try:
            for column in _measure_case(case, columns, file, folder, judged):
                if progress is not None:
                    at = done * len(columns) + columns.index(column) + 1
                    progress(at, len(cases) * len(columns), f"{case.series} {case.dose}")
        except (DataError, ReadError) as error:
            left_out[f"{case.series}, dose {case.dose}"] = error.reason
    wanted = [Cell(case.series, case.dose, column.name) for case in cases for column in columns]
    rows = [row for cell in wanted for row in file.rows(cell)]
    if not rows:
        raise DataError("no series with uniform soft tissue to measure on")
    _write_settings(folder, columns, chosen_on, left_out, device)
    return MatrixRun(rows, left_out)


def _check_names(cases: Sequence[Case], columns: Sequence[Column]) -> None:
    """Refuse what would overwrite each other's rows."""
    if len({column.name for column in columns}) < len(columns):
        raise ConfigError("two methods have one name", remedy="Give --weights NAME=FILE")
    seen: set[tuple[str, str]] = set()
    for case in cases:
        if (case.series, case.dose) in seen:
            raise ConfigError(
                f"two series have one name: {case.series}, dose {case.dose}",
                path=case.slices[0].path.parent,
                remedy="Give every series once, and patients of one name in runs of their own",
            )
        seen.add((case.series, case.dose))


def _measure_case(
    case: Case, columns: Sequence[Column], file: MatrixFile, folder: Path, judged: str
) -> Iterator[Column]:
    """Measure what is missing of a case."""
    loaded: _Loaded | None = None
    for column in columns:
        cell = Cell(case.series, case.dose, column.name)
        if not file.has(cell, column.version, case.names):
            loaded = loaded or _Loaded(case, folder)
            start = perf_counter()
            answer = column.denoise(loaded.fair)
            seconds = (perf_counter() - start) / len(case.slices)
            if column.name == judged:  # before the rows, with which the cell is done
                keep_worst(folder / WORST, case, loaded.fair, answer.hu)
            file.put(cell, list(_rows(case, column, loaded, answer, seconds)))
        yield column


def _rows(
    case: Case, column: Column, loaded: _Loaded, answer: Answer, seconds: float
) -> Iterator[SliceRow]:
    fair = loaded.fair
    errors = zip(
        fair.error_by_slice(answer.hu), fair.error_by_slice(fair.quarter), fair.mask, strict=True
    )
    for k, (error, error_input, mask) in enumerate(errors):
        yield SliceRow(
            patient=case.patient,
            series=case.series,
            scanner=case.scanner,
            kernel=case.kernel,
            thickness_mm="" if case.thickness_mm is None else f"{case.thickness_mm:g}",
            dose=case.dose,
            training="seen" if case.trained else "held out",
            slice=case.names[k],
            method=column.name,
            kind=column.kind,
            version=column.version,
            setting=answer.setting,
            mask_pixels=int(mask.sum()),
            error=error,
            error_input=error_input,
            error_truth=fair.truth,
            truth_psnr=loaded.truth_psnr(k),
            seconds=seconds,
            **asdict(loaded.probes[k].measure(answer.hu[k])),
        )


def _write_settings(
    folder: Path,
    columns: Sequence[Column],
    chosen_on: Sequence[Path],
    left_out: dict[str, str],
    device: str,
) -> None:
    record: dict[str, Any] = {
        "columns": {one.name: dict(one.settings) for one in columns},
        "strengths_chosen_on": [str(one) for one in chosen_on],
        "left_out": left_out,
        "seed": SEED,
        "versions": versions(),
        "device": device,
    }
    write_text(folder / SETTINGS, json.dumps(record, indent=2) + "\n")
