"""Whole or not at all: under full disks, Ctrl-C, a killed process and several writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Disk

from ldct_clipdn.batch.manifest import write_json
from ldct_clipdn.core.weight_files import write_weights_file
from ldct_clipdn.core.weight_import import _copy
from ldct_clipdn.core.whole_file import UNFINISHED, system_words, whole_file
from ldct_clipdn.errors import LdctError

BEFORE = b"what was there"
LARGE = 20_000
ROOM = 5_000


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_it_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(BEFORE)
    with whole_file(path) as partial:
        partial.write_bytes(b"new")
        assert path.read_bytes() == BEFORE
        assert list(tmp_path.glob(UNFINISHED)) == [partial]
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def break_off(path: Path, kind: type[BaseException]) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(b"ne")
        raise kind


@pytest.mark.parametrize("kind", [OSError, ValueError, KeyboardInterrupt])
def test_nothing_stays_of_what_broke_off(kind: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(BEFORE)
    with pytest.raises(kind):
        break_off(path, kind)
    assert path.read_bytes() == BEFORE
    assert names(tmp_path) == ["a.json"]


def test_it_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    rename = Path.replace
    monkeypatch.setattr(os, "fsync", lambda _: order.append("on disk"))
    monkeypatch.setattr(Path, "replace", lambda *a: (order.append("named"), rename(*a))[1])
    with whole_file(tmp_path / "a") as partial:
        partial.write_bytes(b"new")
    assert order == ["on disk", "named"]


def test_a_writer_that_forgets_to_write_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        pass


def test_what_a_killed_writer_leaves_is_written_over(tmp_path: Path) -> None:
    killed = (
        "import os, pathlib, signal, sys\n"
        "from ldct_clipdn.core.whole_file import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.write_bytes(b'half of it')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, tmp_path / "a"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(tmp_path) == [".a.partial"]
    with whole_file(tmp_path / "a") as partial:
        partial.write_bytes(b"new")
    assert names(tmp_path) == ["a"]


def test_of_several_writers_each_writes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    with whole_file(path, shared=True) as first:
        first.write_bytes(b"first")
        monkeypatch.setattr(os, "getpid", lambda: 0)
        with whole_file(path, shared=True) as second:
            second.write_bytes(b"second")
        assert first != second
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"


def write_tensors(path: Path) -> None:
    write_weights_file(path, {"a": torch.zeros(LARGE)}, {})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.safetensors", write_tensors),
        ("a.pt", write_tensors),
        ("a.json", lambda path: write_json(path, {"a": list(range(LARGE))})),
    ],
)
def test_a_full_disk_is_one_clear_error(
    name: str, write: Callable[[Path], None], tmp_path: Path, full_disk: Disk
) -> None:
    path = tmp_path / name
    path.write_bytes(BEFORE)
    with full_disk(ROOM), pytest.raises(LdctError, match="File too large") as caught:
        write(path)
    assert caught.value.path in (path, tmp_path)
    assert "free space" in caught.value.remedy
    assert path.read_bytes() == BEFORE
    assert names(tmp_path) == [name]


def test_a_full_disk_while_copying(tmp_path: Path, full_disk: Disk) -> None:
    (tmp_path / "source").write_bytes(bytes(LARGE))
    with full_disk(ROOM), pytest.raises(LdctError, match="File too large"):
        _copy(tmp_path / "source", tmp_path / "a")
    assert names(tmp_path) == ["source"]


def test_words_are_the_systems_own_where_it_said_any() -> None:
    buried = RuntimeError("unexpected pos 704 vs 598")
    buried.__context__ = OSError(28, "No space left on device")
    assert system_words(buried) == "No space left on device"
    assert system_words(RuntimeError("no such\n  thing")) == "no such thing"
