"""The data set of a derived CT image (docs/conformance.md, 2)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.uid import CTImageStorage

from ldct_clipdn.io.attributes import text, texts
from ldct_clipdn.io.codecs import compression_ratio, lossy_method
from ldct_clipdn.io.frames import frame_count
from ldct_clipdn.io.kept_attributes import copy_kept, derived_type
from ldct_clipdn.io.padding import padding_word
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.provenance import (
    DerivedSeries,
    add_derivation,
    add_equipment,
    file_meta,
    mark_series,
    set_clock,
    set_source,
)
from ldct_clipdn.io.uids import identity, image_uid, pixel_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ldct_clipdn.io.pixel_layout import PixelLayout
    from ldct_clipdn.io.scan import Instance, Slice

__all__ = ["derive_image", "describe_words", "native_words"]


def derive_image(
    instance: Instance, before: Slice, stored: NDArray[np.int32], series: DerivedSeries
) -> Dataset:
    """Make the data set of one derived image.

    Parameters
    ----------
    instance
        The source image.
    before
        Its pixels.
    stored
        The derived stored values, within the source's bits: int32 [H, W].
    series
        What it shares with the other images.

    Returns
    -------
    pydicom.Dataset
        With file meta information, ready to be written.
    """
    layout = pixel_layout(instance.header)
    options = series.recipe.output
    ds = copy_kept(instance.header, options.private_tags)
    ds.PixelData = native_words(stored, layout)
    ds["PixelData"].VR = "OW"
    describe_words(ds, instance, layout, (int(stored.min()), int(stored.max())))
    digest = hashlib.sha256(ds.PixelData).hexdigest()
    ds.SOPClassUID = CTImageStorage
    source = identity(instance), pixel_digest(before.stored)
    ds.SOPInstanceUID = image_uid(series.uid, *source, digest)
    ds.Modality = "CT"
    ds.ImageType = derived_type(texts(ds, "ImageType"), options.image_type)
    mark_series(ds, series)
    set_clock(ds, series.time)
    add_derivation(ds, series.recipe)
    add_equipment(ds, series)
    set_source(ds, instance)
    ds.file_meta = file_meta(ds)
    return ds


def native_words(stored: NDArray[np.int32], layout: PixelLayout) -> bytes:
    """Lay stored values into words as Explicit VR Little Endian has them.

    Parameters
    ----------
    stored
        Stored values of any shape.
    layout
        Of the image.

    Returns
    -------
    bytes
        16 bits each.
    """
    return stored.astype("<i2" if layout.signed else "<u2").tobytes()


def describe_words(
    ds: Dataset, instance: Instance, layout: PixelLayout, extremes: tuple[int, int]
) -> None:
    """Set what depends on the pixels: bits, extremes, padding, and what compression lost.

    Parameters
    ----------
    ds
        The derived data set.
    instance
        The source, or its first frame.
    layout
        Of the source.
    extremes
        Lowest and highest derived stored value.
    """
    # decoding has moved the values to bit 0, where the standard wants them
    ds.HighBit = layout.bits - 1
    names = ("SmallestImagePixelValue", "LargestImagePixelValue")
    for keyword, value in zip(names, extremes, strict=True):
        if keyword in ds:
            _set_word(ds, keyword, value, layout)
    _set_padding(ds, instance.header, layout)
    _set_loss(ds, instance, layout)


def _set_padding(ds: Dataset, header: Dataset, layout: PixelLayout) -> None:
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = padding_word(header, keyword, signed=layout.signed)
        if value is not None:
            _set_word(ds, keyword, value, layout)


def _set_word(ds: Dataset, keyword: str, value: int, layout: PixelLayout) -> None:
    if keyword in ds:
        del ds[keyword]
    ds.add_new(keyword, "SS" if layout.signed else "US", value)


def _set_loss(ds: Dataset, instance: Instance, layout: PixelLayout) -> None:
    """Say that pixels were compressed with loss where only the transfer syntax said so."""
    method = lossy_method(instance.header)
    ratios = texts(ds, "LossyImageCompressionRatio")
    methods = texts(ds, "LossyImageCompressionMethod")
    if not method or (text(ds, "LossyImageCompression") == "01" and methods):
        return
    if len(ratios) != len(methods):  # which belongs to which cannot be known
        ratios, methods = [], []
    frames = 1 if instance.whole is None else frame_count(instance.whole)
    ds.LossyImageCompression = "01"
    ratio = f"{compression_ratio(instance.path, layout, frames):.2f}"
    ds.LossyImageCompressionRatio = [*ratios, ratio]
    ds.LossyImageCompressionMethod = [*methods, method]
