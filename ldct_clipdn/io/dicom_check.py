"""What no validator notices in a derived image, checked by ourselves (docs/conformance.md, 3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag
from pydicom.uid import UID, CTImageStorage

from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.attributes import items, numbers, quiet_pydicom, text, texts
from ldct_clipdn.io.check_pixels import PIXEL_CHECKS, Pair, written_words
from ldct_clipdn.io.codecs import transfer_syntax
from ldct_clipdn.io.codes import (
    PROCESSING_EQUIPMENT,
    PRODUCT,
    SMOOTHING,
    SOURCE_IMAGE,
    Code,
    read_codes,
)
from ldct_clipdn.io.dicom_read import read_file
from ldct_clipdn.io.differences import attribute_name, differences
from ldct_clipdn.io.kept_attributes import derived_type, is_dropped
from ldct_clipdn.io.output import DEFAULT_OUTPUT, OutputOptions
from ldct_clipdn.io.pixel_layout import pixel_layout

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

    from ldct_clipdn.io.scan import Slice

__all__ = [
    "CHANGED",
    "DERIVED_CHECKS",
    "IMAGE_CHECKS",
    "check_data_set",
    "check_derived",
    "check_dropped",
    "check_equipment",
    "check_file_meta",
    "check_kept",
    "check_research",
    "check_uids",
]

Check = Callable[[Pair], Iterator[str]]
"""Says what is wrong with a derived image, one line each."""

CHANGED: Final = {
    Tag(keyword)
    for keyword in (
        "ContentDate",
        "ContentQualification",
        "ContentTime",
        "ContributingEquipmentSequence",
        "DerivationCodeSequence",
        "DerivationDescription",
        "HighBit",
        "ImageType",
        "InstanceCreationDate",
        "InstanceCreationTime",
        "InstanceCreatorUID",
        "LargestImagePixelValue",
        "LossyImageCompression",
        "LossyImageCompressionMethod",
        "LossyImageCompressionRatio",
        "Modality",
        "PixelPaddingRangeLimit",
        "PixelPaddingValue",
        "SOPClassUID",
        "SOPInstanceUID",
        "SeriesDate",
        "SeriesDescription",
        "SeriesInstanceUID",
        "SeriesNumber",
        "SeriesTime",
        "SmallestImagePixelValue",
        "SourceImageSequence",
        "SpecificCharacterSet",
    )
}
"""Everything else is as the source has it, and nothing else is there."""


def check_derived(
    source: Dataset,
    before: Slice,
    path: Path,
    output: OutputOptions = DEFAULT_OUTPUT,
    checks: Sequence[Check] | None = None,
) -> list[str]:
    """Check one derived file against its source.

    Parameters
    ----------
    source
        Header of the source image.
    before
        Pixels of the source image.
    path
        The derived file.
    output
        How it should be written.
    checks
        What is looked at; None: `DERIVED_CHECKS`.

    Returns
    -------
    list of str
        What is wrong, one line each; empty where all is well.
    """
    with quiet_pydicom():
        try:
            return check_data_set(source, before, read_file(path), output, path, checks)
        except ReadError as error:
            return [error.reason]


def check_data_set(
    source: Dataset,
    before: Slice,
    derived: Dataset,
    output: OutputOptions,
    path: Path,
    checks: Sequence[Check] | None = None,
) -> list[str]:
    """Check one derived data set against its source.

    Parameters
    ----------
    source
        Header of the source image.
    before
        Pixels of the source image.
    derived
        As it was read from its file.
    output
        How it should be written.
    path
        The file, for errors.
    checks
        What is looked at; None: `DERIVED_CHECKS`.

    Returns
    -------
    list of str
        What is wrong, one line each; empty where all is well.

    Raises
    ------
    ReadError
        When the source does not say how its pixels are stored.
    """
    layout = pixel_layout(source)
    words = written_words(derived, layout, before, path)
    pair = Pair(source, before, derived, words, layout, output)
    return [problem for look in checks or DERIVED_CHECKS for problem in look(pair)]


def check_uids(pair: Pair) -> Iterator[str]:
    """Check that UIDs are new and well formed, that of the study only where the source has none.

    Parameters
    ----------
    pair
        The derived image and its source.

    Yields
    ------
    str
        What is wrong.
    """
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        uid = text(pair.derived, keyword)
        if uid == text(pair.source, keyword):
            yield f"{keyword} is the source's"
        if not _is_uuid(uid):
            yield f"{keyword} is no UID of the form 2.25"
    study = text(pair.derived, "StudyInstanceUID")
    if not study or (not text(pair.source, "StudyInstanceUID") and not UID(study).is_valid):
        yield "StudyInstanceUID is none"


def _is_uuid(uid: str) -> bool:
    number = re.fullmatch(r"2\.25\.(0|[1-9]\d{0,38})", uid)
    return bool(number) and int(uid.removeprefix("2.25.")) < 1 << 128


def check_file_meta(pair: Pair, sop_class: UID = CTImageStorage) -> Iterator[str]:
    """Check class, file meta information and transfer syntax.

    Parameters
    ----------
    pair
        The derived image and its source.
    sop_class
        What it should be.

    Yields
    ------
    str
        What is wrong.
    """
    meta = pair.derived.file_meta
    if text(pair.derived, "SOPClassUID") != sop_class:
        yield f"SOPClassUID is not {sop_class.name}"
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if text(meta, f"MediaStorage{keyword}") != text(pair.derived, keyword):
            yield f"MediaStorage{keyword} differs from the data set"
    if transfer_syntax(pair.derived) != pair.output.transfer_syntax:
        yield f"the transfer syntax is not {pair.output.transfer_syntax.name}"


def _check_kind(pair: Pair) -> Iterator[str]:
    expected = derived_type(texts(pair.source, "ImageType"), pair.output.image_type)
    if texts(pair.derived, "ImageType") != expected:
        yield f"ImageType is not {'/'.join(expected)}"


def check_research(pair: Pair) -> Iterator[str]:
    """Check the mark of research and the time.

    Parameters
    ----------
    pair
        The derived image and its source.

    Yields
    ------
    str
        What is wrong.
    """
    if text(pair.derived, "ContentQualification") != "RESEARCH":
        yield "ContentQualification is not RESEARCH"
    missing = [name for name in ("ContentDate", "ContentTime") if not text(pair.derived, name)]
    if missing:
        yield f"{' and '.join(missing)} missing"


def _check_source(pair: Pair) -> Iterator[str]:
    expected = [uid] if (uid := text(pair.source, "SOPInstanceUID")) else []
    sources = items(pair.derived, "SourceImageSequence")
    if [text(item, "ReferencedSOPInstanceUID") for item in sources] != expected:
        yield "SourceImageSequence does not name the source, once"
    for item in sources:
        purposes = read_codes(items(item, "PurposeOfReferenceCodeSequence"))
        if purposes != [SOURCE_IMAGE]:
            yield f"the source's purpose is not {SOURCE_IMAGE.meaning!r}"
        if text(item, "ReferencedSOPClassUID") != CTImageStorage:
            yield "the source's class is not CT Image Storage"
        if text(item, "SpatialLocationsPreserved") != "YES":
            yield "SpatialLocationsPreserved is not YES"


def _check_derivation(pair: Pair) -> Iterator[str]:
    if PRODUCT not in text(pair.derived, "DerivationDescription"):
        yield "DerivationDescription does not name this package"
    known = read_codes(items(pair.source, "DerivationCodeSequence"))
    if read_codes(items(pair.derived, "DerivationCodeSequence")) != [*known, SMOOTHING]:
        yield f"DerivationCodeSequence is not the source's and {SMOOTHING.meaning!r}"


def check_equipment(pair: Pair, purpose: Code = PROCESSING_EQUIPMENT) -> Iterator[str]:
    """Check that this package is named after what the source names.

    Parameters
    ----------
    pair
        The derived image and its source.
    purpose
        In which role it worked.

    Yields
    ------
    str
        What is wrong.
    """
    equipment = items(pair.derived, "ContributingEquipmentSequence")
    own = equipment[-1:] if len(equipment) == 1 + _equipment_count(pair.source) else []
    if [text(item, "ManufacturerModelName") for item in own] != [PRODUCT]:
        yield "ContributingEquipmentSequence is not the source's and this package"
    for item in own:
        purposes = read_codes(items(item, "PurposeOfReferenceCodeSequence"))
        if purposes != [purpose] or not text(item, "Manufacturer"):
            yield "this package's equipment item lacks its purpose or manufacturer"


def _equipment_count(source: Dataset) -> int:
    return len(items(source, "ContributingEquipmentSequence"))


def check_kept(pair: Pair, changed: Set[int] = CHANGED) -> Iterator[str]:
    """Compare everything that must be as in the source: patient, geometry, rescale, window, ...

    Parameters
    ----------
    pair
        The derived image and its source.
    changed
        Tags that may differ.

    Yields
    ------
    str
        What is wrong.
    """
    if not text(pair.source, "StudyInstanceUID"):
        changed = changed | {Tag("StudyInstanceUID")}
    yield from differences(pair.source, pair.derived, changed, pair.output.private_tags)


def check_dropped(pair: Pair) -> Iterator[str]:
    """Check that nothing is left of what describes or signs the old pixels.

    Parameters
    ----------
    pair
        The derived image and its source.

    Yields
    ------
    str
        What is wrong.
    """
    for ds, tag in _all_tags(pair.derived):
        dropped = is_dropped(ds, tag, pair.output.private_tags)
        if dropped and keyword_for_tag(tag) != "PixelData":
            yield f"{attribute_name(tag)} {tag} is still there"


def _all_tags(ds: Dataset) -> Iterator[tuple[Dataset, BaseTag]]:
    """List the attributes at every nesting level, without parsing their values."""
    for tag in sorted(ds.keys()):
        yield ds, tag
        if ds.get_item(tag).VR == "SQ":
            for item in items(ds, tag):
                yield from _all_tags(item)


def _check_window(pair: Pair) -> Iterator[str]:
    counts = {len(numbers(pair.derived, name)) for name in ("WindowCenter", "WindowWidth")}
    source = {len(numbers(pair.source, name)) for name in ("WindowCenter", "WindowWidth")}
    if len(counts) > 1 and counts != source:
        yield "WindowCenter and WindowWidth differ in number"


IMAGE_CHECKS: Final[tuple[Check, ...]] = (
    check_uids,
    check_file_meta,
    _check_kind,
    check_research,
    _check_source,
    check_dropped,
    _check_window,
    *PIXEL_CHECKS,
)
"""What holds for every image that was made of one other, whatever was done to it."""

DERIVED_CHECKS: Final[tuple[Check, ...]] = (
    *IMAGE_CHECKS,
    _check_derivation,
    check_equipment,
    check_kept,
)
