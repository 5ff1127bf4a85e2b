"""What every derived image says of where it comes from (docs/conformance.md, 2)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydicom import Dataset
from pydicom.charset import convert_encodings, encode_string
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from ldct_clipdn import __version__
from ldct_clipdn.io.attributes import items, text
from ldct_clipdn.io.codes import PROCESSING_EQUIPMENT, PRODUCT, SMOOTHING, SOURCE_IMAGE
from ldct_clipdn.io.uids import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, Recipe

if TYPE_CHECKING:
    from ldct_clipdn.io.codes import Code
    from ldct_clipdn.io.scan import Instance, Scan

__all__ = [
    "LONGEST_LO",
    "MANUFACTURER",
    "MARK",
    "DerivedSeries",
    "add_derivation",
    "add_equipment",
    "append_description",
    "equipment_item",
    "file_meta",
    "incompleteness",
    "mark_description",
    "mark_series",
    "set_clock",
    "set_source",
    "source_reference",
]

MARK: Final = "[AI-DENOISED RESEARCH]"
MANUFACTURER: Final = "ldct_clipdn team"

LONGEST_LO: Final = 64
"""Characters of a DICOM Long String (PS3.5 6.2)."""

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


def incompleteness(scan: Scan) -> str:
    """Say how much of a series could be used.

    Parameters
    ----------
    scan
        The source.

    Returns
    -------
    str
        `INCOMPLETE k/n`; empty where nothing is lost.
    """
    usable = len(scan.instances)
    return f"INCOMPLETE {usable}/{usable + scan.lost}" if scan.lost else ""


def mark_description(ds: Dataset, mark: str) -> None:
    """Say what a series is in the one line that every viewer shows, after what the source says.

    Parameters
    ----------
    ds
        The derived data set, with the source's SeriesDescription; is cut where both do not fit.
    mark
        What follows it.
    """
    source = text(ds, "SeriesDescription").replace("\\", " ")
    ds.SeriesDescription = _fitted(ds, source, f" {mark}", LONGEST_LO).strip()


def _fitted(ds: Dataset, words: str, end: str, longest: int) -> str:
    """Cut words so that they fit with their end.

    PS3.5 6.2 counts characters; readers count bytes, and these are never fewer.
    """
    encodings = convert_encodings(ds.get("SpecificCharacterSet") or ds.original_character_set)

    def size(length: int) -> int:
        return len(encode_string(words[:length] + end, encodings))

    room = min(max(longest - len(end), 0), len(words))
    return words[: max(bisect_right(range(room + 1), longest, key=size) - 1, 0)] + end


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
    mark_description(ds, " ".join(filter(None, (series.incomplete, MARK))))
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
    append_description(ds, _claim(recipe))
    ds.DerivationCodeSequence = [*items(ds, "DerivationCodeSequence"), SMOOTHING.item()]


def append_description(ds: Dataset, words: str) -> None:
    """Put our words after the source's DerivationDescription, cutting only the latter.

    Parameters
    ----------
    ds
        The derived data set, or the item of a frame.
    words
        At most 1024 characters.
    """
    old = text(ds, "DerivationDescription")
    ds.DerivationDescription = _fitted(ds, old, f"; {words}", LONGEST_ST) if old else words


def add_equipment(ds: Dataset, series: DerivedSeries) -> None:
    """Name this package, after the equipment that worked on the image before.

    Parameters
    ----------
    ds
        The derived data set.
    series
        Its series.
    """
    recipe = f"{_claim(series.recipe)}; recipe {series.recipe.canonical()}"
    item = equipment_item(PROCESSING_EQUIPMENT, recipe)
    item.ContributionDateTime = series.time.strftime("%Y%m%d%H%M%S")
    ds.ContributingEquipmentSequence = [*items(ds, "ContributingEquipmentSequence"), item]


def equipment_item(purpose: Code, words: str) -> Dataset:
    """Name this package as equipment.

    Parameters
    ----------
    purpose
        In which role it worked.
    words
        What it did; are cut at 1024 characters.

    Returns
    -------
    pydicom.Dataset
        Item of a ContributingEquipmentSequence.
    """
    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, PRODUCT
    item.SoftwareVersions = __version__
    item.ContributionDescription = words[:LONGEST_ST]
    item.PurposeOfReferenceCodeSequence = [purpose.item()]
    return item


def set_source(ds: Dataset, instance: Instance) -> None:
    """Name the one image that a derived one was made of, where it has a name.

    Parameters
    ----------
    ds
        The derived data set.
    instance
        The source.
    """
    if instance.sop_uid:
        ds.SourceImageSequence = [source_reference(instance)]
    elif "SourceImageSequence" in ds:
        del ds.SourceImageSequence


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


def _ascii(words: str, longest: int) -> str:
    return words.encode("ascii", "replace").decode().replace("\\", "/")[:longest]
