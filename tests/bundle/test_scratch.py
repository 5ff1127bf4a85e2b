"""The recipe of the default weights: scratch.json over train.json."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_runs import interrupt_after, our_error, rows, run_bundle

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.encoder import CALIBRATION_BATCHES
from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weight_import import export_denoiser
from ldct_clipdn.core.weights import load_denoiser
from ldct_clipdn.training.inferer import HalfInferer

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

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


@pytest.fixture(autouse=True)
def few_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldct_clipdn.ct.lowdose.FIELD_VIEWS", 60)


def _saved(run: Path, name: str = "last.pt") -> dict[str, Any]:
    return torch.load(run / name, weights_only=True)


def _interrupted(
    cut: int, patch: pytest.MonkeyPatch, dataset: Path, folder: Path, name: str, **settings: Any
) -> Path:
    with patch.context() as within:
        interrupt_after(cut, within)
        with pytest.raises(SystemExit):
            _train(dataset, folder, name, **settings)
    assert _saved(folder / name)["step"] == cut
    return folder / name


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_trains_and_averages(dataset: Path, tmp_path: Path) -> None:
    run = _train(dataset, tmp_path, max_iterations=6, fall=2)
    first = _saved(run)
    assert first["step"] == 6
    assert any(not torch.equal(first["live"][k], v) for k, v in first["network"].items())
    averaged = load_denoiser(run / "last.pt").state_dict()
    assert all(torch.equal(averaged[k], v) for k, v in first["network"].items())
    assert not (run / "validation.csv").exists()
    rates = [float(row["learning_rate"]) for row in rows(run / "train.csv")]
    assert rates[:4] == [5e-4] * 4
    assert 0 < rates[-1] < rates[-2] <= 5e-4
    with pytest.raises(RuntimeError) as caught:
        _train(dataset, tmp_path, max_iterations=6, fall=2, resume=True, average_decay=0.5)
    assert "average_decay was 0.998, now 0.5" in our_error(caught.value).reason


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_may_be_made_longer_until_the_rate_falls(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _interrupted(3, monkeypatch, dataset, tmp_path, "run", max_iterations=6, fall=2)
    with pytest.raises(RuntimeError) as caught:  # it would have fallen by now
        _train(dataset, tmp_path, max_iterations=4, fall=2, resume=True)
    assert "would jump" in our_error(caught.value).reason
    _train(dataset, tmp_path, max_iterations=8, fall=2, resume=True)
    rates = [float(row["learning_rate"]) for row in rows(run / "train.csv")]
    assert rates[:6] == [5e-4] * 6
    assert 1e-6 < rates[-1] < rates[-2] <= 5e-4
    with pytest.raises(RuntimeError) as caught:
        _train(dataset, tmp_path, max_iterations=10, fall=2, resume=True)
    assert "from 1.00e-06 to 5.00e-04 after iteration 8" in our_error(caught.value).reason
    assert _saved(run)["step"] == 8


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_validation_measures_the_weights_that_are_kept(dataset: Path, tmp_path: Path) -> None:
    clean = {"validation_dir": str(dataset / "full_1mm" / "L096"), "noise": "ct"}
    length = {"max_iterations": 4, "validation_interval": 4, "fall": 2, "learning_rate": 0.01}
    run = _train(dataset, tmp_path, **clean, **length)
    saved = _saved(run)
    torch.save({**saved, "network": saved["live"]}, tmp_path / "live.pt")

    def evaluated(weights: Path) -> float:
        run_bundle(
            ["train.json", "evaluate.json"],
            "evaluate",
            dataset_dir=str(dataset),
            cache_dir=str(tmp_path / "cache"),
            weights=str(weights),
            output_dir=str(tmp_path / f"of_{weights.stem}"),
            device="cpu",
            **clean,
        )
        (row,) = rows(tmp_path / f"of_{weights.stem}" / "patients.csv")
        return float(row["psnr"])

    (row,) = rows(run / "validation.csv")
    assert (row["patient"], row["slices"]) == ("L096", "3")
    assert float(row["psnr"]) == pytest.approx(evaluated(run / "best.pt"), abs=1e-5)
    assert abs(float(row["psnr"]) - evaluated(tmp_path / "live.pt")) > 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:parsing config_file")
@pytest.mark.parametrize("cut", [4, 8])
def test_goes_on_bit_for_bit(
    cut: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut while the statistics are measured, and once the rate falls."""
    assert 4 < CALIBRATION_BATCHES < 8
    settings = {
        "max_iterations": 10,
        "validation_interval": 3,
        "fall": 3,
        "gamma": 0.1,
        "validation_dir": str(dataset / "full_1mm" / "L096"),
    }
    whole = _train(dataset, tmp_path, "whole", **settings)
    cut_off = _interrupted(cut, monkeypatch, dataset, tmp_path, "cut", **settings)
    _train(dataset, tmp_path, "cut", **settings, resume=True)
    for name in ("last.pt", "best.pt"):
        one, other = _saved(whole, name), _saved(cut_off, name)
        assert one["step"] == other["step"]
        for part in ("network", "live"):
            assert all(torch.equal(value, other[part][key]) for key, value in one[part].items())
    for name in ("train.csv", "validation.csv"):
        assert rows(whole / name) == rows(cut_off / name)


@pytest.mark.filterwarnings("ignore:parsing config_file")
@pytest.mark.parametrize(
    ("name", "value"),
    [("fall", 0), ("margin", -1), ("average_decay", 1), ("average_decay", "slow")],
)
def test_impossible_settings(name: str, value: object, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        _train(dataset, tmp_path, **{"max_iterations": 2, name: value})
    assert str(our_error(caught.value)).startswith(f"--{name} cannot be {value!r}")


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_trainings_for_equal_time_do_not_validate(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is only kept out of the training: `validation_slices` 0, as the script has."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from ct_trainings import REDUCED

    folders = {"validation_dir": str(dataset / "full_1mm" / "L096")}
    settings = {**REDUCED, "crop_size": 32, "max_iterations": 2, "fall": 1}
    run = _train(dataset, tmp_path, **settings, **folders)
    assert _saved(run, "best.pt")["settings"]["training_slices"] == 6
    assert not (run / "validation.csv").exists()


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_goes_on_from_given_weights(dataset: Path, tmp_path: Path) -> None:
    """To adapt weights to one's own scanners: the first step starts where they are."""
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

    _train(dataset, tmp_path, "second", **settings, resume=True)
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


def test_a_copy_of_a_network_in_half_precision_computes_with_its_own_weights() -> None:
    """As the moving average is one: in float32 where the network is, and by what it holds."""
    model = build_denoiser(encoder="tiny", start="identity", encoder_training="scratch").eval()
    half = HalfInferer(model)
    own = copy.deepcopy(model)
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        before = model(image)
        for part in (own.up_path[-1].conv_block, own.last):
            for parameter in part.parameters():
                parameter.mul_(0.5)
        plain = build_denoiser(encoder="tiny", encoder_training="scratch").eval()
        plain.load_state_dict(own.state_dict())
        assert torch.equal(own(image), plain(image))
        assert torch.equal(model(image), before)
        assert half(image, own).dtype == torch.float32
