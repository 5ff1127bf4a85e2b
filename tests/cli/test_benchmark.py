"""`ldct-clipdn benchmark`, from arguments to exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from natural_images import save_pictures

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


def test_help_loads_no_torch():
    code = (
        "import sys; from ldct_clipdn.cli.main import build_parser; build_parser();"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
