"""`denoise`: exit codes, what is printed, and that errors are one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from builders import edit, make_series

from ldct_clipdn.inference.backends.identity import IdentityBackend


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_series(tmp_path / "in" / "ct", slices=3)
    return tmp_path / "in"


def test_a_series_is_denoised_and_listed(
    cli: Callable, source: Path, weights: Path, tmp_path: Path
) -> None:
    (source / "notes.txt").write_text("not CT")
    done = cli("denoise", source, tmp_path / "out", "--weights", weights)
    assert (done.code, done.err) == (0, "")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (series,) = manifest["series"]
    assert str(tmp_path / "out" / series["derived_uid"]) in done.out
    assert "denoised" in done.out
    assert "skipped  1 file: not a DICOM file (notes.txt)" in done.out
    assert "Weights: tiny.safetensors" in done.out
    assert "not a medical device" in done.out
    written = sorted((tmp_path / "out" / series["derived_uid"]).glob("*.dcm"))
    assert len(written) == 3
    before = [pydicom.dcmread(one) for one in sorted((source / "ct").iterdir())]
    after = [pydicom.dcmread(one) for one in written]
    after.sort(key=lambda one: one.InstanceNumber)
    for a, b in zip(before, after, strict=True):
        # these weights give 0.99 of the image: HU + 1024 shrink by a hundredth
        body = a.pixel_array > 500
        share = b.pixel_array[body] / a.pixel_array[body]
        np.testing.assert_allclose(share, 0.99, atol=1e-3)


def test_json_is_the_manifest(cli: Callable, source: Path, weights: Path, tmp_path: Path) -> None:
    done = cli("denoise", source, tmp_path / "out", "--weights", weights, "--json", "-q")
    assert done.code == 0
    assert json.loads(done.out) == json.loads((tmp_path / "out" / "manifest.json").read_text())


def test_strength_0_needs_no_weights(cli: Callable, source: Path, tmp_path: Path) -> None:
    assert cli("denoise", source, tmp_path / "out", "--strength", "0").code == 0
    before = {one.InstanceNumber: one for one in map(pydicom.dcmread, (source / "ct").iterdir())}
    after = [pydicom.dcmread(one) for one in (tmp_path / "out").rglob("*.dcm")]
    assert len(after) == 3
    for one in after:
        assert one.PixelData == before[one.InstanceNumber].PixelData


def test_a_bad_slice_is_1_and_named(cli: Callable, source: Path, tmp_path: Path) -> None:
    bad = source / "ct" / "IM0001.dcm"
    bad.write_bytes(bad.read_bytes()[:-100])
    done = cli("denoise", source, tmp_path / "out", "--strength", "0")
    assert done.code == 1
    assert "partial" in done.out
    assert "failed   1 file: " in done.out
    assert "(ct/IM0001.dcm)" in done.out


@pytest.mark.parametrize("content", [None, "text"])
def test_nothing_to_denoise_is_3_whatever_the_weights(
    cli: Callable, tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "in").mkdir()
    if content:
        (tmp_path / "in" / "a.txt").write_text(content)
    done = cli("denoise", tmp_path / "in", tmp_path / "out")
    assert done.code == 3
    told = "" if content else f": there is no file in {tmp_path / 'in'}"
    assert f"Nothing was denoised{told}." in done.out
    dry = cli("denoise", tmp_path / "in", tmp_path / "out", "--dry-run")
    assert f"Nothing to denoise{told}." in dry.out
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("{in}/none", "{out}"), 2, "no such file or folder"),
        (("{in}", "{in}"), 2, "lies in the input"),
        (("{in}", "{in}/deep/out"), 2, "lies in the input"),
        (("{in}", "{out}", "--strength", "1.5"), 2, "strength 1.5 is not in 0 to 1"),
        (("{in}", "{out}", "--strength", "nan"), 2, "strength nan is not in 0 to 1"),
        (("{in}", "{out}", "--weights", "none"), 2, "no weights named 'none'"),
        (("{in}", "{out}", "--weights", "none.pt"), 2, "none.pt: cannot be read"),
        (("{in}", "{out}", "--weights", "{in}/ct/IM0000.dcm"), 2, "no plain weights file"),
        (("{in}", "{out}", "--weights", "{w}", "--device", "cuda:9"), 2, "cuda:9"),
        (("{in}", "{out}", "--weights", "{w}", "--device", "tpu"), 2, "'tpu' is no device"),
        (("{in}", "{out}", "--backend", "abacus"), 2, "no back-end named 'abacus'"),
        (("{in}", "{out}", "--weights", "{w}", "--precision", "half"), 2, "no precision 'half'"),
        (
            ("{in}", "{out}", "--weights", "{w}", "--device", "cpu", "--precision", "float16"),
            2,
            "a CPU does not compute in float16",
        ),
        (("{in}", "{w}"), 2, "output folder cannot be used: Not a directory"),
        (("{in}", "{w}/deep/out"), 2, "output folder cannot be used: Not a directory"),
        (("{in}", "{out}", "--batch-size", "0"), 2, "0 slices cannot be computed at once"),
        (("{in}", "{out}", "--series", "CT"), 2, "'CT' chooses no series"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_errors_are_one_line_and_write_nothing(
    cli: Callable,
    source: Path,
    weights: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    reason: str,
    dry: tuple[str, ...],
) -> None:
    names = {"in": source, "out": tmp_path / "out", "w": weights}
    done = cli("denoise", *(one.format(**names) for one in arguments), *dry)
    assert (done.code, done.out) == (code, "")
    assert reason in done.err
    assert done.err.startswith("ldct-clipdn denoise: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_interrupted_is_130_and_leaves_no_half_series(
    cli: Callable, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_self: object, _batch: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(IdentityBackend, "__call__", stop)
    done = cli("denoise", source, tmp_path / "out", "--backend", "identity")
    assert (done.code, done.err) == (130, "ldct-clipdn denoise: interrupted\n")
    assert not list((tmp_path / "out").rglob("*.dcm"))
    monkeypatch.undo()
    assert cli("denoise", source, tmp_path / "out", "--backend", "identity").code == 0
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3


def test_many_files_with_one_reason_are_one_line(
    cli: Callable, source: Path, tmp_path: Path
) -> None:
    for index in range(5):
        (source / f"{index}.txt").write_text("")
    done = cli("denoise", source, tmp_path / "out", "--strength", "0")
    assert "skipped  5 files: not a DICOM file (0.txt, 1.txt, 2.txt, ...)" in done.out


def test_many_results_that_are_there_are_one_line(cli: Callable, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "in" / name).mkdir(parents=True)
        image = SimpleITK.GetImageFromArray(np.full((2, 16, 16), -1000, np.int16))
        SimpleITK.WriteImage(image, str(tmp_path / "in" / name / "ct.mha"))
    options = ("denoise", tmp_path / "in", tmp_path / "out", "--strength", "0", "--batch-size")
    assert cli(*options, "1").code == 0
    done = cli(*options, "2")
    assert done.code == 1
    told = "its result is there already, made with other settings (batch). Give another output"
    assert f"failed   2 files: {tmp_path / 'out'}: {told}" in done.out


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    cli: Callable, source: Path, tmp_path: Path
) -> None:
    make_series(source / "b", slices=2, kernel="B70f", series_number=5, positions=[0, 9, 11])
    (source / "notes.txt").write_text("not CT")
    done = cli("denoise", source, tmp_path / "out", "--dry-run", "--series", "SeriesNumber=5")
    assert (done.code, done.err) == (0, "")
    (line,) = (one for one in done.out.splitlines() if "B70f" in one and "denoised" in one)
    assert line.split()[1:4] == ["5", "3", "denoised"]
    assert "skipped  1 file: not a DICOM file (notes.txt)" in done.out
    told = "skipped  3 files: not asked for: its SeriesNumber is another (ct/IM0000.dcm,"
    assert told in done.out
    assert not (tmp_path / "out").exists()


def test_a_dry_run_for_machines(cli: Callable, source: Path, tmp_path: Path) -> None:
    (source / "bad.dcm").write_bytes(b"")
    done = cli("denoise", source, tmp_path / "out", "--dry-run", "--json")
    assert done.code == 1  # as the run itself would end
    plan = json.loads(done.out)
    (series,) = plan["series"]
    assert (series["number"], series["derived_number"], series["slices"]) == (2, 10002, 3)
    (unused,) = plan["unused"]
    assert (unused["path"], unused["outcome"]) == ("bad.dcm", "failed")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_syntax_without_decoder_is_known_before(
    cli: Callable, source: Path, tmp_path: Path, dry: tuple[str, ...]
) -> None:
    bad = source / "ct" / "IM0001.dcm"
    ds = pydicom.dcmread(bad)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.55"
    ds.PixelData = pydicom.encaps.encapsulate([ds.PixelData])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(bad)
    done = cli("denoise", source, tmp_path / "out", "--strength", "0", *dry)
    assert done.code == 1
    assert "failed   1 file: the transfer syntax JPEG Full Progression" in done.out
    assert "(ct/IM0001.dcm)" in done.out


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_folder_that_may_not_be_written(
    cli: Callable, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry: tuple
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("ldct_clipdn.batch.plan.access", lambda *_: False)  # root may write all
    done = cli("denoise", source, tmp_path / "out", "--strength", "0", *dry)
    assert (done.code, done.out) == (2, "")
    assert "output folder cannot be used: Permission denied" in done.err


def test_one_slice_is_no_slices(cli: Callable, tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.full((1, 8, 8), -1000, np.int16))
    SimpleITK.WriteImage(image, str(tmp_path / "v.mha"))
    done = cli("denoise", tmp_path / "v.mha", tmp_path / "out", "--strength", "0", "--dry-run")
    assert "volume v.mha, 1 slice, to be v_denoised.mha" in done.out


def test_what_is_flagged_is_printed_and_every_series_can_be_told_apart(
    cli: Callable, tmp_path: Path
) -> None:
    for path in make_series(tmp_path / "in", slices=3, rows=64, columns=64)[:2]:
        edit(path, ConvolutionKernel="B70f", SeriesNumber=7)
    for name in ("p1/ct_of_the_abdomen.nii.gz", "p2/ct_of_the_abdomen.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir()
        image = SimpleITK.GetImageFromArray(np.full((1, 8, 8), 40, np.int16))
        SimpleITK.WriteImage(image, str(tmp_path / "in" / name))
    taken = "--strength", "0", "--accept", "no-air"
    done = cli("denoise", tmp_path / "in", tmp_path / "out", *taken)
    lines = done.out.splitlines()
    records = json.loads((tmp_path / "out" / "manifest.json").read_text())["series"]
    flags = [flag for one in records for flag in one["quality"]["flags"]]
    assert [one["code"] for one in flags] == ["OUT_OF_DISTRIBUTION"] * 2
    for flag in flags:
        assert f"{'':<14}{flag['code']}: {flag['text']}" in lines
    assert [(one["kind"], one["kernel"]) for one in records] == [
        ("series", "B30f"), ("series", "B70f"), ("volume", ""), ("volume", "")
    ]  # fmt: skip
    assert records[1]["number"] == 7
    (row,) = (one.split() for one in lines if "B70f" in one and "denoised" in one)
    assert row[1:4] == ["7", "2", "denoised"]
    for one in records:
        assert f"{'':<14}{tmp_path / 'out' / one['derived_uid']}" in lines
        for note in one["notes"]:  # what is flagged is not said again
            assert (f"{'':<14}{note}" in lines) != note.startswith("OUT_OF_DISTRIBUTION")
    for name in ("p1/ct_of_the_abdomen.nii.gz", "p2/ct_of_the_abdomen.nii.gz"):
        assert any(one.startswith(f"volume {name}, 1 slice, denoised, ") for one in lines)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_no_name_breaks_a_line_or_steers_the_terminal(
    cli: Callable,
    source: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    dry: tuple[str, ...],
) -> None:
    caplog.set_level("DEBUG", logger="ldct_clipdn")
    (source / "two\nlines\x1b[31m.txt").write_text("x")
    edit(
        source / "ct" / "IM0000.dcm", SeriesDescription="a\x1b[2Jb\r", ConvolutionKernel="B\x1b[0m"
    )
    done = cli("denoise", source, tmp_path / "out", "--strength", "0", *dry)
    assert done.code == 0
    assert "kernel B?[0m" in caplog.text
    assert "\x1b" not in done.out + done.err + caplog.text
    assert "skipped  1 file: not a DICOM file (two?lines?[31m.txt)" in done.out.splitlines()


def test_a_dry_run_of_nothing_is_3(cli: Callable, source: Path, tmp_path: Path) -> None:
    done = cli("denoise", source, tmp_path / "out", "--dry-run", "--series", "Modality=MR")
    assert done.code == 3
    assert "Nothing to denoise." in done.out


def test_progress_for_machines(cli: Callable, source: Path, tmp_path: Path) -> None:
    done = cli("denoise", source, tmp_path / "out", "--backend", "identity", "--json")
    lines = [json.loads(one) for one in done.err.splitlines() if one.startswith("{")]
    assert lines[0] | {"seconds": 0} == {
        "done": 0,
        "slices": 3,
        "seconds": 0,
        "seconds_left": None,
    }
    assert (lines[-1]["done"], lines[-1]["seconds_left"]) == (3, 0)
    assert [one["done"] for one in lines].count(3) == 1
    assert json.loads(done.out)["series"][0]["slices"] == 3


def test_another_precision_is_another_series(
    cli: Callable, source: Path, weights: Path, tmp_path: Path
) -> None:
    for precision in ("float32", "bfloat16"):
        settings = ("--weights", weights, "--precision", precision, "--batch-size", "2")
        assert cli("denoise", source, tmp_path / "out", *settings).code == 0
    folders = [one for one in (tmp_path / "out").iterdir() if one.is_dir()]
    assert len(folders) == 2
    first, second = (
        {one.InstanceNumber: one.pixel_array for one in map(pydicom.dcmread, folder.iterdir())}
        for folder in folders
    )
    changes = [np.abs(first[key].astype(int) - second[key]).max() for key in first]
    assert 0 < max(changes) < 40  # bfloat16 has 8 bits: 4096 HU in steps of up to 16
