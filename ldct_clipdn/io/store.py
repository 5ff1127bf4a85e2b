"""Puts data sets and series on disk, and refuses a data set that fails its checks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from pydicom import dcmwrite
from pydicom.uid import JPEG2000Lossless

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import VALUE_ERRORS
from ldct_clipdn.io.output import COMPRESSIONS, OutputOptions

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["encode", "explained", "name_folder", "on_disk", "refuse", "refuse_taken", "store"]

MESSAGES_SHOWN: Final = 3

SMALLEST_JPEG2000: Final = 32
"""The encoder halves rows and columns five times, and cannot be told to do so less often."""


def store(ds: Dataset, path: Path, output: OutputOptions) -> None:
    """Write a derived data set and have it on disk.

    Parameters
    ----------
    ds
        With pixels as Explicit VR Little Endian has them.
    path
        The file; must not exist.
    output
        How it is written. Pixels that are compressed stay the same, and so does their UID.

    Raises
    ------
    OSError
        When the disk is full, or the like.
    WriteError
        When the matrix is too small for JPEG 2000.
    """
    syntax, encoder = COMPRESSIONS[output.compression]
    if syntax == JPEG2000Lossless and min(ds.Rows, ds.Columns) < SMALLEST_JPEG2000:
        raise WriteError(
            f"{ds.Rows} x {ds.Columns} pixels are too few for JPEG 2000",
            path=path,
            remedy="Give another compression",
        )
    if syntax.is_compressed:
        ds.compress(syntax, encoding_plugin=encoder, generate_instance_uid=False)
    with path.open("xb") as file:
        encode(ds, file)
        file.flush()
        os.fsync(file.fileno())


def encode(ds: Dataset, file: BinaryIO) -> None:
    """Write a derived data set into an open file.

    Parameters
    ----------
    ds
        With file meta information.
    file
        Open for writing.
    """
    dcmwrite(file, ds, enforce_file_format=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say of which source no derived image could be made.

    Parameters
    ----------
    path
        The source.

    Yields
    ------
    None
        To the code that makes it.

    Raises
    ------
    OSError
        As it comes.
    WriteError
        For whatever pydicom and its encoders raise; one that was raised on purpose keeps its words.
    """
    try:
        yield
    except WriteError as error:
        raise WriteError(error.reason, path=path, remedy=error.remedy) from error
    except (RuntimeError, *VALUE_ERRORS) as error:
        if _is_of_the_system(error):
            raise
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WriteError(
            f"no derived image can be made: {words}",
            path=path,
            remedy="Report the file: its header holds something unforeseen",
        ) from error


def _is_of_the_system(error: BaseException | None) -> bool:
    """Tell a full disk from what pydicom, too, calls an OSError: a value that it cannot write."""
    while error:
        if isinstance(error, OSError) and error.strerror:
            return True
        error = error.__cause__ or error.__context__
    return False


def refuse(problems: Sequence[str], path: Path) -> None:
    """Refuse a derived image that failed its own checks.

    Parameters
    ----------
    problems
        What is wrong; none is well.
    path
        The source.

    Raises
    ------
    WriteError
        When there is any.
    """
    if problems:
        shown = "; ".join(problems[:MESSAGES_SHOWN])
        raise WriteError(
            f"the derived image failed {len(problems)} of its own checks: {shown}", path=path
        )


def refuse_taken(folder: Path) -> None:
    """Refuse to write a series where something lies.

    Parameters
    ----------
    folder
        The series' folder.

    Raises
    ------
    WriteError
        When it is there already.
    """
    if folder.exists():
        raise WriteError(
            "there is another result under this UID",
            path=folder,
            remedy="Move that folder away and run again",
        )


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Say which series could not be written, whatever the disk says.

    Parameters
    ----------
    folder
        The series' folder.

    Yields
    ------
    None
        To the code that writes it.

    Raises
    ------
    WriteError
        For an OSError.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"the series cannot be written: {system_words(error)}",
            path=folder,
            remedy="Check free space and permissions",
        ) from error


def name_folder(hidden: Path, folder: Path) -> None:
    """Give a finished folder its name, and have both on disk, so that a power cut loses neither.

    Parameters
    ----------
    hidden
        The folder under the name that it had while it was written; on the same disk.
    folder
        The folder under its own name.

    Raises
    ------
    OSError
        When the disk is full, or the like.
    """
    _sync(hidden)
    hidden.rename(folder)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
