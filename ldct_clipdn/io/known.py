"""Recognises a derived series that was written before, so that nothing is done twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.attributes import items, quiet_pydicom, text
from ldct_clipdn.io.codecs import decode_stored, transfer_syntax
from ldct_clipdn.io.derive import native_words
from ldct_clipdn.io.dicom_read import read_file, read_header
from ldct_clipdn.io.frames import read_frame, split_frames
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.uids import Recipe, image_uid, object_uid

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["is_written"]


def is_written(folder: Path, sources: Mapping[str, str], recipe: Recipe) -> bool:
    """Say whether a folder holds exactly the derived images of a series, intact.

    The SOPInstanceUID of a derived image is made of its source, the source's pixels, the recipe
    and its own pixels: computed again from what lies there, it tells all four.

    Parameters
    ----------
    folder
        Folder of a derived series; need not exist.
    sources
        `pixel_digest` of every source image, by its `identity`.
    recipe
        What should have been done.

    Returns
    -------
    bool
        False also where a file is damaged or one too many.
    """
    if not folder.is_dir():
        return False
    if any("#" in name for name in sources):
        return _is_object_written(folder, sources, recipe)
    left = dict(sources)
    with quiet_pydicom():
        for path in sorted(folder.iterdir()):
            source = _source_of(path, left, recipe)
            if source is None:
                return False
            del left[source]
    return not left


def _is_object_written(folder: Path, frames: Mapping[str, str], recipe: Recipe) -> bool:
    """Say the same of the one file of an Enhanced CT image."""
    files = list(folder.iterdir())
    try:
        uid = object_uid(frames, recipe, _object_digest(files[0])) if len(files) == 1 else ""
    except (ReadError, OSError):
        return False
    return [path.stem for path in files] == [uid]


def _object_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with quiet_pydicom():
        for frame in split_frames(path, read_header(path)):
            stored = decode_stored(read_frame(frame), path)
            digest.update(native_words(stored, pixel_layout(frame.header)))
    return digest.hexdigest()


def _source_of(path: Path, sources: Mapping[str, str], recipe: Recipe) -> str | None:
    """Find the source whose derived image this file is, if it is one."""
    try:
        ds = read_file(path)
    except ReadError:
        return None
    uid = text(ds, "SOPInstanceUID")
    result = _result_digest(ds, path)
    if path.stem != uid:
        return None
    for source in _candidates(ds, sources):
        if image_uid(source, sources[source], recipe, result) == uid:
            return source
    return None


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
