"""The recipe of the default weights: scratch.json over train.json."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_runs import run_bundle

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import load_denoiser
from ldct_clipdn.training.inferer import HalfInferer

TINY = {
    "network_def#encoder": "tiny",
    "network_def#width": 2,
    "crop_size": 32,
    "margin": 4,
    "batch_size": 2,
    "validation_interval": 2,
    "device": "cpu",
}


def _train(dataset: Path, folder: Path, **overrides: Any) -> Path:
    run_bundle(
        ["train.json", "scratch.json"],
        "training",
        **{**TINY, "dataset_dir": str(dataset), "cache_dir": str(folder / "cache"), **overrides},
        run_dir=str(folder / "run"),
    )
    return folder / "run"


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_trains_averages_and_may_be_made_longer(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldct_clipdn.ct.lowdose.FIELD_VIEWS", 60)
    run = _train(dataset, tmp_path, max_iterations=6, fall=2)
    first = torch.load(run / "last.pt", weights_only=True)
    assert first["step"] == 6
    assert any(not torch.equal(first["live"][k], v) for k, v in first["network"].items())
    averaged = load_denoiser(run / "last.pt").state_dict()
    assert all(torch.equal(averaged[k], v) for k, v in first["network"].items())
    with (run / "train.csv").open(newline="") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert rates[:4] == [5e-4] * 4
    assert 0 < rates[-1] < rates[-2] <= 5e-4
    _train(dataset, tmp_path, max_iterations=8, fall=2, resume=True)
    assert torch.load(run / "last.pt", weights_only=True)["step"] == 8


def test_half_precision_leaves_the_output_fine() -> None:
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny", start="identity", encoder_training="scratch").eval()
    image = torch.rand(1, 1, 32, 32).bfloat16().float()  # what the adapter makes of an image
    with torch.no_grad():
        model.last.weight.mul_(0.999)
        plain = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            blunt = model(image)
        half = HalfInferer(model)(image, model)
    assert (half.dtype, blunt.dtype) == (torch.float32, torch.bfloat16)
    assert float((half - plain).abs().max()) < 1e-6
    assert float((blunt - plain).abs().max()) > 3e-4
