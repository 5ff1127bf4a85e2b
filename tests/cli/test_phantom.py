"""The made-up abdomen as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ldct_clipdn.data.pairs import find_pairs


def test_a_series_is_written_and_named(cli: Callable, tmp_path: Path) -> None:
    done = cli("phantom", tmp_path / "p", "--slices", "3", "--size", "48")
    assert done.code == 0
    assert str(tmp_path / "p") in done.out
    images = [pydicom.dcmread(one) for one in (tmp_path / "p").iterdir()]
    assert len(images) == 3
    assert all((one.Rows, one.Columns) == (48, 48) for one in images)
    assert {one.PatientID for one in images} == {"PHANTOM-0"}


def test_the_same_options_write_the_same_bytes(cli: Callable, tmp_path: Path) -> None:
    for name in "ab":
        cli("phantom", tmp_path / name, "--slices", "2", "--size", "32", "--noise", "30")
    files = [sorted((tmp_path / name).iterdir()) for name in "ab"]
    assert [a.read_bytes() for a in files[0]] == [b.read_bytes() for b in files[1]]


def test_noise_is_what_was_asked_for_and_makes_a_pair(cli: Callable, tmp_path: Path) -> None:
    shape = ("--slices", "2", "--size", "128", "--seed", "3")
    cli("phantom", tmp_path / "clean", *shape)
    done = cli("phantom", tmp_path / "noisy", *shape, "--noise", "80.3", "--json")
    assert json.loads(done.out) == {
        "folder": str(tmp_path / "noisy"), "slices": 2, "noise_hu": 80.3,
    }  # fmt: skip
    pairs = find_pairs(tmp_path / "noisy", tmp_path / "clean")
    for pair in pairs:
        clean, noisy = pair.reference(), pair.result()
        soft = (clean > -300) & (clean < 1500)  # above air, where nothing is cut off
        assert np.std((noisy - clean)[soft]) == pytest.approx(80.3, rel=0.03)
    assert not np.array_equal(
        pairs[0].result() - pairs[0].reference(), pairs[1].result() - pairs[1].reference()
    )
    headers = [pydicom.dcmread(next((tmp_path / n).iterdir())) for n in ("clean", "noisy")]
    assert headers[0].StudyInstanceUID == headers[1].StudyInstanceUID
    assert headers[0].SeriesInstanceUID != headers[1].SeriesInstanceUID


@pytest.mark.parametrize(
    "options",
    [("--slices", "0"), ("--size", "0"), ("--seed", "-1"), ("--noise", "-1"), ("--noise", "nan")],
)
def test_numbers_that_make_no_sense(
    cli: Callable, tmp_path: Path, options: tuple[str, str]
) -> None:
    done = cli("phantom", tmp_path / "p", *options)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert not (tmp_path / "p").exists()


def test_a_folder_that_holds_something_is_left_alone(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = cli("phantom", tmp_path, "--slices", "1", "--size", "16")
    assert done.code == 2
    assert "not empty" in done.err
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]
    done = cli("phantom", tmp_path / "mine.txt", "--slices", "1", "--size", "16")
    assert done.code == 2
    assert "the output folder cannot be used: Not a directory" in done.err
