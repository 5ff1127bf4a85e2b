"""How a command lists series and files: short names, and each reason once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from ldct_clipdn.core.words import counted, printable

if TYPE_CHECKING:
    from ldct_clipdn.batch.manifest import InputRecord

__all__ = ["by_reason", "print_below", "print_unused", "short_uid"]

NAMES_SHOWN: Final = 3
"""Names that are shown of files with one reason; the manifest has them all."""


def short_uid(uid: str) -> str:
    """Keep the end of a UID, which is where UIDs of one study differ.

    Parameters
    ----------
    uid
        A UID, or the name of a volume.

    Returns
    -------
    str
        At most 12 characters, fit to print.
    """
    return printable(uid if len(uid) <= 12 else f"..{uid[-10:]}")


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
