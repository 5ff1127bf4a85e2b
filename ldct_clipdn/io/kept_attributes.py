"""What of a source header stays in a derived image, byte for byte (docs/conformance.md, 2)."""

from __future__ import annotations

import copy
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Final, cast

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

if TYPE_CHECKING:
    from ldct_clipdn.io.output import PrivateTag

__all__ = ["copy_kept", "derived_type", "is_dropped", "raw_element"]

DROPPED: Final = {
    tag_for_keyword(keyword)
    for keyword in (
        "AuthorizationEquipmentCertificationNumber",
        "DataSetTrailingPadding",
        "DigitalSignaturesSequence",
        "IconImageSequence",
        "LargestPixelValueInSeries",
        "MACParametersSequence",
        "SOPAuthorizationComment",
        "SOPAuthorizationDateTime",
        "SOPInstanceStatus",
        "SmallestPixelValueInSeries",
    )
}
"""What would be untrue of other pixels, or would need a second pass to stay true."""

DROPPED_GROUPS: Final = (
    *range(8),  # command, file meta and directory elements that strayed into a data set
    *range(0x5000, 0x5100),  # curves
    *range(0x6000, 0x6100),  # overlays, which may lie in the upper bits of the pixels
    0x7FE0,  # pixels and their offset tables
)

MULTI_ENERGY: Final = (
    "EFF_ATOMIC_NUM",
    "ELECTRON_DENSITY",
    "MAT_FRACTIONAL",
    "MAT_MODIFIED",
    "MAT_REMOVED",
    "MAT_SPECIFIC",
    "MAT_VALUE_BASED",
    "VMI",
)
"""Fourth values of ImageType by the standard (PS3.3 C.8.2.1.1.1); all others are makers' own."""

KNOWN_VRS: Final = {vr.value for vr in VR} - {"UN"}


def is_dropped(ds: Dataset, tag: BaseTag, private: Set[PrivateTag] = frozenset()) -> bool:
    """Say whether an attribute is left out.

    Parameters
    ----------
    ds
        The data set or sequence item that has it.
    tag
        The attribute.
    private
        Private attributes that stay.

    Returns
    -------
    bool
        True for private attributes, group lengths, and what describes or signs the old pixels.
    """
    if tag.is_private:
        return not _stays(ds, tag, private)
    return tag.element == 0 or tag.group in DROPPED_GROUPS or int(tag) in DROPPED


def _stays(ds: Dataset, tag: BaseTag, private: Set[PrivateTag]) -> bool:
    """Say whether a private attribute stays: its creator does with any of its attributes."""
    if not private:
        return False
    if tag.is_private_creator:
        block = [one for one in sorted(ds.keys()) if one.group == tag.group]
        return any(_stays(ds, one, private) for one in block if one.element >> 8 == tag.element)
    creator = BaseTag((tag.group << 16) + (tag.element >> 8))
    if creator not in ds:
        return False
    return (tag.group, str(ds[creator].value or "").strip(), tag.element & 0xFF) in private


def derived_type(source: Sequence[str], origin: str) -> list[str]:
    """Make the ImageType of a derived CT image.

    Parameters
    ----------
    source
        ImageType of the source.
    origin
        `SECONDARY` or `PRIMARY`.

    Returns
    -------
    list of str
        With the source's third value, and its fourth where that is a multi-energy term: what the
        values mean has not changed.
    """
    energy = [one for one in source[3:4] if one in MULTI_ENERGY]
    return ["DERIVED", origin, *source[2:3], *energy]


def raw_element(ds: Dataset, tag: BaseTag) -> RawDataElement | None:
    """Take an element as it lies in the file.

    Parameters
    ----------
    ds
        A data set.
    tag
        An attribute that it has.

    Returns
    -------
    pydicom.dataelem.RawDataElement or None
        None where its value has been parsed or set since.
    """
    element = cast("DataElement | RawDataElement", ds.get_item(tag))
    return element if isinstance(element, RawDataElement) else None


def copy_kept(source: Dataset, private: Set[PrivateTag] = frozenset()) -> Dataset:
    """Copy a header without what is left out of derived images.

    Parameters
    ----------
    source
        A header that was read from a file, or an item of one of its sequences.
    private
        Private attributes that stay.

    Returns
    -------
    pydicom.Dataset
        Independent of the source, ready to be written as Explicit VR Little Endian. Values are
        not parsed where their bytes can stay as they are, so that none changes or fails.
    """
    kept = Dataset()
    kept.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=source.original_character_set,
    )
    for tag in sorted(source.keys()):
        if not is_dropped(source, tag, private):
            kept[tag] = _raw(source, tag) or _parsed(source, tag, private)
    if "SpecificCharacterSet" in kept and not kept["SpecificCharacterSet"].value:
        del kept["SpecificCharacterSet"]
    return kept


def _raw(source: Dataset, tag: BaseTag) -> RawDataElement | None:
    """Take an element as bytes with its VR; None where it must be parsed."""
    element = raw_element(source, tag)
    if element is None or not element.is_little_endian:
        return None
    vr = element.VR if element.VR in KNOWN_VRS else _known_vr(tag)
    if vr == "SQ" or len(vr) != 2 or element.length > 0xFFFF:
        return None
    return element._replace(VR=vr, is_implicit_VR=False)


def _known_vr(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _parsed(source: Dataset, tag: BaseTag, private: Set[PrivateTag]) -> DataElement:
    element = copy.deepcopy(source[tag])
    if element.VR == "SQ":
        element.value = Items(copy_kept(item, private) for item in source[tag].value)
    return element
