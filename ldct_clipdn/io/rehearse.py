"""Makes a derived image in memory: whether a header allows it is known before one is written."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom import Dataset, dcmread

from ldct_clipdn.io.attributes import quiet_pydicom
from ldct_clipdn.io.derive import derive_image
from ldct_clipdn.io.dicom_check import check_data_set
from ldct_clipdn.io.kept_attributes import is_dropped
from ldct_clipdn.io.store import encode, explained, refuse

if TYPE_CHECKING:
    from ldct_clipdn.io.output import PrivateTag
    from ldct_clipdn.io.provenance import DerivedSeries
    from ldct_clipdn.io.scan import Instance, Slice

__all__ = ["rehearse"]


def rehearse(instance: Instance, before: Slice, series: DerivedSeries) -> None:
    """Make and check the derived image of a network that changes nothing, and throw it away.

    Frames are passed over: their object is written whole or not at all.

    Parameters
    ----------
    instance
        The source image.
    before
        Its pixels.
    series
        The derived series.

    Raises
    ------
    WriteError
        When it cannot be written, or a check fails.
    """
    if instance.frame is not None:
        return
    plain = replace(series.recipe.output, compression="none")  # what fails here is the header
    series = replace(series, recipe=replace(series.recipe, output=plain))
    with quiet_pydicom(), explained(instance.path):
        instance = replace(instance, header=_untouched(instance.header, plain.private_tags))
        file = BytesIO()
        encode(derive_image(instance, before, before.stored, series), file)
        derived = dcmread(BytesIO(file.getvalue()))
        problems = check_data_set(instance.header, before, derived, plain, instance.path)
    refuse(problems, instance.path)


def _untouched(header: Dataset, private: Set[PrivateTag]) -> Dataset:
    """Copy what stays of a header: what is parsed of the copy is later written byte for byte."""
    copied = Dataset()
    implicit, little = header.original_encoding
    copied.set_original_encoding(implicit, little, header.original_character_set)
    copied.file_meta = header.file_meta
    for tag in sorted(header.keys()):
        if not is_dropped(header, tag, private):  # pydicom parses private ones when they are set
            copied[tag] = header.get_item(tag)
    return copied
