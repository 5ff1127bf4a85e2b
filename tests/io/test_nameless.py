"""Series without UIDs: put together where they are of one patient, named the same always."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_enhanced, make_series

from ldct_clipdn.batch.manifest import Manifest
from ldct_clipdn.batch.run import RunOptions, denoise_study
from ldct_clipdn.io.find import find_series

OPTIONS = RunOptions(backend="identity", wallclock=False)
UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
NAMELESS = {
    "PatientName": "",
    "PatientID": "",
    "StudyInstanceUID": None,
    "SeriesInstanceUID": "",
    "FrameOfReferenceUID": None,
    "AccessionNumber": "",
    "StudyTime": "",
}


def strip(paths: Sequence[Path], **attributes: object) -> None:
    for path in paths:
        edit(path, **attributes)


def run(source: Path, target: Path) -> tuple[Manifest, list[pydicom.Dataset]]:
    manifest = denoise_study(source, target, OPTIONS)
    return manifest, [pydicom.dcmread(one) for one in sorted(target.rglob("*.dcm"))]


@pytest.mark.parametrize("value", ["", None])
@pytest.mark.parametrize("missing", [UIDS[1:2], UIDS[2:], UIDS[1:], UIDS])
def test_a_series_without_uids_becomes_a_sound_one(
    tmp_path: Path, missing: tuple[str, ...], value: str | None, dciodvfy: Callable
) -> None:
    paths = make_series(tmp_path / "in", slices=3)
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    strip(paths, **dict.fromkeys(missing, value))
    manifest, derived = run(tmp_path / "in", tmp_path / "out")
    assert (manifest.exit_code, len(derived)) == (0, 3)
    for keyword in UIDS:
        uids = {str(one[keyword].value) for one in derived}
        assert len(uids) == (3 if keyword == "SOPInstanceUID" else 1)
        assert all(pydicom.uid.UID(one).is_valid for one in uids)
        if keyword in missing or keyword != "StudyInstanceUID":
            assert all(one.startswith("2.25.") for one in uids)
        else:
            assert uids == {study}
    for path in (tmp_path / "out").rglob("*.dcm"):
        errors = [one for one in dciodvfy(path) if one.startswith("Error")]
        assert not [one for one in errors if "StudyInstanceUID" in one or "SeriesInstance" in one]


def test_names_follow_from_the_images_and_not_from_where_they_lie(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "a", slices=3)
    strip(paths, **dict.fromkeys(UIDS, ""))
    (tmp_path / "b").mkdir()
    for number, path in enumerate(reversed(paths)):
        shutil.copy(path, tmp_path / "b" / f"{number}")
    first, derived = run(tmp_path / "a", tmp_path / "1")
    second, again = run(tmp_path / "b", tmp_path / "2")
    assert [one.source_uid for one in first.series] == [one.source_uid for one in second.series]
    names = [{(one.StudyInstanceUID, one.SOPInstanceUID) for one in each} for each in
             (derived, again)]  # fmt: skip
    assert names[0] == names[1]
    third = denoise_study(tmp_path / "a", tmp_path / "1", OPTIONS)  # finds what is there
    assert [one.derived_uid for one in third.series] == [one.derived_uid for one in first.series]


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "OTHER"},
        {"PatientName": "Other^Case"},
        {"PatientBirthDate": "19600202"},
        {"StudyDate": "20200103"},
        {"SeriesNumber": 9},
    ],
)
def test_what_may_be_another_patients_stays_apart(tmp_path: Path, other: dict) -> None:
    paths = make_series(tmp_path / "in", slices=4)
    strip(paths, **dict.fromkeys(UIDS, ""))
    strip(paths[2:], **other)
    _, derived = run(tmp_path / "in", tmp_path / "out")
    groups: dict[str, set[str]] = {}
    for one in derived:
        who = str([one.get(keyword) for keyword in other])
        groups.setdefault(str(one.StudyInstanceUID), set()).add(who)
    assert len(groups) == 2
    assert all(len(each) == 1 for each in groups.values())


@pytest.mark.parametrize("how", ["nothing is known", "one place", "two folders", "no place"])
def test_what_cannot_be_told_apart_stands_alone(tmp_path: Path, how: str) -> None:
    """Images of which nothing says that they are of one patient share neither series nor study."""
    paths = make_series(tmp_path / "in", slices=2)
    strip(paths, **dict.fromkeys(UIDS, ""))
    if how == "nothing is known":
        strip(paths, **NAMELESS)
    elif how == "one place":
        strip(paths, ImagePositionPatient=["0", "0", "0"])
    elif how == "no place":
        strip(paths, ImagePositionPatient=None)
    else:
        (tmp_path / "in" / "b").mkdir()
        paths[1].rename(tmp_path / "in" / "b" / "x")
    manifest, derived = run(tmp_path / "in", tmp_path / "out")
    assert manifest.exit_code == 0
    assert len({one.source_uid for one in manifest.series}) == 2
    assert len({str(one.StudyInstanceUID) for one in derived}) == 2
    assert all("this image stands alone" in scan.notes[0] for scan in find_series(tmp_path / "in"))


def test_two_kernels_are_parts_of_one_series(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "in", slices=2)
    for path in make_series(tmp_path / "more", slices=2, kernel="B70f", series_description=None):
        edit(path, SeriesDescription="Abdomen 2.0 B30f")
        paths.append(path.rename(tmp_path / "in" / f"b{path.name}"))
    strip(paths, **dict.fromkeys(UIDS, ""))
    found = find_series(tmp_path / "in")
    assert sorted((one.split_key, len(one.instances)) for one in found) == [
        ("kernel B30f", 2),
        ("kernel B70f", 2),
    ]


def test_a_bad_image_without_uids_makes_its_series_partial(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "in", slices=3)
    strip(paths, **dict.fromkeys(UIDS, ""))
    edit(paths[1], RescaleSlope="0")
    manifest, derived = run(tmp_path / "in", tmp_path / "out")
    assert [one.status for one in manifest.series] == ["partial"]
    assert manifest.exit_code == 1
    assert all("INCOMPLETE 2/3" in one.SeriesDescription for one in derived)


def test_enhanced_ct_without_uids(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm")
    edit(path, **dict.fromkeys(UIDS, ""))
    before = pydicom.dcmread(path).pixel_array
    manifest, (derived,) = run(tmp_path / "in", tmp_path / "out")
    assert (manifest.exit_code, [one.status for one in manifest.series]) == (0, ["denoised"])
    assert derived.StudyInstanceUID.startswith("2.25.")
    np.testing.assert_array_equal(derived.pixel_array, before)


def test_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    strip(make_series(tmp_path / "in"), SeriesInstanceUID="", StudyInstanceUID="")
    with caplog.at_level("DEBUG", logger="ldct_clipdn"):
        manifest, _ = run(tmp_path / "in", tmp_path / "out")
    (series,) = manifest.series
    assert any("there is no SeriesInstanceUID: put together" in one for one in series.notes)
    assert "there is no SeriesInstanceUID: put together by folder" in caplog.text
    assert "there is no StudyInstanceUID: the result becomes a study of its own" in caplog.text
