"""Which slices are compared with which: by position, number or name, and never by luck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_series

from ldct_clipdn.data.pairs import Pair, find_pairs
from ldct_clipdn.errors import DataError, ReadError

UNIT = {"slope": "1", "intercept": "-1024"}


def flat(value: float) -> np.ndarray:
    return np.full((8, 8), value, dtype=np.float32)


def volume(*values: float) -> np.ndarray:
    return np.stack([flat(value) for value in values])


def values(pairs: list[Pair]) -> list[tuple[float, ...]]:
    """What each pair reads, one number per image, since all slices here are flat."""
    readers = ((one.result, one.reference, one.noisy) for one in pairs)
    return [tuple(float(read()[0, 0]) for read in row if read) for row in readers]


# --- DICOM -----------------------------------------------------------------------------------


def series(folder: Path, *hu: float, **options: object) -> Path:
    make_series(folder, hu=volume(*hu), slices=len(hu), **options)  # type: ignore[arg-type]
    return folder


def test_dicom_is_paired_by_position_whatever_names_and_numbers_say(tmp_path: Path) -> None:
    result = series(tmp_path / "a", 10, 20, 30, positions=[4, 2, 0])
    reference = series(tmp_path / "b", 31, 21, 11, positions=[0, 2, 4], names="X{:02d}.ima")
    noisy = series(tmp_path / "c", 22, 12, 32, positions=[2, 4, 0], names="{}")
    assert values(find_pairs(result, reference, noisy)) == [
        (30, 31, 32),
        (20, 21, 22),
        (10, 11, 12),
    ]
    assert [one.name for one in find_pairs(result, reference)] == ["3", "2", "1"]


def test_one_file_is_a_series(tmp_path: Path) -> None:
    result = series(tmp_path / "a", 5)
    reference = series(tmp_path / "b", 6)
    assert values(find_pairs(result / "IM0000.dcm", reference)) == [(5, 6)]


def test_without_positions_the_number_counts(tmp_path: Path) -> None:
    result = series(tmp_path / "a", 10, 20)
    reference = series(tmp_path / "b", 21, 11, extra={"ImagePositionPatient": None})
    for path, number in zip(sorted(reference.iterdir()), (2, 1), strict=True):
        edit(path, InstanceNumber=number)
    assert values(find_pairs(result, reference)) == [(10, 11), (20, 21)]


def test_two_slices_at_one_place_are_told_apart_by_number(tmp_path: Path) -> None:
    result = series(tmp_path / "a", 10, 20, positions=[0, 0])
    reference = series(tmp_path / "b", 11, 21, positions=[0, 0])
    assert values(find_pairs(result, reference)) == [(10, 11), (20, 21)]
    for path in reference.iterdir():
        edit(path, InstanceNumber=1)
    with pytest.raises(DataError, match="neither positions nor InstanceNumbers"):
        find_pairs(result, reference)


def test_series_of_other_places_are_refused(tmp_path: Path) -> None:
    result = series(tmp_path / "a", 10, 20, positions=[0, 2])
    reference = series(tmp_path / "b", 10, 20, positions=[0, 2.5])
    with pytest.raises(DataError, match=r"lies at 2\.00 mm .* at 2\.50 mm"):
        find_pairs(result, reference)


def test_unequal_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 slices cannot be paired with 3"):
        find_pairs(series(tmp_path / "a", 1, 2), series(tmp_path / "b", 1, 2, 3))


def test_a_folder_of_two_series_is_refused(tmp_path: Path) -> None:
    series(tmp_path / "both" / "a", 1, kernel="A")
    series(tmp_path / "both" / "b", 1, kernel="B")
    with pytest.raises(DataError, match="2 CT series.*both/a.*both/b"):
        find_pairs(tmp_path / "both", series(tmp_path / "c", 1))


def test_what_is_no_ct_does_not_count(tmp_path: Path) -> None:
    result = series(tmp_path / "a", 1)
    make_series(result / "mr", slices=1, extra={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"})
    assert len(find_pairs(result, series(tmp_path / "b", 1))) == 1


@pytest.mark.data
def test_frames_of_enhanced_ct_are_slices(data: Path) -> None:
    path = data / "quirks" / "made_ct_enhanced_perframe_rescale.dcm"
    ds = pydicom.dcmread(path)
    pairs = find_pairs(path, path)
    assert len(pairs) == ds.NumberOfFrames > 1
    by_name = {one.name: one.result() for one in pairs}
    for index, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        (rescale,) = group.PixelValueTransformationSequence
        hu = ds.pixel_array[index] * rescale.RescaleSlope + rescale.RescaleIntercept
        np.testing.assert_allclose(by_name[f"{ds.InstanceNumber}[{index}]"], hu, rtol=1e-6)


# --- arrays and volumes ----------------------------------------------------------------------


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def test_two_files_are_paired_whatever_their_names(tmp_path: Path) -> None:
    result = save(tmp_path / "x.npy", volume(10, 20))
    reference = save(tmp_path / "y.npy", volume(11, 21))
    pairs = find_pairs(result, reference)
    assert values(pairs) == [(10, 11), (20, 21)]
    assert [one.name for one in pairs] == ["x[0]", "x[1]"]


def test_folders_are_paired_by_case(tmp_path: Path) -> None:
    for case, value in (("a", 10), ("b", 20)):
        save(tmp_path / "out" / f"{case}_denoised.npy", flat(value))
        save(tmp_path / "data" / f"{case}_target.npy", flat(value + 1))
        save(tmp_path / "data" / f"{case}_input.npy", flat(value + 2))
    pairs = find_pairs(tmp_path / "out", tmp_path / "data", tmp_path / "data")
    assert values(pairs) == [(10, 11, 12), (20, 21, 22)]


def test_one_name_in_a_folder_for_each_patient(tmp_path: Path) -> None:
    """As `denoise` writes volumes whose source lies in folders."""
    for patient, value in (("p1", 10), ("p2", 20)):
        save(tmp_path / "out" / patient / "ct_denoised.npy", flat(value))
        save(tmp_path / "ref" / patient / "ct.npy", flat(value + 1))
    pairs = find_pairs(tmp_path / "out", tmp_path / "ref")
    assert values(pairs) == [(10, 11), (20, 21)]
    assert [one.name for one in pairs] == ["p1/ct_denoised", "p2/ct_denoised"]


def test_names_without_partner_are_listed(tmp_path: Path) -> None:
    for case in "abcde":
        save(tmp_path / "out" / f"{case}.npy", flat(10))
        save(tmp_path / "ref" / f"{case.upper() if case != 'a' else case}.npy", flat(10))
    with pytest.raises(DataError, match=r"4 slices without a partner in .*ref: b, c, d, \.\.\."):
        find_pairs(tmp_path / "out", tmp_path / "ref")


def test_one_case_twice_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "out" / "a.npy", flat(10))
    save(tmp_path / "out" / "a_input.npy", flat(10))
    with pytest.raises(DataError, match="several files are of the case 'a'"):
        find_pairs(tmp_path / "out", save(tmp_path / "a.npy", flat(10)))


def test_prepared_values_become_hu(tmp_path: Path) -> None:
    prepared = [save(tmp_path / f"{k}.npy", (volume(-1000, 60 + k) + 1024) / 4096) for k in (0, 1)]
    pairs = find_pairs(*prepared, prepared=True)
    assert np.allclose(values(pairs), [(-1000, -1000), (60, 61)], atol=1e-3)
    with pytest.raises(DataError, match=r"run from 0\.\d+ to 0\.\d+: these are no HU.*--prepared"):
        find_pairs(*prepared)[1].result()
    hu = save(tmp_path / "hu.npy", flat(60))
    with pytest.raises(DataError, match="these are HU. Leave out --prepared"):
        find_pairs(hu, hu, prepared=True)[0].result()


def test_volumes_are_read_from_the_feet_up(tmp_path: Path) -> None:
    import nibabel

    up = nibabel.Nifti1Image(volume(10, 20).T, np.diag([1.0, 1, 2, 1]))
    down = nibabel.Nifti1Image(volume(21, 11).T, np.diag([1.0, 1, -2, 1]))
    nibabel.save(up, tmp_path / "up_denoised.nii.gz")
    nibabel.save(down, tmp_path / "down.nii")
    pairs = find_pairs(tmp_path / "up_denoised.nii.gz", tmp_path / "down.nii")
    assert values(pairs) == [(10, 11), (20, 21)]


def test_different_formats_are_not_paired(tmp_path: Path) -> None:
    array = save(tmp_path / "a.npy", flat(1000))
    with pytest.raises(DataError, match="DICOM cannot be paired with arrays or volumes"):
        find_pairs(array, series(tmp_path / "b", 1))
    save(tmp_path / "b" / "a.npy", flat(1000))
    with pytest.raises(DataError, match="holds both DICOM and arrays"):
        find_pairs(tmp_path / "b", array)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((2, 2, 8, 8)), r"shape \(2, 2, 8, 8\)"),
        (np.zeros((0, 8)), r"shape \(0, 8\)"),
        (np.array([["a"]]), "type <U1"),
        (np.array([[None]], dtype=object), "cannot be read as an array"),
        (np.full((8, 8), np.nan), "NaN or infinite"),
    ],
)
def test_arrays_that_are_no_slices(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    path = save(tmp_path / "a.npy", array)
    with pytest.raises((DataError, ReadError), match=reason) as caught:
        find_pairs(path, path)[0].result()
    assert caught.value.path == path


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    good = save(tmp_path / "good.npy", flat(1000))
    (tmp_path / "cut.npy").write_bytes(good.read_bytes()[:150])
    with pytest.raises(ReadError, match="cannot be read as an array"):
        find_pairs(tmp_path / "cut.npy", good)
    with pytest.raises(ReadError, match="no such file"):
        find_pairs(tmp_path / "none", good)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    with pytest.raises(DataError, match="nothing here that can be compared"):
        find_pairs(tmp_path / "text", good)
