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
from ldct_clipdn.io.dicom_read import read_file
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.uids import Recipe, image_uid

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
    left = dict(sources)
    with quiet_pydicom():
        for path in sorted(folder.iterdir()):
            source = _source_of(path, left, recipe)
            if source is None:
                return False
            del left[source]
    return not left


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
