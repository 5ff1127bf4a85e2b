from __future__ import annotations

import logging
import os
import random
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
from builders import edit, make_series, write_file
from deriving import Workshop
from pydicom import Dataset
from pydicom.data import get_testdata_file

from ldct_clipdn.batch.plan import plan_run
from ldct_clipdn.batch.run import plan_study
from ldct_clipdn.errors import ConfigError, ReadError
from ldct_clipdn.io.accept import ADMISSIBLE
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Found
from ldct_clipdn.io.uids import study_uid


def reasons(found: Found) -> dict[str, tuple[str, str]]:
    return {one.path.name: (one.outcome, one.reason) for one in found.unused}


def heights(found: Found) -> list[list[float]]:
    return [[float(one.header.ImagePositionPatient[2]) for one in scan.instances] for scan in found]


def test_series_are_told_apart_and_sorted_whatever_the_files_are_called(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "a", slices=5, series_description="one")
    paths += make_series(tmp_path / "b", slices=4, series_description="two")
    order = list(range(9))
    random.Random(3).shuffle(order)  # noqa: S311
    (tmp_path / "mixed" / "deeper").mkdir(parents=True)
    for name, path in zip(order, paths, strict=True):
        path.rename(tmp_path / "mixed" / ("deeper" if name % 2 else ".") / f"{name}")
    found = find_series(tmp_path)
    assert sorted(heights(found)) == [[0, 2, 4, 6], [0, 2, 4, 6, 8]]
    assert [scan.notes for scan in found] == [(), ()]
    assert [scan.split_key for scan in found] == ["", ""]
    assert found.unused == ()
    assert next(iter(found)).spacing_mm == (0.7, 0.7)


def test_one_file(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path, slices=1)
    assert [scan.instances[0].path for scan in find_series(path)] == [path]


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file or folder"):
        find_series(tmp_path / "nowhere")


def test_sorting_follows_the_slice_normal_and_not_z(tmp_path: Path) -> None:
    sagittal = ("0", "1", "0", "0", "0", "-1")
    xs = [3.0, -1.0, 2.0, 0.0]
    make_series(tmp_path, orientation=sagittal, positions=[(x, 0.0, 50.0) for x in xs])
    (scan,) = find_series(tmp_path)
    found = [float(one.header.ImagePositionPatient[0]) for one in scan.instances]
    assert found == sorted(xs, reverse=True)  # the normal is -x


def test_without_positions_the_instance_number_sorts(tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=3)
    for number, path in zip((12, 3, 7), paths, strict=True):
        edit(path, InstanceNumber=number, ImagePositionPatient=None)
    (scan,) = find_series(tmp_path)
    assert [one.header.InstanceNumber for one in scan.instances] == [3, 7, 12]
    assert scan.notes == ("positions are missing: sorted by InstanceNumber",)


def test_without_positions_and_numbers_the_order_is_doubtful(tmp_path: Path) -> None:
    for path in make_series(tmp_path, slices=3):
        edit(path, InstanceNumber=None, ImagePositionPatient=None)
    (scan,) = find_series(tmp_path)
    (note,) = scan.notes
    assert note.endswith("as far as there is one, then by UID: the order may be wrong")


@pytest.mark.parametrize("order", ["little", "big"])
def test_half_of_a_pair_says_what_to_do(tmp_path: Path, order: Literal["little", "big"]) -> None:
    (tmp_path / "a.hdr").write_bytes((348).to_bytes(4, order) + bytes(344))
    (tmp_path / "b.hdr").write_text("ENVI")
    for name in ("a.img", "b.img", "c.img"):
        (tmp_path / name).write_bytes(bytes(200))
    told = {one.path.name: one.reason for one in find_series(tmp_path).unused}
    pair = "half of a NIfTI or Analyze pair (.hdr, .img) is not read: convert it to .nii"
    other = "not a DICOM file"
    assert told == {
        "a.hdr": pair, "a.img": pair, "b.hdr": other, "b.img": other, "c.img": other
    }  # fmt: skip


@pytest.mark.parametrize(
    ("orientation", "what"),
    [
        (None, "the orientation is missing"),
        ("", "the orientation is missing"),
        (["0"] * 6, "the orientation is no direction"),
        (["1", "0", "0", "1", "0", "0"], "the orientation is no direction"),
        (["1", "0", "0"], "the orientation is no direction"),
    ],
)
def test_without_orientation_positions_are_not_called_missing(
    tmp_path: Path, orientation: object, what: str
) -> None:
    for path in make_series(tmp_path, slices=2):
        edit(path, ImageOrientationPatient=orientation)
    (scan,) = find_series(tmp_path)
    assert scan.notes == (f"{what}: sorted by InstanceNumber",)


@pytest.mark.parametrize("spacing", [None, "", ["0", "0"], ["-0.7", "0.7"], ["0.7"]])
def test_an_unknown_pixel_size_is_noted(tmp_path: Path, spacing: object) -> None:
    first, second = make_series(tmp_path, slices=2)
    edit(second, PixelSpacing=spacing)
    (scan,) = find_series(tmp_path)
    assert scan.notes == ("the pixel size (PixelSpacing) of 1 of 2 images is not known",)
    edit(first, PixelSpacing=spacing)
    (scan,) = find_series(tmp_path)
    assert scan.notes == ("the pixel size (PixelSpacing) of 2 of 2 images is not known",)


def test_pixels_of_different_sizes_are_noted(tmp_path: Path) -> None:
    _, second, third = make_series(tmp_path, slices=3)
    edit(second, PixelSpacing=["0.7", "0.8"])
    (scan,) = find_series(tmp_path)
    differing = "pixels are of 2 sizes, 0.7 x 0.7 mm to 0.7 x 0.8 mm: measured by the first"
    assert scan.notes == (differing,)
    edit(third, ImagePositionPatient=None)
    (scan,) = find_series(tmp_path)
    assert scan.notes == ("positions are missing: sorted by InstanceNumber", differing)


def test_pixel_sizes_in_other_digits_are_one(tmp_path: Path) -> None:
    _, second = make_series(tmp_path, slices=2, spacing=("0.703125", "0.703125"))
    edit(second, PixelSpacing=["0.7031250", "0.70313"])
    (scan,) = find_series(tmp_path)
    assert scan.notes == ()


def test_odd_number_strings_are_read(tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=3)
    for text, path in zip(("001.000000E+01", "-05", " 2.5 "), paths, strict=True):
        ds = pydicom.dcmread(path)
        ds["ImagePositionPatient"]
        ds.ImagePositionPatient = ["0", "0", text]
        ds.save_as(path)
    assert heights(find_series(tmp_path)) == [[-5.0, 2.5, 10.0]]


@pytest.mark.parametrize(
    ("positions", "note"),
    [
        ([0, 2, 4, 8, 10], "1 gap(s), the largest 4.00 mm where slices are usually 2.00 mm apart"),
        ([0, 2, 2, 4], "1 of 4 slices lie where another one lies"),
        ([0, 2, 4.5, 6], "uneven spacing, 1.50 to 2.50 mm"),
        ([(0, 0, 0), (0, 0, 2), (0, 0, 4)], None),
        ([(0, 0, 0), (0, 0.7, 2), (0, 1.4, 4)], "slices are tilted by 19.3 degrees"),
    ],
)
def test_positions_are_described_and_stop_nothing(
    tmp_path: Path, positions: list[float], note: str | None
) -> None:
    make_series(tmp_path, positions=positions)
    (scan,) = find_series(tmp_path)
    assert scan.notes == ((note,) if note else ())
    assert len(scan.instances) == len(positions)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"kernel": "B70f"}, "kernel B70f"),
        ({"rows": 16, "columns": 16}, "matrix 16 x 16"),
        ({"orientation": tuple("010001")}, "orientation 0 1 0 0 0 1"),
        ({"extra": {"AcquisitionNumber": 2}}, "acquisition 2"),
    ],
)
def test_what_does_not_belong_together_is_split(
    tmp_path: Path, change: dict[str, object], key: str
) -> None:
    make_series(tmp_path / "a", series_uid="1.2.3")
    for path in make_series(tmp_path / "b", series_uid="1.2.3", **change):  # type: ignore[arg-type]
        edit(path, SOPInstanceUID=pydicom.dcmread(path).SOPInstanceUID[:60] + ".7")
    scans = find_series(tmp_path).scans
    assert len(scans) == 2
    assert key in [scan.split_key for scan in scans]
    assert all(scan.source_uid == "1.2.3" and len(scan.instances) == 3 for scan in scans)
    assert all("one of 2 parts of its series" in scan.notes[0] for scan in scans)


def test_two_patients_under_one_uid_are_told_apart_and_not_named(tmp_path: Path) -> None:
    for patient in ("ID-ROE", "ID-DOE"):
        make_series(tmp_path / patient, patient_id=patient, series_uid="1.2.3")
    for number, path in enumerate(sorted(tmp_path.rglob("*.dcm"))):
        edit(path, SOPInstanceUID=f"1.2.3.{number}")
    scans = find_series(tmp_path).scans
    assert [scan.split_key for scan in scans] == ["patient 1, study 1", "patient 2, study 2"]
    for scan, patient in zip(scans, ("ID-DOE", "ID-ROE"), strict=True):
        assert {one.header.PatientID for one in scan.instances} == {patient}
        assert not any("ID-" in note for note in scan.notes)
    for path in tmp_path.rglob("*.dcm"):
        edit(path, StudyInstanceUID=None)
    studies = {study_uid(scan) for scan in find_series(tmp_path)}
    assert len(studies) == 2


def test_an_image_that_names_no_patient_stays_in_its_series(tmp_path: Path) -> None:
    paths = make_series(tmp_path)
    edit(paths[1], PatientID="", StudyInstanceUID=None)
    assert [scan.split_key for scan in find_series(tmp_path)] == [""]


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"RescaleSlope": "0"}, [1, 0]),  # the part is told by its kernel
        ({"RescaleSlope": "0", "Rows": 0}, [1, 0]),
        ({"RescaleSlope": "0", "ConvolutionKernel": "other"}, [1, 1]),  # of any part
    ],
)
def test_what_failed_is_lost_to_its_own_part(
    tmp_path: Path, change: dict[str, object], lost: list[int]
) -> None:
    paths = make_series(tmp_path / "a", series_uid="1.2.3")
    for path in make_series(tmp_path / "b", series_uid="1.2.3", kernel="B70f"):
        edit(path, SOPInstanceUID=pydicom.dcmread(path).SOPInstanceUID[:60] + ".7")
    edit(paths[1], **change)
    scans = find_series(tmp_path).scans
    assert [scan.split_key for scan in scans] == ["kernel B30f", "kernel B70f"]
    assert [scan.lost for scan in scans] == lost


@pytest.mark.parametrize(
    "change",
    [
        {"FrameOfReferenceUID": "1.2.3.4"},
        {"ImageOrientationPatient": ["0.9999999", "0", "0", "0", "1", "0.0001"]},
        {"AcquisitionNumber": 2},  # one table position after the other
        {"RescaleType": None},
    ],
)
def test_what_belongs_together_is_not_split(tmp_path: Path, change: dict[str, object]) -> None:
    paths = make_series(tmp_path, slices=4)
    for path in paths[2:]:
        edit(path, **change)
    assert [len(scan.instances) for scan in find_series(tmp_path)] == [4]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "a reformat"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CSA MIP"]}, "a maximum intensity"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MIN IP"]}, "a minimum intensity"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "AVERAGE"]}, "an average image"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "DE_VNC"]}, "a virtual non-contrast"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "MAT_REMOVED"]}, "an image from which"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "MAT_MODIFIED"]}, "an image in which a m"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "MAT_FRACTIONAL"]}, "a material map"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "MAT_VALUE_BASED"]}, "a material map"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "a derived image (DERIVED/PRIMARY/AXIAL)"),
        ({"RescaleType": "HU_MOD"}, "its values are no HU (RescaleType HU_MOD)"),
        ({"RescaleType": "US"}, "the unit of its values is unspecified"),
        ({"ModalityLUTSequence": [Dataset()]}, "its values are no HU (ModalityLUTSequence)"),
        ({"BurnedInAnnotation": "YES"}, "text is burned into it"),
        ({"NumberOfFrames": 3}, "3 frames in one file"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "a colour image (RGB)"),
        ({"Modality": "PT"}, "no CT image (PT)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "a secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "Modality": "MR"}, "no CT image (MR)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.2"}, "Legacy Converted CT (multi-frame)"),
        ({"SOPClassUID": "1.2.3", "Modality": None}, "no CT image (1.2.3)"),
    ],
)
def test_sound_files_that_are_no_ct_slice_are_skipped(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    (path,) = make_series(tmp_path, slices=1)
    edit(path, **change)
    found = find_series(tmp_path)
    assert found.scans == ()
    (one,) = found.unused
    assert one.outcome == "skipped"
    assert one.reason.startswith(reason)
    assert one.series_uid == str(pydicom.dcmread(path).SeriesInstanceUID)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"RescaleSlope": None}, "RescaleSlope is missing"),
        ({"RescaleSlope": "1e400"}, "RescaleSlope is no finite number"),
        ({"RescaleIntercept": "-1e400"}, "RescaleIntercept is no finite number"),
        ({"RescaleSlope": "0"}, "RescaleSlope is 0"),
        ({"RescaleIntercept": ""}, "RescaleIntercept is missing"),
        ({"Rows": None, "HighBit": None}, "the header has no Rows and no HighBit"),
        ({"Rows": 0}, "0 x 32 pixels are no CT slice"),
        ({"Rows": 65535, "Columns": 65535}, "65535 x 65535 pixels are no CT slice"),
        ({"BitsAllocated": 8}, "pixels of 8 bits"),
        ({"BitsStored": 17}, "BitsStored 17, HighBit 11"),
    ],
)
def test_ct_slices_that_cannot_be_used_have_failed(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    paths = make_series(tmp_path, slices=2)
    edit(paths[1], **change)
    found = find_series(tmp_path)
    outcome, said = reasons(found)[paths[1].name]
    assert outcome == "failed"
    assert said.startswith(reason)
    (scan,) = found.scans
    assert len(scan.instances) == 1
    assert scan.lost == 1


def test_images_derived_by_lossy_compression_alone_are_taken(tmp_path: Path) -> None:
    lossy = {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"], "LossyImageCompression": "01"}
    make_series(tmp_path, extra=lossy)
    (scan,) = find_series(tmp_path)
    assert scan.notes == ("the source was compressed with loss",)


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"RescaleType": "US"}, "us", "the unit of its values is unspecified (RescaleType US)"),
        ({"BurnedInAnnotation": "YES"}, "burned-in", "text is burned into it"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "AVERAGE"]}, "averages", "an average"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "VMI"]}, "monoenergetic", "a virtual mono"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "reformats", "a derived image (DERIVED"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "derived", "a derived image (DERIVED"),
    ],
)
def test_what_is_asked_for_is_taken_and_flagged(
    tmp_path: Path, change: dict[str, object], name: str, reason: str
) -> None:
    make_series(tmp_path, extra=change)
    others = frozenset(ADMISSIBLE) - {name}
    found = find_series(tmp_path, admit=others)
    assert {one.outcome for one in found.unused} == {"skipped"}
    assert found.scans == ()
    (scan,) = find_series(tmp_path, admit=frozenset({name}))
    (flag,) = scan.notes
    assert flag.startswith("OUT_OF_DISTRIBUTION: ")
    assert reason in flag


def test_what_can_never_be_asked_for(tmp_path: Path) -> None:
    make_series(tmp_path, image_type=["DERIVED", "SECONDARY", "AXIAL", "VNC"])
    assert find_series(tmp_path, admit=frozenset(ADMISSIBLE)).scans == ()
    with pytest.raises(ConfigError, match="'mips' cannot be asked for"):
        find_series(tmp_path, admit=frozenset({"mips"}))


def test_units_are_split_where_unspecified_ones_are_asked_for(tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=4)
    for path in paths[2:]:
        edit(path, RescaleType="US")
    (scan,) = find_series(tmp_path)
    assert len(scan.instances) == 2
    both = find_series(tmp_path, admit=frozenset({"us"}))
    assert [scan.split_key for scan in both] == ["rescale type HU", "rescale type US"]


def test_our_own_results_are_not_denoised_again(workshop: Workshop) -> None:
    workshop.derive(workshop.make())
    found = find_series(workshop.target)
    assert found.scans == ()
    assert {one.reason for one in found.unused} == {"already denoised by ldct_clipdn"}
    again = find_series(workshop.target, admit=frozenset({"own"}))
    assert [len(scan.instances) for scan in again] == [3]


def test_our_own_dose_simulation_is_denoised(tmp_path: Path) -> None:
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109100", "DCM"
    purpose.CodeMeaning = "Synthesizing Equipment"
    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName = "us", "ldct_clipdn"
    item.PurposeOfReferenceCodeSequence = [purpose]
    derived = ["DERIVED", "PRIMARY", "AXIAL"]
    make_series(tmp_path, extra={"ImageType": derived, "ContributingEquipmentSequence": [item]})
    assert len(find_series(tmp_path).scans) == 1


def test_files_that_are_no_dicom(tmp_path: Path) -> None:
    make_series(tmp_path, slices=1)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "text.dcm").write_text("hello")
    (tmp_path / "TEXT.IMA").write_text("hello")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "empty").touch()
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    found = find_series(tmp_path)
    assert reasons(found) == {
        "notes.txt": ("skipped", "not a DICOM file"),
        "text.dcm": ("failed", "not a DICOM file"),
        "TEXT.IMA": ("failed", "not a DICOM file"),
        "empty.dcm": ("failed", "the file is empty"),
        "empty": ("skipped", "not a DICOM file"),
        "broken": ("skipped", "no regular file, or a broken link"),
        "pipe": ("skipped", "no regular file, or a broken link"),
    }


def test_what_cannot_be_opened_has_failed_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(tmp_path / "open")
    (tmp_path / "closed").mkdir()
    (tmp_path / "no_suffix").write_bytes(b"x")
    scandir, read = os.scandir, Path.open

    def refuse(path: object) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    def refuse_file(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "no_suffix":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *args, **options)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "open", refuse_file)
    found = find_series(tmp_path)
    assert len(found.scans) == 1
    assert reasons(found) == {
        "closed": ("failed", "the folder cannot be read: Permission denied"),
        "no_suffix": ("failed", "it cannot be read: Permission denied"),
    }


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    make_series(tmp_path / "real", slices=2)
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    assert [len(scan.instances) for scan in find_series(root)] == [2]


def test_copies_of_an_image_are_used_once(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(paths[0], tmp_path / "b" / "same_bytes")
    write_file(pydicom.dcmread(paths[1]), tmp_path / "b" / "recoded", "1.2.840.10008.1.2.4.90")
    found = find_series(tmp_path)
    assert [len(scan.instances) for scan in found] == [3]
    assert reasons(found) == {
        "same_bytes": ("skipped", "a copy of a/IM0000.dcm"),
        "recoded": ("skipped", "a copy of a/IM0001.dcm"),
    }


@pytest.mark.parametrize("how", ["pixels", "position", "cut off"])
def test_two_images_under_one_uid_fail_the_series(tmp_path: Path, how: str) -> None:
    paths = make_series(tmp_path / "a")
    other = make_series(tmp_path / "b", hu=np.zeros((3, 32, 32)), series_description="other")
    uids = {name: pydicom.dcmread(paths[0])[name].value for name in
            ("SOPInstanceUID", "SeriesInstanceUID")}  # fmt: skip
    if how == "position":
        shutil.copy(paths[0], other[0])
        edit(other[0], ImagePositionPatient=["0", "0", "99"])
    elif how == "cut off":
        other[0].write_bytes(paths[0].read_bytes()[:-100])
    else:
        edit(other[0], **uids)
    found = find_series(tmp_path)
    assert [scan.source_uid for scan in found] == [pydicom.dcmread(other[1]).SeriesInstanceUID]
    failed = [one for one in found.unused if one.outcome == "failed"]
    assert len(failed) == 4
    assert all("bear the same SOPInstanceUID and differ" in one.reason for one in failed)


def test_pydicoms_own_ct_is_found() -> None:
    (scan,) = find_series(Path(get_testdata_file("CT_small.dcm")))
    assert scan.source_uid == "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"


def test_headers_that_hold_rubbish_stop_nothing(tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=4)
    for path, tag in zip(paths, (b"\x20\x00\x32\x00", b"\x20\x00\x37\x00", b"\x20\x00\x13\x00",
                                 b"\x28\x00\x30\x00"), strict=True):  # fmt: skip
        content = bytearray(path.read_bytes())
        at = content.index(tag) + 8
        content[at : at + 2] = b"?!"
        path.write_bytes(content)
    found = find_series(tmp_path)
    assert sum(len(scan.instances) for scan in found) == 4


def test_what_macos_leaves_beside_files_is_skipped(tmp_path: Path) -> None:
    make_series(tmp_path / "in", slices=1)
    notes = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(200)
    for name in ("._IM0000.dcm", "._v.nii.gz", "._v.mha"):
        (tmp_path / "in" / name).write_bytes(notes)
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        archive.writestr("__MACOSX/._a.dcm", notes)
    plan = plan_study(tmp_path / "in", tmp_path / "out")
    assert len(plan.unused) == 4
    assert {(one.outcome, one.reason) for one in plan.unused} == {
        ("skipped", "what macOS notes on a file (AppleDouble)")
    }


def test_what_lies_too_deep_is_named_with_what_to_do(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path / "in", slices=1)
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.write(path, "a.dcm")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
        archive.writestr("v.nii.gz", b"x")
        archive.writestr("readme.txt", b"x")
    assert reasons(find_series(tmp_path / "outer.zip")) == {
        "inner.zip": ("skipped", "an archive in an archive is not read: unpack the outer one"),
        "v.nii.gz": ("skipped", "a volume in an archive is not read: unpack the archive"),
        "readme.txt": ("skipped", "not a DICOM file"),
    }


def test_two_images_under_one_uid_are_named_in_full(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path / "a" / "x", slices=1)
    (tmp_path / "a" / "y").mkdir()
    shutil.copy(path, tmp_path / "a" / "y")
    edit(tmp_path / "a" / "y" / path.name, ImagePositionPatient=["0", "0", "99"])
    one, other = find_series(tmp_path / "a").unused
    assert one.reason == other.reason
    assert one.reason.startswith("x/IM0000.dcm and y/IM0000.dcm bear the same SOPInstanceUID")


def test_headers_are_kept_of_what_failed_alone(tmp_path: Path) -> None:
    """A run holds its plan to the end, and an RTSTRUCT's header may have 30 MB."""
    paths = make_series(tmp_path, slices=4)
    edit(paths[0], Modality="RTSTRUCT")
    edit(paths[1], RescaleSlope="0")
    (tmp_path / "copy.dcm").write_bytes(paths[2].read_bytes())
    kept = {one.outcome: [] for one in find_series(tmp_path).unused}
    for one in find_series(tmp_path).unused:
        kept[one.outcome].append(one.header is not None)
    assert kept == {"skipped": [False, False], "failed": [True]}


def test_notes_are_logged_as_the_terminal_shows_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_series(tmp_path)
    (scan,) = find_series(tmp_path)
    with caplog.at_level(logging.DEBUG):
        plan_run(Found((replace(scan, notes=("kernel B\x1b[2J\n30",)),), ()))
    (record,) = caplog.records
    assert record.getMessage() == f"series {scan.source_uid}: kernel B?[2J?30"
