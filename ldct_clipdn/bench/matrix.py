"""The matrix: scanner x kernel x thickness x dose against methods, with one fixed model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.bench.cases import SEED, Case, read_case, simulation_of
from ldct_clipdn.bench.columns import Answer, Column
from ldct_clipdn.bench.experiment import Progress
from ldct_clipdn.bench.fair import FairSet, NoiseShares, window_psnr
from ldct_clipdn.bench.matrix_record import CallRecord
from ldct_clipdn.bench.matrix_rows import Cell, MatrixFile, SliceRow
from ldct_clipdn.bench.slice_measures import SliceProbe
from ldct_clipdn.bench.worst import keep_worst
from ldct_clipdn.ct.lowdose import NOISE_VERSION
from ldct_clipdn.errors import ConfigError, DataError, ReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["LOW_DOSE", "WORST", "MatrixRun", "run_matrix"]

LOW_DOSE: Final = "low_dose"
WORST: Final = "worst"


@dataclass(frozen=True)
class MatrixRun:
    """What came of a run.

    Parameters
    ----------
    rows
        Of the cases and columns that were asked for.
    left_out
        Cases, and methods on cases, that cannot be measured, with the reason.
    """

    rows: list[SliceRow]
    left_out: dict[str, str]


class _NoAnswerError(Exception):
    """A column has no answer to a case; others may have."""


class _Loaded:
    """A case's pixels and probes, read when the first column needs them."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.doubts: dict[int, str] = {}
        self.fair = FairSet(*read_case(case, folder / LOW_DOSE, self.doubts))
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
    settings = {
        "strengths_chosen_on": [str(one) for one in chosen_on],
        "seed": SEED,
        "noise_version": NOISE_VERSION,
        "device": device,
    }
    record = CallRecord(folder, {one.name: one.settings for one in columns}, settings)
    record.write({}, {})
    run = _Run(columns, file, folder, judged)
    total = len(cases) * len(columns)
    for before, case in enumerate(cases):
        for done in run.measure(case):
            record.write(run.left_out, run.shares)  # a resumed call does not see them again
            if progress is not None:
                at = before * len(columns) + done
                progress(at, total, f"{case.series} {case.dose}")
    if not run.rows:
        raise DataError("no series with uniform soft tissue to measure on")
    record.write(run.left_out, run.shares)
    return MatrixRun(run.rows, run.left_out)


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


class _Run:
    """One call: what it measures with, and what came of it."""

    def __init__(
        self, columns: Sequence[Column], file: MatrixFile, folder: Path, judged: str
    ) -> None:
        self._columns, self._file, self._folder, self._judged = columns, file, folder, judged
        self.rows: list[SliceRow] = []
        self.left_out: dict[str, str] = {}
        self.shares: dict[str, NoiseShares] = {}

    def measure(self, case: Case) -> Iterator[int]:
        """Measure what is missing of a case; say after each column how many are done."""
        name = f"{case.series}, dose {case.dose}"
        loaded = cache(partial(self._load, case, name))
        try:
            simulation = simulation_of(case)
            for done, column in enumerate(self._columns, start=1):
                version = column.version
                version += "" if simulation is None else f"-{simulation.digest}"
                try:
                    self.rows += self._cell(case, column, version, loaded)
                except _NoAnswerError as error:
                    self.left_out[f"{name}, {column.name}"] = str(error)
                yield done
        except (DataError, ReadError) as error:
            self.left_out[name] = error.reason

    def _load(self, case: Case, name: str) -> _Loaded:
        loaded = _Loaded(case, self._folder)
        self.shares[name] = loaded.fair.shares
        return loaded

    def _cell(
        self, case: Case, column: Column, version: str, loaded: Callable[[], _Loaded]
    ) -> list[SliceRow]:
        """Give a column's rows of a case, measured where they are missing or out of date."""
        cell = Cell(case.series, case.dose, column.name)
        if self._file.has(cell, version, case.names):
            self._file.relabel(cell, case.training)
        else:
            rows, answer = _measure(case, column, version, loaded())
            if column.name == self._judged:  # before the rows, with which the cell is done
                keep_worst(self._folder / WORST, case, loaded().fair, answer.hu)
            self._file.put(cell, rows)
        return self._file.rows(cell)


def _measure(
    case: Case, column: Column, version: str, loaded: _Loaded
) -> tuple[list[SliceRow], Answer]:
    start = perf_counter()
    try:
        answer = column.denoise(loaded.fair)
    except DataError as error:
        raise _NoAnswerError(error.reason) from error
    seconds = (perf_counter() - start) / len(case.slices)
    return list(_rows(case, column, version, loaded, answer, seconds)), answer


def _rows(
    case: Case, column: Column, version: str, loaded: _Loaded, answer: Answer, seconds: float
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
            training=case.training,
            dose_effective=fair.shares.dose,
            approximate=loaded.doubts.get(k, ""),
            slice=case.names[k],
            method=column.name,
            kind=column.kind,
            version=version,
            setting=answer.setting,
            mask_pixels=int(mask.sum()),
            error=error,
            error_input=error_input,
            error_truth=fair.truth,
            truth_psnr=loaded.truth_psnr(k),
            seconds=seconds,
            **asdict(loaded.probes[k].measure(answer.hu[k])),
        )
