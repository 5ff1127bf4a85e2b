from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ldct_clipdn.data.cache import Cache, Source, open_cache
from ldct_clipdn.errors import DataError, ReadError

SHAPE = (2, 5, 7)


class Reader:
    """Reads `.npy` files, and counts how often."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: Path) -> Iterator[NDArray[np.float32]]:
        self.read.append(path.name)
        yield from np.load(path)


def make_sources(
    folder: Path, *, shapes: tuple[tuple[int, int, int], ...] = (SHAPE,) * 3
) -> list[Source]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    sources = []
    for number, shape in enumerate(shapes):
        path = folder / f"{number}.npy"
        np.save(path, rng.normal(0, 500, shape).astype(np.float32))
        sources.append(Source(path, shape, (path,)))
    return sources


def expect(cache: Cache, sources: list[Source]) -> None:
    for one in sources:
        for frame, hu in enumerate(np.load(one.path)):
            cached = cache.read(one.path, frame)
            assert cached.dtype == np.float32
            assert np.array_equal(cached, np.rint(hu))


def test_slices_come_back_and_are_read_once(tmp_path: Path) -> None:
    sources, read = make_sources(tmp_path / "in"), Reader()
    expect(open_cache(tmp_path / "cache", sources, read), sources)
    expect(open_cache(tmp_path / "cache", sources, read), sources)
    assert read.read == ["0.npy", "1.npy", "2.npy"]


def test_matrix_sizes_may_be_mixed(tmp_path: Path) -> None:
    sources = make_sources(tmp_path / "in", shapes=((1, 4, 4), (3, 8, 2), (1, 511, 511)))
    expect(open_cache(tmp_path / "cache", sources, Reader()), sources)


def test_what_lies_on_disk_is_int16_of_the_expected_size(tmp_path: Path) -> None:
    sources = make_sources(tmp_path / "in")
    cache = open_cache(tmp_path / "cache", sources, Reader())
    for name in cache.names.values():
        frames = np.load(cache.folder / name, mmap_mode="r")
        assert isinstance(frames, np.memmap)
        assert frames.dtype == np.int16
        assert (cache.folder / name).stat().st_size < frames.nbytes + 256


@settings(max_examples=25)
@given(value=st.floats(-1e6, 1e6, width=32))
def test_values_are_rounded_and_kept_within_int16(
    tmp_path_factory: pytest.TempPathFactory, value: float
) -> None:
    folder = tmp_path_factory.mktemp("one")
    path = folder / "one.npy"
    np.save(path, np.full((1, 1, 1), value, np.float32))
    cache = open_cache(folder / "cache", [Source(path, (1, 1, 1), (path,))], Reader())
    assert cache.read(path)[0, 0] == np.clip(np.rint(value), -32768, 32767)
    shutil.rmtree(folder)


def test_an_interrupted_writing_is_noticed_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sources, read = make_sources(tmp_path / "in"), Reader()

    def killed(path: Path) -> Iterator[NDArray[np.float32]]:
        frames = np.load(path)
        yield frames[0]
        if path.name == "1.npy":
            # as if the process died: what it had written stays
            (part,) = (tmp_path / "cache").glob(".*.partial")
            shutil.copy(part, part.with_name(".copy.partial"))
            raise KeyboardInterrupt
        yield from frames[1:]

    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path / "cache", sources, killed)
    with caplog.at_level(logging.WARNING):
        expect(open_cache(tmp_path / "cache", sources, read), sources)
    assert read.read == ["1.npy", "2.npy"]
    assert "interrupted" in caplog.text
    assert not list((tmp_path / "cache").glob(".*.partial"))


def test_a_changed_source_is_noticed_and_read_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sources, read = make_sources(tmp_path / "in"), Reader()
    old = open_cache(tmp_path / "cache", sources, Reader())
    np.save(sources[1].path, np.full(SHAPE, -7, np.float32))
    os.utime(sources[1].path, ns=(1, 1))
    with caplog.at_level(logging.WARNING):
        new = open_cache(tmp_path / "cache", sources, read)
    expect(new, sources)
    assert read.read == ["1.npy"]
    assert "sources changed since" in caplog.text
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3
    with pytest.raises(DataError, match="gone or damaged") as error:
        old.read(sources[1].path)
    assert error.value.remedy


def test_another_data_set_in_the_same_folder_is_left_alone(tmp_path: Path) -> None:
    first, second = make_sources(tmp_path / "a"), make_sources(tmp_path / "b")
    cache = open_cache(tmp_path / "cache", first, Reader())
    open_cache(tmp_path / "cache", second, Reader())
    expect(cache, first)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 6


@pytest.mark.parametrize("damage", ["short", "empty", "nonsense", "other shape"])
def test_a_damaged_copy_is_written_anew(tmp_path: Path, damage: str) -> None:
    sources, read = make_sources(tmp_path / "in"), Reader()
    cache = open_cache(tmp_path / "cache", sources, Reader())
    copy = cache.folder / cache.names[sources[2].path]
    if damage == "other shape":
        np.save(copy, np.zeros((1, 5, 7), np.int16))
    else:
        whole = copy.read_bytes()
        copy.write_bytes({"short": whole[:-10], "empty": b"", "nonsense": b"x" * 300}[damage])
    expect(open_cache(tmp_path / "cache", sources, read), sources)
    assert read.read == ["2.npy"]


def test_unreadable_sources_are_left_out_with_the_reason(tmp_path: Path) -> None:
    sources = make_sources(tmp_path / "in")
    np.save(sources[1].path, np.zeros((2, 5, 8), np.float32))  # not as announced

    def read(path: Path) -> Iterator[NDArray[np.float32]]:
        if path.name == "0.npy":
            raise ReadError("it is broken", path=path)
        yield from np.load(path)

    cache = open_cache(tmp_path / "cache", sources, read)
    assert cache.unreadable == {
        sources[0].path: "it is broken",
        sources[1].path: "its pixels are not as its header says",
    }
    expect(cache, sources[2:])
    with pytest.raises(DataError, match="not in the cache"):
        cache.read(sources[0].path)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_too_few_slices_are_no_sound_file(tmp_path: Path) -> None:
    sources = make_sources(tmp_path / "in")
    cache = open_cache(tmp_path / "cache", sources, lambda path: iter(np.load(path)[:1]))
    assert set(cache.unreadable) == {one.path for one in sources}


def test_a_full_disk_and_a_locked_folder_are_plain_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = make_sources(tmp_path / "in")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        with pytest.raises(DataError, match=r"needs 0.0 GB and the disk has 0.0 GB.*cache_dir"):
            open_cache(tmp_path / "cache", sources, Reader())
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="cannot be written"):
        open_cache(tmp_path / "file", sources, Reader())


ONE_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from ldct_clipdn.data.cache import Source, open_cache

folder, log, *paths = map(Path, sys.argv[1:])

def read(path):
    with log.open("a") as file:
        file.write(path.name + "\\n")
    yield from np.load(path)

sources = [Source(path, (4, 64, 64), (path,)) for path in paths]
cache = open_cache(folder, sources, read)
assert all(np.array_equal(cache.read(p, 3), np.rint(np.load(p)[3])) for p in paths)
"""


def test_of_several_processes_one_writes(tmp_path: Path) -> None:
    sources = make_sources(tmp_path / "in", shapes=((4, 64, 64),) * 12)
    paths = [str(one.path) for one in sources]
    arguments = [sys.executable, "-c", ONE_PROCESS, tmp_path / "cache", tmp_path / "log", *paths]
    workers = [subprocess.Popen(arguments) for _ in range(3)]
    assert [one.wait(timeout=60) for one in workers] == [0, 0, 0]
    read = (tmp_path / "log").read_text().split()
    assert sorted(read) == sorted(one.path.name for one in sources)
