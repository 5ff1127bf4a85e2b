"""`ldct-clipdn benchmark`, from arguments to exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from natural_images import save_pairs, save_pictures

from ldct_clipdn.cli.main import main


@pytest.fixture
def pictures(tmp_path):
    return save_pictures(tmp_path / "Kodak", 2)


def test_synthetic_prints_and_writes_the_table(pictures, tmp_path, capsys):
    out = tmp_path / "out"
    code = main(
        ["benchmark", "synthetic", str(pictures), "--method", "noisy", "--method", "tv:0.1",
         "--noise", "gaussian", "--noise", "poisson:3.5", "--out", str(out), "-q"]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert printed.startswith((out / "table.md").read_text())
    assert printed.count("| Kodak24 | 2 |") == 4
    assert "27.39/0.723" in printed


def test_json_and_resume(pictures, tmp_path, capsys):
    arguments = ["benchmark", "synthetic", str(pictures), "--noise", "speckle:0.02", "-q",
                 "--out", str(tmp_path / "out")]  # fmt: skip
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(arguments) != 0
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--json"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert (cell["noise"], cell["set"], cell["method"]) == ("speckle:0.02", "Kodak24", "noisy")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--noise", "rain"], "'rain' names no noise"),
        (["--method", "tv"], "other pictures than the test's"),
        (["--weights", "absent.safetensors"], r"absent.safetensors"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--method", "python:math:pi"], "cannot be called"),
    ],
)
def test_bad_input_is_one_line(pictures, tmp_path, capsys, extra, message):
    code = main(
        ["benchmark", "synthetic", str(pictures), "--out", str(tmp_path / "o"), "-q", *extra]
    )
    error = capsys.readouterr().err
    assert code != 0
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "option",
    [("--limit", "0"), ("--crop", "-4"), ("--batch-size", "0"), ("--strips", "-1"),
     ("--limit", "two")],
)  # fmt: skip
def test_counts_that_are_none_are_bad_usage(pictures, tmp_path, capsys, option):
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "synthetic", str(pictures), "--out", str(tmp_path / "o"), *option])
    assert stop.value.code == 2
    assert f"argument {option[0]}: {option[1]!r} is no whole number" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_missing_folders_and_equal_sets(pictures, tmp_path, capsys):
    out = ["--out", str(tmp_path / "o"), "-q"]
    (tmp_path / "file").touch()
    for table in ("synthetic", "real", "derain"):
        assert main(["benchmark", table, str(tmp_path / "none"), *out]) == 1
        assert "there is no such folder" in capsys.readouterr().err
        assert main(["benchmark", table, str(tmp_path / "file"), *out]) == 1
        assert "this is a file" in capsys.readouterr().err
    tested = ["--method", "tv", "--validation", str(pictures / ".." / pictures.name), *out]
    assert main(["benchmark", "synthetic", str(pictures), *tested]) == 2
    assert "never adjusted on the test's pictures" in capsys.readouterr().err
    copies = shutil.copytree(pictures, tmp_path / "copies")
    (copies / "p0.png").rename(copies / "p9.png")
    tested[-4] = str(copies)
    assert main(["benchmark", "synthetic", str(pictures), *tested]) == 2
    assert f"this is {pictures / 'p1.png'}" in capsys.readouterr().err
    pairs = save_pairs(tmp_path / "all" / "CC", 1)
    tested[-4] = str(pairs.parent)
    assert main(["benchmark", "real", str(pairs), *tested]) == 2
    assert "never adjusted on the test's pictures" in capsys.readouterr().err
    other = save_pictures(tmp_path / "copy" / "Kodak24", 1)
    assert main(["benchmark", "synthetic", str(pictures), str(other), *out]) == 2
    assert "two sets have one name among Kodak24, Kodak24" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_noises_that_were_not_published_are_chosen_by_words(pictures, tmp_path, capsys):
    code = main(
        ["benchmark", "synthetic", str(pictures), "--noise", "speckle,gaussian", "--noise",
         "gaussian:50,8bit", "--noise", "gaussian:50", "--json", "--out", str(tmp_path / "out")]
    )  # fmt: skip
    assert code == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    labels = [f"speckle:{level},gaussian" for level in ("0.02", "0.03", "0.04")]
    assert [cell["noise"] for cell in cells] == [*labels, "gaussian:50,8bit", "gaussian:50"]
    table = (tmp_path / "out/table.md").read_text()
    printed = {line.split("|")[1].strip(): "27.39/0.723" in line for line in table.splitlines()
               if line.startswith("| gaussian")}  # fmt: skip
    assert printed == {"gaussian:50,8bit": False, "gaussian:50": True}


def test_variants_for_machines(capsys):
    assert main(["benchmark", "ablation", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["moco"]["weights"] == "moco"


def test_help_loads_no_torch():
    code = (
        "import sys; from ldct_clipdn.cli.main import build_parser; build_parser();"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
