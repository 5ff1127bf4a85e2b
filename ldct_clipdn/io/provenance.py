"""What every derived image says of where it comes from (DICOM.md A.2, A.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from ldct_clipdn import __version__
from ldct_clipdn.io.attributes import items, text
from ldct_clipdn.io.codes import PROCESSING_EQUIPMENT, PRODUCT, SMOOTHING, SOURCE_IMAGE
from ldct_clipdn.io.uids import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, Recipe

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Instance

__all__ = [
    "MANUFACTURER",
    "SUFFIX",
    "DerivedSeries",
    "add_derivation",
    "add_equipment",
    "file_meta",
    "mark_series",
    "series_description",
    "set_clock",
    "source_reference",
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
    study_uid
        StudyInstanceUID of images whose source has none.
    """

    uid: str
    number: int
    recipe: Recipe
    time: datetime
    incomplete: str = ""
    study_uid: str = ""


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


def mark_series(ds: Dataset, series: DerivedSeries) -> None:
    """Set what places a derived image in its series and marks it as research.

    Parameters
    ----------
    ds
        The derived data set, with the source's SeriesDescription.
    series
        Its series.
    """
    if not text(ds, "StudyInstanceUID"):
        ds.StudyInstanceUID = series.study_uid
    ds.SeriesInstanceUID = series.uid
    ds.SeriesNumber = series.number
    ds.SeriesDescription = series_description(text(ds, "SeriesDescription"), series.incomplete)
    ds.ContentQualification = "RESEARCH"


def set_clock(ds: Dataset, time: datetime) -> None:
    """Set when the image was made.

    Parameters
    ----------
    ds
        The derived data set.
    time
        The run's time.
    """
    for event in ("Series", "Content", "InstanceCreation"):
        setattr(ds, f"{event}Date", time.strftime("%Y%m%d"))
        setattr(ds, f"{event}Time", time.strftime("%H%M%S"))
    ds.InstanceCreatorUID = IMPLEMENTATION_UID


def add_derivation(ds: Dataset, recipe: Recipe) -> None:
    """Say what was done, after what was done before.

    Parameters
    ----------
    ds
        The derived data set, or the item of a frame.
    recipe
        What was done.
    """
    ds.DerivationDescription = _append(text(ds, "DerivationDescription"), _claim(recipe))
    ds.DerivationCodeSequence = [*items(ds, "DerivationCodeSequence"), SMOOTHING.item()]


def add_equipment(ds: Dataset, series: DerivedSeries) -> None:
    """Name this package, after the equipment that worked on the image before.

    Parameters
    ----------
    ds
        The derived data set.
    series
        Its series.
    """
    equipment = [*items(ds, "ContributingEquipmentSequence"), _equipment(series)]
    ds.ContributingEquipmentSequence = equipment


def source_reference(instance: Instance) -> Dataset:
    """Refer to the image, or the frame, that a derived one was made of.

    Parameters
    ----------
    instance
        The source.

    Returns
    -------
    pydicom.Dataset
        Item of a SourceImageSequence.
    """
    item = Dataset()
    item.ReferencedSOPClassUID = CTImageStorage
    item.ReferencedSOPInstanceUID = instance.sop_uid
    if instance.frame is not None:
        item.ReferencedSOPClassUID = EnhancedCTImageStorage
        item.ReferencedFrameNumber = instance.frame + 1
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [SOURCE_IMAGE.item()]
    return item


def file_meta(ds: Dataset) -> FileMetaDataset:
    """Make the file meta information of a derived data set.

    Parameters
    ----------
    ds
        With SOPClassUID and SOPInstanceUID.

    Returns
    -------
    pydicom.dataset.FileMetaDataset
        For Explicit VR Little Endian.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta


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
