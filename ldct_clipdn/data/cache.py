"""Slices read once and kept as int16 HU in files that are mapped into memory.

One `.npy` file [Z, H, W] per source file, so any mixture of matrix sizes fits, an interrupted
writing goes on where it stopped, and what changed is written anew alone. A file's name holds a hash
of the source's place and one of its size and time of change. Workers and processes share the files
through the system's page cache; of several processes one writes and the others wait.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.core.whole_file import UNFINISHED, system_words, whole_file
from ldct_clipdn.errors import DataError, ReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cache", "Source", "open_cache"]

LAYOUT: Final = "ldct_clipdn cache 1"
"""Raised when the same source would be cached otherwise."""

UNLIKE_HEADER: Final = "its pixels are not as its header says"

Frames = Callable[[Path], Iterable["NDArray[np.float32]"]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One file of slices.

    Parameters
    ----------
    path
        The file.
    shape
        Slices, rows and columns.
    files
        All files whose change makes the cached slices stale.
    """

    path: Path
    shape: tuple[int, int, int]
    files: tuple[Path, ...]

    @property
    def bytes_needed(self) -> int:
        """Say how large its cached slices are.

        Returns
        -------
        int
            In bytes, without the header.
        """
        return 2 * int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Cache:
    """Slices in int16 HU, mapped into memory; can be sent to worker processes.

    Parameters
    ----------
    folder
        Where the cached files lie.
    names
        Cached file of each source.
    unreadable
        Sources that cannot be read, with the reason.
    """

    folder: Path
    names: Mapping[Path, str] = field(repr=False)
    unreadable: Mapping[Path, str] = field(default_factory=dict)

    def read(self, path: Path, frame: int = 0) -> NDArray[np.float32]:
        """Read one slice.

        Values are whole HU: where the source's rescale slope is no whole number (such as 0.25) they
        are rounded, by half a unit at most.

        Parameters
        ----------
        path
            The source file.
        frame
            Which of its slices.

        Returns
        -------
        numpy.ndarray
            HU, float32 [H, W], padding as air (-1024).

        Raises
        ------
        DataError
            When the slice is not in the cache, or its file was removed since.
        """
        name = self.names.get(Path(path))
        if name is None:
            raise DataError(
                "this slice is not in the cache", path=path, remedy="Open the cache again"
            )
        try:
            frames = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"the cached copy of {path} is gone or damaged",
                path=self.folder / name,
                remedy="Start again: it will be written anew",
            ) from error
        return np.asarray(frames[frame], dtype=np.float32)


def open_cache(folder: Path | str, sources: Sequence[Source], read: Frames) -> Cache:
    """Open the cache, writing what it lacks.

    Parameters
    ----------
    folder
        Where the cached files lie; made where missing.
    sources
        What shall be in it.
    read
        Gives the slices of a file one after the other, HU, float32 [H, W]; raises `ReadError`.

    Returns
    -------
    Cache
        All sources that can be read, and why the others cannot.

    Raises
    ------
    DataError
        When the folder cannot be written or the disk is too small.
    """
    from filelock import FileLock

    folder = Path(folder)
    names = {one.path: _name(one) for one in sources}
    unreadable: dict[Path, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _missing(folder, sources, names):
            with FileLock(folder / "lock"):
                _tidy(folder, names.values())
                missing = _missing(folder, sources, names)
                _check_space(folder, missing)
                unreadable = _write_all(folder, missing, names, read)
    except OSError as error:
        raise DataError(
            f"the cache cannot be written: {system_words(error)}",
            path=folder,
            remedy="Set cache_dir to a folder with room that you may write",
        ) from error
    kept = {path: name for path, name in names.items() if path not in unreadable}
    return Cache(folder, kept, unreadable)


def _name(source: Source) -> str:
    """Name the cached file by what the source is and when it changed."""
    stamp = hashlib.sha256(f"{LAYOUT} {source.shape}".encode())
    for path in source.files:
        state = path.stat()
        stamp.update(f" {path.name} {state.st_size} {state.st_mtime_ns}".encode())
    return f"{_place(source.path)}-{stamp.hexdigest()[:16]}.npy"


def _place(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:24]


def _missing(folder: Path, sources: Iterable[Source], names: Mapping[Path, str]) -> list[Source]:
    return [one for one in sources if not _is_sound(folder / names[one.path], one)]


def _is_sound(path: Path, source: Source) -> bool:
    """Say whether a cached file is whole; `np.load` refuses one that is shorter than it says."""
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, OSError, ValueError):
        return False
    return bool(frames.shape == source.shape and frames.dtype == np.int16)


def _tidy(folder: Path, wanted: Iterable[str]) -> None:
    """Remove what an interrupted writing left, and copies of sources that have changed."""
    unfinished = list(folder.glob(UNFINISHED))
    if unfinished:
        log.warning("%s: writing was interrupted; it goes on where it stopped", folder)
    by_place = {name.partition("-")[0]: name for name in wanted}
    stale = [
        path
        for path in folder.glob("*-*.npy")
        if by_place.get(path.name.partition("-")[0], path.name) != path.name
    ]
    if stale:
        log.warning("%s: sources changed since: read anew (%d)", folder, len(stale))
    for path in (*unfinished, *stale):
        path.unlink(missing_ok=True)


def _check_space(folder: Path, missing: Iterable[Source]) -> None:
    needed, free = sum(one.bytes_needed for one in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"the cache needs {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB",
            path=folder,
            remedy="Free some, or set cache_dir to another disk",
        )


def _write_all(
    folder: Path, missing: Sequence[Source], names: Mapping[Path, str], read: Frames
) -> dict[Path, str]:
    from tqdm import tqdm

    unreadable: dict[Path, str] = {}
    slices = sum(one.shape[0] for one in missing)
    with tqdm(total=slices, desc="caching", unit=" slices", delay=1, disable=None) as bar:
        for source in missing:
            try:
                _write(folder / names[source.path], source, read(source.path))
            except ReadError as error:
                unreadable[source.path] = error.reason
            bar.update(source.shape[0])
    return unreadable


def _write(path: Path, source: Source, frames: Iterable[NDArray[np.float32]]) -> None:
    with whole_file(path) as part:
        target = np.lib.format.open_memmap(part, "w+", np.int16, source.shape)
        count = 0
        for count, hu in enumerate(frames, start=1):
            if count > source.shape[0] or hu.shape != source.shape[1:]:
                raise ReadError(UNLIKE_HEADER, path=source.path)
            target[count - 1] = _to_int16(hu)
        if count < source.shape[0]:
            raise ReadError(UNLIKE_HEADER, path=source.path)
        target.flush()


def _to_int16(hu: NDArray[np.float32]) -> NDArray[np.int16]:
    limits = np.iinfo(np.int16)
    return np.rint(hu).clip(limits.min, limits.max).astype(np.int16)
