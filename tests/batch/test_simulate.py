"""Simulated low-dose series: the files, what they say of themselves, and the command."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from builders import body_hu, edit, make_enhanced, make_series, outside_circle
from coloured import B30F, coloured_noise

from ldct_clipdn.batch import low_dose, simulate
from ldct_clipdn.batch.hold import hold_folder
from ldct_clipdn.batch.resume import RUN_FILE
from ldct_clipdn.batch.simulate import simulate_study
from ldct_clipdn.cli.main import main
from ldct_clipdn.ct.lowdose import simulate_low_dose
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Scan
from ldct_clipdn.io.simulated_write import SimulationRecipe

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


def test_what_is_finished_is_kept_and_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in source.iterdir():  # doubtful, so that there is something to tell
        edit(one, ConvolutionKernel="I30f")
    (first,) = simulate_study(source, tmp_path / "out", RECIPE).series
    before = {one: one.read_bytes() for one in (tmp_path / "out").rglob("*.dcm")}
    monkeypatch.setattr(simulate, "lower_dose", None)  # nothing is computed
    done = simulate_study(source, tmp_path / "out", RECIPE)
    assert done.exit_code == 0
    kept = (*first.notes, "simulated with these settings by an earlier run, and kept")
    assert done.series == (replace(first, notes=kept),)
    assert [one.outcome for one in done.inputs] == ["simulated", "simulated"]
    assert {one: one.read_bytes() for one in (tmp_path / "out").rglob("*.dcm")} == before


def test_what_auto_found_is_told_of_what_is_kept(tmp_path: Path) -> None:
    own = body_hu(128, 128, noise=0) + coloured_noise(B30F, 128, 12.0, seed=1)
    own[outside_circle(128, 128)] = -1024
    own[40:88, :2] = 40  # a body that is cut
    make_series(tmp_path / "in", slices=1, rows=128, columns=128, hu=own[None])
    runs = [
        simulate_study(tmp_path / "in", tmp_path / "out", SimulationRecipe(0.25)) for _ in range(2)
    ]
    (first,), (second,) = (one.series for one in runs)
    assert first.noise is not None
    assert "," in first.noise.kernel
    assert second.noise == first.noise
    assert second.notes[:-1] == first.notes


def test_other_settings_are_another_series_beside_the_first(source: Path, tmp_path: Path) -> None:
    recipes = RECIPE, replace(RECIPE, dose=0.5)
    records = [simulate_study(source, tmp_path / "out", one).series[0] for one in recipes]
    folders = {one.name for one in (tmp_path / "out").iterdir()}
    assert folders == {one.simulated_uid for one in records}
    assert len(folders) == 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda _, made: made[0].unlink(), "lacks 1 of 2 images"),
        (lambda _, made: made[0].write_bytes(made[0].read_bytes()[:-7]), "is damaged"),
        (
            lambda source, _: [edit(one, PixelData=bytes(2 * 64 * 64)) for one in source.iterdir()],
            "was made from other pixels",
        ),
    ],
    ids=["gone", "cut", "source"],
)
def test_what_is_not_whole_or_of_other_pixels_is_refused(
    source: Path, tmp_path: Path, damage, told: str
) -> None:
    simulate_study(source, tmp_path / "out", RECIPE)
    damage(source, sorted((tmp_path / "out").rglob("*.dcm")))
    left = {one: one.read_bytes() for one in (tmp_path / "out").rglob("*.dcm")}
    done = simulate_study(source, tmp_path / "out", RECIPE)
    assert done.exit_code == 1
    (again,) = done.series
    assert "an earlier result of this series is there, and " in again.reason
    assert told in again.reason
    assert "Move that folder away and run again" in again.reason
    assert {one: one.read_bytes() for one in (tmp_path / "out").rglob("*.dcm")} == left


def test_a_killed_run_goes_on_with_the_series_it_did_not_finish(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(source / "more", slices=2, rows=64, columns=64, series_description="more")
    code = (
        "import os, sys; from ldct_clipdn.batch.simulate import simulate_study\n"
        "from ldct_clipdn.io import simulated_write\n"
        "real, left = simulated_write.store, iter(range(4))\n"
        "simulated_write.store = lambda *given: (next(left) == 3 and os._exit(9)) or real(*given)\n"
        "recipe = simulated_write.SimulationRecipe(0.25, kernel='soft', photons=2e4)\n"
        "simulate_study(*sys.argv[1:], recipe)\n"
    )
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", code, str(source), str(out)], check=False)
    assert killed.returncode == 9
    folders = [one for one in out.iterdir() if one.is_dir()]
    (finished,) = (one for one in folders if not one.name.startswith("."))
    (hidden,) = (one for one in folders if one != finished)
    assert list(hidden.rglob("*.dcm"))
    computed: list[Scan] = []
    real = simulate.lower_dose

    def look(scan: Scan, *given: Any) -> low_dose.LowDose:
        computed.append(scan)
        return real(scan, *given)

    monkeypatch.setattr(simulate, "lower_dose", look)
    done = simulate_study(source, out, RECIPE)
    assert [one.status for one in done.series] == ["simulated", "simulated"]
    assert {one.name for one in out.iterdir()} == {one.simulated_uid for one in done.series}
    (again,) = computed
    (new,) = (one for one in done.series if one.simulated_uid != finished.name)
    assert again.source_uid == new.source_uid
    whole = simulate_study(source, tmp_path / "whole", RECIPE)
    assert {one.simulated_uid for one in whole.series} == {one.name for one in out.iterdir()}
    assert {one.name for one in (tmp_path / "whole").rglob("*.dcm")} == {
        one.name for one in out.rglob("*.dcm")
    }


def test_failure_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ldct_clipdn.io.simulated_write.store", full)
    (record,) = simulate_study(source, tmp_path / "out", RECIPE).series
    assert "No space left" in record.reason
    assert not list((tmp_path / "out").iterdir())


def _derivation(folder: Path) -> str:
    return str(pydicom.dcmread(next(folder.glob("*.dcm"))).DerivationDescription)


def test_what_auto_found_is_told_and_repeats_the_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    own = body_hu(128, 128, noise=0) + coloured_noise(B30F, 128, 12.0, seed=1)
    make_series(tmp_path / "in", slices=1, rows=128, columns=128, hu=own[None])
    given = ["simulate", str(tmp_path / "in"), str(tmp_path / "out"), "--dose", "0.25"]
    assert main([*given, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["series"]
    kernel, quanta = one["noise"]["kernel"], one["noise"]["quanta"]
    words = f"kernel {kernel} (cut-off in 1/mm, steepness); {quanta!r} quanta"
    assert words in caplog.text
    derivation = _derivation(tmp_path / "out" / one["simulated_uid"])
    assert words in derivation
    assert "kernel auto, photons auto, seed 0" in derivation
    given[2] = str(tmp_path / "again")
    assert main([*given, "--kernel", kernel, "--photons", repr(quanta)]) == 0
    assert words in capsys.readouterr().out
    (again,) = (tmp_path / "again").iterdir()
    np.testing.assert_array_equal(_hu(tmp_path / "out" / one["simulated_uid"]), _hu(again))


def test_iterative_reconstruction_is_approximate(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for one in source.iterdir():
        edit(one, ConvolutionKernel="I30f")
    with caplog.at_level(logging.WARNING):
        (record,) = simulate_study(source, tmp_path / "out", RECIPE).series
    derivation = _derivation(tmp_path / "out" / record.simulated_uid)
    for words in (" ".join(record.notes), caplog.text, derivation):
        assert "approximate: I30f looks like an iterative reconstruction" in words


def test_a_kernel_that_cannot_be_read_is_a_guess_and_told_as_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_series(tmp_path / "in", slices=1, rows=64, columns=64)  # too small to have regions
    recipe = SimulationRecipe(0.25, photons=2e4)
    (record,) = simulate_study(tmp_path / "in", tmp_path / "out", recipe).series
    told = "approximate: no uniform soft tissue to read the kernel from, a usual one is taken"
    assert record.notes == (told,)
    assert told in _derivation(tmp_path / "out" / record.simulated_uid)
    assert "soft tissue" not in caplog.text  # which would not name the series


def test_a_body_that_is_cut_is_approximate(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = np.where(outside_circle(64, 64), -1024.0, 40.0)
    make_series(tmp_path / "cut", slices=2, rows=64, columns=64, hu=np.stack([cut] * 2))
    told = "approximate in 2 of 2 slices, first in slice 1: the body goes on outside the field"
    words = ["simulate", str(tmp_path / "cut"), str(tmp_path / "out"), "--dose", "0.25"]
    assert main([*words, "--photons", "2e5", "--kernel", "soft"]) == 0
    assert told in capsys.readouterr().out
    (folder,) = (tmp_path / "out").iterdir()
    assert told in _derivation(folder)
    (record,) = simulate_study(source, tmp_path / "whole", RECIPE).series
    assert not record.notes
    assert "approximate" not in _derivation(tmp_path / "whole" / record.simulated_uid)


@pytest.mark.parametrize("named", ["tag", "folder"])
def test_low_dose_of_low_dose_is_told(tmp_path: Path, named: str) -> None:
    folder = tmp_path / ("L192/quarter_3mm" if named == "folder" else "in")
    make_series(folder, slices=1, patient_name="L192_QD_3" if named == "tag" else "Anonymous")
    (record,) = simulate_study(folder, tmp_path / "out", RECIPE).series
    told = "by its name the source is low dose itself"
    assert [one for one in record.notes if one.startswith(told)]
    assert told in _derivation(tmp_path / "out" / record.simulated_uid)


def test_simulating_what_is_simulated_is_told(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    simulate_study(source, tmp_path / "half", SimulationRecipe(0.5, "soft", 2e4))
    caplog.clear()
    (record,) = simulate_study(tmp_path / "half", tmp_path / "out", RECIPE).series
    told = "the source is a simulation of low dose itself"
    assert [one for one in record.notes if one.startswith(told)]
    assert caplog.text.count(told) == 1


def test_a_volume_is_told_that_only_dicom_can_be_simulated(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ct.nii.gz").write_bytes(b"volume")
    done = simulate_study(tmp_path / "in", tmp_path / "out", RECIPE)
    assert done.exit_code == 3
    assert [one.outcome for one in done.inputs] == ["skipped"]
    assert done.inputs[0].reason == "a volume: the dose of DICOM series only can be lowered"


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
    assert main([*given, "--dose", "0.5", "--photons", "1e5"]) == 0
    out = capsys.readouterr().out
    assert "simulated with these settings by an earlier run, and kept" in out
    assert one["simulated_uid"] in out
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


def test_an_unknown_pixel_size_is_refused(source: Path, tmp_path: Path) -> None:
    for path in source.iterdir():
        edit(path, PixelSpacing=None)
    (record,) = simulate_study(source, tmp_path / "out", RECIPE).series
    assert "the pixel size is not known" in record.reason
    assert not record.simulated_uid


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
    (row,) = (one.split() for one in out.splitlines() if "partial" in one)
    assert row[1:] == ["2", "4", "partial", "B30f"]
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
    monkeypatch.setattr(low_dose, "simulate_low_dose", _failing_once(error))
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


def test_what_a_killed_denoise_will_go_on_with_stays(source: Path, tmp_path: Path) -> None:
    begun = tmp_path / "out" / ".2.25.1.partial"
    begun.mkdir(parents=True)
    (tmp_path / "out" / RUN_FILE).write_text("{}")
    simulate_study(source, tmp_path / "out", RECIPE)
    assert begun.exists()
    (tmp_path / "out" / RUN_FILE).unlink()
    simulate_study(source, tmp_path / "out", replace(RECIPE, dose=0.5))
    assert not begun.exists()
