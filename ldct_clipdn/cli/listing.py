"""How a command lists series and files: short names, and each reason once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from ldct_clipdn.core.words import counted, printable

if TYPE_CHECKING:
    from ldct_clipdn.batch.manifest import InputRecord

__all__ = [
    "SERIES_HEADING",
    "by_reason",
    "kernel_name",
    "print_below",
    "print_unused",
    "series_start",
]

NAMES_SHOWN: Final = 3
"""Names that are shown of files with one reason; the manifest has them all."""


SERIES_HEADING: Final = f"{'series':<14}{'number':>7}{'slices':>7}  "
"""Over what `series_start` makes."""


def series_start(uid: str, number: int | None, slices: int) -> str:
    """Begin the line of a series.

    Parameters
    ----------
    uid
        Its UID, of which the end is shown: there UIDs of one study differ.
    number
        SeriesNumber; None where it is not known.
    slices
        How many.

    Returns
    -------
    str
        Fit to print.
    """
    short = uid if len(uid) <= 12 else f"..{uid[-10:]}"
    return f"{printable(short):<14}{'-' if number is None else number:>7}{slices:>7}  "


def kernel_name(kernel: str) -> str:
    """Name a kernel, or say that the header does not.

    Parameters
    ----------
    kernel
        ConvolutionKernel; may be empty.

    Returns
    -------
    str
        In words.
    """
    return kernel or "no kernel named"


def by_reason(files: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Say once for each reason how many files it concerns, and name some.

    Parameters
    ----------
    files
        Reason and name of each.

    Yields
    ------
    str
        One line for each reason, fit to print.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for reason, path in files:
        names[reason].append(path)
    for reason, paths in sorted(names.items()):
        more = ", ..." if len(paths) > NAMES_SHOWN else ""
        count = counted(len(paths), "file")
        yield printable(f"{count}: {reason} ({', '.join(paths[:NAMES_SHOWN])}{more})")


def print_below(lines: Iterable[str]) -> None:
    """Print what belongs to the line above.

    Parameters
    ----------
    lines
        To be set in a little.
    """
    for one in lines:
        print(f"{'':<14}{printable(one)}")


def print_unused(inputs: Iterable[InputRecord]) -> None:
    """Print which files failed or were skipped, and why.

    Parameters
    ----------
    inputs
        What became of every file.
    """
    inputs = tuple(inputs)
    for outcome in ("failed", "skipped"):
        files = ((one.reason, one.path) for one in inputs if one.outcome == outcome)
        for line in by_reason(files):
            print(f"{outcome:<8} {line}")
