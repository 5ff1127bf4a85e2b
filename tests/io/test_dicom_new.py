"""Made-up series: valid DICOM, read back to the same HU, and honest about what they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.dicom_new import write_new
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series

SYNTHETIC_DATA = "(0008,001c)"
"""SyntheticData is newer than dicom3tools of 2022."""


def write(folder: Path, hu: np.ndarray, **changes: object) -> list[Path]:
    options = {
        "spacing_mm": (3.0, 0.7, 0.8),
        "patient_id": "PHANTOM-0",
        "series_description": "Phantom, noise-free",
        **changes,
    }
    return write_new(hu, folder, **options)  # type: ignore[arg-type]


def ramp(slices: int = 3, rows: int = 12, columns: int = 16) -> np.ndarray:
    values = np.linspace(-1024, 3071, slices * rows * columns)
    return values.reshape(slices, rows, columns).astype(np.float32)


def test_reads_back_to_the_same_hu_and_geometry(tmp_path: Path) -> None:
    hu = ramp()
    paths = write(tmp_path / "new", hu)
    (scan,) = find_series(tmp_path)
    assert [one.path for one in scan.instances] == paths
    assert scan.notes == ()
    assert scan.spacing_mm == (0.7, 0.8)
    for index, instance in enumerate(scan.instances):
        np.testing.assert_array_equal(read_slice(instance).hu, np.rint(hu[index]))
        assert not read_slice(instance).padding.any()
        assert instance.header.ImagePositionPatient == pytest.approx([-6, -3.85, 3 * index - 3])
        assert instance.header.InstanceNumber == index + 1


def test_says_what_it_is(tmp_path: Path) -> None:
    ds = pydicom.dcmread(write(tmp_path, ramp())[0])
    assert ds.SyntheticData == ds.QualityControlImage == "YES"
    assert ds.PatientName == "PHANTOM^ABDOMEN"
    assert ds.ManufacturerModelName == "ldct_clipdn"
    assert ds.ContentQualification == "RESEARCH"
    (equipment,) = ds.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
    assert not any(ds.get(name) for name in ("StudyDate", "ContentDate", "KVP", "PatientBirthDate"))


def test_hu_are_rounded_and_limited_to_12_bits(tmp_path: Path) -> None:
    hu = np.array([[[-3000.0, -1024.4, 0.5], [1.5, 3071.4, 9000.0]]])
    ds = pydicom.dcmread(write(tmp_path, hu)[0])
    np.testing.assert_array_equal(ds.pixel_array, [[0, 0, 1024], [1026, 4095, 4095]])
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 12, 11, 0)


def test_same_call_same_bytes_and_other_pixels_other_uids(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a", ramp()), write(tmp_path / "b", ramp())
    other = write(tmp_path / "c", ramp() + 1)
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in again]
    a, c = pydicom.dcmread(first[0]), pydicom.dcmread(other[0])
    for shared in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert a[shared] == c[shared]
    assert a.SeriesInstanceUID != c.SeriesInstanceUID
    uids = [pydicom.dcmread(one).SOPInstanceUID for one in (*first, *other)]
    assert len(set(uids)) == 6
    assert all(uid.is_valid and int(uid.split(".")[1]) < 2**128 for uid in uids)


def test_another_patient_is_another_study(tmp_path: Path) -> None:
    a, b = (
        pydicom.dcmread(write(tmp_path / one, ramp(), patient_id=one)[0]) for one in ("P1", "P2")
    )
    assert a.StudyInstanceUID != b.StudyInstanceUID
    assert a.FrameOfReferenceUID != b.FrameOfReferenceUID


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    hu = abdomen_phantom(2, 33, 0)
    for path in write(tmp_path, hu, spacing_mm=spacing_mm(33)):
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, check=False)
        lines = done.stderr.decode("latin-1").splitlines()
        assert "CTImage" in lines
        errors = [one for one in lines if one.startswith("Error") and SYNTHETIC_DATA not in one]
        assert errors == []


@pytest.mark.skipif(shutil.which("dcentvfy") is None, reason="dcentvfy is not installed")
def test_dcentvfy_finds_the_patient_consistent(tmp_path: Path) -> None:
    paths = [*write(tmp_path / "a", ramp()), *write(tmp_path / "b", ramp() + 9, series_number=2)]
    done = subprocess.run(["dcentvfy", *map(str, paths)], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(1e-6, 1e6)] * 3), st.integers(1, 3))
def test_any_spacing_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, spacing: tuple[float, float, float], slices: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    ds = pydicom.dcmread(write(folder, ramp(slices, 2, 2), spacing_mm=spacing)[-1])
    assert list(ds.PixelSpacing) == pytest.approx(spacing[1:], rel=1e-9)
    assert ds.SliceThickness == pytest.approx(spacing[0], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hu": np.zeros((4, 4))}, "no volume"),
        ({"hu": np.zeros((0, 4, 4))}, "no volume"),
        ({"hu": np.full((1, 4, 4), np.nan)}, "no volume of finite HU"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, "not positive"),
        ({"patient_id": "a\\b"}, "cannot stand in a DICOM header"),
        ({"series_description": "x" * 65}, "cannot stand in a DICOM header"),
        ({"patient_name": "Müller"}, "cannot stand in a DICOM header"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(WriteError, match=reason):
        write(tmp_path / "new", **{"hu": ramp(), **change})  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_never_writes_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(WriteError, match="the folder is not empty"):
        write(tmp_path, ramp())
    with pytest.raises(WriteError, match="the series cannot be written"):
        write(tmp_path / "notes.txt", ramp())
