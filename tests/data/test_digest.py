"""Whether two lists hold the same files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from ct_layouts import make_mayo

from ldct_clipdn.data.digest import files_digest
from ldct_clipdn.data.slices import find_slices


def items(folder: Path) -> list[dict[str, str]]:
    return [{"image": str(path)} for path in sorted(folder.iterdir())]


def prepared(folder: Path, seed: int) -> Path:
    folder.mkdir()
    for number in range(2):
        slices = np.random.default_rng(seed + number).normal(0, 50, (64, 64))
        np.save(folder / f"L067_{number}_target.npy", slices.astype(np.float32))
    return folder


def test_a_folder_may_move_and_nothing_else(tmp_path: Path) -> None:
    before = items(prepared(tmp_path / "a", 1))
    digest = files_digest(before)
    assert digest == files_digest(
        items(Path(shutil.copytree(tmp_path / "a", tmp_path / "b" / "c")))
    )
    # the same names and sizes: another kernel
    assert digest != files_digest(items(prepared(tmp_path / "d", 7)))
    assert digest != files_digest(before[::-1])
    assert digest != files_digest([{**one, "frame": 1} for one in before])
    assert digest != files_digest([{**one, "noisy": one["image"]} for one in before])
    (tmp_path / "a" / "L067_1_target.npy").rename(tmp_path / "a" / "L067_2_target.npy")
    assert digest != files_digest(items(tmp_path / "a"))


def test_files_within_an_archive(tmp_path: Path) -> None:
    make_mayo(tmp_path / "in" / "L067", "L067", "full", size=48)
    archive = shutil.make_archive(str(tmp_path / "in"), "zip", tmp_path / "in")
    found = find_slices(archive).slices
    assert len(files_digest([{"image": str(one.path)} for one in found])) == 16
