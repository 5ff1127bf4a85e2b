"""Recognises a derived series that was written before, so that nothing is done twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.attributes import items, quiet_pydicom, text
from ldct_clipdn.io.codecs import decode_stored, transfer_syntax
from ldct_clipdn.io.derive import native_words
from ldct_clipdn.io.dicom_read import read_file, read_header
from ldct_clipdn.io.frames import read_frame, split_frames
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.scan import Instance
from ldct_clipdn.io.uids import image_uid, object_uid

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["find_written"]


def find_written(folder: Path, sources: Mapping[str, str]) -> dict[str, Instance] | None:
    """Find the derived image of each source image, where a folder holds exactly these, intact.

    The SOPInstanceUID of a derived image is made of its series (and so the recipe), its source, the
    source's pixels and its own pixels: computed again from what lies there, it tells all four.

    Parameters
    ----------
    folder
        Folder of a derived series, named by its UID; need not exist.
    sources
        `pixel_digest` of every source image, by its `identity`.

    Returns
    -------
    dict or None
        Derived images by the `identity` of their sources; None also where an image is damaged or
        one too many. What a file manager left beside them is passed over.
    """
    if not folder.is_dir():
        return None
    if any("#" in name for name in sources):
        return _find_frames(folder, sources)
    left, found = dict(sources), {}
    with quiet_pydicom():
        for path in _images(folder):
            source, image = _source_of(path, left)
            if source is None or image is None:
                return None
            found[source] = image
            del left[source]
    return None if left else found


def _images(folder: Path) -> list[Path]:
    """List the files that are named like results: not `.DS_Store`, `._NAME.dcm` or `Thumbs.db`."""
    return sorted(one for one in folder.glob("*.dcm") if not one.name.startswith("."))


def _find_frames(folder: Path, sources: Mapping[str, str]) -> dict[str, Instance] | None:
    """Find the same in the one file of an Enhanced CT image, whose frames keep their places."""
    files = _images(folder)
    if len(files) != 1:
        return None
    try:
        with quiet_pydicom():
            frames = split_frames(files[0], read_header(files[0]))
            uid = object_uid(folder.name, sources, _frames_digest(frames))
    except (ReadError, OSError):
        return None
    if files[0].stem != uid:
        return None
    return {name: frames[int(name.rpartition("#")[2])] for name in sources}


def _frames_digest(frames: Iterable[Instance]) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        stored = decode_stored(read_frame(frame), frame.path)
        digest.update(native_words(stored, pixel_layout(frame.header)))
    return digest.hexdigest()


def _source_of(path: Path, sources: Mapping[str, str]) -> tuple[str | None, Instance | None]:
    """Find the source whose derived image this file is, if it is one."""
    try:
        ds = read_file(path)
    except ReadError:
        return None, None
    uid = text(ds, "SOPInstanceUID")
    result = _result_digest(ds, path)
    if path.stem != uid:
        return None, None
    for source in _candidates(ds, sources):
        if image_uid(path.parent.name, source, sources[source], result) == uid:
            ds.pop("PixelData")  # a header is kept of every image of the series
            return source, Instance(path, ds)
    return None, None


def _result_digest(ds: Dataset, path: Path) -> str:
    """Hash the pixels as they were before they were compressed."""
    words = ds.get("PixelData") or b""
    if transfer_syntax(ds).is_compressed:
        try:
            words = native_words(decode_stored(ds, path), pixel_layout(ds))
        except ReadError:
            return ""
    return hashlib.sha256(words).hexdigest()


def _candidates(ds: Dataset, sources: Mapping[str, str]) -> list[str]:
    """Take the source that the file names; any, where its source has no UID."""
    named = [text(one, "ReferencedSOPInstanceUID") for one in items(ds, "SourceImageSequence")]
    return [one for one in named if one in sources] if named else list(sources)
