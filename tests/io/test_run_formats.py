"""A whole run over every kind of input, and every choice of output, by the command line."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pydicom
import pytest
from builders import make_enhanced, make_series
from pydicom.fileset import FileSet

from ldct_clipdn.cli.main import main


def run(source: Path, target: Path, *options: str) -> tuple[int, dict[str, Any]]:
    arguments = ["denoise", str(source), str(target), "--backend", "identity", "-q", *options]
    code = main(arguments)
    manifest = target / "manifest.json"
    return code, json.loads(manifest.read_text()) if manifest.exists() else {}


def written(target: Path) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(path) for path in sorted(target.glob("*/*.dcm"))]


def test_a_zip_by_itself_and_in_a_folder(tmp_path: Path) -> None:
    images = make_series(tmp_path / "images")
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        for path in images:
            archive.write(path, f"deep/{path.name}")
    for name, source in (("one", tmp_path / "in"), ("two", tmp_path / "in" / "a.zip")):
        code, manifest = run(source, tmp_path / name)
        assert code == 0
        assert [(one["path"], one["outcome"]) for one in manifest["inputs"]] == [
            (f"a.zip/deep/IM000{n}.dcm", "denoised") for n in range(3)
        ]
    assert len(written(tmp_path / "one")) == 3
    same = zip(written(tmp_path / "one"), written(tmp_path / "two"), strict=True)
    assert all(one.SOPInstanceUID == other.SOPInstanceUID for one, other in same)


def test_a_dicomdir(tmp_path: Path) -> None:
    fileset = FileSet()
    for path in make_series(tmp_path / "images"):
        fileset.add(path)
    fileset.write(tmp_path / "cd")
    fileset._stage["t"].cleanup()  # pydicom leaves it to the garbage collector, which warns
    code, manifest = run(tmp_path / "cd" / "DICOMDIR", tmp_path / "out")
    outcomes = {one["path"]: one["outcome"] for one in manifest["inputs"]}
    assert code == 0
    assert outcomes.pop("DICOMDIR") == "skipped"
    assert sorted(outcomes.values()) == ["denoised"] * 3
    assert len(written(tmp_path / "out")) == 3


def test_an_enhanced_object_is_one_file_of_one_series(tmp_path: Path) -> None:
    make_enhanced(tmp_path / "in" / "e.dcm", frames=4)
    code, manifest = run(tmp_path / "in", tmp_path / "out")
    assert code == 0
    assert manifest["inputs"] == [{"path": "e.dcm", "outcome": "denoised", "reason": ""}]
    assert [one["slices"] for one in manifest["series"]] == [4]
    (ds,) = written(tmp_path / "out")
    assert ds.NumberOfFrames == 4
    stamp = Path(ds.filename).stat().st_mtime_ns
    assert run(tmp_path / "in", tmp_path / "out")[0] == 0
    assert Path(ds.filename).stat().st_mtime_ns == stamp  # known again, not written anew


def test_a_damaged_frame_fails_its_object_and_no_other_series(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    make_series(tmp_path / "in" / "ct", slices=2)
    code, manifest = run(tmp_path / "in", tmp_path / "out")
    assert code == 1
    outcomes = {one["path"]: one["outcome"] for one in manifest["inputs"]}
    assert outcomes == {
        "e.dcm": "failed", "ct/IM0000.dcm": "denoised", "ct/IM0001.dcm": "denoised"
    }  # fmt: skip
    assert len(written(tmp_path / "out")) == 2


def test_a_vanished_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_series(tmp_path / "in")
    from ldct_clipdn.batch import run as batch

    find = batch.find_series

    def find_and_lose(*args: Any, **options: Any) -> Any:
        found = find(*args, **options)
        paths[1].unlink()
        return found

    monkeypatch.setattr(batch, "find_series", find_and_lose)
    code, manifest = run(tmp_path / "in", tmp_path / "out")
    assert code == 1
    assert [one["status"] for one in manifest["series"]] == ["partial"]
    assert [one.SeriesDescription for one in written(tmp_path / "out")] == [
        "Abdomen 2.0 B30f INCOMPLETE 2/3 [AI-DENOISED RESEARCH]"
    ] * 2


def test_choices_of_output(tmp_path: Path) -> None:
    make_series(tmp_path / "in", private=True, rescale_type="US")
    code, manifest = run(
        tmp_path / "in", tmp_path / "out", "--accept", "us", "--compress", "jpeg-ls", "--primary",
        "--keep-private", '0029,"TEST MAKER HEADER",11',
    )  # fmt: skip
    assert code == 0
    assert manifest["options"]["accept"] == ["us"]
    assert manifest["options"]["output"]["compression"] == "jpeg-ls"
    for ds in written(tmp_path / "out"):
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"
        assert list(ds.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
        assert ds[0x0029, 0x1011].value == "private text"
        assert (0x0029, 0x1010) not in ds
    assert run(tmp_path / "in", tmp_path / "without")[0] == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--accept", "everything"), "'everything' cannot be asked for"),
        (("--compress", "zip"), "there is no compression 'zip'"),
        (("--keep-private", "all"), "'all' is no private attribute"),
    ],
)
def test_wrong_choices_are_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], reason: str
) -> None:
    make_series(tmp_path / "in", slices=1)
    code, _ = run(tmp_path / "in", tmp_path / "out", *options)
    said = capsys.readouterr().err
    assert code == 2
    assert reason in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_own_results_are_denoised_again_when_asked_for(tmp_path: Path) -> None:
    make_series(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "first")
    assert run(tmp_path / "first", tmp_path / "second")[0] == 3
    assert run(tmp_path / "first", tmp_path / "third", "--accept", "own")[0] == 0
    twice = written(tmp_path / "third")[0]
    assert len(twice.ContributingEquipmentSequence) == 2
    assert len(twice.DerivationCodeSequence) == 2
