"""Writes a derived Enhanced CT image, frame by frame: pixels wait on disk until all are known."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.enhanced_check import check_object
from ldct_clipdn.io.enhanced_derive import derive_object
from ldct_clipdn.io.frames import frame_count
from ldct_clipdn.io.journal import Entry, Journal, SeriesWriter
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.provenance import DerivedSeries
from ldct_clipdn.io.store import explained, refuse, store
from ldct_clipdn.io.stored_values import to_stored
from ldct_clipdn.io.uids import identity, object_uid, pixel_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.io.scan import Instance, Result, Scan

__all__ = ["ObjectWriter"]


class ObjectWriter(SeriesWriter):
    """Writes one file with all frames.

    Parameters
    ----------
    hidden
        Hidden folder of the series.
    scan
        The source: all frames of one Enhanced CT image.
    series
        The derived series.

    Raises
    ------
    WriteError
        When a frame is missing.
    """

    def __init__(self, hidden: Path, scan: Scan, series: DerivedSeries) -> None:
        self._frames = scan.instances
        self._series = series
        self._count = _count(self._frames)
        self.folder = hidden / "images"
        self.folder.mkdir(exist_ok=True)
        self._waiting = hidden / "pixels"
        self._words = self._open_words()
        self._journal = Journal(hidden / "finished", series, self._is_intact)

    def add(self, result: Result) -> NDArray[np.int32]:
        """Put one frame where it belongs.

        Parameters
        ----------
        result
            Its new HU.

        Returns
        -------
        numpy.ndarray
            The stored values: int32 [H, W].

        Raises
        ------
        WriteError
            When HU are not finite.
        """
        instance, before, hu, limited = result
        stored = to_stored(before, hu, instance.header)
        self._words[instance.frame] = stored
        source = identity(instance), pixel_digest(before.stored)
        name = str(instance.frame)
        self._journal.add(Entry(*source, name, self._digest(name), limited))
        return stored

    def finish(self) -> None:
        """Write the file, read it again and check it.

        Raises
        ------
        OSError
            When the disk is full, or the like.
        WriteError
            When a frame is missing or a check fails.
        """
        digests = {one.source: one.pixels for one in self._journal.entries.values()}
        first, output = self._frames[0].path, self._series.recipe.output
        if len(digests) != self._count:
            raise WriteError(f"{len(digests)} of {self._count} frames came", path=first)
        self._words.flush()
        extremes = int(self._words.min()), int(self._words.max())
        for path in self.folder.iterdir():  # cut off while it was written
            path.unlink()
        with self._waiting.open("rb") as file, explained(first):
            result = hashlib.file_digest(file, "sha256").hexdigest()
            uid = object_uid(self._series.uid, digests, result)
            path = self.folder / f"{uid}.dcm"
            ds = derive_object(self._frames, uid, extremes, self._series)
            file.seek(0)
            ds.PixelData = file.read() if output.transfer_syntax.is_compressed else file
            ds["PixelData"].VR = "OW"
            store(ds, path, output)
        refuse(check_object(self._frames, path, extremes, output), first)

    def _open_words(self) -> np.memmap[tuple[int, ...], np.dtype[np.integer]]:
        layout = pixel_layout(self._frames[0].header)
        kind = np.dtype("<i2" if layout.signed else "<u2")
        shape = (self._count, layout.rows, layout.columns)
        frame = bytes(layout.rows * layout.columns * kind.itemsize)
        if not self._waiting.is_file() or self._waiting.stat().st_size != len(frame) * self._count:
            with self._waiting.open("wb") as file:  # a hole that the disk cannot fill would kill us
                file.writelines(frame for _ in range(self._count))
        return np.memmap(self._waiting, kind, "r+", shape=shape)

    def _digest(self, name: str) -> str:
        return hashlib.sha256(self._words[int(name)].tobytes()).hexdigest()

    def _read_back(self, _entry: Entry, instance: Instance) -> NDArray[np.int32]:
        return self._words[instance.frame].astype(np.int32)

    def _is_intact(self, entry: Entry) -> bool:
        return self._digest(entry.name) == entry.sha256


def _count(frames: tuple[Instance, ...]) -> int:
    whole = frames[0].whole
    count = 0 if whole is None else frame_count(whole)
    if len(frames) != count:
        raise WriteError(
            f"only {len(frames)} of {count} frames can be read, and an Enhanced CT image is "
            "written whole or not at all",
            path=frames[0].path,
        )
    return count
