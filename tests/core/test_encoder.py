"""Our trunk against open_clip's own modules, and what frozen means."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.encoder import CALIBRATION_BATCHES, ENCODERS, Encoder
from ldct_clipdn.errors import ConfigError

# layers, attention heads, output and image size of the CLIP models
TOWERS = {"RN50": (32, 1024, 224), "RN101": (32, 512, 224), "RN50x4": (40, 640, 288)}


def open_clip_tower(name: str) -> nn.Module:
    """Make open_clip's visual tower with weights and statistics that leave no term out."""
    from open_clip.modified_resnet import ModifiedResNet

    torch.manual_seed(0)
    heads, output, size = TOWERS[name]
    layout = ENCODERS[name]
    tower = ModifiedResNet(layout.blocks, output, heads, image_size=size, width=layout.width)
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.1)
    return tower.eval()


def open_clip_features(tower: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    stem = tower.act1(tower.bn1(tower.conv1(x)))
    stem = tower.act2(tower.bn2(tower.conv2(stem)))
    features = [tower.act3(tower.bn3(tower.conv3(stem)))]
    deep = tower.avgpool(features[0])
    for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        deep = layer(deep)
        features.append(deep)
    return features


def test_every_size_is_that_of_open_clip():
    from open_clip.factory import get_model_config

    sizes = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64")  # the paper's Figure 1
    assert {name for name, one in ENCODERS.items() if one.family == "clip"} == {*sizes, "tiny"}
    for name in sizes:
        tower = get_model_config(name)["vision_cfg"]
        assert (list(ENCODERS[name].blocks), ENCODERS[name].width) == (
            tower["layers"], tower["width"]
        )  # fmt: skip


@pytest.mark.parametrize("name", ["RN50", "RN101", "RN50x4"])
def test_features_equal_open_clips(name):
    tower = open_clip_tower(name)
    encoder = Encoder(ENCODERS[name], with_f5=True, norm="frozen").eval()
    state = {k: v for k, v in tower.state_dict().items() if not k.startswith("attnpool.")}
    encoder.load_state_dict(state)  # strict: the same keys, all of them
    x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = encoder(x), open_clip_features(tower, x)
    for level, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1):
        assert a.shape[-2:] == (64 // 2**level, 96 // 2**level)
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


def test_layer4_is_built_only_on_request():
    shallow = Encoder(ENCODERS["RN50"], with_f5=False, norm="frozen")
    deep = Encoder(ENCODERS["RN50"], with_f5=True, norm="frozen")
    assert not any(name.startswith("layer4") for name in shallow.state_dict())
    assert sum(p.numel() for p in shallow.parameters()) == 8_562_528  # of the published class
    assert sum(p.numel() for p in deep.parameters()) == 23_527_264
    assert len(deep.state_dict()) == 330
    assert sum(isinstance(m, nn.BatchNorm2d) for m in deep.modules()) == 55


def train_one_step(model: nn.Module) -> None:
    model.train()  # MONAI's trainer does this at every iteration
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model(torch.rand(2, 1, 32, 32)).square().mean().backward()
    optimizer.step()


def test_frozen_encoder_stays_bit_identical():
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train_one_step(model)
    after = model.state_dict()
    assert not model.encoder.training
    assert all(torch.equal(after[k], before[k]) for k in before if k.startswith("encoder."))
    changed = [k for k in before if not torch.equal(after[k], before[k])]
    assert "first.weight" in changed  # gradients came through the frozen encoder
    assert all(f"up_path.{i}.conv_block.block.0.weight" in changed for i in range(5))


def test_gradients_reach_the_adapter_through_the_frozen_encoder():
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny", use_image=False).train()  # no other way to it
    model(torch.rand(2, 1, 32, 32)).square().mean().backward()
    assert model.first.weight.grad.abs().min() > 0
    assert all(one.grad is None for one in model.encoder.parameters())


def test_adapt_updates_statistics_and_nothing_else_of_the_encoder():
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny", encoder_norm="adapt")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train_one_step(model)
    after = model.state_dict()
    parameters = {f"encoder.{name}" for name, _ in model.encoder.named_parameters()}
    assert all(torch.equal(after[k], before[k]) for k in parameters)
    statistics = [k for k in before if k.endswith(("running_mean", "num_batches_tracked"))]
    assert statistics
    assert not any(torch.equal(after[k], before[k]) for k in statistics)
    model.eval()
    assert not any(m.training for m in model.encoder.modules())


def test_calibrate_averages_the_first_batches_then_freezes():
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny", encoder_norm="calibrate", augmentation=0)
    batches = [torch.rand(4, 1, 64, 64) for _ in range(CALIBRATION_BATCHES + 2)]
    means = []
    for batch in batches:
        model.train()
        with torch.no_grad():
            model(batch)
            means.append(model.encoder.conv1(model.first(batch)).mean((0, 2, 3)))
    expected = torch.stack(means[:CALIBRATION_BATCHES]).mean(0)
    torch.testing.assert_close(model.encoder.bn1.running_mean, expected)
    assert int(model.encoder.bn1.num_batches_tracked) == CALIBRATION_BATCHES
    model.train()
    assert not model.encoder.training


@pytest.mark.parametrize("training", ["finetune", "scratch"])
def test_a_trained_encoder_is_trained(training):
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny", encoder_training=training)
    before = model.encoder.layer3[0].conv2.weight.clone()
    train_one_step(model)
    assert not torch.equal(model.encoder.layer3[0].conv2.weight, before)


def test_unknown_encoder_is_named_with_what_there_is():
    with pytest.raises(ConfigError, match=r"'RN51'.*RN50, RN50x4, RN50x16"):
        build_denoiser(encoder="RN51")
