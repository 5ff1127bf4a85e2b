"""Writes derived DICOM series: slice by slice, checked, and all or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import quiet_pydicom
from ldct_clipdn.io.derive import derive_image
from ldct_clipdn.io.dicom_check import check_derived
from ldct_clipdn.io.provenance import DerivedSeries
from ldct_clipdn.io.scan import Result
from ldct_clipdn.io.store import explained, refuse, store
from ldct_clipdn.io.stored import to_stored
from ldct_clipdn.io.uids import Recipe, series_uid
from ldct_clipdn.io.write_object import write_object

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Scan

__all__ = ["Result", "sync_folder", "to_stored", "write_derived"]


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

    Files are written into a hidden folder, read again and checked; the folder gets its name only
    when all is well. Whatever happens before that, nothing stays.

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
    uid = series_uid(scan, recipe)
    series = DerivedSeries(uid, number, recipe, time, _incomplete(scan))
    folder = target / uid
    if folder.exists():
        raise WriteError(
            "there is another result under this UID", path=folder, remedy="Move it away"
        )
    try:
        with _hidden_folder(target / f".{uid}.partial") as hidden, quiet_pydicom():
            write = _write_images if scan.instances[0].frame is None else write_object
            write(hidden, scan, results, series)
            sync_folder(hidden)
            hidden.rename(folder)
            sync_folder(target)
    except OSError as error:
        raise WriteError(
            f"the series cannot be written: {error.strerror or error}",
            path=folder,
            remedy="Check free space and permissions",
        ) from error
    return folder


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on disk, so that a power cut cannot lose them.

    Parameters
    ----------
    folder
        The folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _incomplete(scan: Scan) -> str:
    usable = len(scan.instances)
    return f"INCOMPLETE {usable}/{usable + scan.lost}" if scan.lost else ""


@contextmanager
def _hidden_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that is gone afterwards, unless it was renamed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_images(
    folder: Path, scan: Scan, results: Iterable[Result], series: DerivedSeries
) -> None:
    count = len([_write_image(folder, result, series) for result in results])
    if count != len(scan.instances):
        raise WriteError(
            f"{count} of {len(scan.instances)} images came", path=scan.instances[0].path
        )


def _write_image(folder: Path, result: Result, series: DerivedSeries) -> Path:
    """Write one image, read it again and check it."""
    instance, before, hu = result
    with explained(instance.path):
        stored = to_stored(before, hu, instance.header)
        ds = derive_image(instance, before, stored, series)
        path = folder / f"{ds.SOPInstanceUID}.dcm"
        store(ds, path, series.recipe.output)
    problems = check_derived(instance.header, before, path, series.recipe.output)
    refuse(problems, instance.path)
    return path
