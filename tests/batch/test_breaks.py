"""What may happen to a run: killed, a full disk, input that vanishes, two runs at once."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import numpy as np
import pydicom
import pytest
from builders import make_enhanced, make_series
from filelock import FileLock

from ldct_clipdn.batch import hold, series
from ldct_clipdn.batch.plan import check_folders
from ldct_clipdn.batch.resume import RUN_FILE
from ldct_clipdn.batch.run import RunOptions, denoise_study
from ldct_clipdn.errors import ConfigError, WriteError
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.io import dicom_write, store
from ldct_clipdn.io.scan import Instance, Result

IDENTITY = RunOptions(backend="identity")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number, name in ((2, "a"), (3, "b")):
        make_series(tmp_path / "in" / name, series_number=number, series_uid=f"1.2.3.{number}")
    return tmp_path / "in"


def on_slice(monkeypatch: pytest.MonkeyPatch, at: int, do) -> list[int]:
    """Do something when the identity gets its n-th batch; return the sizes of all batches."""
    sizes: list[int] = []

    def run(_self: IdentityBackend, batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        if len(sizes) == at:
            do()
        return batch

    monkeypatch.setattr(IdentityBackend, "__call__", run)
    return sizes


def interrupt() -> None:
    raise KeyboardInterrupt


def images(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.rglob("*.dcm")}


def hidden(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir() if one.name.startswith(".")]


def test_runs_that_are_killed_end_like_one_that_is_not() -> None:
    """The script with 6 rounds; its 50 are in docs/results.md."""
    command = [sys.executable, str(ROOT / "scripts" / "kill_test.py"), "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert counts["equal"] == counts["untouched"] == counts["rounds"] == 6
    assert counts["finished"] > 0


# --- what is kept of a series that was cut off -------------------------------------------------


def broken_off(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Interrupt a run at the third slice of its first series; give the hidden folder."""
    with monkeypatch.context() as broken:
        on_slice(broken, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            denoise_study(source, target, IDENTITY)
    (folder,) = target.glob(".*.partial")
    assert len(images(folder)) == 2
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def drop_last_line(folder: Path) -> None:
    journal = folder / "finished"
    journal.write_text(journal.read_text()[:-9])


def change_source(folder: Path) -> None:
    for path in (folder.parents[1] / "in" / "a").iterdir():
        ds = pydicom.dcmread(path)
        if ds.InstanceNumber == 1:
            ds.PixelData = bytes(len(ds.PixelData))
            ds.save_as(path)


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (lambda _: None, 1),
        (lambda folder: cut(sorted(folder.rglob("*.dcm"))[0]), 2),
        (lambda folder: sorted(folder.rglob("*.dcm"))[0].unlink(), 2),
        (drop_last_line, 2),
        (lambda folder: (folder / "finished").write_text("{"), 3),
        (lambda folder: (folder / "finished").unlink(), 3),
        (lambda folder: (folder / "images" / "half.dcm").write_bytes(b"x"), 1),
        (change_source, 2),
        (lambda folder: (folder.parent / RUN_FILE).unlink(), 3),  # the time is lost
    ],
    ids=["none", "cut", "gone", "line", "torn", "no journal", "half", "source", "time"],
)
def test_only_what_is_intact_is_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage, again: int
) -> None:
    damage(broken_off(source, tmp_path / "out", monkeypatch))
    seen = on_slice(monkeypatch, 0, None)
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 0
    assert len(seen) == again + 3  # and the other series
    assert not hidden(tmp_path / "out")
    fresh = denoise_study(source, tmp_path / "fresh", IDENTITY)
    assert images(tmp_path / "out").keys() == images(tmp_path / "fresh").keys()
    for one, other in zip(manifest.series, fresh.series, strict=True):
        assert one.quality == other.quality


def test_frames_of_an_enhanced_image_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_enhanced(tmp_path / "in" / "e.dcm")
    with monkeypatch.context() as broken:
        on_slice(broken, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    seen = on_slice(monkeypatch, 0, None)
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert (manifest.exit_code, len(seen)) == (0, 1)
    denoise_study(tmp_path / "in", tmp_path / "fresh", IDENTITY)
    assert images(tmp_path / "out").keys() == images(tmp_path / "fresh").keys()
    assert not hidden(tmp_path / "out")


def test_another_recipe_clears_what_is_left(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(source, tmp_path / "out", monkeypatch)
    denoise_study(source, tmp_path / "out", RunOptions(strength=0))
    assert not hidden(tmp_path / "out")


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), ("8", [3])])
def test_batches(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int | str, sizes: list
) -> None:
    seen = on_slice(monkeypatch, 0, None)
    options = RunOptions(backend="identity", batch_size=batch)
    manifest = denoise_study(source / "a", tmp_path / "out", options)
    assert (manifest.exit_code, seen) == (0, sizes)


# --- what is refused ---------------------------------------------------------------------------


def _hold(path: Path, ready, release) -> None:
    with hold.hold_folder(path):
        ready.set()
        release.wait(600)


def test_two_runs_into_one_folder(source: Path, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path / "out", ready, release))
    other.start()
    try:
        assert ready.wait(600)  # however busy the machine is
        with pytest.raises(ConfigError, match="another run is writing into this folder"):
            denoise_study(source, tmp_path / "out", IDENTITY)
        assert hidden(tmp_path / "out") == [hold.LOCK_FILE]
    finally:
        release.set()
        other.join(600)
    assert denoise_study(source, tmp_path / "out", IDENTITY).exit_code == 0
    assert not hidden(tmp_path / "out")


def test_the_lock_of_a_dead_run_holds_no_one_up(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / hold.LOCK_FILE).write_text("")
    assert denoise_study(source, tmp_path / "out", IDENTITY).exit_code == 0


class Full(BytesIO):
    """A file on a disk that holds 1 kB more."""

    def write(self, data: bytes) -> int:
        if self.tell() + len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_fails_one_series_and_keeps_the_others(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def write(file: IO[bytes], ds: pydicom.Dataset, **settings: bool) -> None:
        nonlocal count
        count += not isinstance(file, BytesIO)  # headers are tried in memory first
        pydicom.dcmwrite(Full() if count == 5 else file, ds, **settings)

    monkeypatch.setattr(store, "dcmwrite", write)
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 1
    assert [one.status for one in manifest.series] == ["denoised", "failed"]
    (reason,) = {one.reason for one in manifest.inputs if one.outcome == "failed"}
    assert reason.startswith(f"{tmp_path / 'out'}/")
    told = "the series cannot be written: No space left on device. Check free space and permissions"
    assert reason.endswith(f": {told}")
    assert len(images(tmp_path / "out")) == 3
    assert not hidden(tmp_path / "out")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_target_that_cannot_be_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_self: FileLock) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(FileLock, "_acquire", refuse)
    with pytest.raises(ConfigError, match="output folder cannot be used: .*refused"):
        denoise_study(source, tmp_path / "out", IDENTITY)
    assert not list((tmp_path / "out").iterdir())


def test_input_that_vanishes_fails_its_series_by_name(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = sorted((source / "a").iterdir())[-1]
    add = dicom_write.ImageWriter.add

    def add_and_remove(self: dicom_write.ImageWriter, result: Result):
        last.unlink(missing_ok=True)
        return add(self, result)

    monkeypatch.setattr(dicom_write.ImageWriter, "add", add_and_remove)
    monkeypatch.setattr("ldct_clipdn.batch.ahead.ahead.__defaults__", (1,))
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert [one.status for one in manifest.series] == ["failed", "denoised"]
    (reason,) = {one.reason for one in manifest.inputs if one.outcome == "failed"}
    assert reason.startswith(f"{last}: it can no longer be read: ")
    assert "No such file or directory" in reason
    assert reason.endswith(". Keep the input in place until the run ends")
    assert len(images(tmp_path / "out")) == 3


def test_a_disk_too_full_for_the_manifest(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ldct_clipdn.batch.manifest.json.dump", refuse)
    with pytest.raises(WriteError, match="output folder cannot be written: No space left"):
        denoise_study(source, tmp_path / "out", IDENTITY)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), AssertionError("x"), zlib.error("x")])
def test_a_bug_in_reading_through_one_series_stops_no_other(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(instance: Instance, *others: object) -> None:
        if instance.path.parent.name == "a":
            raise error

    monkeypatch.setattr(series, "rehearse", fail)
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    assert [one.status for one in manifest.series] == ["failed", "denoised"]
    failed = [one for one in manifest.inputs if one.outcome == "failed"]
    assert [one.path.split("/")[0] for one in failed] == ["a"] * 3
    reason = f"an error in ldct_clipdn itself: {type(error).__name__}: x"
    assert {one.reason for one in failed} == {reason}


LONG: Final = "a" * 300


@pytest.mark.parametrize(
    ("given", "target", "reason"),
    [
        (LONG, "out", "it cannot be read: File name too long"),
        ("in", LONG, "the output folder cannot be used: File name too long"),
        ("in", f"{LONG}/out", "the output folder cannot be used: File name too long"),
    ],
)
def test_impossible_names_are_plain_errors(
    source: Path, tmp_path: Path, given: str, target: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_folders(tmp_path / given, tmp_path / target)
    assert caught.value.reason == reason


@pytest.mark.parametrize(("name", "reason"), [("in", "it cannot be read"), ("out", "the output")])
def test_folders_that_must_not_be_searched_are_plain_errors(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    """Root may search any folder, so the system's answer is made up."""
    look = Path.stat

    def refuse(self: Path, **options: bool) -> os.stat_result:
        if self.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return look(self, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ConfigError, match=f"{reason}.*: Permission denied"):
        check_folders(source, tmp_path / "out")
