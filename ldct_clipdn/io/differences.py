"""How one data set differs from another that should hold the same, inside its sequences too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING, Final

from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag

from ldct_clipdn.io.attributes import VALUE_ERRORS
from ldct_clipdn.io.kept_attributes import is_dropped, raw_element

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

    from ldct_clipdn.io.output import PrivateTag

__all__ = ["attribute_name", "differences"]

IN_ITEMS: Final = {Tag("SpecificCharacterSet")}
"""Dropped from an item, too, where it is empty; nothing else in a kept sequence changes."""


def attribute_name(tag: BaseTag) -> str:
    """Name an attribute.

    Parameters
    ----------
    tag
        Of the attribute.

    Returns
    -------
    str
        Its keyword; its tag where DICOM knows none.
    """
    return keyword_for_tag(tag) or str(tag)


def differences(
    source: Dataset, derived: Dataset, changed: Set[int], private: Set[PrivateTag]
) -> Iterator[str]:
    """Compare everything that stays of a source.

    Parameters
    ----------
    source, derived
        Data sets, or items of their sequences.
    changed
        Tags that may differ.
    private
        Private attributes that stay.

    Yields
    ------
    str
        What is missing, differs or was added.
    """
    for tag in sorted(source.keys()):
        if is_dropped(source, tag, private) or int(tag) in changed:
            continue
        if tag not in derived:
            yield f"{attribute_name(tag)} is missing"
        elif not _same(source, derived, tag, private):
            yield f"{attribute_name(tag)} differs from the source"
    for tag in sorted(derived.keys()):
        if tag.group != 0x7FE0 and tag not in source and int(tag) not in changed:
            yield f"{attribute_name(tag)} was added"


def _same(source: Dataset, derived: Dataset, tag: BaseTag, private: Set[PrivateTag]) -> bool:
    """Compare by bytes where both have them, else by value; sequences item by item."""
    one, other = raw_element(source, tag), raw_element(derived, tag)
    if one is not None and other is not None and one.is_little_endian and other.VR != "SQ":
        return (one.value or b"").rstrip(b" \0") == (other.value or b"").rstrip(b" \0")
    try:
        first, second = source[tag], derived[tag]
    except VALUE_ERRORS:
        return False
    if first.VR == "SQ":
        return second.VR == "SQ" and _same_items(first.value, second.value, private)
    return bool(first.value == second.value)


def _same_items(
    first: Sequence[Dataset], second: Sequence[Dataset], private: Set[PrivateTag]
) -> bool:
    return len(first) == len(second) and not any(
        problem
        for pair in zip(first, second, strict=True)
        for problem in differences(*pair, IN_ITEMS, private)
    )
