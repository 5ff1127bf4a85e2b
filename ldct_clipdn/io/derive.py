"""The data set of a derived CT image: every row of DICOM.md A.2."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ldct_clipdn import __version__
from ldct_clipdn.io.attributes import items, text, texts
from ldct_clipdn.io.codecs import compression_ratio, lossy_method
from ldct_clipdn.io.codes import PROCESSING_EQUIPMENT, PRODUCT, SMOOTHING, SOURCE_IMAGE
from ldct_clipdn.io.keep import copy_kept
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.padding import padding_word
from ldct_clipdn.io.uids import (
    IMPLEMENTATION_UID,
    IMPLEMENTATION_VERSION,
    Recipe,
    identity,
    image_uid,
    pixel_digest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.io.layout import PixelLayout
    from ldct_clipdn.io.scan import Instance, Slice

__all__ = [
    "MANUFACTURER",
    "SUFFIX",
    "DerivedSeries",
    "derive_image",
    "native_words",
    "series_description",
]

SUFFIX: Final = " [AI-DENOISED RESEARCH]"
MANUFACTURER: Final = "ldct_clipdn team"

LONGEST_LO: Final = 64
LONGEST_ST: Final = 1024
LONGEST_NAME: Final = 100
LONGEST_ENCODER: Final = 250


@dataclass(frozen=True)
class DerivedSeries:
    """What all images of one derived series share.

    Parameters
    ----------
    uid
        SeriesInstanceUID.
    number
        SeriesNumber.
    recipe
        What was done.
    time
        The one time of all clock attributes.
    incomplete
        `INCOMPLETE k/n` where images of the source could not be used, else empty.
    """

    uid: str
    number: int
    recipe: Recipe
    time: datetime
    incomplete: str = ""


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
    _set_pixels(ds, stored, layout)
    _set_padding(ds, instance.header, layout)
    _set_loss(ds, instance, layout)
    digest = hashlib.sha256(ds.PixelData).hexdigest()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = image_uid(
        identity(instance), pixel_digest(before.stored), series.recipe, digest
    )
    ds.Modality = "CT"
    _set_series(ds, series)
    _set_clock(ds, series.time)
    _set_provenance(ds, instance, series)
    ds.file_meta = _file_meta(ds)
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


def series_description(source: str, incomplete: str = "") -> str:
    """Mark a series as what it is, in the one line that every viewer shows.

    Parameters
    ----------
    source
        SeriesDescription of the source; is cut where both do not fit.
    incomplete
        `INCOMPLETE k/n`, or empty.

    Returns
    -------
    str
        At most 64 characters, ending in the mark.
    """
    mark = f" {incomplete}{SUFFIX}" if incomplete else SUFFIX
    return (source.replace("\\", " ")[: LONGEST_LO - len(mark)] + mark).strip()


def _set_pixels(ds: Dataset, stored: NDArray[np.int32], layout: PixelLayout) -> None:
    ds.PixelData = native_words(stored, layout)
    ds["PixelData"].VR = "OW"
    # decoding has moved the values to bit 0, where the standard wants them
    ds.HighBit = layout.bits - 1
    extremes = {"SmallestImagePixelValue": stored.min(), "LargestImagePixelValue": stored.max()}
    for keyword, value in extremes.items():
        if keyword in ds:
            _set_word(ds, keyword, int(value), layout)


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
    ds.LossyImageCompression = "01"
    ratio = f"{compression_ratio(instance.path, layout):.2f}"
    ds.LossyImageCompressionRatio = [*ratios, ratio]
    ds.LossyImageCompressionMethod = [*methods, method]


def _set_series(ds: Dataset, series: DerivedSeries) -> None:
    ds.SeriesInstanceUID = series.uid
    ds.SeriesNumber = series.number
    ds.SeriesDescription = series_description(text(ds, "SeriesDescription"), series.incomplete)
    kind = series.recipe.output.image_type
    ds.ImageType = ["DERIVED", kind, *texts(ds, "ImageType")[2:3]]
    ds.ContentQualification = "RESEARCH"


def _set_clock(ds: Dataset, time: datetime) -> None:
    for event in ("Series", "Content", "InstanceCreation"):
        setattr(ds, f"{event}Date", time.strftime("%Y%m%d"))
        setattr(ds, f"{event}Time", time.strftime("%H%M%S"))
    ds.InstanceCreatorUID = IMPLEMENTATION_UID


def _set_provenance(ds: Dataset, instance: Instance, series: DerivedSeries) -> None:
    ds.DerivationDescription = _append(text(ds, "DerivationDescription"), _claim(series.recipe))
    ds.DerivationCodeSequence = [*items(ds, "DerivationCodeSequence"), SMOOTHING.item()]
    equipment = _equipment(series)
    ds.ContributingEquipmentSequence = [*items(ds, "ContributingEquipmentSequence"), equipment]
    if instance.sop_uid:
        ds.SourceImageSequence = [_reference(instance)]
    elif "SourceImageSequence" in ds:
        del ds.SourceImageSequence


def _claim(recipe: Recipe) -> str:
    weights = f"weights {_ascii(recipe.weights, LONGEST_NAME)}"
    digest = f" sha256 {recipe.sha256}" if recipe.sha256 else ""
    return (
        f"{PRODUCT} {__version__}: AI denoising, research use only, not for diagnosis; "
        f"strength {recipe.strength:g}; {weights}{digest}; "
        f"encoder {_ascii(recipe.encoder, LONGEST_ENCODER)}"
    )


def _append(old: str, own: str) -> str:
    """Put our text after the source's, cutting only the latter."""
    return f"{old[: LONGEST_ST - len(own) - 2]}; {own}" if old else own


def _ascii(words: str, longest: int) -> str:
    return words.encode("ascii", "replace").decode().replace("\\", "/")[:longest]


def _equipment(series: DerivedSeries) -> Dataset:
    item = Dataset()
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = PRODUCT
    item.SoftwareVersions = __version__
    item.ContributionDateTime = series.time.strftime("%Y%m%d%H%M%S")
    recipe = f"{_claim(series.recipe)}; recipe {series.recipe.canonical()}"
    item.ContributionDescription = recipe[:LONGEST_ST]
    item.PurposeOfReferenceCodeSequence = [PROCESSING_EQUIPMENT.item()]
    return item


def _reference(instance: Instance) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CTImageStorage
    item.ReferencedSOPInstanceUID = instance.sop_uid
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [SOURCE_IMAGE.item()]
    return item


def _file_meta(ds: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta
