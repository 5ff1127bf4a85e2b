"""Series chosen by their attributes."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import make_enhanced, make_series

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
    assert reasons["2/IM0000.dcm"] == "not asked for: its ConvolutionKernel is B30f"
    assert reasons["4/IM0001.dcm"] == "not asked for: its ConvolutionKernel is empty"


def test_frames_of_a_file_that_is_not_asked_for_are_one_file(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm")
    plan = plan_study(path.parent, tmp_path / "out", RunOptions(series=("Modality=MR",)))
    assert [one.path for one in plan.unused] == [path]
