"""Input that no one expects: it costs at most itself, and is named in one line."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from builders import edit, make_series

from ldct_clipdn.batch.run import RunOptions, denoise_study
from ldct_clipdn.cli.main import main
from ldct_clipdn.errors import ConfigError

IDENTITY = RunOptions(backend="identity")


@pytest.mark.parametrize("zone", ["+2400", "-9999", "noon"])
def test_an_impossible_time_zone_is_passed_over(tmp_path: Path, zone: str) -> None:
    (path,) = make_series(tmp_path / "in", slices=1)
    edit(path, TimezoneOffsetFromUTC=zone)
    assert denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY).exit_code == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1)])
def test_one_row_is_denoised(tmp_path: Path, shape: tuple[int, int]) -> None:
    make_series(tmp_path / "in", slices=1, rows=shape[0], columns=shape[1])
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert [one.status for one in manifest.series] == ["denoised"]


@pytest.mark.parametrize("noise", [0.0, -5.0, float("nan"), float("inf")])
def test_a_target_that_is_no_noise_is_refused(noise: float) -> None:
    with pytest.raises(ConfigError, match="aimed at"):
        RunOptions(strength="auto", target_noise=noise)


def test_members_of_one_name_fail(tmp_path: Path) -> None:
    first, second, third = make_series(tmp_path / "in", slices=3)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile sees it too
        for path, name in ((first, "a"), (second, "a"), (third, "b")):
            archive.write(path, name)
    manifest = denoise_study(tmp_path / "a.zip", tmp_path / "out", IDENTITY)
    outcomes = [(one.path, one.outcome) for one in manifest.inputs]
    assert outcomes == [("a.zip/a", "failed"), ("a.zip/b", "denoised")]
    assert manifest.exit_code == 1


def flat_volume(value: int) -> np.ndarray:
    hu = np.full((2, 8, 8), value, np.int16)
    hu[:, 0] = -1000  # without air it would be taken for no CT
    return hu


def write_volume(path: Path, value: int) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(flat_volume(value)), str(path))


def test_changed_pixels_of_a_detached_header_are_noticed(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_volume(source / "ct.mhd", 40)
    (source / "ct.raw").rename(source / "pixels.raw")
    header = (source / "ct.mhd").read_text().replace("ct.raw", "pixels.raw")
    (source / "ct.mhd").write_text(header)
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 0
    assert [one.reason for one in manifest.inputs] == ["", "holds the pixels of ct.mhd"]
    (source / "pixels.raw").write_bytes(flat_volume(50).tobytes())
    again = denoise_study(source, tmp_path / "out", IDENTITY)
    assert again.exit_code == 1
    told = "its result is there already, made from another file"
    assert told in again.inputs[0].reason


def test_volumes_of_one_stem_stay_apart(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for suffix in ("mha", "mhd", "nii.gz"):
        write_volume(source / f"ct.{suffix}", 40)
    for _ in range(2):
        manifest = denoise_study(source, tmp_path / "out", IDENTITY)
        assert [(one.path, one.outcome) for one in manifest.inputs] == [
            ("ct.mha", "denoised"),
            ("ct.mhd", "denoised"),
            ("ct.nii.gz", "denoised"),
            ("ct.raw", "skipped"),
        ]
        assert manifest.exit_code == 0


def test_a_declared_size_is_bounded(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((32767, 32767, 3000))
    with (tmp_path / "big.nii").open("wb") as file:
        header.write_to(file)
    manifest = denoise_study(tmp_path / "big.nii", tmp_path / "out", IDENTITY)
    assert "more than any CT has" in manifest.inputs[0].reason


def test_results_without_a_page_get_it_when_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_series(tmp_path / "in", slices=1)
    write_volume(tmp_path / "in" / "v.mha", 40)
    words = ["denoise", str(tmp_path / "in"), str(tmp_path / "out"), "--backend", "identity"]
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--report"]) == 0
    pages = [one.name for one in (tmp_path / "out").glob("*.html")]
    assert "v_denoised.mha.html" in pages
    assert len(pages) == 2
