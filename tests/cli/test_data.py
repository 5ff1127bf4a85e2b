from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import make_series
from ct_layouts import make_mayo, make_prepared

from ldct_clipdn.cli.main import main


def check(folder: Path, *options: str) -> int:
    return main(["data", "check", str(folder), *options])


def make_challenge(root: Path) -> Path:
    for patient in ("L067", "L506"):
        make_mayo(root / "full_1mm" / patient, patient, "full")
        make_mayo(root / "quarter_1mm" / patient, patient, "quarter")
    return root


def test_a_sound_folder_reads_as_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(make_challenge(tmp_path / "mayo"), "--strict") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(tmp_path / "mayo")
    assert lines[1].split() == [
        "patient",
        "kernel",
        "thickness",
        "matrix",
        "normal",
        "low",
        "pairs",
    ]
    assert lines[2].split() == ["L067", "B30f", "1", "mm", "32", "x", "32", "3", "3", "3"]
    assert lines[4] == "6 slices at normal dose, 6 at low dose, 6 pairs; 2 patients."
    assert "holds out L506" in lines[5]
    assert len(lines) == 6


def test_what_is_wrong_is_named_and_by_option_fatal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_challenge(tmp_path / "mayo")
    (root / "full_1mm" / "L333").mkdir()
    quarter = sorted((root / "quarter_1mm" / "L067").iterdir())
    quarter[0].unlink()
    quarter[1].write_bytes(quarter[1].read_bytes()[:-50])
    assert check(root) == 0
    said = capsys.readouterr().out
    assert "warning: L067 B30f: 2 slices cannot be paired: the low dose is missing" in said
    assert f"quarter_1mm/L067/{quarter[1].name}" in said
    assert "shorter than Rows x Columns" in said
    assert "full_1mm/L333" in said
    assert check(root, "--strict") == 1
    capsys.readouterr()
    assert check(root, "--headers-only") == 0
    assert "shorter than" not in capsys.readouterr().out


def test_unequal_prepared_slices_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path, "L506", range(3), "target")
    make_prepared(tmp_path, "L506", range(2), "input")
    assert check(tmp_path) == 1
    assert "error: L506: 1 slice cannot be paired" in capsys.readouterr().out


def test_low_dose_alone_cannot_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_mayo(tmp_path / "quarter_1mm", "L067", "quarter")
    assert check(tmp_path) == 1
    assert "Nothing to train on" in capsys.readouterr().out


def test_a_volume_without_air_is_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.arange(200, dtype=np.uint8).reshape(2, 10, 10))
    SimpleITK.WriteImage(image, str(tmp_path / "display.nrrd"))
    assert check(tmp_path) == 0
    assert "1 file may hold no HU: values run from 0 to 199" in capsys.readouterr().out


def test_nothing_there_is_exit_code_3_and_no_folder_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "readme.txt").write_text("no images")
    assert check(tmp_path) == 3
    assert "No CT slice.\nskipped: 1 file: not a DICOM file" in capsys.readouterr().out
    assert check(tmp_path / "nowhere") == 2
    assert "there is no such file or folder. Check the name" in capsys.readouterr().err


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_challenge(tmp_path / "mayo")
    (root / "notes.txt").write_text("no image")
    (root / "full_1mm" / "L333").mkdir()
    assert check(root, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["patients"], said["normal"], said["low"], said["pairs"]) == (2, 6, 6, 6)
    assert said["groups"][0] == {
        "patient": "L067",
        "kernel": "B30f",
        "thickness_mm": 1.0,
        "rows": 32,
        "columns": 32,
        "normal": 3,
        "low": 3,
        "pairs": 3,
    }
    assert said["held_out"] == ["L506"]
    assert said["skipped"] == {"not a DICOM file": 1}
    (problem,) = said["problems"]
    assert problem["kind"] == "empty folder"
    assert problem["paths"] == [str(root / "full_1mm" / "L333")]


def test_long_names_are_shortened_in_the_table_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = "1.3.6.1.4.1.9590.100.1.2.128321905623126124611521766277205091496"
    make_series(tmp_path, patient_id=uid)
    assert check(tmp_path) == 0
    assert "1.3.6.1.4.1...7205091496" in capsys.readouterr().out
    assert check(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["patient"] == uid


def test_looking_at_data_loads_no_torch(tmp_path: Path) -> None:
    make_series(tmp_path)
    program = (
        "import sys; from ldct_clipdn.cli.main import main; main(['data', 'check', sys.argv[1]]); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path], check=False).returncode == 0


@pytest.mark.data
def test_the_development_data_read_well(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(data / "ct" / "val") == 0
    said = capsys.readouterr().out
    assert "27 slices at normal dose, 11 at low dose, 11 pairs; 4 patients." in said
    assert "phantom_thorax_fda/undecodable_j2k/000020.dcm" in said
