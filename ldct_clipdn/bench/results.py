"""What a table is made of: one row per picture, in a CSV that grows; how results are written."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from ldct_clipdn.core.whole_file import system_words, whole_file
from ldct_clipdn.errors import ConfigError, WriteError

__all__ = [
    "Key",
    "Results",
    "Row",
    "file_stem",
    "make_folder",
    "markdown_table",
    "number",
    "read_rows",
    "require_resume",
    "result_file",
    "write_rows",
    "write_text",
]

Made = TypeVar("Made")

SCORES_FILE: Final = "scores.csv"


class Key(NamedTuple):
    """What tells one row from every other.

    Parameters
    ----------
    set
        Test set.
    condition
        Noise, or empty.
    method
        Denoiser.
    image
        Picture.
    """

    set: str
    condition: str
    method: str
    image: str


@dataclass(frozen=True)
class Row:
    """One measured picture.

    Parameters
    ----------
    set, condition, method, image
        As in `Key`.
    setting
        What the method was set to for this condition, or empty.
    psnr
        In dB.
    ssim
        Up to 1.
    seconds
        Time of the denoiser.
    """

    set: str
    condition: str
    method: str
    image: str
    setting: str
    psnr: float
    ssim: float
    seconds: float

    @property
    def key(self) -> Key:
        """What tells this row from every other."""
        return Key(self.set, self.condition, self.method, self.image)


class Results:
    """The rows of one output folder.

    Parameters
    ----------
    folder
        Made where it is missing.
    resume
        Keep the rows that are there and go on.

    Raises
    ------
    ConfigError
        When there are rows and `resume` is false.
    WriteError
        When the folder cannot be written.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder = folder
        self.path = folder / SCORES_FILE
        require_resume(self.path, resume=resume)
        self._rows = {row.key: row for row in self._read()}
        if self._rows:  # without a line that was cut off, to which the next would be glued
            self._write(self, "w")

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def add(self, row: Row) -> None:
        """Keep one row, on disk at once.

        Parameters
        ----------
        row
            The row.

        Raises
        ------
        WriteError
            When it cannot be written.
        """
        self._rows[row.key] = row
        self._write([row], "a")

    def _write(self, rows: Iterable[Row], mode: Literal["a", "w"]) -> None:
        try:
            with self.path.open(mode, newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                if file.tell() == 0:
                    writer.writerow(field.name for field in fields(Row))
                writer.writerows(astuple(row) for row in rows)
        except OSError as error:
            raise WriteError(
                f"cannot be written ({system_words(error)})", path=self.path
            ) from error

    def _read(self) -> Iterator[Row]:
        if not self.path.exists():
            return
        with self.path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                try:
                    yield Row(
                        row["set"],
                        row["condition"],
                        row["method"],
                        row["image"],
                        row["setting"],
                        float(row["psnr"]),
                        float(row["ssim"]),
                        float(row["seconds"]),
                    )
                except (TypeError, ValueError, KeyError):
                    continue  # the line that was being written when the run was cut off


def require_resume(path: Path, *, resume: bool) -> None:
    """Refuse to overwrite results.

    Parameters
    ----------
    path
        Their file.
    resume
        Whether they are gone on with.

    Raises
    ------
    ConfigError
        When there are some and `resume` is false.
    """
    if path.exists() and not resume:
        raise ConfigError(
            "there are results here, and they are never overwritten",
            path=path.parent,
            remedy="Add --resume to go on with them, or name another folder",
        )


def file_stem(name: str) -> str:
    """Make a file's name of any name.

    Parameters
    ----------
    name
        Of a picture, set, noise or network.

    Returns
    -------
    str
        Letters, digits, dots and underscores.
    """
    return re.sub(r"[^\w.]+", "_", name)


def make_folder(folder: Path) -> None:
    """Make an output folder, before anything is computed for it.

    Parameters
    ----------
    folder
        Made with its parents; may be there already.

    Raises
    ------
    WriteError
        When it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot be written ({system_words(error)})", path=folder) from error


def write_text(path: Path, text: str) -> None:
    """Write a result, whole or not at all.

    Parameters
    ----------
    path
        The file; its folder is made.
    text
        What it holds.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    with result_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table as CSV, whole or not at all.

    Parameters
    ----------
    path
        The file; its folder is made.
    rows
        One at least, all of the same columns.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    with result_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path, kind: type[Made]) -> list[Made]:
    """Read a CSV as `write_rows` wrote it.

    Parameters
    ----------
    path
        The file; may be missing.
    kind
        Dataclass of a row, which says what is a number; columns that it lacks are ignored.

    Returns
    -------
    list
        A row each; empty where there is no file.

    Raises
    ------
    ConfigError
        When the file does not hold such rows.
    """
    if not path.exists():
        return []
    casts = {
        one.name: {"int": int, "float": float}.get(str(one.type), str)
        for one in fields(kind)  # type: ignore[arg-type]  # any dataclass
    }
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [
                kind(**{name: cast(line[name]) for name, cast in casts.items()})
                for line in csv.DictReader(file)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"these are no rows of this version's table ({error})",
                path=path,
                remedy="Name another folder",
            ) from error


@contextmanager
def result_file(path: Path) -> Iterator[Path]:
    """Write a result of any form, whole or not at all.

    Parameters
    ----------
    path
        The file; its folder is made.

    Yields
    ------
    pathlib.Path
        Where to write.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    make_folder(path.parent)
    try:
        with whole_file(path) as partial:
            yield partial
    except OSError as error:
        raise WriteError(f"cannot be written ({system_words(error)})", path=path) from error


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Draw a table.

    Parameters
    ----------
    lines
        Cells of the header, then of every row.

    Returns
    -------
    str
        Markdown, without a line break at its end.
    """
    head, *body = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))


def number(value: float, digits: int) -> str:
    """Write a number for a table.

    Parameters
    ----------
    value
        What was measured.
    digits
        After the point.

    Returns
    -------
    str
        Empty where there is none (NaN, infinity).
    """
    return f"{value:.{digits}f}" if math.isfinite(value) else ""
