"""Writes derived DICOM series: slice by slice, checked, and all or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.core.whole_file import UNFINISHED
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import quiet_pydicom, text
from ldct_clipdn.io.codecs import decode_stored
from ldct_clipdn.io.derive import derive_image
from ldct_clipdn.io.dicom_check import check_derived
from ldct_clipdn.io.dicom_read import read_file
from ldct_clipdn.io.enhanced_write import ObjectWriter
from ldct_clipdn.io.journal import Entry, Journal, SeriesWriter
from ldct_clipdn.io.provenance import DerivedSeries, incompleteness
from ldct_clipdn.io.store import (
    explained,
    name_folder,
    on_disk,
    refuse,
    refuse_taken,
    store,
)
from ldct_clipdn.io.stored_values import to_stored
from ldct_clipdn.io.uids import (
    Recipe,
    file_digest,
    identity,
    pixel_digest,
    series_uid,
    study_uid,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ldct_clipdn.io.scan import Instance, Result, Scan

__all__ = [
    "clear_unfinished",
    "derived_series",
    "describe_series",
    "write_derived",
]


@contextmanager
def derived_series(
    scan: Scan, target: Path, recipe: Recipe, *, time: datetime, number: int
) -> Iterator[SeriesWriter]:
    """Open a derived series for writing; it gets its name when all is well.

    Files are written into a hidden folder, read again and checked. After an error nothing stays.
    Of a run that was killed or interrupted the hidden folder stays, and the next run with the same
    time and number keeps what is finished in it.

    Parameters
    ----------
    scan
        The source: its images are those that are added, in any order.
    target
        Folder in which the series' folder is made.
    recipe
        What was done.
    time
        The time of all clock attributes.
    number
        SeriesNumber of the derived series.

    Yields
    ------
    SeriesWriter
        To which every image is added that it has not kept.

    Raises
    ------
    WriteError
        When a file cannot be written, a check fails, or the series is there already.
    """
    series = describe_series(scan, recipe, time=time, number=number)
    uid = series.uid
    folder, hidden = target / uid, target / f".{uid}.partial"
    refuse_taken(folder)
    kind = ImageWriter if scan.instances[0].frame is None else ObjectWriter
    try:
        with on_disk(folder), quiet_pydicom():
            hidden.mkdir(exist_ok=True)
            writer: SeriesWriter = kind(hidden, scan, series)
        yield writer
        with on_disk(folder), quiet_pydicom():
            writer.finish()
            name_folder(writer.folder, folder)
    except Exception:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    shutil.rmtree(hidden, ignore_errors=True)


def describe_series(scan: Scan, recipe: Recipe, *, time: datetime, number: int) -> DerivedSeries:
    """Say what all images of a derived series share.

    Parameters
    ----------
    scan
        The source.
    recipe
        What is done.
    time
        The time of all clock attributes.
    number
        SeriesNumber of the derived series.

    Returns
    -------
    DerivedSeries
        The derived series.
    """
    known = (text(one.header, "StudyInstanceUID") for one in scan.instances)
    study = next(filter(None, known), "") or study_uid(scan)
    return DerivedSeries(
        series_uid(scan, recipe), number, recipe, time, incompleteness(scan), study
    )


def write_derived(
    scan: Scan,
    results: Iterable[Result],
    target: Path,
    recipe: Recipe,
    *,
    time: datetime,
    number: int,
) -> Path:
    """Write a derived series, taking one result after the other.

    Parameters
    ----------
    scan
        The source: its images are those that `results` brings, in any order.
    results
        New HU of every image; is consumed slice by slice.
    target
        Folder in which the series' folder is made.
    recipe
        What was done.
    time
        The time of all clock attributes.
    number
        SeriesNumber of the derived series.

    Returns
    -------
    Path
        The folder, named by the derived series' UID; files are named by their SOP UIDs.

    Raises
    ------
    WriteError
        When a file cannot be written, a check fails, or the series is there already.
    """
    with derived_series(scan, target, recipe, time=time, number=number) as writer:
        for result in results:
            if writer.kept(result.instance, result.before) is None:
                writer.add(result)
    return target / series_uid(scan, recipe)


def clear_unfinished(target: Path) -> None:
    """Remove what runs that were cut off have left, so that nothing hidden fills the disk.

    Parameters
    ----------
    target
        Output folder, into which no one is writing.
    """
    for folder in target.glob(UNFINISHED):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


class ImageWriter(SeriesWriter):
    """Writes one file for each image.

    Parameters
    ----------
    hidden
        Hidden folder of the series.
    scan
        The source.
    series
        The derived series.
    """

    def __init__(self, hidden: Path, scan: Scan, series: DerivedSeries) -> None:
        self.folder = hidden / "images"
        self.folder.mkdir(exist_ok=True)
        self._scan = scan
        self._series = series
        self._journal = Journal(hidden / "finished", series, self._is_intact)
        names = {one.name for one in self._journal.entries.values()}
        for path in self.folder.iterdir():
            if path.name not in names:  # cut off while it was written
                path.unlink()

    def add(self, result: Result) -> NDArray[np.int32]:
        """Write one image, read it again and check it.

        Parameters
        ----------
        result
            Its new HU.

        Returns
        -------
        numpy.ndarray
            The stored values that were written: int32 [H, W].

        Raises
        ------
        WriteError
            When it cannot be written, or a check fails.
        """
        instance, before, hu, limited = result
        output = self._series.recipe.output
        with on_disk(self.folder), quiet_pydicom():
            with explained(instance.path):
                stored = to_stored(before, hu, instance.header)
                ds = derive_image(instance, before, stored, self._series)
                path = self.folder / f"{ds.SOPInstanceUID}.dcm"
                store(ds, path, output)
            refuse(check_derived(instance.header, before, path, output), instance.path)
            source = identity(instance), pixel_digest(before.stored)
            if outdated := self._journal.entries.get(source[0]):  # its source has changed since
                (self.folder / outdated.name).unlink()
            self._journal.add(Entry(*source, path.name, file_digest(path), limited))
        return stored

    def finish(self) -> None:
        """Complete the series.

        Raises
        ------
        WriteError
            When an image is missing.
        """
        count = len(list(self.folder.iterdir()))
        if count != len(self._scan.instances):
            raise WriteError(
                f"{count} of {len(self._scan.instances)} images came",
                path=self._scan.instances[0].path,
            )

    def _read_back(self, entry: Entry, _instance: Instance) -> NDArray[np.int32]:
        path = self.folder / entry.name
        with quiet_pydicom():
            return decode_stored(read_file(path), path)

    def _is_intact(self, entry: Entry) -> bool:
        path = self.folder / entry.name
        return path.is_file() and file_digest(path) == entry.sha256
