"""Files that are there whole or not at all, whatever ends their writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["UNFINISHED", "system_words", "whole_file"]

UNFINISHED: Final = ".*.partial"
"""Names of what is being written, or was when its process was killed, as `glob` has them."""


@contextmanager
def whole_file(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Write a file under another name; it gets its own when all of it is on disk.

    After an error, or Ctrl-C, what was there before still is, and nothing else stays.

    Parameters
    ----------
    path
        The file; one of that name is replaced.
    shared
        Whether other processes may write it at the same time. Each then has a name of its own, and
        what a killed one leaves stays; else the next writing takes it over.

    Yields
    ------
    pathlib.Path
        Where to write: a hidden name in the same folder.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    writer = f".{os.getpid()}" if shared else ""
    partial = path.with_name(f".{path.name}{writer}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def system_words(error: Exception) -> str:
    """Give the system's own words for what went wrong, which pydicom and torch bury under theirs.

    Parameters
    ----------
    error
        As it was raised.

    Returns
    -------
    str
        One line, such as "No space left on device".
    """
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return " ".join(str(error).split())
