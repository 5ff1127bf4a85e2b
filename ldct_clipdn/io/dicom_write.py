"""Writes derived DICOM series: slice by slice, checked, and all or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydicom import dcmwrite

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import VALUE_ERRORS, quiet_pydicom
from ldct_clipdn.io.derive import DerivedSeries, derive_image
from ldct_clipdn.io.dicom_check import check_derived
from ldct_clipdn.io.dicom_read import rescale
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.output import COMPRESSIONS, OutputOptions
from ldct_clipdn.io.padding import is_in_range, padding_range
from ldct_clipdn.io.uids import Recipe, series_uid

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from ldct_clipdn.io.scan import Instance, Scan, Slice

__all__ = ["Result", "sync_folder", "to_stored", "write_derived"]

MESSAGES_SHOWN = 3


class Result(NamedTuple):
    """One image on its way out: where it comes from, what it was, and its new HU."""

    instance: Instance
    before: Slice
    hu: NDArray[np.float32]


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
            count = len([_write_image(hidden, result, series) for result in results])
            if count != len(scan.instances):
                raise WriteError(f"{count} of {len(scan.instances)} images came", path=folder)
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


def to_stored(before: Slice, hu: NDArray[np.float32], header: Dataset) -> NDArray[np.int32]:
    """Turn new HU into stored values, in the source's rescale and bits.

    The change is rounded, not the value, so that a pixel whose HU did not change keeps its stored
    value whatever the slope. Padding stays as it was, and no other pixel becomes padding.

    Parameters
    ----------
    before
        The source's pixels.
    hu
        New values: float32 [H, W] in HU.
    header
        The source's header.

    Returns
    -------
    numpy.ndarray
        int32 [H, W], within BitsStored.

    Raises
    ------
    WriteError
        When the shape differs or a value is not finite; without a path.
    """
    if hu.shape != before.hu.shape or not np.isfinite(hu).all():
        raise WriteError("the new HU are of another shape, or not finite")
    layout = pixel_layout(header)
    slope, _ = rescale(header)
    steps = np.rint((hu.astype(np.float64) - before.hu) / slope)
    stored = np.clip(before.stored + steps, layout.low, layout.high).astype(np.int32)
    stored[before.padding] = before.stored[before.padding]
    limits = padding_range(header, signed=layout.signed)
    if limits is not None:
        new_padding = is_in_range(stored, limits) & (stored != before.stored)
        stored[new_padding] = limits[1] + 1 if limits[1] < layout.high else limits[0] - 1
    return stored


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


def _write_image(folder: Path, result: Result, series: DerivedSeries) -> Path:
    """Write one image, read it again and check it."""
    instance, before, _ = result
    uid, content = _encode(result, series)
    path = folder / f"{uid}.dcm"
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    problems = check_derived(instance.header, before, path, series.recipe.output)
    if problems:
        shown = "; ".join(problems[:MESSAGES_SHOWN])
        raise WriteError(
            f"the derived image failed {len(problems)} of its own checks: {shown}",
            path=instance.path,
        )
    return path


def _encode(result: Result, series: DerivedSeries) -> tuple[str, bytes]:
    """Make the bytes of one derived file, and its SOPInstanceUID."""
    instance, before, hu = result
    buffer = BytesIO()
    try:
        stored = to_stored(before, hu, instance.header)
        ds = derive_image(instance, before, stored, series)
        _compress(ds, series.recipe.output)
        dcmwrite(buffer, ds, enforce_file_format=True)
    except (WriteError, RuntimeError, *VALUE_ERRORS) as error:
        raise WriteError(
            f"no derived image can be made: {str(error).strip() or type(error).__name__}",
            path=instance.path,
            remedy="Report the file: its header holds something unforeseen",
        ) from error
    return str(ds.SOPInstanceUID), buffer.getvalue()


def _compress(ds: Dataset, output: OutputOptions) -> None:
    """Encode the pixels without loss; the image stays the same, and so does its UID."""
    syntax, encoder = COMPRESSIONS[output.compression]
    if syntax.is_compressed:
        ds.compress(syntax, encoding_plugin=encoder, generate_instance_uid=False)
