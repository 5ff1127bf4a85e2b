"""Training that goes on from given weights: it takes all of them, and says whose they are."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from ldct_clipdn.core.denoiser import CLIPDenoiser, build_denoiser
from ldct_clipdn.core.encoder import CALIBRATION_BATCHES
from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weight_import import export_denoiser
from ldct_clipdn.core.weights import load_denoiser, open_denoiser, save_denoiser
from ldct_clipdn.errors import ConfigError, WeightsError

SCRATCH = {"encoder": "tiny", "encoder_training": "scratch"}


def measured() -> CLIPDenoiser:
    """A denoiser whose BatchNorm statistics were measured on something."""
    torch.manual_seed(1)
    model = build_denoiser(**SCRATCH, encoder_norm="calibrate", start="identity").train()
    for _ in range(CALIBRATION_BATCHES):
        model.train()
        model(torch.rand(2, 1, 32, 32))
    return model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "first.safetensors"
    save_denoiser(measured(), path)
    return path


def test_everything_is_taken_as_it_is(weights: Path) -> None:
    given = load_denoiser(weights).state_dict()
    taken = build_denoiser(**SCRATCH, continue_from=weights).state_dict()
    assert taken.keys() == given.keys()
    assert all(torch.equal(taken[name], value) for name, value in given.items())
    means = [value for name, value in taken.items() if name.endswith("running_mean")]
    assert means
    assert all(bool(one.any()) for one in means)  # a new encoder's are 0


def test_default_weights_can_go_on() -> None:
    model = build_denoiser(width=32, encoder_training="scratch", continue_from="default")
    given = load_denoiser().state_dict()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in given.items())
    assert model.training


@pytest.mark.parametrize("norm", ["frozen", "calibrate"])
def test_statistics_stay_while_training_goes_on(norm: str, weights: Path) -> None:
    model = build_denoiser(**SCRATCH, encoder_norm=norm, continue_from=weights)
    before = {name: value.clone() for name, value in model.named_buffers()}
    for _ in range(2):
        model.train()
        model(torch.rand(2, 1, 32, 32)).sum().backward()
    assert any(one.grad is not None for one in model.encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


def test_calibrate_does_not_undo_weights_that_were_never_calibrated(tmp_path: Path) -> None:
    path = tmp_path / "frozen.safetensors"
    save_denoiser(build_denoiser(**SCRATCH), path)
    build_denoiser(**SCRATCH, continue_from=path)
    with pytest.raises(ConfigError) as caught:
        build_denoiser(**SCRATCH, encoder_norm="calibrate", continue_from=path)
    assert "encoder_norm frozen" in caught.value.remedy


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"width": 4}, "width is 2, not 4"),
        ({"encoder": "RN50", "width": 2}, "encoder is 'tiny', not 'RN50'"),
        ({"in_channels": 3}, "in_channels is 1, not 3"),
        ({"use_image": False}, "use_image is True, not False"),
        ({"use_f5": True}, "use_f5 is False, not True"),
        ({"decoder": "restormer"}, "decoder is 'conv', not 'restormer'"),
    ],
)
def test_another_layout_is_refused_in_one_line(
    options: dict[str, object], named: str, weights: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot go on") as caught:
        build_denoiser(**{**SCRATCH, **options}, continue_from=weights)
    assert named in str(caught.value)
    assert "first.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        build_denoiser(**SCRATCH, continue_from=tmp_path / "nowhere.pt")


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    model = build_denoiser(**SCRATCH)
    model.last.weight.data[0, 0] = float("inf")
    save_denoiser(model, tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match=r"last\.weight is not finite"):
        build_denoiser(**SCRATCH, continue_from=tmp_path / "bad.pt")


def test_says_what_it_goes_on_from(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        config = build_denoiser(**SCRATCH, augmentation=0, continue_from=weights).config
    assert config.continues == f"first.safetensors (SHA-256 {file_sha256(weights)})"
    assert (config.start, config.augmentation) == ("identity", 0)
    assert "goes on from first.safetensors" in caplog.text
    assert build_denoiser(**SCRATCH).config.continues is None


def test_a_given_encoder_is_neither_read_nor_called_random(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = build_denoiser(encoder="tiny", pretrained="openai", continue_from=weights)
    assert not caplog.records
    assert not any(one.requires_grad for one in model.encoder.parameters())


@pytest.mark.parametrize(
    ("training", "origin"),
    [
        ("scratch", "trained from scratch, no CLIP"),
        ("frozen", "trained from scratch, no CLIP"),
        ("finetune", "trained from scratch, no CLIP, fine-tuned"),
    ],
)
def test_what_began_from_scratch_never_becomes_clip(
    training: str, origin: str, weights: Path, tmp_path: Path
) -> None:
    model = build_denoiser(encoder="tiny", encoder_training=training, continue_from=weights)
    save_denoiser(model, tmp_path / "second.safetensors")
    assert open_denoiser(tmp_path / "second.safetensors")[1].encoder.endswith(origin)


def test_a_given_encoder_that_is_trained_on_does_not_become_from_scratch(tmp_path: Path) -> None:
    path = tmp_path / "given.safetensors"
    save_denoiser(build_denoiser(encoder="tiny"), path)
    with pytest.raises(ConfigError, match="encoder_training is 'frozen', not 'scratch'"):
        build_denoiser(**SCRATCH, continue_from=path)
    model = build_denoiser(encoder="tiny", encoder_training="finetune", continue_from=path)
    assert model.config.encoder_origin == "random, fine-tuned"


def test_another_hu_range_is_another_network(weights: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"hu_range is \(-1024.0, 3072.0\), not \(-160.0, 240.0\)"
    ):
        build_denoiser(**SCRATCH, continue_from=weights, hu_range=(-160, 240))


def test_export_keeps_what_it_goes_on_from(weights: Path, tmp_path: Path) -> None:
    model = build_denoiser(**SCRATCH, continue_from=weights)
    save_denoiser(model, tmp_path / "a.safetensors")
    export_denoiser(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert load_denoiser(tmp_path / "b.safetensors").config == model.config


def test_continuing_twice_names_fine_tuning_once(tmp_path: Path) -> None:
    options = {**SCRATCH, "encoder_training": "finetune"}
    model = build_denoiser(**options)
    for place in range(3):
        save_denoiser(model, tmp_path / f"{place}.safetensors")
        model = build_denoiser(**options, continue_from=tmp_path / f"{place}.safetensors")
        assert model.config.encoder_source == "random, fine-tuned"
        assert model.config.encoder_origin == "random, fine-tuned"
