"""Writes CT series that no scanner made: phantoms, as DICOM that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from ldct_clipdn import __version__
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.codes import PRODUCT, SYNTHESIZING_EQUIPMENT
from ldct_clipdn.io.provenance import LONGEST_LO, MANUFACTURER, equipment_item
from ldct_clipdn.io.store import on_disk
from ldct_clipdn.io.uids import (
    IMPLEMENTATION_UID,
    IMPLEMENTATION_VERSION,
    make_uid,
    pixel_digest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["write_new"]

INTERCEPT: Final = -1024
LARGEST_STORED: Final = 4095
"""12 bits, which every CT reader can show: HU from -1024 to 3071."""


class _Series(NamedTuple):
    """What all images of one series share."""

    patient_id: str
    patient_name: str
    description: str
    number: int
    spacing_mm: tuple[float, float, float]
    study_uid: str
    series_uid: str
    frame_uid: str


def write_new(
    hu: NDArray[np.floating],
    folder: Path,
    *,
    spacing_mm: tuple[float, float, float],
    patient_id: str,
    series_description: str,
    series_number: int = 1,
    patient_name: str = "PHANTOM^ABDOMEN",
) -> list[Path]:
    """Write a made-up CT series; the same call writes the same bytes.

    The images are axial, supine, and centred in x, y and z; HU are rounded to whole numbers and
    limited to [-1024, 3071]. They say SyntheticData YES, name this package as manufacturer, and
    bear no date. All series of one `patient_id` lie in one study and frame of reference; UIDs of
    series and images follow from what is in them.

    Parameters
    ----------
    hu
        [Z, H, W] in HU, from the feet to the head.
    folder
        Where the files go; made when missing, and must be empty.
    spacing_mm
        Distance of slices, rows and columns in mm.
    patient_id
        PatientID, up to 64 characters; part of all UIDs.
    series_description
        SeriesDescription, up to 64 characters.
    series_number
        SeriesNumber.
    patient_name
        PatientName.

    Returns
    -------
    list of Path
        The files, in the order of the slices.

    Raises
    ------
    WriteError
        When the array is no volume of finite HU, a text too long, a spacing not positive, the
        folder not empty, or a file cannot be written.
    """
    names = patient_id, patient_name, series_description
    _check(hu, spacing_mm, names)
    stored = np.rint(hu - INTERCEPT).clip(0, LARGEST_STORED).astype("<u2")
    digests = [pixel_digest(one.astype(np.int32)) for one in stored]
    what = (patient_id, series_description, *map(repr, spacing_mm))
    study, frame = make_uid("study", patient_id), make_uid("frame", patient_id)
    uid = make_uid("series", *what, *digests)
    series = _Series(*names, series_number, spacing_mm, study, uid, frame)
    with on_disk(folder):
        _make_empty_folder(folder)
        return [_write(folder, series, index, stored) for index in range(len(stored))]


def _check(
    hu: NDArray[np.floating], spacing_mm: tuple[float, float, float], texts: tuple[str, ...]
) -> None:
    if hu.ndim != 3 or not hu.size or not np.isfinite(hu).all():
        raise WriteError(f"an array of shape {list(hu.shape)} is no volume of finite HU")
    if not all(np.isfinite(one) and one > 0 for one in spacing_mm):
        raise WriteError(f"the spacing {spacing_mm} mm is not positive")
    for text in texts:
        if len(text) > LONGEST_LO or not text.isascii() or not text.isprintable() or "\\" in text:
            raise WriteError(
                f"{text!r} cannot stand in a DICOM header",
                remedy="Give up to 64 ASCII characters without a backslash",
            )


def _make_empty_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise WriteError(
            "the folder is not empty", path=folder, remedy="Remove it, or give another one"
        )


def _write(folder: Path, series: _Series, index: int, stored: NDArray[np.uint16]) -> Path:
    ds = _header(series)
    ds.SOPInstanceUID = make_uid("image", series.series_uid, str(index))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.InstanceNumber = index + 1
    _set_geometry(ds, series.spacing_mm, index, stored.shape)
    ds.PixelData = stored[index].tobytes()
    ds["PixelData"].VR = "OW"
    path = folder / f"{index + 1:04d}.dcm"
    dcmwrite(path, ds, enforce_file_format=True)
    return path


def _header(series: _Series) -> Dataset:
    """Make all but geometry and pixels; empty where the standard asks for what does not exist."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = ds.InstanceCreatorUID = IMPLEMENTATION_UID
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    ds.PatientName, ds.PatientID = series.patient_name, series.patient_id
    ds.StudyInstanceUID, ds.SeriesInstanceUID = series.study_uid, series.series_uid
    ds.FrameOfReferenceUID = series.frame_uid
    ds.SeriesDescription, ds.SeriesNumber = series.description, series.number
    ds.Modality, ds.BodyPartExamined, ds.PatientPosition = "CT", "ABDOMEN", "HFS"
    ds.StudyID, ds.StudyDescription = "1", "Computer-made phantom, no patient"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, PRODUCT
    ds.SoftwareVersions = __version__
    ds.ContributingEquipmentSequence = [
        equipment_item(SYNTHESIZING_EQUIPMENT, "Computer-made phantom")
    ]
    ds.SyntheticData = ds.QualityControlImage = "YES"
    ds.ContentQualification = "RESEARCH"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    for keyword in EMPTY:
        setattr(ds, keyword, None)
    return ds


EMPTY: Final = (
    "AccessionNumber",
    "AcquisitionNumber",
    "KVP",
    "PatientBirthDate",
    "PatientSex",
    "PositionReferenceIndicator",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyTime",
)
"""Type 2 attributes: there was no examination and no scanner."""


def _set_geometry(
    ds: Dataset, spacing_mm: tuple[float, float, float], index: int, shape: tuple[int, ...]
) -> None:
    """Set what says where the pixels lie and what they mean."""
    step, row, column = spacing_mm
    slices, ds.Rows, ds.Columns = shape
    corner = (
        -column * (ds.Columns - 1) / 2,
        -row * (ds.Rows - 1) / 2,
        step * (index - (slices - 1) / 2),
    )
    ds.ImagePositionPatient = [format_number_as_ds(one) for one in corner]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [format_number_as_ds(row), format_number_as_ds(column)]
    ds.SliceThickness = format_number_as_ds(step)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, INTERCEPT, "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400
