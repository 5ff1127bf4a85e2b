"""`ldct-clipdn benchmark`, from arguments to exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from natural_images import save_pairs, save_pictures

from ldct_clipdn.bench import kept_strips
from ldct_clipdn.bench.peers import build_peer
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
    assert printed.count("| Kodak24 | 2 of 24 |") == 4
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


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Denoisers that can be named as python:broken:NAME."""
    (tmp_path / "broken.py").write_text(
        "def nans(noisy):\n    return noisy * float('nan')\n"
        "def words(noisy):\n    return 'denoised'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("broken", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nans", "nans: the denoiser made NaN or infinity of p0"),
     ("words", "words: the denoiser made a str of p0, not a tensor")],
)  # fmt: skip
def test_what_is_no_picture_is_no_result(pictures, broken, tmp_path, capsys, name, message):
    arguments = ["benchmark", "synthetic", str(pictures), "--noise", "gaussian:50", "-q",
                 "--out", str(tmp_path / "out"), "--method"]  # fmt: skip
    assert main([*arguments, f"python:broken:{name}"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out/table.md").exists()
    assert main([*arguments, "noisy", "--resume"]) == 0


def test_a_later_call_keeps_the_difference_to_the_printed_figures(pictures, tmp_path, capsys):
    peer, file = build_peer("dncnn"), tmp_path / "dncnn.pt"
    torch.save({"network": peer.state_dict(), "config": peer.config.to_dict()}, file)
    arguments = ["benchmark", "synthetic", str(pictures), "--noise", "gaussian:50", "-q",
                 "--out", str(tmp_path / "out"), "--method"]  # fmt: skip
    column = "DnCNN - DnCNN [paper]"
    assert main([*arguments, f"dncnn:{file}"]) == 0
    assert column in capsys.readouterr().out
    assert main([*arguments, "noisy", "--resume"]) == 0
    assert column in capsys.readouterr().out
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["counterparts"] == {"DnCNN": "DnCNN", "noisy": ""}
    # a record of before they were kept
    del record["counterparts"]
    (tmp_path / "out/run.json").write_text(json.dumps(record))
    assert main([*arguments, "noisy", "--resume"]) == 0


def test_strips_are_drawn_anew_for_methods_they_do_not_show(pictures, tmp_path):
    arguments = ["benchmark", "synthetic", str(pictures), "--noise", "gaussian:50", "-q",
                 "--strips", "1", "--out", str(tmp_path / "out")]  # fmt: skip
    strip = tmp_path / "out/strips/Kodak24_gaussian_50_p0.png"

    def drawn(*names):
        methods = [word for name in names for word in ("--method", name)]
        assert main([*arguments, "--resume", *methods]) == 0
        return strip.read_bytes()

    before, after = drawn("noisy"), drawn("noisy", "tv:0.1")
    assert after != before
    strip.write_bytes(b"kept")
    assert drawn("tv:0.1") == b"kept"
    (tmp_path / "out/strips.json").unlink()  # as it was before it was kept
    assert drawn("noisy", "tv:0.1") == after


def test_rainy_pairs_are_headed_as_what_they_are(tmp_path, capsys, monkeypatch):
    titles = []

    def write_strip(panels, _, title):
        titles.append((title, [one.title for one in panels]))

    monkeypatch.setattr(kept_strips, "write_strip", write_strip)
    folder = save_pairs(tmp_path / "Rain12", 1)
    arguments = ["--method", "noisy", "--out", str(tmp_path / "out"), "--strips", "1", "-q"]
    assert main(["benchmark", "derain", str(folder), *arguments]) == 0
    head, _, line = capsys.readouterr().out.splitlines()[2:5]
    assert head.startswith("| set | images | rainy |")
    assert line.startswith("| Rain12 | 1 of 12 | ")
    assert titles == [("Rain12, 0", ["rainy", "clean"])]


def test_pairs_that_are_taken_for_clean_pictures_are_warned_of(tmp_path, caplog):
    folder = save_pairs(tmp_path / "Rain12", 12)
    out = ["--out", str(tmp_path / "out"), "--noise", "gaussian:50"]
    assert main(["benchmark", "synthetic", str(folder), *out]) == 0
    assert caplog.text.count("pairs are for `benchmark real` and `benchmark derain`") == 1
    assert f"{folder}: 24 pictures, not 12:" in caplog.text
    assert caplog.text.count("not 12") == 1


def test_a_crop_that_is_larger_than_a_picture_is_an_error(pictures, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out"), "-q", "--crop", "33"]
    assert main(["benchmark", "synthetic", str(pictures), *out]) == 1
    assert "p0.png: the picture is 32 x 40, smaller than the crop of 33" in capsys.readouterr().err
    pairs = save_pairs(tmp_path / "CC", 1)
    assert main(["benchmark", "real", str(pairs), *out]) == 1
    assert "smaller than the crop of 33" in capsys.readouterr().err
