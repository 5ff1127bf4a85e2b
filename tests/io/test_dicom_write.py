"""What a derived image must be (docs/conformance.md, 2), on six kinds of source."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_series
from deriving import KINDS, LONG_NAME, RECIPE, TIME, Workshop, same, soften
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io import uids
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.dicom_write import write_derived
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Result, Scan, Slice
from ldct_clipdn.io.stored_values import to_stored

every_kind = pytest.mark.parametrize("kind", KINDS)


def source_of(scan: Scan, number: int) -> pydicom.Dataset:
    (found,) = (one.header for one in scan.instances if one.header.InstanceNumber == number)
    return found


@every_kind
def test_validators_find_nothing_new(
    workshop: Workshop, kind: str, dciodvfy: Callable[[Path], Counter[str]]
) -> None:
    scan = workshop.make(kind)
    workshop.derive(scan)
    before = sum((dciodvfy(one.path) for one in scan.instances), Counter[str]())
    after = sum((dciodvfy(path) for path in workshop.target.glob("*/*.dcm")), Counter[str]())
    assert after - before == Counter()
    files = sorted(workshop.target.glob("*/*.dcm"))
    sources = [one.path for one in scan.instances]
    for group in (files, files + sources):
        done = subprocess.run(["dcentvfy", *group], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@every_kind
def test_uids_are_new_and_well_formed(workshop: Workshop, kind: str) -> None:
    scan = workshop.make(kind)
    derived = workshop.derive(scan)
    assert len({ds.SOPInstanceUID for ds in derived.values()}) == len(scan.instances) == 3
    assert len({ds.SeriesInstanceUID for ds in derived.values()}) == 1
    known = {one.sop_uid for one in scan.instances} | {scan.source_uid}
    for ds in derived.values():
        for uid in (ds.SOPInstanceUID, ds.SeriesInstanceUID):
            assert uid not in known
            assert uid.startswith("2.25.")
            assert str(int(uid[5:])) == uid[5:]
            assert int(uid[5:]) < 2**128
            assert len(uid) <= 64
        assert Path(ds.filename).stem == ds.SOPInstanceUID
        assert Path(ds.filename).parent.name == ds.SeriesInstanceUID


def test_same_input_and_recipe_give_the_same_bytes_in_two_processes(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.make()
    script = (
        "import sys; from pathlib import Path\n"
        f"sys.path[:0] = [{str(Path(__file__).parents[1])!r}]\n"
        "from deriving import RECIPE, TIME, results\n"
        "from ldct_clipdn.io.dicom_write import write_derived\n"
        "from ldct_clipdn.io.find import find_series\n"
        "source, target = map(Path, sys.argv[1:]); target.mkdir()\n"
        "(scan,) = find_series(source)\n"
        "write_derived(scan, results(scan), target, RECIPE, time=TIME, number=7)\n"
    )
    digests = []
    for name in ("first", "second"):
        target = tmp_path / name
        command = [sys.executable, "-c", script, str(workshop.source), str(target)]
        subprocess.run(command, check=True)
        files = sorted(target.rglob("*.dcm"))
        digests.append([(str(p.relative_to(target)), p.read_bytes()) for p in files])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "cd" * 32},
        {"strength": 0.5},
        {"backend": "torch"},
        {"backend_version": "2"},
        {"device_class": "cuda-fp32"},
        {"hu_low": -1000.0},
        {"hu_high": 2000.0},
        {"batch": 2},
        {"wallclock": False},
    ],
)
def test_another_recipe_gives_other_uids(workshop: Workshop, changes: dict[str, object]) -> None:
    scan = workshop.make()
    first = workshop.derive(scan)
    second = workshop.derive(scan, recipe=workshop.recipe(**changes))
    assert first[1].SeriesInstanceUID != second[1].SeriesInstanceUID
    uids = [ds.SOPInstanceUID for each in (first, second) for ds in each.values()]
    assert len(set(uids)) == 6


def test_another_version_of_this_package_gives_other_uids(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = workshop.make()
    first = workshop.derive(scan)
    monkeypatch.setattr(uids, "__version__", "99.0")
    second = workshop.derive(scan)
    assert first[1].SeriesInstanceUID != second[1].SeriesInstanceUID
    assert len({ds.SOPInstanceUID for each in (first, second) for ds in each.values()}) == 6


def test_an_image_lies_in_one_series(workshop: Workshop) -> None:
    """The same slice with the same result, first of a part and then of the repaired whole."""
    scan = workshop.make()
    part = workshop.derive(replace(scan, instances=scan.instances[:2], lost=1))
    whole = workshop.derive(scan)
    assert part[1].PixelData == whole[1].PixelData
    assert len({ds.SOPInstanceUID for each in (part, whole) for ds in each.values()}) == 5


@pytest.mark.parametrize(("energy", "kept"), [("VMI", ["VMI"]), ("DE_VMI", [])])
def test_what_the_values_mean_stays(
    workshop: Workshop, energy: str, kept: list[str], dciodvfy: Callable[[Path], Counter[str]]
) -> None:
    make_series(workshop.source, slices=1, image_type=["ORIGINAL", "PRIMARY", "AXIAL", energy])
    (scan,) = find_series(workshop.source, admit=frozenset({"monoenergetic"}))
    (ds,) = workshop.derive(scan).values()
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", *kept]
    assert dciodvfy(Path(ds.filename)) - dciodvfy(scan.instances[0].path) == Counter()


def test_another_result_gives_other_sop_uids_and_is_refused_in_the_same_folder(
    workshop: Workshop,
) -> None:
    scan = workshop.make()
    first = workshop.derive(scan)
    with pytest.raises(WriteError, match="another result under this UID"):
        workshop.derive(scan, change=same)
    kept = {pydicom.dcmread(p).SOPInstanceUID for p in workshop.target.glob("*/*.dcm")}
    assert kept == {ds.SOPInstanceUID for ds in first.values()}


KEPT = [
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "InstanceNumber",
    "AcquisitionNumber",
    "ConvolutionKernel",
    "KVP",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "Manufacturer",
    "ManufacturerModelName",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "BodyPartExamined",
]


@every_kind
def test_patient_acquisition_and_geometry_stay(workshop: Workshop, kind: str) -> None:
    scan = workshop.make(kind, spacing=("0.70312500", "0.7031250"), orientation=tuple("100010"))
    for number, ds in workshop.derive(scan).items():
        source = pydicom.dcmread(source_of(scan, number).filename)
        result = pydicom.dcmread(ds.filename)
        for keyword in KEPT:
            one, other = source.get_item(keyword), result.get_item(keyword)
            assert one.value == other.value, keyword  # bytes: nothing was parsed yet


@every_kind
def test_provenance(workshop: Workshop, kind: str) -> None:
    scan = workshop.make(kind, extra={"DerivationDescription": "Force Anonymity"})
    for number, ds in workshop.derive(scan).items():
        source = source_of(scan, number)
        assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        (reference,) = ds.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID != ds.SOPInstanceUID
        assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
        assert reference.SpatialLocationsPreserved == "YES"
        assert triple(reference.PurposeOfReferenceCodeSequence) == [
            ("121322", "DCM", "Source image for image processing operation")
        ]
        assert triple(ds.DerivationCodeSequence) == [("113087", "DCM", "Smoothing")]
        assert ds.DerivationDescription.startswith("Force Anonymity; ldct_clipdn ")
        assert "research use only" in ds.DerivationDescription
        assert RECIPE.sha256 in ds.DerivationDescription
        assert RECIPE.encoder in ds.DerivationDescription
        assert len(ds.DerivationDescription) <= 1024
        (equipment,) = ds.ContributingEquipmentSequence
        assert equipment.Manufacturer
        assert equipment.ManufacturerModelName == "ldct_clipdn"
        assert equipment.SoftwareVersions
        assert equipment.ContributionDateTime == "20260304050607"
        assert RECIPE.sha256 in equipment.ContributionDescription
        assert triple(equipment.PurposeOfReferenceCodeSequence) == [
            ("109102", "DCM", "Processing Equipment")
        ]
        assert ds.ContentQualification == "RESEARCH"
        assert ds.SeriesNumber == 10002
        stamps = {(ds[f"{e}Date"].value, ds[f"{e}Time"].value) for e in ("Series", "Content")}
        assert stamps == {("20260304", "050607")}


def triple(sequence: pydicom.Sequence) -> list[tuple[str, str, str]]:
    return [(one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning) for one in sequence]


def test_what_the_source_was_derived_by_stays_in_front(workshop: Workshop) -> None:
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113040", "DCM"
    code.CodeMeaning = "Lossy Compression"
    purpose = pydicom.Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109104", "DCM"
    purpose.CodeMeaning = "De-identifying Equipment"
    equipment = pydicom.Dataset()
    equipment.Manufacturer = "Somebody"
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    scan = workshop.make(
        extra={
            "ImageType": ["DERIVED", "PRIMARY", "AXIAL"],
            "LossyImageCompression": "01",
            "LossyImageCompressionRatio": "4",
            "LossyImageCompressionMethod": "ISO_15444_1",
            "DerivationCodeSequence": [code],
            "ContributingEquipmentSequence": [equipment],
            "DerivationDescription": "x" * 1024,
        }
    )
    ds = workshop.derive(scan)[1]
    assert [one[0] for one in triple(ds.DerivationCodeSequence)] == ["113040", "113087"]
    assert ds.ContributingEquipmentSequence[0].Manufacturer == "Somebody"
    assert len(ds.ContributingEquipmentSequence) == 2
    assert len(ds.DerivationDescription) == 1024
    assert ds.DerivationDescription.endswith(RECIPE.encoder)
    assert ds.LossyImageCompression == "01"
    assert ds.LossyImageCompressionRatio == 4
    assert ds.LossyImageCompressionMethod == "ISO_15444_1"


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        (None, "[AI-DENOISED RESEARCH]"),
        ("", "[AI-DENOISED RESEARCH]"),
        ("Thorax 3.0 B30f", "Thorax 3.0 B30f [AI-DENOISED RESEARCH]"),
        (LONG_NAME, LONG_NAME[:41] + " [AI-DENOISED RESEARCH]"),
        ("Thorax für Übung", "Thorax für Übung [AI-DENOISED RESEARCH]"),
    ],
)
def test_series_description(workshop: Workshop, description: str | None, expected: str) -> None:
    scan = workshop.make(series_description=description)
    ds = workshop.derive(scan)[1]
    assert ds.SeriesDescription == expected
    assert len(ds.SeriesDescription) <= 64


def test_text_beyond_ascii_survives_as_bytes(workshop: Workshop) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    text = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "SeriesDescription": "胸部"}
    scan = workshop.make(patient_name=name, extra=text)
    ds = workshop.derive(scan)[1]
    raw = pydicom.dcmread(ds.filename).get_item("PatientName").value
    assert raw == pydicom.dcmread(scan.instances[0].path).get_item("PatientName").value
    assert str(ds.PatientName) == name
    assert ds.SeriesDescription == "胸部 [AI-DENOISED RESEARCH]"


@pytest.mark.parametrize(
    ("charset", "word"),
    [(["", "ISO 2022 IR 87"], "腹部"), ("ISO_IR 192", "Übung"), ("GB18030", "腹部")],
)
def test_what_is_cut_fits_in_bytes_too(
    workshop: Workshop,
    dciodvfy: Callable[[Path], Counter[str]],
    charset: str | list[str],
    word: str,
) -> None:
    text = {
        "SpecificCharacterSet": charset,
        "SeriesDescription": word * 10,
        "DerivationDescription": word * (1000 // len(word)),
    }
    ds = workshop.derive(workshop.make(slices=1, extra=text))[1]
    assert ds.SeriesDescription.startswith(word * 3)
    assert ds.SeriesDescription.endswith(" [AI-DENOISED RESEARCH]")
    assert ds.DerivationDescription.startswith(word * 20)
    assert ds.DerivationDescription.endswith(RECIPE.encoder)
    raw = pydicom.dcmread(ds.filename)
    sizes = [
        len(raw.get_item(name).value) for name in ("SeriesDescription", "DerivationDescription")
    ]
    assert sizes[0] <= 64
    assert sizes[1] <= 1024
    assert not [one for one in dciodvfy(Path(ds.filename)) if "SeriesDescription" in one]


@every_kind
def test_file_meta(workshop: Workshop, kind: str) -> None:
    for ds in workshop.derive(workshop.make(kind)).values():
        assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert len(ds.file_meta.ImplementationVersionName) <= 16
        assert Path(ds.filename).read_bytes()[128:132] == b"DICM"


@every_kind
def test_a_network_that_changes_nothing_gives_equal_pixels(workshop: Workshop, kind: str) -> None:
    scan = workshop.make(kind)
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in workshop.source.iterdir()}
    for number, ds in workshop.derive(scan, change=same).items():
        source = pydicom.dcmread(source_of(scan, number).filename)
        source.decompress() if source.file_meta.TransferSyntaxUID.is_compressed else None
        assert ds.PixelData == source.PixelData
    after = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in workshop.source.iterdir()}
    assert after == before


@pytest.mark.parametrize("slope", ["1.0002441", "0.25", "2.5", "-1", "5e-2"])
def test_odd_slopes_and_intercepts_of_each_slice(workshop: Workshop, slope: str) -> None:
    intercepts = ["-1024", "-1000", "-01.024000E+03"]
    if slope == "-1":
        intercepts = ["3000", "3000", "3001"]
    scan = workshop.make(
        slope=slope, intercept=intercepts, bits_stored=16, hu=np.full((3, 8, 8), 40.0)
    )
    words = {n: ds.PixelData for n, ds in workshop.derive(scan, change=same).items()}
    for one in scan.instances:
        assert words[one.header.InstanceNumber] == pydicom.dcmread(one.path).PixelData
    shifted = workshop.derive(
        scan, change=lambda hu: hu + np.float32(25), recipe=workshop.recipe(strength=0.3)
    )
    for number, ds in shifted.items():
        source = pydicom.dcmread(source_of(scan, number).filename)
        change = (ds.pixel_array.astype(int) - source.pixel_array) * float(slope)
        assert np.abs(change - 25).max() <= abs(float(slope)) / 2 + 1e-6
        assert str(ds.RescaleIntercept.original_string) == intercepts[number - 1]


@pytest.mark.parametrize(("signed", "bits"), [(False, 12), (True, 12), (False, 16), (True, 16)])
@pytest.mark.parametrize("beyond", [1e5, -1e5])
def test_values_are_clipped_and_never_wrapped(
    workshop: Workshop, signed: bool, bits: int, beyond: float
) -> None:
    low = -(2 ** (bits - 1)) if signed else 0
    # such a jump is also what wrapping looks like in 16 bits, so it starts at the far half
    near = -1000.0 if beyond < 0 else min(1000.0, low + 2.0**bits - 1025)
    scan = workshop.make(
        signed=signed,
        bits_stored=bits,
        intercept="-1024" if not signed else "0",
        hu=np.full((3, 8, 8), near),
    )
    before = read_slice(scan.instances[0])
    stored = to_stored(before, before.hu + np.float32(beyond), scan.instances[0].header)
    assert set(np.unique(stored)) == {low if beyond < 0 else low + 2**bits - 1}


def test_padding_is_copied_and_no_other_pixel_becomes_padding(workshop: Workshop) -> None:
    scan = workshop.make("signed GE with padding")

    def toward_padding(hu: np.ndarray) -> np.ndarray:
        changed = hu + np.float32(5)
        changed[10:20, 10:20] = -2000 - 1024  # stored -2000, the padding value
        return changed

    for number, ds in workshop.derive(scan, change=toward_padding).items():
        source = pydicom.dcmread(source_of(scan, number).filename).pixel_array
        padding = source == -2000
        assert padding.sum() > 100
        assert ((ds.pixel_array == -2000) == padding).all()
        assert (ds.pixel_array[10:20, 10:20] == -1999).all()
        assert ds["PixelPaddingValue"].VR == "SS"
        assert ds.PixelPaddingValue == -2000


def test_a_padding_range_at_the_end_of_the_storable_range(workshop: Workshop) -> None:
    scan = workshop.make(
        padding=4095, bits_stored=12, extra={"PixelPaddingRangeLimit": 4090}, intercept="-1024"
    )
    derived = workshop.derive(scan, change=lambda hu: hu + np.float32(4000))
    for number, ds in derived.items():
        source = pydicom.dcmread(source_of(scan, number).filename).pixel_array
        assert ((ds.pixel_array >= 4090) == (source >= 4090)).all()
        assert ds.pixel_array[16, 16] == 4089


@pytest.mark.parametrize(("signed", "vr"), [(False, "US"), (True, "SS")])
def test_extremes_are_computed_anew_where_the_source_has_them(
    workshop: Workshop, signed: bool, vr: str
) -> None:
    stale = {"SmallestImagePixelValue": 1, "LargestImagePixelValue": 2}
    scan = workshop.make(signed=signed, bits_stored=16, extra=stale)
    for ds in workshop.derive(scan).values():
        assert ds.SmallestImagePixelValue == ds.pixel_array.min()
        assert ds.LargestImagePixelValue == ds.pixel_array.max()
        assert {ds["SmallestImagePixelValue"].VR, ds["LargestImagePixelValue"].VR} == {vr}
    plain = workshop.derive(workshop.make(extra={}), recipe=workshop.recipe(strength=0.1))
    assert all("SmallestImagePixelValue" not in ds for ds in plain.values())


@pytest.mark.parametrize(
    ("syntax", "flag", "expected"),
    [
        ("1.2.840.10008.1.2.4.81", None, "01"),
        ("1.2.840.10008.1.2.4.81", "00", "00"),
        ("1.2.840.10008.1.2.4.81", "01", "01"),
        ("1.2.840.10008.1.2.4.80", None, None),
        ("1.2.840.10008.1.2.1", "01", "01"),
        ("1.2.840.10008.1.2.1", "00", "00"),
        ("1.2.840.10008.1.2.1", None, None),
    ],
)
def test_what_was_lost_stays_lost(
    workshop: Workshop, syntax: str, flag: str | None, expected: str | None
) -> None:
    scan = workshop.make(transfer_syntax=syntax)
    for one in scan.instances:  # the encoder sets the flag by itself
        edit(
            one.path,
            LossyImageCompression=flag,
            LossyImageCompressionRatio=None,
            LossyImageCompressionMethod=None,
        )
    (scan,) = find_series(workshop.source)
    for ds in workshop.derive(scan).values():
        assert ds.get("LossyImageCompression") == expected
        if syntax.endswith(".81") and expected == "01":
            assert ds.LossyImageCompressionMethod == "ISO_14495_1"
            assert 1 < ds.LossyImageCompressionRatio < 20


def test_what_describes_or_signs_the_old_pixels_is_gone(workshop: Workshop) -> None:
    scan = workshop.make(private=True)
    for one in scan.instances:
        ds = pydicom.dcmread(one.path)
        nested = ds.RequestAttributesSequence[0]
        for level in (ds, nested):
            level.add_new(0x00880200, "SQ", [pydicom.Dataset()])
            level.add_new(0xFFFAFFFA, "SQ", [pydicom.Dataset()])
            level.add_new(0x4FFE0001, "SQ", [pydicom.Dataset()])
            level.SOPInstanceStatus = "AO"
            level.SOPAuthorizationComment = "yes"
        ds.add_new(0x60003000, "OW", b"\0\0")
        ds.add_new(0x50000005, "US", 1)
        ds.add_new(0xFFFCFFFC, "OB", b"\0\0")
        ds.add_new(0x00280108, "US", 1)
        ds.save_as(one.path)
    (scan,) = find_series(workshop.source)
    for ds in workshop.derive(scan).values():
        assert ds.RequestAttributesSequence[0].RequestedProcedureID == "R1"
        tags = [element.tag for element in ds.iterall()]
        assert not [tag for tag in tags if tag.is_private or tag.element == 0]
        assert not {0x00880200, 0xFFFAFFFA, 0x4FFE0001, 0x01000410, 0x01000424} & set(tags)
        assert not {0x60003000, 0x50000005, 0xFFFCFFFC, 0x00280108} & set(tags)


def test_deidentification_stays(workshop: Workshop) -> None:
    marks = {
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "By hand",
        "LongitudinalTemporalInformationModified": "MODIFIED",
    }
    for ds in workshop.derive(workshop.make(extra=marks)).values():
        assert {name: ds[name].value for name in marks} == marks


def test_numbers_and_uids_are_well_formed(workshop: Workshop) -> None:
    for ds in workshop.derive(workshop.make("JPEG-LS lossy")).values():
        raw = pydicom.dcmread(ds.filename)
        for element in list(raw.elements()):
            if element.VR == "DS":
                assert max(map(len, element.value.split(b"\\"))) <= 16
            if element.VR == "UI":
                assert not element.value.endswith(b" ")


@every_kind
def test_other_readers_see_the_same_hu(workshop: Workshop, kind: str) -> None:
    import SimpleITK as sitk  # noqa: N813

    scan = workshop.make(kind)
    for ds in workshop.derive(scan).values():
        (found,) = find_as_source(Path(ds.filename))
        image = sitk.GetArrayFromImage(sitk.ReadImage(ds.filename))[0]
        assert np.allclose(image, found, atol=1e-3)
        if shutil.which("dcmdump"):
            dump = ["dcmdump", "+W", str(workshop.target), ds.filename]
            subprocess.run(dump, check=True, capture_output=True)
            (raw,) = workshop.target.glob("*.raw")
            assert raw.read_bytes() == ds.PixelData
            raw.unlink()


def find_as_source(path: Path) -> list[np.ndarray]:
    ds = pydicom.dcmread(path)
    return [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)]


def test_an_incomplete_series_says_so(workshop: Workshop) -> None:
    scan = workshop.make(series_description=LONG_NAME)
    part = Scan(scan.source_uid, "", scan.instances[:2], (), lost=1)
    whole = workshop.derive(scan)
    ds = workshop.derive(part)[1]
    assert ds.SeriesDescription.endswith(" INCOMPLETE 2/3 [AI-DENOISED RESEARCH]")
    assert len(ds.SeriesDescription) == 64
    assert ds.SeriesInstanceUID != whole[1].SeriesInstanceUID


def test_a_source_without_uid_and_with_little_else(workshop: Workshop) -> None:
    gone = ("SOPInstanceUID", "ImageType", "SpecificCharacterSet", "Modality")
    scan = workshop.make(slices=1)
    edit(scan.instances[0].path, **dict.fromkeys(gone))
    (scan,) = find_series(workshop.source)
    ds = workshop.derive(scan)[1]
    assert ds.SOPInstanceUID.startswith("2.25.")
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY"]
    assert "SourceImageSequence" not in ds
    assert ds.Modality == "CT"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_result_that_is_not_finite_leaves_no_file(workshop: Workshop, value: float) -> None:
    scan = workshop.make()
    calls = []

    def break_the_third(hu: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.full_like(hu, value) if len(calls) == 3 else hu

    with pytest.raises(WriteError, match="not finite"):
        workshop.derive(scan, change=break_the_third)
    assert not list(workshop.target.iterdir())


def test_too_few_results_leave_no_file(workshop: Workshop) -> None:
    scan = workshop.make()
    before = read_slice(scan.instances[0])
    some = [Result(scan.instances[0], before, before.hu)]
    with pytest.raises(WriteError, match="1 of 3 images"):
        write_derived(scan, some, workshop.target, RECIPE, time=TIME, number=1)
    assert not list(workshop.target.iterdir())


def test_a_failed_check_leaves_no_file(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = workshop.make()
    monkeypatch.setattr("ldct_clipdn.io.dicom_write.check_derived", lambda *_: ["it is bad"])
    with pytest.raises(WriteError, match="failed 1 of its own checks: it is bad"):
        workshop.derive(scan)
    assert not list(workshop.target.iterdir())


def test_a_target_that_cannot_be_written(workshop: Workshop) -> None:
    scan = workshop.make()
    workshop.target.rmdir()
    workshop.target.write_text("a file")
    with pytest.raises(WriteError, match="cannot be written"):
        workshop.derive(scan)


def test_a_killed_writer_leaves_nothing_with_a_name(workshop: Workshop) -> None:
    scan = workshop.make()
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        f"sys.path[:0] = [{str(Path(__file__).parents[1])!r}]\n"
        "from deriving import RECIPE, TIME, results\n"
        "from ldct_clipdn.io.dicom_write import write_derived\n"
        "from ldct_clipdn.io.find import find_series\n"
        "(scan,) = find_series(Path(sys.argv[1]))\n"
        "def two():\n"
        "    for i, one in enumerate(results(scan)):\n"
        "        if i == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield one\n"
        "write_derived(scan, two(), Path(sys.argv[2]), RECIPE, time=TIME, number=10002)\n"
    )
    command = [sys.executable, "-c", script, str(workshop.source), str(workshop.target)]
    assert subprocess.run(command, check=False).returncode == -9
    (left,) = workshop.target.iterdir()
    assert left.name.startswith(".")
    assert len(workshop.derive(scan)) == 3
    assert [path.name[0] for path in workshop.target.iterdir()] == ["2"]


@settings(max_examples=60, deadline=None)
@given(
    stored=st.lists(st.integers(0, 4095), min_size=4, max_size=4),
    change=st.lists(st.floats(-9000, 9000, width=32), min_size=4, max_size=4),
    slope=st.sampled_from([1.0, 0.25, 1.0002441, 2.0, -1.0]),
    padding=st.sampled_from([None, 0, 63, 4095]),
)
def test_to_stored_property(
    stored: list[int], change: list[float], slope: float, padding: int | None
) -> None:
    header = pydicom.Dataset()
    header.Rows, header.Columns, header.BitsAllocated, header.BitsStored = 2, 2, 16, 12
    header.HighBit, header.PixelRepresentation = 11, 0
    header.RescaleSlope, header.RescaleIntercept = str(slope), "-1024"
    words = np.array(stored, np.int32).reshape(2, 2)
    mask = words == padding if padding is not None else np.zeros((2, 2), bool)
    if padding is not None:
        header.PixelPaddingValue = padding
    hu = (words * slope - 1024).astype(np.float32)
    result = to_stored(
        Slice(words, mask, hu), hu + np.array(change, np.float32).reshape(2, 2), header
    )
    assert result.min() >= 0
    assert result.max() <= 4095
    assert (result[mask] == words[mask]).all()
    assert padding is None or ((result == padding) <= (words == padding)).all()
    wanted = np.clip(words + np.array(change).reshape(2, 2) / slope, 0, 4095)
    assert (np.abs(result - wanted)[~mask] <= 1.51).all()


def test_soften_is_no_identity() -> None:
    hu = np.linspace(-1000, 1000, 7, dtype=np.float32)
    assert not np.allclose(soften(hu), hu)
