"""Runs the bundle on a small made-up data set, most often within this process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import monai
import pytest
from bundle_runs import CONFIGS, SMALL, run_bundle
from ct_layouts import make_mayo

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import save_denoiser


@pytest.fixture(autouse=True)
def process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a run changes for the whole process; duplicate keys in a config are errors."""
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")
    hook, path, level = sys.excepthook, list(sys.path), logging.getLogger().level
    yield
    monai.utils.set_determinism(None)
    monai.data.set_track_meta(True)
    sys.excepthook, sys.path[:] = hook, path
    logging.getLogger().setLevel(level)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Normal dose of L067, L096 and L506, and L506's quarter dose; slices of 48 x 48."""
    root = tmp_path_factory.mktemp("mayo")
    for number, patient in enumerate(("L067", "L096", "L506")):
        make_mayo(root / "full_1mm" / patient, patient, "full", size=48, seed=10 * number)
    make_mayo(root / "quarter_1mm" / "L506", "L506", "quarter", size=48, seed=20)
    return root


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train(dataset: Path, cache_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    """Train a small network; returns the run folder."""

    def run(name: str = "run", run_id: str = "run", **overrides: Any) -> Path:
        run_dir = tmp_path / name
        settings = {**SMALL, "dataset_dir": str(dataset), "cache_dir": str(cache_dir)}
        run_bundle("train.json", run_id, **{**settings, "run_dir": str(run_dir), **overrides})
        return run_dir

    return run


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small denoiser with its settings, as a file."""
    path = tmp_path / "weights.safetensors"
    save_denoiser(build_denoiser(encoder="tiny", encoder_training="scratch"), path)
    return path


@pytest.fixture
def evaluation() -> list[str]:
    return [str(CONFIGS / "train.json"), str(CONFIGS / "evaluate.json")]
