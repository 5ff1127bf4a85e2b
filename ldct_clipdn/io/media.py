"""The files that a DICOMDIR names (PS3.10, PS3.3 F)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, MediaStorageDirectoryStorage

from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.attributes import items, quiet_pydicom, text, texts
from ldct_clipdn.io.dicom_read import is_dicom, read_header
from ldct_clipdn.io.scan import Unused

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["DIRECTORY_NAME", "list_media", "missing_images"]

DIRECTORY_NAME: Final = "DICOMDIR"

MEANT_IMAGES: Final = (CTImageStorage, EnhancedCTImageStorage)


def list_media(source: Path) -> list[Path | Unused] | None:
    """List what a DICOMDIR names.

    Parameters
    ----------
    source
        The file that a user gave.

    Returns
    -------
    list of Path or Unused, or None
        The DICOMDIR itself and every file it names; CT images that are not there have failed,
        unless none is: then the directory has come alone. None where `source` is no DICOMDIR.
    """
    if not source.is_file() or not is_dicom(source):
        return None
    header = _read_directory(source)
    if header is None:
        return None
    with quiet_pydicom():
        found = list(_named(header, source.parent))
    if not any(isinstance(one, Path) for one in found):
        return [source]
    return [source, *found]


def missing_images(path: Path) -> list[Unused]:
    """List the CT images that a DICOMDIR in a folder names, and that do not lie where it says.

    Parameters
    ----------
    path
        A file that is named like one.

    Returns
    -------
    list of Unused
        Each failed; it may lie elsewhere, under its `sop_uid`. Empty where it is no DICOMDIR.
    """
    header = _read_directory(path)
    if header is None:
        return []
    return [one for one in _named(header, path.parent) if isinstance(one, Unused)]


def _read_directory(path: Path) -> Dataset | None:
    try:
        header = read_header(path)
    except (OSError, ReadError):
        return None
    kind = text(header.file_meta, "MediaStorageSOPClassUID")
    return header if kind == MediaStorageDirectoryStorage else None


def _named(header: Dataset, folder: Path) -> Iterator[Path | Unused]:
    series = ""
    for record in items(header, "DirectoryRecordSequence"):
        if text(record, "DirectoryRecordType") == "SERIES":
            series = text(record, "SeriesInstanceUID")
        parts = texts(record, "ReferencedFileID")
        if not parts:
            continue
        path = _on_disk(folder, parts)
        if path is not None:
            yield path
        elif text(record, "ReferencedSOPClassUIDInFile") in MEANT_IMAGES:
            reason = "the DICOMDIR names this file, and it is not there"
            uid = text(record, "ReferencedSOPInstanceUIDInFile")
            yield Unused(folder.joinpath(*parts), "failed", reason, series, sop_uid=uid)


def _on_disk(folder: Path, parts: list[str]) -> Path | None:
    """Find a file that media write in capitals and disks often in small letters."""
    if any(part in ("", ".", "..") or "/" in part for part in parts):
        return None
    for names in (parts, [part.lower() for part in parts]):
        path = folder.joinpath(*names)
        if path.is_file():
            return path
    return None
