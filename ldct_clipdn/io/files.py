"""Where input files lie: in a folder, in zip archives, or where a DICOMDIR says.

A zip member is a path like any other, `folder/a.zip/member`: nothing is unpacked to disk.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.scan import Unused

if TYPE_CHECKING:
    from io import BufferedReader

__all__ = ["MAX_BYTES", "changed", "is_archive", "list_files", "open_file", "read_start"]

MAX_BYTES: Final = 2**30
"""No compressed file may grow beyond this: a bomb must not fill the memory."""

ZIP_STARTS: Final = (b"PK\3\4", b"PK\5\6")
ZIP_SUFFIXES: Final = (".zip", "")
"""Office documents and the like are archives too, and hold no images."""

ARCHIVE_ERRORS: Final = (
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile raises on damaged, encrypted and unusually compressed archives."""


def list_files(source: Path) -> Iterator[Path | Unused]:
    """List all files below a folder, those in zip archives included.

    Parameters
    ----------
    source
        A file, an archive or a folder; links are followed, each folder is visited once.

    Yields
    ------
    Path or Unused
        Each file, in a fixed order; or why it is none.
    """
    for path in _on_disk(source):
        if isinstance(path, Unused):
            yield path
        elif not path.is_file():
            yield Unused(path, "skipped", "no regular file, or a broken link")
        elif _opens_as_archive(path):
            yield from _members(path)
        else:
            yield path


def is_archive(path: Path, start: bytes) -> bool:
    """Say whether a file is a zip archive that may hold images.

    Parameters
    ----------
    path
        Its name.
    start
        Its first bytes, four at least.

    Returns
    -------
    bool
        False for other names than `*.zip` and those without suffix.
    """
    return path.suffix.lower() in ZIP_SUFFIXES and start[:4] in ZIP_STARTS


def open_file(path: Path) -> BufferedReader | BytesIO:
    """Open a file or a member of a zip archive.

    Parameters
    ----------
    path
        As `list_files` gives it.

    Returns
    -------
    BufferedReader or BytesIO
        Open for reading.

    Raises
    ------
    OSError
        When there is no such file.
    ReadError
        When the archive is damaged, encrypted, or the member too large.
    """
    try:
        return path.open("rb")
    except NotADirectoryError:
        return BytesIO(_read_member(path, MAX_BYTES + 1))


def read_start(path: Path, size: int) -> bytes:
    """Read the first bytes of a file or archive member, and no more.

    Parameters
    ----------
    path
        As `list_files` gives it.
    size
        Number of bytes.

    Returns
    -------
    bytes
        Fewer where the file is shorter.

    Raises
    ------
    OSError
        When there is no such file.
    ReadError
        When the archive is damaged or encrypted.
    """
    try:
        with path.open("rb") as file:
            return file.read(size)
    except NotADirectoryError:
        return _read_member(path, size)


def changed(path: Path) -> int:
    """Say when a file, or the archive that holds it, was changed.

    Parameters
    ----------
    path
        As `list_files` gives it.

    Returns
    -------
    int
        In nanoseconds.

    Raises
    ------
    OSError
        When there is no such file.
    """
    return (path if path.exists() else _holder(path)).stat().st_mtime_ns


def _on_disk(source: Path) -> Iterator[Path | Unused]:
    if not source.is_dir():
        yield source
        return
    visited = set()
    closed: list[OSError] = []
    for folder, subfolders, names in os.walk(source, onerror=closed.append, followlinks=True):
        real = os.path.realpath(folder)
        subfolders[:] = [] if real in visited else sorted(subfolders)
        if real not in visited:
            yield from (Path(folder, name) for name in sorted(names))
        visited.add(real)
    for error in closed:
        reason = f"the folder cannot be read: {system_words(error)}"
        yield Unused(Path(error.filename), "failed", reason)


def _opens_as_archive(path: Path) -> bool:
    try:
        return is_archive(path, read_start(path, 4))
    except OSError:
        return False


def _members(path: Path) -> Iterator[Path | Unused]:
    try:
        infos = _archive(path, changed(path)).infolist()
    except (OSError, *ARCHIVE_ERRORS) as error:
        yield Unused(path, "failed", f"the archive cannot be opened: {error}")
        return
    times = Counter(PurePosixPath(info.filename) for info in infos)
    for info in sorted(infos, key=lambda one: one.filename):
        name = PurePosixPath(info.filename)
        if info.is_dir():
            continue
        if name.is_absolute() or ".." in name.parts or not name.parts:
            yield Unused(path, "failed", f"the archive names a member outside itself: {name}")
        elif times[name] > 1:
            yield Unused(path / name, "failed", "the archive has several members of this name")
        else:
            yield path / name


@lru_cache(maxsize=1)
def _archive(path: Path, _changed: int) -> zipfile.ZipFile:
    """Keep the last archive open: reading its directory anew for each member takes minutes."""
    return zipfile.ZipFile(path)


def _read_member(path: Path, size: int) -> bytes:
    """Read the first bytes of a member."""
    holder = _holder(path)
    try:
        archive = _archive(holder, changed(holder))
        info = _find(archive, path.relative_to(holder))
        if size > MAX_BYTES < info.file_size:
            raise ReadError(f"it unpacks to {info.file_size} bytes, too many", path=path)
        with archive.open(info) as file:
            return file.read(size)
    except ARCHIVE_ERRORS as error:
        raise ReadError(
            f"the archive member cannot be read: {str(error) or type(error).__name__}",
            path=path,
            remedy="Unpack the archive by hand",
        ) from error


def _holder(path: Path) -> Path:
    """Find the archive that holds a member."""
    for one in path.parents:
        if one.is_file():
            return one
    raise FileNotFoundError(f"{path} is no file")


def _find(archive: zipfile.ZipFile, name: Path) -> zipfile.ZipInfo:
    """Find a member by its path, in which `//` and `./` are gone."""
    try:
        return archive.getinfo(name.as_posix())
    except KeyError:
        for info in archive.infolist():
            if PurePosixPath(info.filename) == PurePosixPath(name):
                return info
        raise FileNotFoundError(f"{name} is not in the archive") from None
