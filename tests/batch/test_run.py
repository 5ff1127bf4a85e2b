"""A study in, derived series and a manifest out; whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from builders import edit, make_series

from ldct_clipdn import __version__
from ldct_clipdn.batch import resume, series
from ldct_clipdn.batch.manifest import Manifest
from ldct_clipdn.batch.run import RunOptions, denoise_study, plan_study, try_engine
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.ct.residual import limit_change
from ldct_clipdn.errors import BackendError, ConfigError, WeightsError
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.inference.denoise import denoise_hu, denoise_slices
from ldct_clipdn.inference.engine import open_engine
from ldct_clipdn.io.dicom_read import read_header, read_slice
from ldct_clipdn.io.scan import Instance

IDENTITY = RunOptions(backend="identity")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two series of one study."""
    for number, name in ((2, "a"), (3, "b")):
        make_series(
            tmp_path / "in" / name,
            slices=3,
            series_number=number,
            series_description=name,
            series_uid=f"1.2.3.{number}",  # series are taken in this order
        )
    return tmp_path / "in"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_denoiser(build_denoiser(encoder="tiny"), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def outcomes(manifest: Manifest) -> dict[str, str]:
    return {one.path: one.outcome for one in manifest.inputs}


def by_number(folder: Path) -> dict[int, pydicom.Dataset]:
    images = (pydicom.dcmread(one) for one in folder.iterdir())
    return {int(one.InstanceNumber): one for one in images}


def digests(folder: Path) -> dict[str, str]:
    """All DICOM files in the folder's series, by relative name."""
    return {
        one.relative_to(folder).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in sorted(folder.glob("[!.]*/*.dcm"))
    }


def fail(monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
    """Make the identity fail at its n-th slice."""
    seen = 0

    def run(_self: IdentityBackend, batch: np.ndarray) -> np.ndarray:
        nonlocal seen
        seen += 1
        if seen == at:
            raise error
        return batch

    monkeypatch.setattr(IdentityBackend, "__call__", run)


# --- what is written -------------------------------------------------------------------------


def test_pixels_are_those_of_denoise_hu(source: Path, weights: Path, tmp_path: Path) -> None:
    manifest = denoise_study(source / "a", tmp_path / "out", RunOptions(weights, strength=0.5))
    (record,) = manifest.series
    derived = by_number(tmp_path / "out" / record.derived_uid)
    for path in (source / "a").iterdir():
        before = read_slice(Instance(path, read_header(path)))
        expected = denoise_hu(before.hu, weights, strength=0.5)
        number = pydicom.dcmread(path).InstanceNumber
        after = read_slice(Instance(Path(derived[number].filename), derived[number])).hu
        np.testing.assert_allclose(after, expected.clip(-1024, 3071), atol=0.5001)
        assert np.abs(after - before.hu).max() > 10  # and it did something


def test_window_is_what_the_network_sees(source: Path, weights: Path, tmp_path: Path) -> None:
    low, high = -160.0, 240.0
    window = RunOptions(weights, window=(low, high))
    (record,) = denoise_study(source / "a", tmp_path / "out", window).series
    (published,) = denoise_study(source / "a", tmp_path / "whole", RunOptions(weights)).series
    assert record.derived_uid != published.derived_uid
    derived, engine = by_number(tmp_path / "out" / record.derived_uid), open_engine(weights)
    for path in (source / "a").iterdir():
        before = read_slice(Instance(path, read_header(path))).hu
        seen = denoise_slices(before[None], engine, hu_range=HURange(low, high))[0]
        number = pydicom.dcmread(path).InstanceNumber
        after = read_slice(Instance(Path(derived[number].filename), derived[number])).hu
        np.testing.assert_allclose(after, limit_change(before, seen)[0], atol=0.5001)
        assert np.abs(after - before).max() > 1
        far = (before < low - 100) | (before > high + 200)
        assert far.any()
        np.testing.assert_array_equal(after[far], before[far])


def test_the_range_of_the_weights_is_what_the_network_sees(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless another is asked for, which is told, and on a dry run too."""
    narrow = tmp_path / "narrow.safetensors"
    save_denoiser(build_denoiser(encoder="tiny", hu_range=(-160, 240)), narrow)
    shutil.rmtree(source / "b")
    own, same, other = (
        denoise_study(source, tmp_path / str(window), RunOptions(narrow, window=window))
        for window in (None, (-160, 240), (-1024, 3072))
    )
    assert [one.options["window"] for one in (own, same)] == [(-160.0, 240.0)] * 2
    assert own.series[0].derived_uid == same.series[0].derived_uid
    assert digests(tmp_path / "None").keys() == digests(tmp_path / "(-160, 240)").keys()
    assert own.series[0].derived_uid != other.series[0].derived_uid
    said = "narrow.safetensors was trained on HU -160 to 240, and sees -1024 to 3072"
    assert caplog.text.count(said) == 1
    asked = RunOptions(narrow, window=(-1024, 3072))
    try_engine(plan_study(source, tmp_path / "dry", asked), asked)
    assert caplog.text.count(said) == 2


def test_weights_that_do_not_say_their_range_are_not_doubted(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For them --window was made: a bare state dict, and files from before."""
    save_denoiser(build_denoiser(encoder="tiny"), tmp_path / "bare.pt")
    asked = RunOptions(tmp_path / "bare.pt", window=(-160, 240))
    try_engine(plan_study(source, tmp_path / "out", asked), asked)
    assert "was trained on" not in caplog.text


@pytest.mark.parametrize("options", [IDENTITY, RunOptions(strength=0)], ids=["identity", "zero"])
def test_identity_copies_pixels_exactly(source: Path, tmp_path: Path, options: RunOptions) -> None:
    manifest = denoise_study(source, tmp_path / "out", options)
    assert manifest.exit_code == 0
    for record, name in zip(manifest.series, ("a", "b"), strict=True):
        before = {
            pydicom.dcmread(p).InstanceNumber: pydicom.dcmread(p) for p in (source / name).iterdir()
        }
        after = by_number(tmp_path / "out" / record.derived_uid)
        assert after.keys() == before.keys()
        for number, one in after.items():
            assert one.PixelData == before[number].PixelData
            assert one.SOPInstanceUID != before[number].SOPInstanceUID


def test_the_manifest_says_what_was_done(source: Path, weights: Path, tmp_path: Path) -> None:
    (source / "notes.txt").write_text("x")
    manifest = denoise_study(source, tmp_path / "out", RunOptions(str(weights)))
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert written == json.loads(json.dumps(manifest.to_dict()))
    assert set(written) == {"versions", "weights", "options", "series", "inputs", "earlier"}
    assert written["versions"]["ldct_clipdn"] == __version__
    assert written["versions"]["torch"] == version("torch")
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert written["weights"] == {"name": "w.safetensors", "sha256": sha256}
    assert written["options"]["strength"] == 1
    assert written["options"]["window"] == [-1024, 3072]
    for record, name in zip(written["series"], ("a", "b"), strict=True):
        header = pydicom.dcmread(source / name / "IM0000.dcm")
        assert record["source_uid"] == header.SeriesInstanceUID
        assert (tmp_path / "out" / record["derived_uid"]).is_dir()
        assert (record["slices"], record["status"]) == (3, "denoised")
        assert record["seconds"] >= 0
    assert [(one["path"], one["outcome"]) for one in written["inputs"]] == [
        *((f"{name}/IM{k:04d}.dcm", "denoised") for name in "ab" for k in range(3)),
        ("notes.txt", "skipped"),
    ]


def test_a_random_encoder_is_said_in_every_image(
    source: Path, weights: Path, tmp_path: Path
) -> None:
    denoise_study(source / "a", tmp_path / "out", RunOptions(weights))
    for path in (tmp_path / "out").rglob("*.dcm"):
        assert "encoder weights: random" in str(pydicom.dcmread(path))


def test_series_numbers_are_free_in_their_study(source: Path, tmp_path: Path) -> None:
    for number, path in ((2, source / "a"), (10003, source / "b")):
        for one in path.iterdir():
            edit(one, SeriesNumber=number)
    make_series(source / "c", series_number=3, series_description="c")
    scout = ("ORIGINAL", "PRIMARY", "LOCALIZER")
    make_series(source / "d", slices=1, series_number=10002, image_type=scout, seed=1)
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    numbers = {
        int(next(iter(by_number(tmp_path / "out" / one.derived_uid).values())).SeriesNumber)
        for one in manifest.series
        if one.derived_uid
    }
    assert len(numbers) == 3
    assert not numbers & {2, 3, 10002, 10003}


def test_progress_counts_every_slice_once(source: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    denoise_study(source, tmp_path / "out", IDENTITY, progress=lambda *now: seen.append(now))
    assert seen[0] == (0, 6)
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_without_wallclock_the_studys_date_is_written(source: Path, tmp_path: Path) -> None:
    manifest = denoise_study(
        source, tmp_path / "out", RunOptions(backend="identity", wallclock=False)
    )
    for record in manifest.series:
        for one in by_number(tmp_path / "out" / record.derived_uid).values():
            assert (one.InstanceCreationDate, one.SeriesDate) == ("20200102", "20200102")


def test_one_series_never_bears_two_dates(source: Path, tmp_path: Path) -> None:
    first = denoise_study(source / "a", tmp_path / "out", IDENTITY)
    hidden = RunOptions(backend="identity", wallclock=False)
    second = denoise_study(source / "a", tmp_path / "out", hidden)
    assert (first.exit_code, second.exit_code) == (0, 0)
    dates, uids = [], set()
    for record in (*first.series, *second.series):
        images = by_number(tmp_path / "out" / record.derived_uid).values()
        dates.append({one.SeriesDate for one in images})
        uids |= {one.SOPInstanceUID for one in images}
    assert dates[0] != dates[1] == {"20200102"}
    assert len(uids) == 6


# --- what goes wrong -------------------------------------------------------------------------


def test_a_bad_slice_makes_its_series_partial_and_no_other(source: Path, tmp_path: Path) -> None:
    bad = source / "a" / "IM0001.dcm"
    bad.write_bytes(bad.read_bytes()[:-500])
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 1
    assert [one.status for one in manifest.series] == ["partial", "denoised"]
    partial = by_number(tmp_path / "out" / manifest.series[0].derived_uid)
    assert set(partial) == {1, 3}
    assert all("INCOMPLETE 2/3" in one.SeriesDescription for one in partial.values())
    (record,) = (one for one in manifest.inputs if one.outcome == "failed")
    assert record.path == "a/IM0001.dcm"
    assert "shorter than Rows x Columns" in record.reason


def test_a_file_that_belongs_to_no_series_fails_the_run(source: Path, tmp_path: Path) -> None:
    (source / "empty.dcm").write_bytes(b"")
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert [one.status for one in manifest.series] == ["denoised", "denoised"]
    assert outcomes(manifest)["empty.dcm"] == "failed"
    assert manifest.exit_code == 1


def test_a_series_without_a_readable_slice_fails(source: Path, tmp_path: Path) -> None:
    for path in (source / "a").iterdir():
        path.write_bytes(path.read_bytes()[:-500])
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert [one.status for one in manifest.series] == ["failed", "denoised"]
    assert manifest.series[0].derived_uid == ""
    assert len(digests(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BackendError("the memory is too small"), "the memory is too small"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (
            ZeroDivisionError("division"),
            "an error in ldct_clipdn itself: ZeroDivisionError: division",
        ),
    ],
)
def test_a_failure_in_compute_leaves_no_file_and_stops_no_other_series(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    reason: str,
) -> None:
    fail(monkeypatch, 2, error)
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 1
    assert [one.status for one in manifest.series] == ["failed", "denoised"]
    assert {one.reason for one in manifest.inputs if one.path.startswith("a/")} == {reason}
    folders = [one.name for one in (tmp_path / "out").iterdir() if one.is_dir()]
    assert folders == [manifest.series[1].derived_uid]
    bugs = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert bool(bugs) == isinstance(error, ZeroDivisionError)


def test_an_answer_that_is_not_finite_fails_the_series(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IdentityBackend, "__call__", lambda _, batch: batch * np.nan)
    manifest = denoise_study(source / "a", tmp_path / "out", IDENTITY)
    assert [one.status for one in manifest.series] == ["failed"]
    assert "NaN or infinite" in manifest.inputs[0].reason


def test_nothing_to_denoise_is_said_and_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_series(tmp_path / "in", slices=1, image_type=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    manifest = denoise_study(tmp_path / "in", tmp_path / "out")
    assert manifest.exit_code == 3
    assert [one.status for one in manifest.series] == ["skipped"]
    assert manifest.inputs[0].reason == "a localizer"
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_bad_settings_are_known_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="strength"):
        RunOptions(strength=-0.1)
    with pytest.raises(ConfigError, match="HU range"):
        RunOptions(window=(240.0, -160.0))
    with pytest.raises(ConfigError, match="no such file"):
        denoise_study(tmp_path / "none", tmp_path / "out", IDENTITY)
    with pytest.raises(ConfigError, match="lies in the input"):
        denoise_study(source, source / "out", IDENTITY)
    with pytest.raises(WeightsError):
        denoise_study(source, tmp_path / "out", RunOptions(tmp_path / "none.pt"))
    assert not (tmp_path / "out").exists()
    assert not (source / "out").exists()


# --- again, and after a break ----------------------------------------------------------------


def test_a_second_run_writes_nothing_anew(source: Path, tmp_path: Path) -> None:
    first = denoise_study(source, tmp_path / "out", IDENTITY)
    stamps = {one: one.stat().st_mtime_ns for one in (tmp_path / "out").rglob("*.dcm")}
    second = denoise_study(source, tmp_path / "out", IDENTITY)
    assert second.exit_code == 0
    assert [one.derived_uid for one in second.series] == [one.derived_uid for one in first.series]
    assert outcomes(second) == outcomes(first)
    assert {one: one.stat().st_mtime_ns for one in (tmp_path / "out").rglob("*.dcm")} == stamps


def test_what_a_file_manager_leaves_in_a_result_is_passed_over(
    source: Path, tmp_path: Path
) -> None:
    (record,) = denoise_study(source / "a", tmp_path / "out", IDENTITY).series
    folder = tmp_path / "out" / record.derived_uid
    for name in (".DS_Store", f"._{record.derived_uid}.dcm", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    again = denoise_study(source / "a", tmp_path / "out", IDENTITY)
    assert (again.exit_code, again.series[0].derived_uid) == (0, record.derived_uid)
    (folder / "2.25.1.dcm").write_bytes(b"x")  # named like an image
    assert denoise_study(source / "a", tmp_path / "out", IDENTITY).exit_code == 1


def test_another_recipe_is_another_series_beside_the_first(
    source: Path, weights: Path, tmp_path: Path
) -> None:
    first = denoise_study(source / "a", tmp_path / "out", RunOptions(weights))
    second = denoise_study(source / "a", tmp_path / "out", RunOptions(weights, strength=0.5))
    assert first.series[0].derived_uid != second.series[0].derived_uid
    assert len(digests(tmp_path / "out")) == 6


def test_other_results_of_a_series_are_told_and_not_forgotten(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A series that grows is another series: the one of its first slices stays beside it."""
    shutil.rmtree(source / "b")
    late = source / "a" / "IM0002.dcm"
    late.rename(tmp_path / "late.dcm")
    (first,) = denoise_study(source, tmp_path / "out", IDENTITY).series
    (tmp_path / "late.dcm").rename(late)
    with caplog.at_level(logging.DEBUG):
        manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    (second,) = manifest.series
    told = (
        f"an earlier run made {first.derived_uid} of the same images or some of them, still in the "
        "output folder"
    )
    assert second.notes[-1] == told
    assert f"series {second.source_uid}: {told}" in caplog.messages
    assert [one["derived_uid"] for one in manifest.earlier] == [first.derived_uid]
    other = denoise_study(source, tmp_path / "out", replace(IDENTITY, wallclock=False))
    known = {first.derived_uid, second.derived_uid}
    assert {one["derived_uid"] for one in other.earlier} == known
    shutil.rmtree(tmp_path / "out" / first.derived_uid)
    again = denoise_study(source, tmp_path / "out", IDENTITY)
    assert [one["derived_uid"] for one in again.earlier] == [other.series[0].derived_uid]


def test_a_result_of_another_part_of_a_series_is_no_other_result_of_it(
    source: Path, tmp_path: Path
) -> None:
    for name in "01":
        edit(source / "a" / f"IM000{name}.dcm", ConvolutionKernel="B70f")
    runs = [
        denoise_study(source / "a", tmp_path / "out", replace(IDENTITY, series=(one,)))
        for one in ("ConvolutionKernel=B70f", "ConvolutionKernel=B30f")
    ]
    first, second = ([one for one in run.series if one.derived_uid] for run in runs)
    assert first[0].source_uid == second[0].source_uid
    assert len(runs[1].earlier) == 1  # both lie there
    assert not [one for one in second[0].notes if "earlier run" in one]
    again = denoise_study(source / "a", tmp_path / "out", replace(IDENTITY, wallclock=False))
    for one, known in zip(again.series, (*second, *first), strict=True):
        (note,) = (note for note in one.notes if "earlier run" in note)
        assert known.derived_uid in note


def test_a_tampered_result_is_noticed_and_not_overwritten(source: Path, tmp_path: Path) -> None:
    first = denoise_study(source / "a", tmp_path / "out", IDENTITY)
    path = next((tmp_path / "out" / first.series[0].derived_uid).iterdir())
    ds = pydicom.dcmread(path)
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(path)
    before = digests(tmp_path / "out")
    second = denoise_study(source / "a", tmp_path / "out", IDENTITY)
    assert second.exit_code == 1
    assert all("in it, or its source, was changed since" in one.reason for one in second.inputs)
    assert digests(tmp_path / "out") == before


class Clock(datetime):
    """A clock that is an hour later each time it is read."""

    hour = 0

    @classmethod
    def now(cls) -> datetime:  # type: ignore[override]
        cls.hour += 1
        return datetime(2026, 5, 6, cls.hour, 30, 15, 123456)


@pytest.mark.parametrize("at", [2, 5], ids=["in the first series", "in the second"])
def test_a_resumed_run_equals_an_unbroken_one(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(Clock, "hour", 0)
    monkeypatch.setattr(resume, "datetime", Clock)
    denoise_study(source, tmp_path / "whole", IDENTITY)
    monkeypatch.setattr(Clock, "hour", 0)
    with monkeypatch.context() as broken:
        fail(broken, at, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            denoise_study(source, tmp_path / "out", IDENTITY)
    assert len(digests(tmp_path / "out")) == (0 if at == 2 else 3)
    assert not (tmp_path / "out" / "manifest.json").exists()
    finished = {one.name: one.stat() for one in (tmp_path / "out").rglob("*.dcm")}
    assert len(finished) == at - 1  # the slices before the one that was interrupted
    fail(monkeypatch, 8 - at, AssertionError("a finished slice is computed again"))
    assert denoise_study(source, tmp_path / "out", IDENTITY).exit_code == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    for one in (tmp_path / "out").rglob("*.dcm"):
        assert one.name not in finished or finished[one.name].st_ino == one.stat().st_ino
    left = {one.name for one in (tmp_path / "out").iterdir() if one.name.startswith(".")}
    assert not left  # neither hidden folders nor the run's own file


def test_a_finished_run_takes_its_time_with_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "hour", 0)
    monkeypatch.setattr(resume, "datetime", Clock)
    times = set()
    for name in "ab":
        manifest = denoise_study(source / name, tmp_path / "out", IDENTITY)
        (record,) = manifest.series
        times |= {
            one.SeriesTime[:6] for one in by_number(tmp_path / "out" / record.derived_uid).values()
        }
    assert times == {"013015", "023015"}


def test_a_run_takes_no_time_from_one_of_another_series(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "hour", 0)
    monkeypatch.setattr(resume, "datetime", Clock)
    with monkeypatch.context() as broken:
        fail(broken, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            denoise_study(source / "a", tmp_path / "out", IDENTITY)
    (record,) = denoise_study(source / "b", tmp_path / "out", IDENTITY).series
    images = by_number(tmp_path / "out" / record.derived_uid).values()
    assert {one.SeriesTime[:6] for one in images} == {"023015"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"task": 1}', '{"task": "x", "time": "noon"}'])
def test_a_damaged_run_file_does_no_harm(source: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / resume.RUN_FILE).write_text(content)
    assert denoise_study(source, tmp_path / "out", IDENTITY).exit_code == 0


def test_times_follow_the_zone_of_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(tmp_path / "in", slices=1, extra={"TimezoneOffsetFromUTC": "-0330"})
    monkeypatch.setattr(Clock, "hour", 0)
    monkeypatch.setattr(resume, "datetime", Clock)
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    (image,) = by_number(tmp_path / "out" / manifest.series[0].derived_uid).values()
    local = datetime(2026, 5, 6, 1, 30, 15).astimezone()
    expected = local.astimezone(tz=series.timezone(-series.timedelta(hours=3, minutes=30)))
    assert image.SeriesDate + image.SeriesTime[:6] == expected.strftime("%Y%m%d%H%M%S")
