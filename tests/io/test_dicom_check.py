"""The 36 mistakes that no validator notices, each made in a good derived file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from deriving import Workshop
from pydicom import Dataset

from ldct_clipdn.io.dicom_check import check_derived
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.scan import Instance

Mistake = Callable[[Dataset, Dataset], None]


def code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def put(keyword: str, value: object) -> Mistake:
    return lambda ds, _: setattr(ds, keyword, value)


def drop(*keywords: str) -> Mistake:
    def mistake(ds: Dataset, _: Dataset) -> None:
        for keyword in keywords:
            delattr(ds, keyword)

    return mistake


def keep(keyword: str) -> Mistake:
    return lambda ds, source: setattr(ds, keyword, source[keyword].value)


def add(tag: int, vr: str, value: object) -> Mistake:
    def mistake(ds: Dataset, _: Dataset) -> None:
        if tag in ds:
            del ds[tag]
        ds.add_new(tag, vr, value)

    return mistake


def in_source_item(edit: Callable[[Dataset], None]) -> Mistake:
    return lambda ds, _: edit(ds.SourceImageSequence[0])


def own_reference(ds: Dataset, _: Dataset) -> None:
    ds.SourceImageSequence[0].ReferencedSOPInstanceUID = ds.SOPInstanceUID


def pixels(change: Callable[[np.ndarray], np.ndarray]) -> Mistake:
    def mistake(ds: Dataset, _: Dataset) -> None:
        words = np.frombuffer(ds.PixelData, "<i2" if ds.PixelRepresentation else "<u2")
        ds.PixelData = change(words.copy()).astype(words.dtype).tobytes()

    return mistake


def first_to(value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(words: np.ndarray) -> np.ndarray:
        words[len(words) // 2] = value
        return words

    return change


def reshape(ds: Dataset, _: Dataset) -> None:
    ds.Rows, ds.Columns = ds.Rows // 2, ds.Columns * 2


def other_meta(keyword: str, value: str) -> Mistake:
    return lambda ds, _: setattr(ds.file_meta, keyword, value)


PADDED = "signed GE with padding"
SIEMENS = "unsigned 12-bit Siemens"
LOSSY = "JPEG-LS lossy"
PURPOSE = "PurposeOfReferenceCodeSequence"
EXTREMES = {"SmallestImagePixelValue": 1, "LargestImagePixelValue": 2}

# number, kind of source, the mistake, and a word of what must be said
MISTAKES: list[tuple[int, str, Mistake, str]] = [
    (1, SIEMENS, keep("SOPInstanceUID"), "SOPInstanceUID is the source's"),
    (2, SIEMENS, keep("SeriesInstanceUID"), "SeriesInstanceUID is the source's"),
    (3, SIEMENS, put("SOPInstanceUID", f"2.25.{2**128}"), "2.25"),
    (4, SIEMENS, put("ImageType", ["ORIGINAL", "SECONDARY", "AXIAL"]), "ImageType"),
    (5, SIEMENS, put("ImageType", ["DERIVED", "PRIMARY", "AXIAL"]), "ImageType"),
    (6, SIEMENS, drop("SourceImageSequence"), "SourceImageSequence"),
    (7, SIEMENS, own_reference, "SourceImageSequence"),
    (8, SIEMENS, in_source_item(lambda item: delattr(item, PURPOSE)), "purpose"),
    (9, SIEMENS, in_source_item(lambda item: setattr(
        item, PURPOSE, [code("109102", "Processing Equipment")])), "purpose"),
    (10, SIEMENS, put("DerivationCodeSequence", [code("113040", "Noise reduction")]), "Derivation"),
    (11, SIEMENS, put("DerivationCodeSequence", [code("999999", "Smoothing")]), "Derivation"),
    (12, SIEMENS, drop("DerivationDescription", "DerivationCodeSequence"), "Derivation"),
    (13, SIEMENS, drop("ContributingEquipmentSequence"), "ContributingEquipment"),
    (14, SIEMENS, put("RescaleIntercept", "0"), "RescaleIntercept"),
    (15, SIEMENS, drop("RescaleType"), "RescaleType is missing"),
    (16, PADDED, add(0x00280120, "US", 63536), "PixelPaddingValue is not of VR SS"),
    (17, SIEMENS + " padded", add(0x00280120, "US", 5000), "padding value"),
    (18, PADDED, pixels(lambda words: np.where(words == -2000, -1000, words)), "padding was"),
    (19, SIEMENS, pixels(first_to(4096)), "exceed 12 bits"),
    (20, SIEMENS, pixels(first_to(65530)), "wrapped"),
    (20, "16 bits", pixels(first_to(65530)), "wrapped"),
    (21, SIEMENS, reshape, "Rows"),
    (22, "extremes", put("SmallestImagePixelValue", 1), "SmallestImagePixelValue"),
    (23, "extremes", add(0x00280107, "SS", 7), "LargestImagePixelValue is not of VR US"),
    (24, SIEMENS, put("WindowWidth", "400"), "Window"),
    (25, LOSSY, drop("LossyImageCompression"), "LossyImageCompression"),
    (26, LOSSY, put("LossyImageCompression", "00"), "LossyImageCompression"),
    (27, LOSSY, drop("LossyImageCompressionRatio"), "ratio or method"),
    (28, LOSSY, drop("LossyImageCompressionMethod"), "ratio or method"),
    (29, LOSSY, put("LossyImageCompressionRatio", ["4", "5"]), "ratio or method"),
    (30, SIEMENS, add(0x60003000, "OW", b"\0\0"), "still there"),
    (31, SIEMENS, other_meta("MediaStorageSOPInstanceUID", "2.25.1"), "MediaStorageSOPInstance"),
    (32, SIEMENS, other_meta("MediaStorageSOPClassUID", "1.2.840.10008.5.1.4.1.1.4"), "Class"),
    (33, SIEMENS, put("ImagePositionPatient", ["0", "0", "0"]), "ImagePositionPatient"),
    (34, SIEMENS, drop("ContentDate", "ContentTime"), "ContentDate and ContentTime"),
    (35, SIEMENS, add(0xFFFCFFFC, "OB", b"\0\0"), "still there"),
    (36, SIEMENS, add(0xFFFAFFFA, "SQ", [Dataset()]), "still there"),
    # what the table leaves to common sense
    (99, SIEMENS, put("PatientID", "SOMEBODY ELSE"), "PatientID"),
    (99, SIEMENS, put("ContentQualification", "PRODUCT"), "ContentQualification"),
    (99, SIEMENS, put("PresentationIntentType", "FOR PRESENTATION"), "was added"),
    (99, SIEMENS, put("BitsAllocated", 8), "BitsAllocated"),
    (99, SIEMENS, put("HighBit", 14), "HighBit"),
    (99, SIEMENS, put("PixelData", b"\0\0"), "pixel data"),
    (99, PADDED, pixels(first_to(-2000)), "become padding"),
    (99, LOSSY, put("LossyImageCompressionMethod", ["ISO_14495_1"] * 2), "ratio or method"),
    (99, "uncompressed 01", drop("LossyImageCompression"), "LossyImageCompression is not"),
    (99, "uncompressed 01", drop("LossyImageCompressionRatio"), "source's loss was changed"),
    (99, SIEMENS, in_source_item(lambda i: setattr(i, "SpatialLocationsPreserved", "NO")), "Spat"),
    (99, SIEMENS, in_source_item(lambda i: setattr(i, "ReferencedSOPClassUID", "1.2")), "class"),
]  # fmt: skip

SPECIAL: dict[str, tuple[str, dict[str, object]]] = {
    SIEMENS + " padded": (SIEMENS, {"padding": 0}),
    "16 bits": (SIEMENS, {"bits_stored": 16}),
    "extremes": (SIEMENS, {"extra": EXTREMES}),
    "uncompressed 01": (
        SIEMENS,
        {
            "extra": {
                "LossyImageCompression": "01",
                "LossyImageCompressionRatio": "4",
                "LossyImageCompressionMethod": "ISO_15444_1",
            }
        },
    ),
}


def make_pair(workshop: Workshop, kind: str) -> tuple[Instance, Path]:
    name, changes = SPECIAL.get(kind, (kind, {}))
    scan = workshop.make(name, slices=1, **changes)
    (derived,) = workshop.derive(scan).values()
    return scan.instances[0], Path(derived.filename)


def test_the_list_is_whole() -> None:
    assert {number for number, *_ in MISTAKES} == {*range(1, 37), 99}


@pytest.mark.parametrize(
    ("kind", "mistake", "said"),
    [pytest.param(*rest, id=f"{n}-{i}") for i, (n, *rest) in enumerate(MISTAKES)],
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_every_mistake_is_caught(
    workshop: Workshop, kind: str, mistake: Mistake, said: str
) -> None:
    instance, path = make_pair(workshop, kind)
    before = read_slice(instance)
    assert check_derived(instance.header, before, path) == []
    ds = pydicom.dcmread(path)
    mistake(ds, instance.header)
    ds.save_as(path, enforce_file_format=False)
    problems = check_derived(instance.header, before, path)
    assert any(said in problem for problem in problems), problems


def test_a_dead_signature_inside_a_sequence_is_caught(workshop: Workshop) -> None:
    scan = workshop.make(slices=1, private=True)
    (derived,) = workshop.derive(scan).values()
    derived.RequestAttributesSequence[0].add_new(0xFFFAFFFA, "SQ", [Dataset()])
    derived.RequestAttributesSequence[0].add_new(0x00310010, "LO", "SOMEBODY")
    derived.save_as(derived.filename)
    instance = scan.instances[0]
    problems = check_derived(instance.header, read_slice(instance), Path(derived.filename))
    assert len([one for one in problems if "still there" in one]) == 2


def test_a_sequence_that_lost_an_item_is_caught(workshop: Workshop) -> None:
    scan = workshop.make(slices=1, private=True)
    (derived,) = workshop.derive(scan).values()
    derived.RequestAttributesSequence = []
    derived.save_as(derived.filename)
    instance = scan.instances[0]
    problems = check_derived(instance.header, read_slice(instance), Path(derived.filename))
    assert problems == ["RequestAttributesSequence differs from the source"]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
@pytest.mark.parametrize(
    "change",
    [
        lambda item: setattr(item, "ScheduledProcedureStepID", "other"),
        lambda item: setattr(item, "AccessionNumber", "added"),
        lambda item: delattr(item, "RequestedProcedureID"),
    ],
)
def test_what_changed_inside_a_sequence_is_caught(
    workshop: Workshop, syntax: str, change: Callable[[Dataset], None]
) -> None:
    scan = workshop.make(slices=1, private=True, transfer_syntax=syntax)
    instance, (derived,) = scan.instances[0], workshop.derive(scan).values()
    path = Path(derived.filename)
    assert check_derived(instance.header, read_slice(instance), path) == []
    change(derived.RequestAttributesSequence[0])
    derived.save_as(path)
    problems = check_derived(instance.header, read_slice(instance), path)
    assert problems == ["RequestAttributesSequence differs from the source"]


def test_a_file_that_cannot_be_read_is_caught(workshop: Workshop) -> None:
    instance, path = make_pair(workshop, SIEMENS)
    shutil.copy(__file__, path)
    assert check_derived(instance.header, read_slice(instance), path) == ["not a DICOM file"]
