"""What is finished of a derived series that is not: a journal, so that a broken run can go on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ldct_clipdn import __version__
from ldct_clipdn.core.whole_file import whole_file
from ldct_clipdn.io.scan import Kept
from ldct_clipdn.io.uids import identity, pixel_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ldct_clipdn.io.provenance import DerivedSeries
    from ldct_clipdn.io.scan import Instance, Result, Slice

__all__ = ["Entry", "Journal", "SeriesWriter"]


class Entry(NamedTuple):
    """One image that is finished.

    Parameters
    ----------
    source
        `identity` of the source image.
    pixels
        `pixel_digest` of the source image.
    name
        Of the file, or of the frame.
    sha256
        Of what was written.
    limited
        Pixels whose change was limited.
    """

    source: str
    pixels: str
    name: str
    sha256: str
    limited: int


class Journal:
    """Remembers on disk which images of a series are finished.

    Each line is written after its image; a line that is lost costs the work on one image.

    Parameters
    ----------
    path
        The journal's file.
    series
        What is written; the journal of another run (other time, number, version) counts for
        nothing.
    is_intact
        Says whether what was written is still there as it was.
    """

    def __init__(
        self, path: Path, series: DerivedSeries, is_intact: Callable[[Entry], bool]
    ) -> None:
        self._path = path
        heading = json.dumps([__version__, asdict(series)], default=str)
        entries = [one for one in _read(path, heading) if is_intact(one)]
        self.entries = {one.source: one for one in entries}
        lines = [heading, *(json.dumps(one) for one in entries)]
        with whole_file(path) as partial:
            partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def find(self, source: str, pixels: str) -> Entry | None:
        """Look whether an image is finished.

        Parameters
        ----------
        source
            `identity` of the source image.
        pixels
            `pixel_digest` of the source image.

        Returns
        -------
        Entry or None
            None also where the source has changed since.
        """
        entry = self.entries.get(source)
        return entry if entry and entry.pixels == pixels else None

    def add(self, entry: Entry) -> None:
        """Write down that an image is finished.

        Parameters
        ----------
        entry
            The image.

        Raises
        ------
        OSError
            When the disk is full, or the like.
        """
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(entry)}\n")
        self.entries[entry.source] = entry


class SeriesWriter(ABC):
    """Takes one image of a derived series after the other.

    A run that was cut off need not do an image again: what is finished stands in a journal.
    """

    folder: Path
    """Where the files lie."""

    _journal: Journal

    def kept(self, instance: Instance, before: Slice) -> Kept | None:
        """Give what a run that was cut off finished of this image.

        Parameters
        ----------
        instance
            The source image, or frame.
        before
            Its pixels.

        Returns
        -------
        Kept or None
            None where there is nothing.
        """
        entry = self._journal.find(identity(instance), pixel_digest(before.stored))
        return None if entry is None else Kept(self._read_back(entry, instance), entry.limited)

    @abstractmethod
    def add(self, result: Result) -> NDArray[np.int32]:
        """Take one image.

        Parameters
        ----------
        result
            Its new HU.

        Returns
        -------
        numpy.ndarray
            The stored values that are written: int32 [H, W].
        """

    @abstractmethod
    def finish(self) -> None:
        """Complete the series; every image must be there."""

    @abstractmethod
    def _read_back(self, entry: Entry, instance: Instance) -> NDArray[np.int32]:
        """Read the stored values that were written."""


def _read(path: Path, heading: str) -> Iterator[Entry]:
    """Read a journal up to the first line that was cut off."""
    if not path.exists():
        return
    first, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if first != heading:
        return
    for line in lines:
        try:
            yield Entry(*json.loads(line))
        except (TypeError, ValueError):
            return
