"""The quick start removes nothing but what an earlier one made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the script without its training; write no more than folders."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import quickstart

    def write(out: Path) -> Path:
        (out / "data").mkdir()
        return out / "data"

    monkeypatch.setattr(quickstart, "write_phantoms", write)
    monkeypatch.setattr(quickstart, "write_held_out_slices", lambda *_: None)
    monkeypatch.setattr(quickstart, "train", lambda _, out, __: (out / "run").mkdir())
    monkeypatch.setattr(quickstart, "denoise_and_show", lambda _: None)

    def run(*words: object) -> int:
        monkeypatch.setattr(quickstart.sys, "argv", ["quickstart.py", *map(str, words)])
        return quickstart.main()

    return run


def test_a_second_start_makes_its_folder_anew(start, tmp_path):
    out = tmp_path / "new" / "out"
    assert start("--out", out) == 0
    (out / "left").touch()
    assert start("--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == [".made-by-quickstart", "data", "run"]
    (tmp_path / "empty").mkdir()
    assert start("--out", tmp_path / "empty") == 0


def test_what_is_the_users_stays(start, tmp_path, capsys, monkeypatch):
    mine = tmp_path / "pairs"
    for name in ("noisy", "clean"):  # as a quick start names them too
        (mine / name).mkdir(parents=True)
    (mine / "noisy" / "1.dcm").write_bytes(b"1")
    monkeypatch.chdir(mine)
    (tmp_path / "link").symlink_to(mine)
    for out in (mine, ".", tmp_path / "link", mine / "noisy" / "1.dcm"):
        assert start("--out", out) == 1
        assert "not made by a quick start" in capsys.readouterr().err
    assert (mine / "noisy" / "1.dcm").read_bytes() == b"1"


def test_data_and_output_lie_apart(start, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    out = tmp_path / "out"
    assert start(data, "--out", out) == 0
    (out / "data2").mkdir()
    for read, written in ((data, data), (data, data / "in" / "out"), (out / "data2", out)):
        assert start(read, "--out", written) == 1
        assert "the output would lie in the data" in capsys.readouterr().err
    assert (out / "data2").is_dir()
    assert list(data.iterdir()) == []
