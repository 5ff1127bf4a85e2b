"""What no validator notices in a derived Enhanced CT image (docs/conformance.md, 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage

from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.attributes import items, number, numbers, quiet_pydicom, text, texts
from ldct_clipdn.io.check_pixels import EXTREMES, FRAME_CHECKS, Pair
from ldct_clipdn.io.codecs import decode_stored
from ldct_clipdn.io.codes import SMOOTHING, SOURCE_IMAGE, read_codes
from ldct_clipdn.io.dicom_check import (
    CHANGED,
    check_dropped,
    check_equipment,
    check_file_meta,
    check_kept,
    check_research,
    check_uids,
)
from ldct_clipdn.io.dicom_read import read_header, read_slice
from ldct_clipdn.io.frames import PER_FRAME, SHARED, frame_count, read_frame, split_frames
from ldct_clipdn.io.output import DEFAULT_OUTPUT, OutputOptions
from ldct_clipdn.io.pixel_layout import pixel_layout

if TYPE_CHECKING:
    from pydicom import Dataset

    from ldct_clipdn.io.scan import Instance

__all__ = ["check_object"]

OBJECT_CHANGED: Final = CHANGED | {
    Tag(keyword) for keyword in ("SourceImageEvidenceSequence", "FrameType", SHARED, PER_FRAME)
}

OWN_GROUPS: Final = {
    Tag(keyword)
    for keyword in (
        "DerivationImageSequence",
        "UnassignedPerFrameConvertedAttributesSequence",
        "UnassignedSharedConvertedAttributesSequence",
    )
}
"""Functional groups that come or go; all others stay where they are."""


def check_object(
    frames: Sequence[Instance],
    path: Path,
    extremes: tuple[int, int],
    output: OutputOptions = DEFAULT_OUTPUT,
) -> list[str]:
    """Check one derived Enhanced CT file against its source.

    Parameters
    ----------
    frames
        All frames of the source, in their order.
    path
        The derived file.
    extremes
        Lowest and highest stored value that were written.
    output
        How it should be written.

    Returns
    -------
    list of str
        What is wrong, one line each; empty where all is well.
    """
    with quiet_pydicom():
        try:
            derived = read_header(path)
            if frame_count(derived) != len(frames):
                return [f"there are not {len(frames)} frames"]
            found = split_frames(path, derived)
            pairs = (_pair(*each, output) for each in zip(frames, found, strict=True))
            problems = [
                f"frame {index}: {problem}"
                for index, pair in enumerate(pairs, start=1)
                for problem in _check_frame(pair, frames[index - 1], derived)
            ]
            return [*_check_whole(frames, derived, extremes, output), *problems]
        except ReadError as error:
            return [error.reason]


def _pair(source: Instance, derived: Instance, output: OutputOptions) -> Pair:
    words = decode_stored(read_frame(derived), derived.path)
    before, layout = read_slice(source), pixel_layout(source.header)
    return Pair(source.header, before, derived.header, words, layout, output)


def _check_whole(
    frames: Sequence[Instance],
    derived: Dataset,
    extremes: tuple[int, int],
    output: OutputOptions,
) -> Iterator[str]:
    source = frames[0].whole
    if source is None:
        yield "the source is no Enhanced CT image"
        return
    pair = Pair(
        source, read_slice(frames[0]), derived, None, pixel_layout(frames[0].header), output
    )
    yield from check_uids(pair)
    yield from check_file_meta(pair, EnhancedCTImageStorage)
    yield from check_research(pair)
    yield from check_equipment(pair)
    yield from check_kept(pair, OBJECT_CHANGED)
    yield from check_dropped(pair)
    yield from _check_type(texts(source, "ImageType"), texts(derived, "ImageType"))
    if all(text(source, f"{name}InstanceUID") for name in ("Study", "Series")):
        yield from _check_evidence(text(source, "SOPInstanceUID"), derived)
    for keyword, value in zip(EXTREMES, extremes, strict=True):
        if keyword in derived and numbers(derived, keyword) != [float(value)]:
            yield f"{keyword} is not that of the pixels"
    for keyword in (SHARED, PER_FRAME):
        yield from _check_groups(items(source, keyword), items(derived, keyword))


def _check_frame(pair: Pair, source: Instance, derived: Dataset) -> Iterator[str]:
    for look in FRAME_CHECKS:
        yield from look(pair)
    yield from check_kept(pair, OBJECT_CHANGED)
    yield from _check_type(texts(pair.source, "ImageType"), texts(pair.derived, "ImageType"))
    index = source.frame or 0
    steps = items(items(derived, PER_FRAME)[index], "DerivationImageSequence")
    if not steps or read_codes(items(steps[-1], "DerivationCodeSequence")) != [SMOOTHING]:
        yield f"the last step of its derivation is not {SMOOTHING.meaning!r}"
        return
    expected = [(source.sop_uid, index + 1, [SOURCE_IMAGE])] if source.sop_uid else []
    if [_reference(item) for item in items(steps[-1], "SourceImageSequence")] != expected:
        yield "its derivation does not name the source's frame, once"


def _reference(item: Dataset) -> tuple[str, float | None, object]:
    return (
        text(item, "ReferencedSOPInstanceUID"),
        number(item, "ReferencedFrameNumber"),
        read_codes(items(item, "PurposeOfReferenceCodeSequence")),
    )


def _check_type(source: list[str], derived: list[str]) -> Iterator[str]:
    if derived[:1] != ["DERIVED"] or (source and derived[1:] != source[1:]):
        yield f"ImageType or FrameType is {'/'.join(derived)}"


def _check_evidence(uid: str, derived: Dataset) -> Iterator[str]:
    found = [
        text(image, "ReferencedSOPInstanceUID")
        for study in items(derived, "SourceImageEvidenceSequence")
        for series in items(study, "ReferencedSeriesSequence")
        for image in items(series, "ReferencedSOPSequence")
    ]
    if uid and uid not in found:
        yield "SourceImageEvidenceSequence does not name the source"


def _check_groups(source: list[Dataset], derived: list[Dataset]) -> Iterator[str]:
    kept = [_macros(group) for group in source]
    if [_macros(group) for group in derived] != kept:
        yield "functional groups were added or lost"


def _macros(group: Dataset) -> set[int]:
    return {int(tag) for tag in group.keys() if not tag.is_private} - OWN_GROUPS  # noqa: SIM118
