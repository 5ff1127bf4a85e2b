"""Series chosen by their attributes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders import edit, make_enhanced, make_series

from ldct_clipdn.batch.run import RunOptions, denoise_study, plan_study
from ldct_clipdn.batch.select import parse_filters
from ldct_clipdn.errors import ConfigError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for number, kernel in ((2, "B30f"), (3, "B70f"), (4, None)):
        make_series(
            folder / str(number),
            slices=2,
            kernel=kernel,
            series_number=number,
            series_uid=f"1.2.3.{number}",
            image_type=("ORIGINAL", "PRIMARY", "AXIAL", f"PART{number}"),
        )
    (folder / "x.txt").write_text("x")
    return folder


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ((), {2, 3, 4}),
        (("Modality=CT",), {2, 3, 4}),
        (("Modality=MR",), set()),
        (("ConvolutionKernel=B30f",), {2}),
        (("ConvolutionKernel=b30f",), set()),
        (("ConvolutionKernel=B?0f",), {2, 3}),
        (("ConvolutionKernel=*",), {2, 3, 4}),
        (("ConvolutionKernel=",), {4}),
        (("SeriesNumber=2", "SeriesNumber=4"), {2, 4}),
        (("Modality=CT", "ConvolutionKernel=B*", "SeriesNumber=3"), {3}),
        (("ImageType=PART3",), {3}),
        (("ImageType=ORIGINAL\\PRIMARY*4",), {4}),
        ((" SeriesInstanceUID = 1.2.3.2 ",), {2}),
    ],
)
def test_filters(source: Path, tmp_path: Path, filters: tuple[str, ...], numbers: set) -> None:
    plan = plan_study(source, tmp_path / "out", RunOptions(series=filters))
    assert {one.to_dict()["number"] for one in plan.jobs} == numbers
    others = [one for one in plan.unused if one.reason.startswith("not asked for: its ")]
    assert len(others) == 2 * (3 - len(numbers))
    assert {one.outcome for one in plan.unused} == {"skipped"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", ["CT", "Modalty=CT", "=CT", ""])
def test_filters_that_make_no_sense(words: str) -> None:
    with pytest.raises(ConfigError, match="DICOM keyword"):
        parse_filters([words])


def test_what_is_not_asked_for_is_skipped_in_the_manifest(source: Path, tmp_path: Path) -> None:
    options = RunOptions(backend="identity", series=("ConvolutionKernel=B70f",))
    manifest = denoise_study(source, tmp_path / "out", options)
    assert manifest.exit_code == 0
    statuses = {one.source_uid: one.status for one in manifest.series}
    assert statuses == {"1.2.3.2": "skipped", "1.2.3.3": "denoised", "1.2.3.4": "skipped"}
    reasons = {one.path: one.reason for one in manifest.inputs}
    assert reasons["2/IM0000.dcm"] == "not asked for: its ConvolutionKernel is another"
    assert reasons["4/IM0001.dcm"] == "not asked for: its ConvolutionKernel is another"


def test_frames_of_a_file_that_is_not_asked_for_are_one_file(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm")
    plan = plan_study(path.parent, tmp_path / "out", RunOptions(series=("Modality=MR",)))
    assert [one.path for one in plan.unused] == [path]


def failing(path: Path) -> None:
    edit(path, RescaleSlope="0")


def test_a_failure_in_what_was_not_asked_for_is_no_failure(source: Path, tmp_path: Path) -> None:
    study = shutil.copytree(source, tmp_path / "in")
    failing(study / "2" / "IM0000.dcm")  # one of a series
    for path in (study / "4").iterdir():  # all of one
        failing(path)
    options = RunOptions(backend="identity", series=("ConvolutionKernel=B70f",))
    manifest = denoise_study(study, tmp_path / "out", options)
    assert manifest.exit_code == 0
    reasons = {one.path: one.reason for one in manifest.inputs}
    end = "; it would have failed: RescaleSlope is 0, so HU are unknown"
    assert reasons["2/IM0000.dcm"] == f"not asked for: its ConvolutionKernel is another{end}"
    assert reasons["4/IM0001.dcm"] == f"not asked for: its ConvolutionKernel is another{end}"
    assert {one.status for one in manifest.series} == {"denoised", "skipped"}


def test_a_failure_in_what_was_asked_for_is_one(source: Path, tmp_path: Path) -> None:
    study = shutil.copytree(source, tmp_path / "in")
    failing(study / "3" / "IM0000.dcm")
    for number in ("3", "2"):
        options = RunOptions(backend="identity", series=(f"SeriesNumber={number}",))
        manifest = denoise_study(study, tmp_path / number, options)
        assert manifest.exit_code == (1 if number == "3" else 0)


def test_what_cannot_be_read_may_have_been_asked_for(source: Path, tmp_path: Path) -> None:
    study = shutil.copytree(source, tmp_path / "in")
    (study / "2" / "IM0000.dcm").write_bytes(b"")
    options = RunOptions(backend="identity", series=("SeriesNumber=3",))
    manifest = denoise_study(study, tmp_path / "out", options)
    assert manifest.exit_code == 1
    (failed,) = (one for one in manifest.inputs if one.outcome == "failed")
    assert (failed.path, failed.reason) == ("2/IM0000.dcm", "the file is empty")


def test_a_damaged_image_goes_with_its_series_whatever_its_own_header_says(
    source: Path, tmp_path: Path
) -> None:
    study = shutil.copytree(source, tmp_path / "in")
    edit(study / "3" / "IM0000.dcm", RescaleSlope="0", ConvolutionKernel=None)
    options = RunOptions(backend="identity", series=("ConvolutionKernel=B70f",))
    assert denoise_study(study, tmp_path / "out", options).exit_code == 1


def test_no_patient_is_named_who_was_not_asked_for(tmp_path: Path) -> None:
    for name in ("Doe^John", "Roe^Jane"):
        make_series(tmp_path / "in" / name, patient_name=name, patient_id=name[:3])
    edit(tmp_path / "in" / "Roe^Jane" / "IM0000.dcm", RescaleSlope="0")
    options = RunOptions(backend="identity", series=("PatientName=Doe*",))
    assert denoise_study(tmp_path / "in", tmp_path / "out", options).exit_code == 0
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            shown = path.read_bytes().replace(b"Roe^Jane/IM", b"")  # so the folder is called
            assert b"Roe" not in shown
    assert b"its PatientName is another" in (tmp_path / "out" / "manifest.json").read_bytes()
