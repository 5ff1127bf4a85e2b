"""The data set of a derived Enhanced CT image (docs/conformance.md, 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import items, text, texts
from ldct_clipdn.io.derive import describe_words
from ldct_clipdn.io.frames import PER_FRAME, SHARED
from ldct_clipdn.io.kept_attributes import copy_kept
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.provenance import (
    DerivedSeries,
    add_derivation,
    add_equipment,
    file_meta,
    mark_series,
    set_clock,
    source_reference,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ldct_clipdn.io.scan import Instance

__all__ = ["derive_object", "without_private_copies"]

CONVERTED: Final = [
    Tag(keyword)
    for keyword in (
        "UnassignedPerFrameConvertedAttributesSequence",
        "UnassignedSharedConvertedAttributesSequence",
    )
]
"""Attributes of a converter that it could not place: they go with the private ones."""


def derive_object(
    frames: Sequence[Instance], uid: str, extremes: tuple[int, int], series: DerivedSeries
) -> Dataset:
    """Make the data set of a derived Enhanced CT image, without its pixels.

    Parameters
    ----------
    frames
        All frames of the source, in their order.
    uid
        SOPInstanceUID of the derived image.
    extremes
        Lowest and highest derived stored value.
    series
        The derived series.

    Returns
    -------
    pydicom.Dataset
        With file meta information.

    Raises
    ------
    WriteError
        When the frames are of no Enhanced CT image; without a path.
    """
    first = frames[0]
    if first.whole is None:
        raise WriteError("these are no frames of an Enhanced CT image")
    ds = copy_kept(first.whole, series.recipe.output.private_tags)
    describe_words(ds, first, pixel_layout(first.header), extremes)
    ds.SOPClassUID, ds.SOPInstanceUID = EnhancedCTImageStorage, uid
    ds.ImageType = _derived_type(texts(ds, "ImageType"))
    mark_series(ds, series)
    set_clock(ds, series.time)
    add_equipment(ds, series)
    _set_evidence(ds, first)
    _set_groups(ds, frames, series)
    ds.file_meta = file_meta(ds)
    return ds


def without_private_copies(ds: Dataset) -> None:
    """Drop what a converter took over without knowing what it is.

    Parameters
    ----------
    ds
        Item of the functional groups.
    """
    for tag in CONVERTED:
        if tag in ds:
            del ds[tag]


def _derived_type(values: Sequence[str]) -> list[str]:
    """Change the first value; Enhanced CT knows only PRIMARY as the second (PS3.3 C.8.16.1)."""
    return ["DERIVED", *(values[1:] or ["PRIMARY", "VOLUME", "NONE"])]


def _set_groups(ds: Dataset, frames: Sequence[Instance], series: DerivedSeries) -> None:
    """Say in the functional groups of each frame what it was made of, and how."""
    shared = items(ds, SHARED)
    earlier = [one for group in shared for one in items(group, "DerivationImageSequence")]
    groups = items(ds, PER_FRAME)
    for group in (*shared, *groups):
        without_private_copies(group)
        for item in items(group, "CTImageFrameTypeSequence"):
            item.FrameType = _derived_type(texts(item, "FrameType"))
    for group in shared:
        # a macro stands in the shared groups or in those of each frame, never in both
        if "DerivationImageSequence" in group:
            del group.DerivationImageSequence
    for group, frame in zip(groups, frames, strict=True):
        known = [*earlier, *items(group, "DerivationImageSequence")]
        group.DerivationImageSequence = [*_copies(known), _derivation(frame, series)]


def _copies(known: Iterable[Dataset]) -> list[Dataset]:
    """Copy items that would else stand in several sequences."""
    return [copy_kept(item) for item in known]


def _derivation(frame: Instance, series: DerivedSeries) -> Dataset:
    item = Dataset()
    add_derivation(item, series.recipe)
    item.SourceImageSequence = [source_reference(frame)] if frame.sop_uid else []
    return item


def _set_evidence(ds: Dataset, first: Instance) -> None:
    """List the source among the objects that are referred to (PS3.3 C.7.6.16)."""
    uids = {name: text(first.header, f"{name}InstanceUID") for name in ("Study", "Series")}
    if not first.sop_uid or not all(uids.values()):
        return
    image = Dataset()
    image.ReferencedSOPClassUID = EnhancedCTImageStorage
    image.ReferencedSOPInstanceUID = first.sop_uid
    study = _item_of(ds, "SourceImageEvidenceSequence", uids["Study"])
    series = _item_of(study, "ReferencedSeriesSequence", uids["Series"])
    series.ReferencedSOPSequence = [*items(series, "ReferencedSOPSequence"), image]


def _item_of(ds: Dataset, sequence: str, uid: str) -> Dataset:
    """Find the item of a study or series in a hierarchical reference; add it where it misses."""
    name = "StudyInstanceUID" if sequence.startswith("Source") else "SeriesInstanceUID"
    for item in items(ds, sequence):
        if text(item, name) == uid:
            return item
    item = Dataset()
    setattr(item, name, uid)
    setattr(ds, sequence, [*items(ds, sequence), item])
    return item
