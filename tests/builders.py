"""Makes CT series for tests, with any geometry, rescale, bits, sign, padding and transfer syntax.

Everything is deterministic: the same call writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSNearLossless,
    generate_uid,
)

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
AXIAL = ("1", "0", "0", "0", "1", "0")
FIELD_HU = -1000.0
BODY_HU = 40.0

HU = NDArray[np.floating] | Callable[[int], NDArray[np.floating]]


def body_hu(rows: int, columns: int, *, seed: int = 0, noise: float = 20.0) -> NDArray[np.float32]:
    """Make one slice: a round body in air, with a bone, and white noise; float32 [H, W] in HU."""
    y, x = np.mgrid[:rows, :columns]
    radius = np.hypot((y - rows / 2) / (rows / 2), (x - columns / 2) / (columns / 2))
    hu = np.where(radius < 0.7, BODY_HU, FIELD_HU)
    hu[np.hypot(y - rows * 0.6, x - columns * 0.5) < min(rows, columns) / 12] = 900.0
    hu += np.random.default_rng(seed).normal(0, noise, hu.shape)
    return hu.astype(np.float32)


def outside_circle(rows: int, columns: int) -> NDArray[np.bool_]:
    """Say which pixels lie outside the inscribed circle, where scanners write padding."""
    y, x = np.mgrid[:rows, :columns]
    return np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2) > min(rows, columns) / 2


def make_series(
    folder: Path,
    *,
    slices: int = 3,
    rows: int = 32,
    columns: int = 32,
    signed: bool = False,
    bits_stored: int = 12,
    slope: str = "1",
    intercept: str | Sequence[str] = "-1024",
    rescale_type: str | None = "HU",
    padding: int | None = None,
    kernel: str | None = "B30f",
    positions: Sequence[float | Sequence[float]] | None = None,
    orientation: Sequence[str] = AXIAL,
    spacing: Sequence[str] = ("0.7", "0.7"),
    thickness: str = "2",
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "AXIAL"),
    series_description: str | None = "Abdomen 2.0 B30f",
    series_number: int = 2,
    patient_id: str = "TEST01",
    patient_name: str = "Test^Case",
    study_uid: str | None = None,
    series_uid: str | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
    near_lossless_error: int = 2,
    private: bool = False,
    hu: HU | None = None,
    seed: int = 0,
    names: str = "IM{:04d}.dcm",
    extra: Mapping[str, object] | None = None,
) -> list[Path]:
    """Write one CT series of valid CT Image Storage files.

    Parameters
    ----------
    folder
        Where to; made when missing.
    slices, rows, columns
        Size.
    signed, bits_stored
        Of the stored words; 16 bits are allocated always.
    slope, intercept, rescale_type
        As strings, as they stand in the file; `intercept` may differ from slice to slice.
    padding
        Stored value written outside the inscribed circle, and as PixelPaddingValue; None: none.
    positions
        z of each slice in mm, or whole ImagePositionPatient; default: 2 mm steps.
    private
        Add private elements, one of them inside a sequence.
    hu
        [Z, H, W] in HU, or a function of the slice index that gives [H, W]; default `body_hu`.
    names
        File name, formatted with the slice index.
    extra
        More attributes by keyword, set last; None removes the attribute.

    Returns
    -------
    list of Path
        The files, in the order of `positions`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study = study_uid or generate_uid(entropy_srcs=["study", patient_id])
    series = series_uid or generate_uid(
        entropy_srcs=["series", patient_id, str(series_description), str(kernel), str(seed)]
    )
    positions = positions if positions is not None else [2.0 * index for index in range(slices)]
    paths = []
    for index, position in enumerate(positions):
        ds = _header(study, patient_id, patient_name)
        ds.SeriesInstanceUID = series
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["instance", series, str(index)])
        ds.SeriesNumber = series_number
        ds.InstanceNumber = index + 1
        ds.ImageType = list(image_type)
        if series_description is not None:
            ds.SeriesDescription = series_description
        if kernel is not None:
            ds.ConvolutionKernel = kernel
        ds.SliceThickness = thickness
        ds.PixelSpacing = list(spacing)
        ds.ImageOrientationPatient = list(orientation)
        ds.ImagePositionPatient = _position(position)
        ds.RescaleSlope = slope
        ds.RescaleIntercept = intercept if isinstance(intercept, str) else intercept[index]
        if rescale_type is not None:
            ds.RescaleType = rescale_type
        _set_pixels(ds, _stored(ds, _slice_hu(hu, index, rows, columns, seed), signed, bits_stored))
        if padding is not None:
            _set_padding(ds, padding)
        if private:
            _add_private(ds)
        for keyword, value in (extra or {}).items():
            _set_or_delete(ds, keyword, value)
        path = folder / names.format(index)
        write_file(ds, path, transfer_syntax, near_lossless_error=near_lossless_error)
        paths.append(path)
    return paths


def write_file(
    ds: Dataset, path: Path, transfer_syntax: str, *, near_lossless_error: int = 2
) -> None:
    """Write a data set with native little-endian pixels in any transfer syntax that can be made."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    if transfer_syntax == JPEGLSNearLossless:
        ds.compress(transfer_syntax, jls_error=near_lossless_error, generate_instance_uid=False)
    elif transfer_syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        meta.TransferSyntaxUID = transfer_syntax
    elif transfer_syntax in NATIVE:
        meta.TransferSyntaxUID = transfer_syntax
    else:
        ds.compress(transfer_syntax, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)


def edit(path: Path, **attributes: object) -> None:
    """Change attributes of a file in place, by keyword; None removes one."""
    ds = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        _set_or_delete(ds, keyword, value)
    ds.save_as(path)


def _header(study_uid: str, patient_id: str, patient_name: str) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.InstanceCreationDate, ds.InstanceCreationTime = "20200102", "101500"
    ds.SOPClassUID = CTImageStorage
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200102"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101010"
    ds.AccessionNumber = "A1"
    ds.Modality = "CT"
    ds.Manufacturer = "Test maker"
    ds.ManufacturerModelName = "Test model"
    ds.ReferringPhysicianName = ""
    ds.PatientName, ds.PatientID = patient_name, patient_id
    ds.PatientBirthDate, ds.PatientSex = "19500101", "O"
    ds.BodyPartExamined = "ABDOMEN"
    ds.KVP = "120"
    ds.XRayTubeCurrent, ds.ExposureTime = 200, 500
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = study_uid
    ds.StudyID = "1"
    ds.AcquisitionNumber = 1
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame", study_uid])
    ds.PositionReferenceIndicator = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.WindowCenter, ds.WindowWidth = ["40", "-600"], ["400", "1500"]
    return ds


def _position(position: float | Sequence[float]) -> list[str]:
    xyz = (-10.0, -10.0, position) if isinstance(position, (int, float)) else position
    return [f"{value:g}" for value in xyz]


def _slice_hu(
    hu: HU | None, index: int, rows: int, columns: int, seed: int
) -> NDArray[np.floating]:
    if hu is None:
        return body_hu(rows, columns, seed=seed + index)
    return hu(index) if callable(hu) else hu[index]


def _stored(
    ds: Dataset, hu: NDArray[np.floating], signed: bool, bits_stored: int
) -> NDArray[np.int16 | np.uint16]:
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits_stored, bits_stored - 1
    ds.PixelRepresentation = int(signed)
    low = -(2 ** (bits_stored - 1)) if signed else 0
    stored = np.rint((hu - float(ds.RescaleIntercept)) / float(ds.RescaleSlope))
    return stored.clip(low, low + 2**bits_stored - 1).astype("<i2" if signed else "<u2")


def _set_pixels(ds: Dataset, stored: NDArray[np.int16 | np.uint16]) -> None:
    ds.Rows, ds.Columns = stored.shape
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"


def _set_padding(ds: Dataset, padding: int) -> None:
    words = np.frombuffer(ds.PixelData, "<i2" if ds.PixelRepresentation else "<u2")
    stored = words.reshape(ds.Rows, ds.Columns).copy()
    stored[outside_circle(*stored.shape)] = padding
    ds.PixelData = stored.tobytes()
    ds.add_new("PixelPaddingValue", "SS" if ds.PixelRepresentation else "US", padding)


def _add_private(ds: Dataset) -> None:
    block = ds.private_block(0x0029, "TEST MAKER HEADER", create=True)
    block.add_new(0x10, "OB", b"\1\2\3\4")
    block.add_new(0x11, "LO", "private text")
    request = Dataset()
    request.RequestedProcedureID = "R1"
    request.ScheduledProcedureStepID = "S1"
    request.private_block(0x0031, "TEST MAKER NESTED", create=True).add_new(0x01, "LO", "nested")
    ds.RequestAttributesSequence = [request]


def _set_or_delete(ds: Dataset, keyword: str, value: object) -> None:
    if value is not None:
        setattr(ds, keyword, value)
    elif keyword in ds:
        del ds[keyword]


def make_enhanced(
    path: Path,
    *,
    frames: int = 3,
    rows: int = 32,
    columns: int = 32,
    slopes: Sequence[str] = ("1", "1", "0.5"),
    intercepts: Sequence[str] = ("-1024", "0", "-1024"),
    rescale_type: str = "HU",
    frame_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
    padding: int | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
    seed: int = 0,
    extra: Mapping[str, object] | None = None,
) -> Path:
    """Write one Enhanced CT image of signed 16-bit pixels whose rescale differs between frames.

    Parameters
    ----------
    path
        The file; its folder is made when missing.
    frames, rows, columns
        Size; each frame is a `body_hu` of its own.
    slopes, intercepts
        Of the frames, repeated as needed.
    frame_type
        FrameType and ImageType.
    padding
        Stored value written outside the inscribed circle, and as PixelPaddingValue; None: none.
    extra
        More attributes of the top level by keyword, set last; None removes the attribute.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = _header(generate_uid(entropy_srcs=["study", "ENH"]), "ENH", "Test^Enhanced")
    for keyword in ("WindowCenter", "WindowWidth", "KVP", "XRayTubeCurrent", "ExposureTime"):
        delattr(ds, keyword)
    ds.SOPClassUID = EnhancedCTImageStorage
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["enhanced", str(seed)])
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["enhanced", str(seed), path.name])
    ds.SeriesNumber, ds.InstanceNumber = 3, 1
    ds.ImageType, ds.NumberOfFrames = list(frame_type), frames
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1"
    ds.ContentQualification, ds.BurnedInAnnotation = "PRODUCT", "NO"
    shared = Dataset()
    shared.CTImageFrameTypeSequence = [Dataset()]
    shared.CTImageFrameTypeSequence[0].FrameType = list(frame_type)
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = ["0.7", "0.7"]
    shared.PixelMeasuresSequence[0].SliceThickness = "2"
    ds.SharedFunctionalGroupsSequence = [shared]
    groups, stored = [], []
    for index in range(frames):
        slope, intercept = slopes[index % len(slopes)], intercepts[index % len(intercepts)]
        groups.append(_frame_group(index, slope, intercept, rescale_type))
        hu = body_hu(rows, columns, seed=seed + index)
        stored.append(np.rint((hu - float(intercept)) / (float(slope) or 1)).astype("<i2"))
    ds.PerFrameFunctionalGroupsSequence = groups
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    volume = np.stack(stored)
    if padding is not None:
        volume[:, outside_circle(rows, columns)] = padding
        ds.add_new("PixelPaddingValue", "SS", padding)
    ds.Rows, ds.Columns = rows, columns
    ds.PixelData = volume.tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in (extra or {}).items():
        _set_or_delete(ds, keyword, value)
    write_file(ds, path, transfer_syntax)
    return path


def _frame_group(index: int, slope: str, intercept: str, rescale_type: str) -> Dataset:
    group = Dataset()
    group.FrameContentSequence = [Dataset()]
    group.FrameContentSequence[0].StackID = "1"
    group.FrameContentSequence[0].InStackPositionNumber = index + 1
    group.PlanePositionSequence = [Dataset()]
    group.PlanePositionSequence[0].ImagePositionPatient = ["-10", "-10", f"{2 * index}"]
    values = Dataset()
    values.RescaleSlope, values.RescaleIntercept = slope, intercept
    values.RescaleType = rescale_type
    group.PixelValueTransformationSequence = [values]
    window = Dataset()
    window.WindowCenter, window.WindowWidth = "40", "400"
    group.FrameVOILUTSequence = [window]
    return group
