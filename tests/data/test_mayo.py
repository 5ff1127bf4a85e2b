from __future__ import annotations

import logging
import pickle
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import body_hu, edit, make_enhanced, make_series
from ct_layouts import SIZE, make_mayo, make_prepared
from hypothesis import given
from hypothesis import strategies as st

from ldct_clipdn.data.doses import match_doses
from ldct_clipdn.data.mayo import split_by_patient, training_sets
from ldct_clipdn.data.names import dose_word, path_traits
from ldct_clipdn.data.problems import find_problems
from ldct_clipdn.data.slice_files import read_hu
from ldct_clipdn.data.slices import CTSlice, FoundSlices, find_slices, read_frames
from ldct_clipdn.errors import ConfigError, DataError


def traits(found: FoundSlices) -> Counter[tuple[str, str, str, float | None]]:
    return Counter((one.patient, one.dose, one.kernel, one.thickness_mm) for one in found.slices)


def kinds_of_problems(root: Path) -> list[str]:
    found = find_slices(root)
    return [one.kind for one in find_problems(found, match_doses(found.slices))]


# --- layouts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order", ["{dose}_1mm/{patient}", "{patient}/{dose}_1mm", "{patient}_{dose}"]
)
@pytest.mark.parametrize("named", [True, False])
def test_challenge_layouts_give_patient_and_dose(tmp_path: Path, order: str, named: bool) -> None:
    for patient in ("L067", "L506"):
        for dose in ("full", "quarter"):
            folder = tmp_path / "data" / order.format(dose=dose, patient=patient)
            # unnamed: neither PatientName nor the file name says anything, only the folders
            names = None if named else "{:06d}.IMA"
            make_mayo(folder, patient, dose, named_patient=named, names=names)
    if order == "{patient}_{dose}" and not named:
        return  # nothing but a name such as L067_full says the dose, which is none of Mayo's
    found = find_slices(tmp_path / "data")
    assert traits(found) == {
        (patient, dose, "B30f", 1.0): 3
        for patient in ("L067", "L506")
        for dose in ("normal", "low")
    }
    assert len(match_doses(found.slices).pairs) == 6
    assert not found.unused


def test_tcia_layout_reads_the_series_and_leaves_projections_alone(tmp_path: Path) -> None:
    root = tmp_path / "LDCT-and-Projection-data"
    for name, description, uid in (
        ("1.000000-Full dose images-59704", "Full dose images", "1.2.1"),
        ("1.000000-Low Dose Images-07574", "Low Dose Images", "1.2.2"),
    ):
        make_series(
            root / "L004" / "08-21-2018-84608" / name,
            patient_id="L004",
            patient_name="L004",
            series_description=description,
            series_uid=uid,
            names="1-{:03d}.dcm",
        )
    raw = root / "L004" / "08-21-2018-10971" / "1.000000-Full dose projections-24362"
    make_series(raw, patient_id="L004", series_uid="1.2.3")  # would count as CT if it were read
    found = find_slices(root)
    assert traits(found) == {("L004", "normal", "B30f", 2.0): 3, ("L004", "low", "B30f", 2.0): 3}
    assert len(match_doses(found.slices).pairs) == 3
    assert [(one.path, one.outcome) for one in found.unused] == [(raw, "skipped")]


def test_tags_alone_say_patient_and_dose_and_come_before_names(tmp_path: Path) -> None:
    for number, dose in enumerate(("full", "quarter")):
        make_mayo(tmp_path / f"series{number}", "L067", dose, names="{:04d}.IMA")
    for number, description in enumerate(("Full Dose Images", "Low Dose Images")):
        make_series(
            tmp_path / "L999" / f"quarter_{number}",  # names that say otherwise
            patient_id="C004",
            series_description=description,
            series_uid=f"1.2.{number}",
        )
    make_mayo(tmp_path / "quarter_1mm" / "L333", "L506", "full", names="{:04d}.IMA")
    assert traits(find_slices(tmp_path)) == {
        ("L067", "normal", "B30f", 1.0): 3,
        ("L067", "low", "B30f", 1.0): 3,
        ("C004", "normal", "B30f", 2.0): 3,
        ("C004", "low", "B30f", 2.0): 3,
        ("L506", "normal", "B30f", 1.0): 3,
    }


def test_derived_images_count_where_the_header_names_a_dose(tmp_path: Path) -> None:
    kind = ("DERIVED", "PRIMARY", "AXIAL")
    for number, description in enumerate(("Low Dose Images", "Full dose images", "Denoised 2 mm")):
        make_series(
            tmp_path / str(number),
            patient_id="C004",
            image_type=kind,
            series_description=description,
            series_uid=f"1.2.{number}",
        )
    found = find_slices(tmp_path)
    assert Counter(one.dose for one in found.slices) == {"low": 3, "normal": 3}
    assert {one.path.parent.name for one in found.unused} == {"2"}
    assert {one.reason for one in found.unused} == {"a derived image (DERIVED/PRIMARY/AXIAL)"}


def test_prepared_slices_pair_by_their_number_and_come_back_in_hu(tmp_path: Path) -> None:
    make_prepared(tmp_path / "npy", "L067", range(11), "target")
    make_prepared(tmp_path / "npy", "L506", (2, 10), "target")
    make_prepared(tmp_path / "npy", "L506", (2, 10), "input")
    sets = training_sets(tmp_path / "npy", cache_dir=tmp_path / "cache")
    assert {one["patient"] for one in sets.training} == {"L067"}
    pairs = [one for one in sets.validation if one["set"] == "low_dose"]
    assert [(Path(p["image"]).name, Path(p["low_dose"]).name) for p in pairs] == [
        ("L506_2_target.npy", "L506_2_input.npy"),
        ("L506_10_target.npy", "L506_10_input.npy"),
    ]
    hu = sets.read(Path(pairs[1]["image"]))
    assert hu.dtype == np.float32
    assert np.abs(hu - np.maximum(body_hu(SIZE, SIZE, seed=10), -1024)).max() <= 0.51


def test_unequal_prepared_slices_are_refused(tmp_path: Path) -> None:
    make_prepared(tmp_path / "npy", "L067", (0, 1), "target")
    make_prepared(tmp_path / "npy", "L506", (0, 1, 2), "target")
    make_prepared(tmp_path / "npy", "L506", (0, 2), "input")
    with pytest.raises(DataError, match=r"L506: 1 slice cannot be paired.*L506_1_target") as error:
        training_sets(tmp_path / "npy", cache_dir=tmp_path / "cache")
    assert error.value.path == tmp_path / "npy"
    assert error.value.remedy


def test_prepared_slices_that_are_no_such_thing_are_named(tmp_path: Path) -> None:
    make_prepared(tmp_path, "L067", (0,), "target")
    (tmp_path / "L067_1_target.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(tmp_path / "L067_2_target.npy", np.zeros((4, 4), np.int16))
    np.save(tmp_path / "L067_3_target.npy", body_hu(SIZE, SIZE))  # HU, not rescaled
    np.save(tmp_path / "weights.npy", np.zeros(3))
    found = find_slices(tmp_path)
    assert [one.path.name for one in found.failed] == ["L067_1_target.npy", "L067_2_target.npy"]
    assert [one.path.name for one in found.unused if one.outcome == "skipped"] == ["weights.npy"]
    sets = training_sets(tmp_path, cache_dir=tmp_path / "cache")
    assert [Path(one["image"]).name for one in sets.training] == ["L067_0_target.npy"]
    (reason,) = sets.cache.unreadable.values()
    assert "not in (HU + 1024) / 4096" in reason


def test_any_folder_counts_as_normal_dose(tmp_path: Path) -> None:
    make_series(tmp_path / "a", patient_id="P1", series_description="LOW DOSE CHEST")
    make_series(tmp_path / "LOW DOSE LUNG" / "s", patient_id="P2", series_uid="1.2.9")
    assert traits(find_slices(tmp_path)) == {
        ("P1", "normal", "B30f", 2.0): 3,
        ("P2", "normal", "B30f", 2.0): 3,
    }


@pytest.mark.parametrize("patient_id", ["Anonymous", "", "ANON", "0000", "None"])
def test_anonymous_patients_are_told_apart_by_the_first_folder(
    tmp_path: Path, patient_id: str
) -> None:
    for case in ("case1", "case2"):
        for part in ("first", "second"):
            make_series(
                tmp_path / case / part,
                patient_id=patient_id,
                series_uid=f"1.2.{case[-1]}.{len(part)}",
            )
    assert {one.patient for one in find_slices(tmp_path).slices} == {"case1", "case2"}
    assert {one.patient for one in find_slices(tmp_path / "case1").slices} == {"first", "second"}
    assert {one.patient for one in find_slices(tmp_path / "case1/first").slices} == {"first"}


def test_volumes_in_one_folder_are_patients_of_their_own(tmp_path: Path) -> None:
    import SimpleITK

    for name in ("liver_0.nii.gz", "liver_1.mha"):
        stack = np.stack([body_hu(SIZE, SIZE, seed=k) for k in range(3)]).astype(np.int16)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(stack), str(tmp_path / name))
    found = find_slices(tmp_path)
    assert Counter(one.patient for one in found.slices) == {"liver_0": 3, "liver_1": 3}
    sets = training_sets(tmp_path, cache_dir=tmp_path / "cache", test_patients="liver_1")
    assert [one["frame"] for one in sets.training] == [0, 1, 2]
    for one in (*sets.training, *sets.validation):
        expected = body_hu(SIZE, SIZE, seed=one["frame"]).astype(np.int16).clip(-1024)
        assert np.array_equal(sets.read(one["image"], one["frame"]), expected)


def test_nan_and_what_lies_below_air_become_air(tmp_path: Path) -> None:
    import SimpleITK

    values = np.array([[[np.nan, -3024.0], [-1024.4, 40.4]]], np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / "case.nrrd"))
    sets = training_sets(tmp_path, cache_dir=tmp_path / "cache")
    assert sets.read(tmp_path / "case.nrrd").tolist() == [[-1024.0, -1024.0], [-1024.0, 40.0]]


def test_one_file_is_a_data_set_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_mayo(tmp_path / "full_1mm" / "L067", "L067", "full")[1]
    with caplog.at_level(logging.INFO):
        sets = training_sets(path, cache_dir=tmp_path / "cache")
    assert [(one["image"], one["patient"]) for one in sets.training] == [(str(path), "L067")]
    assert "training: 1 slice of 1 patient; validation: 0 with synthetic noise" in caplog.text


def test_volumes_in_several_folders_take_the_folder_as_patient(tmp_path: Path) -> None:
    import SimpleITK

    for case in ("a", "b"):
        (tmp_path / case).mkdir()
        for kernel in ("soft", "bone"):
            image = SimpleITK.GetImageFromArray(np.full((2, 8, 8), -1000, np.int16))
            SimpleITK.WriteImage(image, str(tmp_path / case / f"{kernel}.nrrd"))
    assert {one.patient for one in find_slices(tmp_path).slices} == {"a", "b"}


def test_archives_are_looked_into(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "loose", patient_id="P1")
    make_prepared(tmp_path / "loose", "L067", (0,), "target")
    archive = tmp_path / "data" / "cases.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "loose").iterdir()):
            file.write(path, path.name)
    found = find_slices(tmp_path / "data")
    assert [one.path for one in found.slices] == [archive / path.name for path in paths]
    (prepared,) = found.unused
    assert (prepared.path.name, prepared.outcome) == ("L067_0_target.npy", "skipped")
    assert "unpacked" in prepared.reason
    sets = training_sets(tmp_path / "data", cache_dir=tmp_path / "cache")
    assert np.array_equal(sets.read(sets.training[1]["image"]), next(iter(read_frames(paths[1]))))


def test_frames_of_enhanced_ct_are_slices(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "data" / "enhanced.dcm", frames=4)
    sets = training_sets(tmp_path / "data", cache_dir=tmp_path / "cache")
    assert [one["frame"] for one in sets.training] == [0, 1, 2, 3]
    for frame in range(4):
        expected = np.maximum(body_hu(SIZE, SIZE, seed=frame), -1024)
        assert np.abs(sets.read(path, frame) - expected).max() < 1.01
        assert np.array_equal(sets.read(path, frame), np.rint(read_hu(path, frame)))


@pytest.mark.parametrize(
    ("name", "dose"),
    [
        ("full_1mm", "normal"),
        ("FD_3mm", "normal"),
        ("full_3mm_sharp", "normal"),
        ("quarter_3mm", "low"),
        ("quarter_1mm_sharp_sorted", "low"),
        ("QD_1mm B30", "low"),
        ("1.000000-Full Dose Images-63186", "normal"),
        ("1.000000-Low Dose Images-39882", "low"),
        ("LDCT", "low"),
        ("LDCT-and-Projection-data", None),
        ("LOW DOSE CHEST", None),
        ("follow-up low", None),
        ("1mm B30", None),
        ("L067", None),
        ("", None),
    ],
)
def test_a_name_says_a_dose_or_nothing(name: str, dose: str | None) -> None:
    assert dose_word(name) == dose


def test_the_nearest_name_wins() -> None:
    found = path_traits(["quarter_1mm", "L143", "full_3mm_sharp", "000038.IMA"])
    assert (found.patient, found.dose, found.kernel, found.thickness_mm) == (
        "L143",
        "normal",
        "sharp",
        3.0,
    )


# --- pairs -----------------------------------------------------------------------------------


def test_a_spread_over_pairs_keeps_kernels_apart(tmp_path: Path) -> None:
    make_series(tmp_path / "train", patient_id="T")
    for kernel, places in (("B30f", range(0, 18, 2)), ("D45f", range(1, 5, 2))):
        for dose in ("full", "quarter"):
            make_mayo(
                tmp_path / "val" / f"{dose}_{kernel}", "L192", dose, kernel=kernel, places=places
            )
    sets = training_sets(tmp_path / "train", tmp_path / "val", "L506", tmp_path / "cache", 5)
    pairs = [one for one in sets.validation if one["set"] == "low_dose"]
    assert Counter(one["kernel"] for one in pairs) == {"B30f": 3, "D45f": 2}
    assert all(Path(one["low_dose"]).parent.name.endswith(one["kernel"]) for one in pairs)


def test_kernels_and_thicknesses_never_mix(tmp_path: Path) -> None:
    make_mayo(tmp_path / "full_3mm", "L192", "full", thickness="3")
    make_mayo(tmp_path / "quarter_3mm_sharp", "L192", "quarter", thickness="3", kernel="D45f")
    make_mayo(tmp_path / "L506" / "full_1mm", "L506", "full", thickness="1")
    make_mayo(tmp_path / "L506" / "quarter_3mm", "L506", "quarter", thickness="3")
    pairs = match_doses(find_slices(tmp_path).slices)
    assert not pairs.pairs
    assert len(pairs.unpaired) == 6
    assert {reason for _, reason in pairs.unpaired} == {"the normal dose is missing"}


def test_a_missing_pair_is_named_counted_and_by_option_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "data"
    for patient in ("L067", "L506"):
        make_mayo(root / "full_1mm" / patient, patient, "full", places=(0, 2, 4))
        make_mayo(root / "quarter_1mm" / patient, patient, "quarter", places=(0, 4, 6))
    with caplog.at_level(logging.WARNING):
        sets = training_sets(root, cache_dir=tmp_path / "cache")
    said = " ".join(caplog.messages)
    assert "L506 B30f: 1 slice cannot be paired: the low dose is missing" in said
    assert "L506 B30f: 1 slice cannot be paired: the normal dose is missing" in said
    assert Counter(one["set"] for one in sets.validation) == {"synthetic": 3, "low_dose": 2}
    with pytest.raises(DataError, match="L067 B30f: 1 slice cannot be paired"):
        training_sets(root, cache_dir=tmp_path / "cache", strict=True)


def test_slices_that_lie_at_one_place_or_nowhere_are_no_pairs(tmp_path: Path) -> None:
    make_mayo(tmp_path / "full_1mm", "L067", "full", places=(0, 0, 2, 4))
    low = make_mayo(tmp_path / "quarter_1mm", "L067", "quarter", places=(0, 2, 4))
    edit(low[2], ImagePositionPatient=None)
    pairs = match_doses(find_slices(tmp_path).slices)
    assert [pair.normal.place for pair in pairs.pairs] == [2.0]
    assert Counter(reason for _, reason in pairs.unpaired) == {
        "2 slices of normal and 1 of low dose lie at one place": 3,
        "the position is unknown": 1,
        "the low dose is missing": 1,
    }


def test_doses_of_different_matrix_are_no_pair(tmp_path: Path) -> None:
    make_mayo(tmp_path / "full_1mm", "L067", "full", places=(0,))
    make_mayo(tmp_path / "quarter_1mm", "L067", "quarter", places=(0,), size=40)
    assert {reason for _, reason in match_doses(find_slices(tmp_path).slices).unpaired} == {
        "normal and low dose differ in matrix size, or in the frame of their file"
    }


def test_frames_pair_with_frames_of_the_same_number_alone() -> None:
    def frame(dose: str, number: int, place: float) -> CTSlice:
        return CTSlice(Path(dose), number, "dicom", "L1", dose, "B30f", 1.0, place, (8, 8), 2)  # type: ignore[arg-type]

    normal = [frame("normal", 0, 0.0), frame("normal", 1, 2.0)]
    assert len(match_doses([*normal, frame("low", 0, 0.0), frame("low", 1, 2.0)]).pairs) == 2
    swapped = match_doses([*normal, frame("low", 1, 0.0), frame("low", 0, 2.0)])
    assert not swapped.pairs  # one `frame` serves both files of an item
    assert len(swapped.unpaired) == 4


@given(
    normal=st.sets(st.integers(0, 30)),
    low=st.sets(st.integers(0, 30)),
    shift=st.floats(-0.004, 0.004),
)
def test_pairs_are_the_places_that_both_doses_have(
    normal: set[int], low: set[int], shift: float
) -> None:
    def slices(dose: str, places: set[int], off: float) -> list[CTSlice]:
        return [
            CTSlice(Path(f"{dose}{z}"), 0, "dicom", "L1", dose, "B30f", 1.0, z + off, (8, 8))  # type: ignore[arg-type]
            for z in places
        ]

    found = match_doses([*slices("low", low, shift), *slices("normal", normal, 0.0)])
    assert {round(pair.normal.place or 0) for pair in found.pairs} == normal & low
    assert all(abs((p.normal.place or 0) - (p.low.place or 0)) < 0.01 for p in found.pairs)
    assert len(found.unpaired) == (len(normal ^ low) if low else 0)


# --- the split -------------------------------------------------------------------------------


def some_slices(patients: dict[str, int]) -> list[CTSlice]:
    return [
        CTSlice(Path(f"{name}-{k}"), 0, "dicom", name, "normal", "B30f", 1.0, float(k), (8, 8))
        for name, count in patients.items()
        for k in range(count)
    ]


@given(
    patients=st.dictionaries(st.sampled_from([f"L{n:03d}" for n in range(30)]), st.integers(1, 5)),
    data=st.data(),
)
def test_no_patient_is_on_both_sides(patients: dict[str, int], data: st.DataObject) -> None:
    slices = some_slices(patients)
    names = (
        data.draw(
            st.sets(st.sampled_from(sorted(patients) or ["L000"]), max_size=len(patients) - 1)
        )
        if len(patients) > 1
        else set()
    )
    training, held_out = split_by_patient(slices, sorted(names) or "L506")
    assert Counter([*training, *held_out]) == Counter(slices)
    assert not {one.patient for one in training} & {one.patient for one in held_out}
    if len(patients) > 1:
        assert training
        assert held_out
        assert not names or {one.patient for one in held_out} == names


def test_l506_is_held_out_where_it_is_there() -> None:
    _, held_out = split_by_patient(some_slices({"L067": 2, "L506": 3, "L999": 1}))
    assert {one.patient for one in held_out} == {"L506"}


@pytest.mark.parametrize("names", ["L067,L999", ["L067", "L999"], ("L067", "L999")])
def test_test_patients_may_be_a_text_or_a_list(names: str | list[str]) -> None:
    _, held_out = split_by_patient(some_slices({"L067": 2, "L506": 3, "L999": 1}), names)
    assert {one.patient for one in held_out} == {"L067", "L999"}


def test_an_unknown_test_patient_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"no patient is called L96.*L067, L143"):
        split_by_patient(some_slices({"L067": 2, "L143": 3}), "L96")
    with pytest.raises(DataError, match="all patients are held out"):
        split_by_patient(some_slices({"L067": 2, "L143": 3}), "L067,L143")


# --- training sets ---------------------------------------------------------------------------


def test_one_patient_trains_whole_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_mayo(tmp_path / "data" / "full_1mm", "L506", "full")
    with caplog.at_level(logging.WARNING):
        sets = training_sets(tmp_path / "data", cache_dir=tmp_path / "cache")
    assert len(sets.training) == 3
    assert not sets.validation
    assert len(caplog.messages) == 1
    assert "one patient" in caplog.messages[0]


def test_all_of_it_may_train(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for patient in ("L067", "L096"):
        make_mayo(tmp_path / "data" / "full_1mm" / patient, patient, "full")
    with caplog.at_level(logging.WARNING):
        sets = training_sets(tmp_path / "data", test_patients="none", cache_dir=tmp_path / "cache")
    assert (len(sets.training), len(sets.validation)) == (6, 0)
    (message,) = caplog.messages
    assert "no patient is held out: all of it trains, nothing validates" in message


def test_training_takes_normal_dose_alone_and_validation_both(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for patient in ("L067", "L506"):
        make_mayo(root / patient / "full_1mm", patient, "full")
        make_mayo(root / patient / "quarter_1mm", patient, "quarter")
    sets = training_sets(root, cache_dir=tmp_path / "cache")
    assert all("full_1mm" in one["image"] and "L067" in one["image"] for one in sets.training)
    assert "low_dose" not in sets.training[0]
    synthetic = [one for one in sets.validation if one["set"] == "synthetic"]
    real = [one for one in sets.validation if one["set"] == "low_dose"]
    assert {one["patient"] for one in sets.validation} == {"L506"}
    assert all("full_1mm" in one["image"] and "low_dose" not in one for one in synthetic)
    for one in real:
        places = [
            pydicom.dcmread(one[key]).ImagePositionPatient[2] for key in ("image", "low_dose")
        ]
        assert places[0] == places[1]
        assert "quarter_1mm" in one["low_dose"]
        difference = sets.read(one["low_dose"]) - sets.read(one["image"])
        assert 5 < difference.std() < 60
    assert len(synthetic) == len(real) == 3


def test_a_validation_folder_validates_whole_and_shares_no_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for patient in ("L067", "L143"):
        make_mayo(tmp_path / "train" / patient / "full_1mm", patient, "full")
    make_mayo(tmp_path / "val" / "L143" / "full_1mm", "L143", "full")
    make_series(tmp_path / "val" / "other", patient_id="P1")
    sets = training_sets(tmp_path / "train", tmp_path / "val", cache_dir=tmp_path / "cache")
    assert {one["patient"] for one in sets.training} == {"L067"}
    assert {one["patient"] for one in sets.validation} == {"L143", "P1"}
    assert any("L143 validate" in message for message in caplog.messages)
    with pytest.raises(DataError, match="every patient is held out"):
        training_sets(tmp_path / "val", tmp_path / "val", cache_dir=tmp_path / "cache")


def test_validation_slices_are_spread_over_patients_and_within_them(tmp_path: Path) -> None:
    make_series(tmp_path / "train", patient_id="T")
    for patient, count in (("A", 12), ("B", 4), ("C", 1)):
        make_series(tmp_path / "val" / patient, slices=count, rows=8, columns=8, patient_id=patient)

    def chosen(limit: int | None) -> Counter[str]:
        sets = training_sets(
            tmp_path / "train", tmp_path / "val", "L506", tmp_path / "cache", limit
        )
        assert len({one["image"] for one in sets.validation}) == len(sets.validation)
        return Counter(one["patient"] for one in sets.validation)

    assert chosen(None) == {"A": 12, "B": 4, "C": 1}
    assert chosen(100) == {"A": 12, "B": 4, "C": 1}
    assert chosen(7) == {"A": 3, "B": 3, "C": 1}
    assert chosen(12) == {"A": 7, "B": 4, "C": 1}
    assert sum(chosen(2).values()) == 2
    sets = training_sets(tmp_path / "train", tmp_path / "val", "L506", tmp_path / "cache", 3)
    assert "IM0006" in sets.validation[0]["image"]  # the middle of A's twelve, not their end


def test_no_folder_no_images_and_no_normal_dose_are_plain_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--dataset_dir"):
        training_sets(None)
    with pytest.raises(DataError, match="no such file or folder"):
        training_sets(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="no CT slice of normal dose"):
        training_sets(tmp_path)
    make_mayo(tmp_path / "quarter_1mm", "L067", "quarter")
    with pytest.raises(DataError, match="no CT slice of normal dose"):
        training_sets(tmp_path)


def test_unreadable_files_are_named_counted_and_by_option_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = make_mayo(tmp_path / "data" / "full_1mm", "L067", "full")
    paths[0].write_bytes(b"no DICOM at all")  # its header fails
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:-200])  # its pixels fail
    with caplog.at_level(logging.WARNING):
        sets = training_sets(tmp_path / "data", cache_dir=tmp_path / "cache")
    assert [Path(one["image"]) for one in sets.training] == [paths[2]]
    said = " ".join(caplog.messages)
    assert "1 file cannot be read" in said
    assert paths[0].name in said
    assert paths[1].name in said
    with pytest.raises(DataError, match="cannot be read"):
        training_sets(tmp_path / "data", cache_dir=tmp_path / "cache", strict=True)
    paths[0].unlink()
    with pytest.raises(DataError, match="cannot be read"):
        training_sets(tmp_path / "data", cache_dir=tmp_path / "cache", strict=True)
    paths[2].unlink()
    with pytest.raises(DataError, match="no slice to train on can be read"):
        training_sets(tmp_path / "data", cache_dir=tmp_path / "cache")


def test_mixed_matrices_and_empty_patients_are_named(tmp_path: Path) -> None:
    make_mayo(tmp_path / "full_1mm" / "L067", "L067", "full")
    make_mayo(tmp_path / "full_1mm" / "L143", "L143", "full", size=40, places=(0,))
    (tmp_path / "full_1mm" / "L333").mkdir()
    (tmp_path / "quarter_1mm").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "note.txt").write_text("not a patient")
    found = find_slices(tmp_path)
    mixed, empty = find_problems(found, match_doses(found.slices))
    assert mixed.kind == "matrix sizes"
    assert "3 of 32 x 32, 1 of 40 x 40" in mixed.reason
    assert [one.parent.name for one in mixed.paths] == ["L143"]
    assert empty.kind == "empty folder"
    assert [one.name for one in empty.paths] == ["L333", "quarter_1mm"]
    with pytest.raises(DataError, match="matrix sizes are mixed"):
        training_sets(tmp_path, cache_dir=tmp_path / "cache", strict=True)


def test_sets_can_be_sent_to_a_worker_without_their_pixels(tmp_path: Path) -> None:
    make_mayo(tmp_path / "data", "L067", "full", size=128)
    sets = training_sets(tmp_path / "data", cache_dir=tmp_path / "cache")
    sent = pickle.dumps(sets)
    assert len(sent) < 3 * 128 * 128
    image = sets.training[0]["image"]
    assert np.array_equal(pickle.loads(sent).read(image), sets.read(image))  # noqa: S301  # ours


# --- real data -------------------------------------------------------------------------------


@pytest.mark.data
def test_the_real_mayo_pairs_are_found(data: Path) -> None:
    found = find_slices(data / "ct" / "val" / "mayo_L192")
    pairs = match_doses(found.slices)
    assert not pairs.unpaired
    assert Counter(pair.normal.kernel for pair in pairs.pairs) == {"B30f": 7, "D45f": 4}
    assert {one.patient for one in found.slices} == {"L192"}
    for normal, low in pairs.pairs:
        headers = [pydicom.dcmread(one.path, stop_before_pixels=True) for one in (normal, low)]
        assert headers[0].InstanceNumber == headers[1].InstanceNumber  # the README's second rule
        assert headers[0].PatientName != headers[1].PatientName


@pytest.mark.data
def test_real_training_data_is_read_whole(data: Path, tmp_path: Path) -> None:
    sets = training_sets(
        data / "ct" / "train" / "mayo_L143", data / "ct" / "val" / "mayo_L192", "L506", tmp_path
    )
    assert Counter(one["patient"] for one in sets.training) == {"L143": 11}
    assert Counter(one["set"] for one in sets.validation) == {"synthetic": 11, "low_dose": 11}
    differences = [
        (sets.read(one["low_dose"]) - sets.read(one["image"])).mean()
        for one in sets.validation
        if one["set"] == "low_dose" and one["kernel"] == "B30f"
    ]
    assert abs(np.mean(differences)) < 1.0  # the data's README: -0.3 HU
