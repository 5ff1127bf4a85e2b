"""Recognises derived series that were written before: so that nothing is done twice, nor missed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import ReadError, WriteError
from ldct_clipdn.io.attributes import items, quiet_pydicom, text
from ldct_clipdn.io.codecs import decode_stored
from ldct_clipdn.io.derive import native_words
from ldct_clipdn.io.dicom_read import read_file, read_header
from ldct_clipdn.io.frames import read_frame, split_frames
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.scan import Instance
from ldct_clipdn.io.uids import image_uid, object_uid

if TYPE_CHECKING:
    from pydicom import Dataset

    from ldct_clipdn.io.scan import Scan

__all__ = ["find_written", "shares_images"]


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
        Derived images by the `identity` of their sources; None where there is no such folder. What
        a file manager left beside them is passed over.

    Raises
    ------
    WriteError
        When an image is missing, damaged, of other pixels, or one too many.
    """
    if not folder.is_dir():
        return None
    with quiet_pydicom():
        if any("#" in name for name in sources):
            found, problem = _find_frames(folder, sources)
        else:
            found, problem = _find_images(folder, sources)
    if problem:
        raise WriteError(
            f"an earlier result of this series is there, and {problem}",
            path=folder,
            remedy="Move that folder away and run again",
        )
    return found


def shares_images(folder: Path, scan: Scan) -> bool:
    """Say whether a derived series was made of images of a scan, of some at least.

    Parameters
    ----------
    folder
        Folder of a derived series; need not exist.
    scan
        The scan.

    Returns
    -------
    bool
        By the SOPInstanceUIDs that its files name as their sources. Images without one cannot be
        told apart: they count as the same.
    """
    own = {one.sop_uid for one in scan.instances}
    with quiet_pydicom():
        return any(own & _source_uids(path) for path in _images(folder))


def _source_uids(path: Path) -> set[str]:
    """Read which images a derived one names as its sources; empty where it cannot be read."""
    try:
        header = read_header(path)
    except (ReadError, OSError):
        return set()
    named = items(header, "SourceImageSequence")
    for study in items(header, "SourceImageEvidenceSequence"):  # of Enhanced CT
        for series in items(study, "ReferencedSeriesSequence"):
            named += items(series, "ReferencedSOPSequence")
    return {text(one, "ReferencedSOPInstanceUID") for one in named} or {""}


def _find_images(folder: Path, sources: Mapping[str, str]) -> tuple[dict[str, Instance], str]:
    """Find the derived image of each source image; and say what is wrong, if anything is."""
    left = dict(sources)
    found: dict[str, Instance] = {}
    doubted: dict[Path, list[str]] = {}
    paths = _images(folder)
    for path in paths:
        try:
            ds, result = _read_result(path)
        except ReadError as error:
            return found, _damage(path, error)
        named = _candidates(ds, left)
        is_of = (image_uid(folder.name, one, left[one], result) == path.stem for one in named)
        source = next(itertools.compress(named, is_of), None)
        if source is None:
            doubted[path] = named
        else:
            ds.pop("PixelData")  # a header is kept of every image of the series
            found[source] = Instance(path, ds)
            del left[source]
    return found, _judge(doubted, left, len(paths), len(sources))


def _judge(
    doubted: Mapping[Path, Sequence[str]], left: Mapping[str, str], there: int, wanted: int
) -> str:
    """Say what is wrong with readable files, of which some are doubted; empty where nothing is."""
    for path, named in doubted.items():
        if not left.keys() & named:
            return f"{path.name} in it is of another"
    if there < wanted:
        return f"lacks {wanted - there} of {wanted} images"
    if doubted and (len(doubted) == there or there == 1):
        return "was made from other pixels"
    return _change(next(iter(doubted))) if doubted else ""


def _damage(path: Path, error: ReadError | OSError) -> str:
    reason = error.reason if isinstance(error, ReadError) else system_words(error)
    return f"{path.name} in it is damaged ({reason})"


def _change(path: Path) -> str:
    """Word what one UID cannot tell apart: it is made of the source's pixels and the result's."""
    return f"{path.name} in it, or its source, was changed since"


def _images(folder: Path) -> list[Path]:
    """List the files that are named like results: not `.DS_Store`, `._NAME.dcm` or `Thumbs.db`."""
    return sorted(one for one in folder.glob("*.dcm") if not one.name.startswith("."))


def _find_frames(folder: Path, sources: Mapping[str, str]) -> tuple[dict[str, Instance], str]:
    """Find the same in the one file of an Enhanced CT image, whose frames keep their places."""
    paths = _images(folder)
    if len(paths) != 1:
        return {}, f"holds {len(paths)} files instead of 1" if paths else "lacks its image"
    path = paths[0]
    try:
        header = read_header(path)
        _check_name(path, header)
        frames = split_frames(path, header)
        uid = object_uid(folder.name, sources, _frames_digest(frames))
    except (ReadError, OSError) as error:
        return {}, _damage(path, error)
    if path.stem != uid:
        return {}, _change(path)
    return {name: frames[int(name.rpartition("#")[2])] for name in sources}, ""


def _frames_digest(frames: Iterable[Instance]) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        stored = decode_stored(read_frame(frame), frame.path)
        digest.update(native_words(stored, pixel_layout(frame.header)))
    return digest.hexdigest()


def _read_result(path: Path) -> tuple[Dataset, str]:
    """Read a derived image, and hash its pixels as they were before they were compressed."""
    ds = read_file(path)
    _check_name(path, ds)
    words = native_words(decode_stored(ds, path), pixel_layout(ds))
    return ds, hashlib.sha256(words).hexdigest()


def _check_name(path: Path, header: Dataset) -> None:
    if text(header, "SOPInstanceUID") != path.stem:
        raise ReadError("it is another image", path=path)


def _candidates(ds: Dataset, sources: Mapping[str, str]) -> list[str]:
    """Take the source that the file names; any, where its source has no UID."""
    named = [text(one, "ReferencedSOPInstanceUID") for one in items(ds, "SourceImageSequence")]
    return [one for one in named if one in sources] if named else list(sources)
