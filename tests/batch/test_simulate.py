"""Simulated low-dose series: the files, what they say of themselves, and the command."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_enhanced, make_series

from ldct_clipdn.batch import simulate as batch_simulate
from ldct_clipdn.batch.hold import hold_folder
from ldct_clipdn.batch.simulate import simulate_study
from ldct_clipdn.cli.main import main
from ldct_clipdn.ct.lowdose import simulate_low_dose
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.simulated import SimulationRecipe

RECIPE = SimulationRecipe(0.25, kernel="soft", photons=2e4)


def _hu(folder: Path) -> np.ndarray:
    files = sorted(map(pydicom.dcmread, folder.glob("*.dcm")), key=lambda ds: ds.InstanceNumber)
    return np.stack([ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept for ds in files])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    make_series(folder, slices=2, rows=64, columns=64)
    return folder


def test_writes_a_marked_series(source: Path, tmp_path: Path) -> None:
    before = {one.name: one.read_bytes() for one in source.iterdir()}
    (record,) = simulate_study(source, tmp_path / "out", RECIPE).series
    assert not record.reason
    written = sorted((tmp_path / "out" / record.simulated_uid).iterdir())
    assert len(written) == record.slices == 2
    assert {one.name: one.read_bytes() for one in source.iterdir()} == before
    originals = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, source.iterdir())}
    for path in written:
        ds = pydicom.dcmread(path)
        assert path.stem == ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
        assert ds.SeriesInstanceUID == record.simulated_uid
        assert ds.SyntheticData == "YES"
        assert ds.ContentQualification == "RESEARCH"
        assert ds.ImageType[0] == "DERIVED"
        assert ds.SeriesDescription.endswith("[SIMULATED 25% DOSE]")
        assert "simulated" in ds.DerivationDescription
        assert "0.25 of the dose" in ds.DerivationDescription
        assert "DerivationCodeSequence" not in ds  # no 113087: nothing was smoothed
        purpose = ds.ContributingEquipmentSequence[-1].PurposeOfReferenceCodeSequence[0]
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
        original = originals[ds.SourceImageSequence[0].ReferencedSOPInstanceUID]
        for keyword in ("PatientID", "StudyInstanceUID", "ImagePositionPatient", "RescaleSlope"):
            assert ds[keyword].value == original[keyword].value
        assert ds.SOPInstanceUID != original.SOPInstanceUID


def test_adds_noise_and_no_bias(source: Path, tmp_path: Path) -> None:
    (record,) = simulate_study(source, tmp_path / "out", RECIPE).series
    change = _hu(tmp_path / "out" / record.simulated_uid) - _hu(source)
    assert change.std() > 2
    body = change[:, 20:44, 20:44]
    assert abs(body.mean()) < 1.5


def test_same_seed_same_images_other_seed_other_names(source: Path, tmp_path: Path) -> None:
    runs = [
        simulate_study(source, tmp_path / name, SimulationRecipe(0.25, "soft", 2e4, seed)).series[0]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    names = [
        {one.name for one in (tmp_path / where / run.simulated_uid).iterdir()}
        for where, run in zip("abc", runs, strict=True)
    ]
    assert names[0] == names[1]
    assert not names[0] & names[2]


def test_can_be_denoised(source: Path, tmp_path: Path) -> None:
    simulate_study(source, tmp_path / "out", RECIPE)
    found = find_series(tmp_path / "out")
    assert sum(len(one.instances) for one in found) == 2
    assert not found.unused


def test_existing_result_is_left_alone(source: Path, tmp_path: Path) -> None:
    simulate_study(source, tmp_path / "out", RECIPE)
    (again,) = simulate_study(source, tmp_path / "out", RECIPE).series
    assert "there already" in again.reason
    assert len([one for one in (tmp_path / "out").iterdir() if one.is_dir()]) == 1


def test_failure_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ldct_clipdn.io.simulated.store", full)
    (record,) = simulate_study(source, tmp_path / "out", RECIPE).series
    assert "No space left" in record.reason
    assert not list((tmp_path / "out").iterdir())


def test_warns_of_iterative_reconstruction(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for one in source.iterdir():
        edit(one, ConvolutionKernel="I30f")
    with caplog.at_level(logging.WARNING):
        simulate_study(source, tmp_path / "out", RECIPE)
    assert "iterative" in caplog.text


@pytest.mark.parametrize(
    "recipe",
    [
        SimulationRecipe(1.0),
        SimulationRecipe(0.5, kernel="B30f"),
        SimulationRecipe(0.5, photons=float("inf")),
        SimulationRecipe(0.5, seed=-1),
    ],
)
def test_refuses(source: Path, tmp_path: Path, recipe: SimulationRecipe) -> None:
    with pytest.raises(ConfigError):
        simulate_study(source, tmp_path / "out", recipe)
    assert not (tmp_path / "out").exists()


def test_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["simulate", str(source), str(tmp_path / "out"), "--kernel", "soft"]
    assert main([*given, "--dose", "0.5", "--photons", "1e5", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["series"]
    assert (tmp_path / "out" / one["simulated_uid"]).is_dir()
    assert main([*given, "--dose", "0.5", "--photons", "1e5"]) == 1
    assert "there already" in capsys.readouterr().out
    assert main([*given, "--dose", "2"]) == 2
    assert main([*given, "--dose", "0.5", "--photons", "few"]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["simulate", str(tmp_path / "empty"), str(tmp_path / "o"), "--dose", "0.5"]) == 3


def test_one_run_at_a_time_has_the_folder(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", str(source), str(tmp_path / "out"), "--dose", "0.25"]
    words += ["--photons", "1e5", "--kernel", "standard"]
    with hold_folder(tmp_path / "out"):
        assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "another run is writing into this folder" in line
    assert not list((tmp_path / "out").iterdir())
    assert main(words) == 0
    assert len(list((tmp_path / "out").iterdir())) == 1
    (tmp_path / "file").write_bytes(b"")
    assert main([*words[:2], str(tmp_path / "file"), *words[3:]]) == 2
    assert "output folder cannot be used" in capsys.readouterr().err


def test_enhanced_ct_is_refused_and_stops_no_other(source: Path, tmp_path: Path) -> None:
    make_enhanced(source / "enhanced.dcm")
    records = simulate_study(source, tmp_path / "out", RECIPE).series
    failed = [one.reason for one in records if not one.simulated_uid]
    assert len(records) == 2
    assert len(failed) == 1
    assert "Enhanced CT" in failed[0]


def test_no_image_is_lost_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    paths = make_series(tmp_path / "in", slices=4)
    edit(paths[1], RescaleSlope=None)
    (tmp_path / "in" / "empty.dcm").write_bytes(b"")
    (tmp_path / "in" / "readme.txt").write_text("no CT")
    done = simulate_study(tmp_path / "in", tmp_path / "out", RECIPE)
    assert done.exit_code == 1
    (record,) = done.series
    assert (record.status, record.slices) == ("partial", 4)
    written = list((tmp_path / "out" / record.simulated_uid).iterdir())
    assert len(written) == 3
    for path in written:
        described = pydicom.dcmread(path).SeriesDescription
        assert described.endswith(" INCOMPLETE 3/4 [SIMULATED 25% DOSE]")
    outcomes = [(one.path, one.outcome, bool(one.reason)) for one in done.inputs]
    assert outcomes == [
        ("IM0000.dcm", "simulated", False),
        ("IM0001.dcm", "failed", True),
        ("IM0002.dcm", "simulated", False),
        ("IM0003.dcm", "simulated", False),
        ("empty.dcm", "failed", True),
        ("readme.txt", "skipped", True),
    ]
    words = ["simulate", str(tmp_path / "in"), str(tmp_path / "cli"), "--dose", "0.25"]
    assert main([*words, "--photons", "2e4", "--kernel", "soft"]) == 1
    out = capsys.readouterr().out
    assert "4 slices  partial" in out
    assert "failed   1 file: RescaleSlope" in out
    assert "(empty.dcm)" in out
    assert "skipped  1 file: not a DICOM file (readme.txt)" in out


def test_pixels_that_cannot_be_read_cost_their_image(source: Path, tmp_path: Path) -> None:
    first = sorted(source.iterdir())[0]
    edit(first, PixelData=pydicom.dcmread(first).PixelData[:-2])
    done = simulate_study(source, tmp_path / "out", RECIPE)
    assert [one.status for one in done.series] == ["partial"]
    assert [one.outcome for one in done.inputs] == ["failed", "simulated"]
    assert "shorter than Rows x Columns" in done.inputs[0].reason
    (written,) = (tmp_path / "out" / done.series[0].simulated_uid).iterdir()
    assert " INCOMPLETE 1/2 [SIMULATED" in pydicom.dcmread(written).SeriesDescription
    edit(sorted(source.iterdir())[1], PixelData=b"xx")
    done = simulate_study(source, tmp_path / "none", RECIPE)
    assert [one.status for one in done.series] == ["failed"]
    assert all("shorter than Rows x Columns" in one.reason for one in done.inputs)
    assert not list((tmp_path / "none").iterdir())


def _failing_once(error: Exception) -> Callable[..., np.ndarray]:
    left = [error]

    def call(*args: object, **settings: object) -> np.ndarray:
        if left:
            raise left.pop()
        return simulate_low_dose(*args, **settings)  # type: ignore[arg-type]

    return call


@pytest.mark.parametrize(
    ("error", "level", "told"),
    [
        (OSError(5, "Input/output error"), logging.DEBUG, "Input/output error"),
        (KeyError("bug"), logging.ERROR, "an error in ldct_clipdn itself: KeyError"),
    ],
)
def test_an_error_in_one_series_ends_no_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: int,
    told: str,
) -> None:
    for name in "ab":
        make_series(tmp_path / "in" / name, slices=1, series_description=name)
    monkeypatch.setattr(batch_simulate, "simulate_low_dose", _failing_once(error))
    caplog.set_level(logging.DEBUG)
    done = simulate_study(tmp_path / "in", tmp_path / "out", RECIPE)
    assert sorted(one.status for one in done.series) == ["failed", "simulated"]
    assert done.exit_code == 1
    (reason,) = [one.reason for one in done.series if one.reason]
    assert reason.startswith(told)
    (logged,) = [one for one in caplog.records if one.message.endswith("failed")]
    assert logged.levelno == level
    assert logged.exc_info is not None


def test_notes_are_told(tmp_path: Path) -> None:
    make_series(tmp_path / "in", slices=4, positions=[0, 2, 4, 8])
    (record,) = simulate_study(tmp_path / "in", tmp_path / "out", RECIPE).series
    assert "gap" in " ".join(record.notes)


def test_a_dose_that_changes_no_pixel_is_none(source: Path, tmp_path: Path) -> None:
    done = simulate_study(source, tmp_path / "out", SimulationRecipe(0.25, "soft", 1e15))
    assert done.exit_code == 1
    assert done.series[0].reason == (
        "the noise of this dose is too weak to change a pixel. Give fewer photons, or auto"
    )
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("words", [("--seed", "-1"), ("--photons", "inf"), ("--dose", "1")])
def test_what_cannot_be_simulated_is_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    given = ["simulate", str(source), str(tmp_path / "out"), "--dose", "0.25", *words]
    try:
        code = main(given)
    except SystemExit as stop:  # argparse
        code = int(stop.code or 0)
    assert code == 2
    assert "simulate: " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
