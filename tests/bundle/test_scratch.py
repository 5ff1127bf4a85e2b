"""The recipe of the default weights: scratch.json over train.json."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_runs import our_error, run_bundle

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weight_import import export_denoiser
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


def _train(dataset: Path, folder: Path, name: str = "run", **overrides: Any) -> Path:
    run_bundle(
        ["train.json", "scratch.json"],
        "training",
        **{**TINY, "dataset_dir": str(dataset), "cache_dir": str(folder / "cache"), **overrides},
        run_dir=str(folder / name),
    )
    return folder / name


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


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_goes_on_from_given_weights(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To adapt weights to one's own scanners: the first step starts where they are."""
    monkeypatch.setattr("ldct_clipdn.ct.lowdose.FIELD_VIEWS", 60)
    settings = {"max_iterations": 8, "validation_interval": 4, "fall": 2}
    first = _train(dataset, tmp_path, **settings)
    given = tmp_path / "given.safetensors"
    export_denoiser(first / "best.pt", given)
    statistics = {k: v for k, v in load_denoiser(given).state_dict().items() if "running" in k}
    assert all(bool(one.any()) for one in statistics.values())

    settings |= {"max_iterations": 4, "learning_rate": 1e-6, "continue_from": str(given)}
    run = _train(dataset, tmp_path, "second", **settings)
    trained = load_denoiser(run / "best.pt")
    assert trained.config.continues == f"given.safetensors (SHA-256 {file_sha256(given)})"
    for name, value in load_denoiser(given).state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, rtol=0, atol=1e-5)
    assert all(torch.equal(trained.state_dict()[k], v) for k, v in statistics.items())

    _train(dataset, tmp_path, "second", **settings | {"max_iterations": 8}, resume=True)
    with pytest.raises(RuntimeError) as caught:
        _train(dataset, tmp_path, "third", **settings, **{"network_def#width": 4})
    assert "width is 2, not 4" in our_error(caught.value).reason


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
