"""The matrix's rows, one per slice and method, in a file that a broken run goes on with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from ldct_clipdn.bench.fair import best_share
from ldct_clipdn.bench.results import make_folder, read_rows, require_resume, write_rows
from ldct_clipdn.bench.slice_measures import Measures

__all__ = ["Cell", "MatrixFile", "SliceRow", "gain_of", "removed_share"]

FILE: Final = "matrix_slices.csv"


class Cell(NamedTuple):
    """Where a row belongs: what is computed at once.

    Parameters
    ----------
    series, dose
        The matrix's row.
    method
        Its column.
    """

    series: str
    dose: str
    method: str


@dataclass(frozen=True)
class SliceRow(Measures):
    """One slice, denoised by one method.

    Parameters
    ----------
    patient, series, scanner, kernel, thickness_mm, dose, training
        What was denoised; `training` as `Case` has it.
    dose_effective
        Variance of the full dose's noise over the low dose's: a simulation's nominal dose, if it
        does what it says.
    approximate
        Why the simulation is only approximate, or empty.
    slice
        Its file.
    method, kind, version, setting
        What denoised it; rows of another version of method or simulation are out of date.
    mask_pixels
        Pixels that the fair error counts.
    error, error_input, error_truth
        Fair error of the result, the input, and the noise-free truth (an estimate), in HU^2.
    truth_psnr
        What the noise-free truth would score in [-160, 240] HU against the noisy full dose.
    seconds
        Of the denoiser, per slice.
    """

    patient: str
    series: str
    scanner: str
    kernel: str
    thickness_mm: str
    dose: str
    training: str
    dose_effective: float
    approximate: str
    slice: str
    method: str
    kind: str
    version: str
    setting: str
    mask_pixels: int
    error: float
    error_input: float
    error_truth: float
    truth_psnr: float
    seconds: float

    @property
    def cell(self) -> Cell:
        """Where it belongs."""
        return Cell(self.series, self.dose, self.method)

    @property
    def noise_returned(self) -> bool:
        """Say whether its PSNR is above the truth's: part of it is the reference's own noise."""
        return self.psnr_400 > self.truth_psnr


def removed_share(rows: Iterable[SliceRow]) -> float:
    """Give the share of the input's error to the truth that a method takes away, by fair error.

    Parameters
    ----------
    rows
        Of one method.

    Returns
    -------
    float
        0 for the input, 1 for the truth; NaN where no pixel counts.
    """
    taken = possible = 0.0
    for row in rows:
        if row.mask_pixels:
            taken += row.mask_pixels * (row.error_input - row.error)
            possible += row.mask_pixels * (row.error_input - row.error_truth)
    return taken / possible if possible else math.nan


def gain_of(rows: Sequence[SliceRow], oracles: Iterable[Sequence[SliceRow]]) -> float:
    """Give the share that a method removes over that of the best oracle filter.

    Parameters
    ----------
    rows
        Of one method.
    oracles
        The same slices by each oracle filter.

    Returns
    -------
    float
        NaN where there is no oracle, or none helps.
    """
    return removed_share(rows) / best_share(map(removed_share, oracles))


class MatrixFile:
    """All rows of a folder, by cell.

    Parameters
    ----------
    folder
        Made where it is missing.
    resume
        Keep what is there.

    Raises
    ------
    ConfigError
        When there are rows and `resume` is false.
    WriteError
        When the folder cannot be written.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        make_folder(folder)
        self.path = folder / FILE
        require_resume(self.path, resume=resume)
        self._cells: dict[Cell, list[SliceRow]] = {}
        for row in read_rows(self.path, SliceRow):
            self._cells.setdefault(row.cell, []).append(row)

    def rows(self, cell: Cell) -> list[SliceRow]:
        """Give a cell's rows.

        Parameters
        ----------
        cell
            Which.

        Returns
        -------
        list of SliceRow
            One per slice; empty where it was not computed.
        """
        return self._cells.get(cell, [])

    def has(self, cell: Cell, version: str, slices: Sequence[str]) -> bool:
        """Say whether a cell is there, for these slices and this version of the method.

        Parameters
        ----------
        cell
            Which.
        version
            Of the method, and of the simulation.
        slices
            Their names.

        Returns
        -------
        bool
            False where anything differs: then it is computed anew.
        """
        return [(row.slice, row.version) for row in self.rows(cell)] == [
            (one, version) for one in slices
        ]

    def relabel(self, cell: Cell, training: str) -> None:
        """Say anew what the judged weights had of a cell: other weights may have had more.

        Parameters
        ----------
        cell
            Which.
        training
            As `Case` has it.

        Raises
        ------
        WriteError
            When the file cannot be written.
        """
        rows = self.rows(cell)
        if any(row.training != training for row in rows):
            self.put(cell, [replace(row, training=training) for row in rows])

    def put(self, cell: Cell, rows: Sequence[SliceRow]) -> None:
        """Keep a cell, on disk at once; what it held before goes.

        Parameters
        ----------
        cell
            Which.
        rows
            One per slice.

        Raises
        ------
        WriteError
            When the file cannot be written.
        """
        self._cells[cell] = list(rows)
        self._write()

    def _write(self) -> None:
        write_rows(self.path, list(self._lines()))

    def _lines(self) -> Iterator[dict[str, Any]]:
        places: dict[tuple[str, str], list[list[SliceRow]]] = {}
        for cell, rows in self._cells.items():
            places.setdefault((cell.series, cell.dose), []).append(rows)
        for columns in places.values():
            oracles = [row for rows in columns for row in rows if row.kind == "oracle"]
            for row in (row for rows in columns for row in rows):
                values = asdict(row)
                yield {
                    **{name: values[name] for name in _names()},
                    "removed": removed_share([row]),
                    "gain": gain_of([row], [[one] for one in oracles if one.slice == row.slice]),
                    "noise_returned": "yes" if row.noise_returned else "",
                }


def _names() -> list[str]:
    """Put what identifies a row before what was measured."""
    own = [one.name for one in fields(SliceRow)]
    measured = [one.name for one in fields(Measures)]
    return [name for name in own if name not in measured] + measured
