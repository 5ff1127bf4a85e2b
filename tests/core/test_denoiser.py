"""The denoiser against an independent plain restatement of the published formula."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.core.denoiser import FeatureAugmentation, build_denoiser
from ldct_clipdn.errors import ConfigError


def plain_forward(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The published network (CLIPDenoising_arch.py) written out, with functions only."""

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{k}"] for k in keys), eps=1e-5)

    def bottleneck(x, name, stride):
        out = F.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
        out = F.relu(norm(conv(out, f"{name}.conv2"), f"{name}.bn2"))
        out = F.avg_pool2d(out, stride) if stride > 1 else out
        out = norm(conv(out, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.weight" in state:
            x = F.avg_pool2d(x, stride) if stride > 1 else x
            x = norm(conv(x, f"{name}.downsample.0"), f"{name}.downsample.1")
        return F.relu(out + x)

    def layer(x, name, stride):
        x = bottleneck(x, f"{name}.0", stride)
        number = 1
        while f"{name}.{number}.conv1.weight" in state:
            x = bottleneck(x, f"{name}.{number}", 1)
            number += 1
        return x

    def block(x, number):
        for part in (0, 2):
            x = F.leaky_relu(conv(x, f"up_path.{number}.conv_block.block.{part}"), 0.2)
        return x

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % 32, 0, -height % 32), mode="reflect")
    image = conv(x, "first") if "first.weight" in state else x
    e = "encoder"
    f1 = F.relu(norm(conv(image, f"{e}.conv1", stride=2), f"{e}.bn1"))
    f1 = F.relu(norm(conv(f1, f"{e}.conv2"), f"{e}.bn2"))
    f1 = F.relu(norm(conv(f1, f"{e}.conv3"), f"{e}.bn3"))
    f2 = layer(F.avg_pool2d(f1, 2), f"{e}.layer1", 1)
    f3 = layer(f2, f"{e}.layer2", 2)
    f4 = layer(f3, f"{e}.layer3", 2)
    out = block(f4, 0)
    out = block(torch.cat([up(out), f3], 1), 1)
    out = block(torch.cat([up(out), f2], 1), 2)
    out = block(torch.cat([up(out), f1], 1), 3)
    out = block(torch.cat([up(out), image], 1), 4)
    return conv(out, "last")[..., :height, :width]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("encoder", "width"), [("tiny", 4), ("RN50", None), ("RN50x4", 8)])
def test_forward_equals_the_formula(channels, encoder, width):
    torch.manual_seed(0)
    model = build_denoiser(in_channels=channels, encoder=encoder, width=width).eval()
    for name, value in model.encoder.state_dict().items():  # so that no term is 0 or 1
        if name.endswith(("running_mean", "running_var", "bias")):
            value.uniform_(0.5, 1.5)
    x = torch.rand(2, channels, 70, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            model(x), plain_forward(model.state_dict(), x), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(("channels", "learnable"), [(3, 10_988_928), (1, 10_987_779)])
def test_parameter_counts_are_the_published_ones(channels, learnable):
    model = build_denoiser(in_channels=channels)
    assert sum(p.numel() for p in model.trainable_parameters()) == learnable
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert frozen == 8_562_528


@pytest.mark.parametrize(
    ("channels", "with_f5", "entries"), [(3, False, 281), (1, False, 282), (1, True, 344)]
)
def test_state_dict_has_the_published_keys(channels, with_f5, entries):
    with torch.device("meta"):
        model = build_denoiser(in_channels=channels, use_f5=with_f5)
    keys = list(model.state_dict())
    assert len(keys) == entries
    own = [key for key in keys if not key.startswith("encoder.")]
    blocks = 6 if with_f5 else 5
    expected = {f"up_path.{i}.conv_block.block.{j}.weight" for i in range(blocks) for j in (0, 2)}
    expected |= {"last.weight"} | ({"first.weight"} if channels == 1 else set())
    assert set(own) == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70))
def test_any_size_from_one_pixel_comes_back(height, width):
    model = build_denoiser(encoder="tiny", start="identity").eval()
    x = torch.rand(1, 1, height, width)
    with torch.no_grad():
        # the identity start: padding and cropping are inverse to each other
        torch.testing.assert_close(model(x), x, rtol=0, atol=1e-6)


def test_padding_is_the_published_reflection():
    model = build_denoiser(encoder="tiny").eval()
    x = torch.rand(1, 1, 33, 50)
    padded = F.pad(x, (0, 14, 0, 31), mode="reflect")
    with torch.no_grad():
        assert torch.equal(model(x), model(padded)[..., :33, :50])


@pytest.mark.parametrize("channels", [1, 3])
def test_identity_start_passes_the_image_through(channels):
    model = build_denoiser(in_channels=channels, encoder="tiny", width=4, start="identity").eval()
    x = torch.rand(2, channels, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), x, rtol=0, atol=1e-6)


def test_variants_of_the_ablation_are_built():
    x = torch.rand(1, 3, 32, 32)
    for options in ({"use_image": False}, {"use_f5": True}):
        model = build_denoiser(in_channels=3, encoder="tiny", **options).eval()
        assert model(x).shape == x.shape


def test_augmentation_has_mean_one_and_sd_gamma_times_level():
    augment = FeatureAugmentation(gamma=0.025, seed=3).train()
    features = [torch.full((1, 8, 200, 200), 2.0) for _ in range(4)]
    for level, (before, after) in enumerate(zip(features, augment(features), strict=True), 1):
        factor = after / before
        assert abs(float(factor.mean()) - 1) < 5 * 0.025 * level / 320_000**0.5
        assert float(factor.std()) == pytest.approx(0.025 * level, rel=0.01)


def test_augmentation_is_off_in_evaluation_and_at_gamma_zero():
    features = [torch.rand(1, 2, 4, 4)]
    assert FeatureAugmentation(0.025, 0).eval()(features) is features
    assert FeatureAugmentation(0.0, 0).train()(features) is features


def test_augmentation_draws_from_its_own_generator():
    augment = FeatureAugmentation(0.5, seed=1).train()
    features = [torch.ones(1, 1, 8, 8)]
    state = torch.get_rng_state()
    first = augment(features)[0]
    assert torch.equal(torch.get_rng_state(), state)  # no one else's draws are touched
    second = augment(features)[0]
    augment.reseed(1)
    assert torch.equal(augment(features)[0], first)
    assert not torch.equal(first, second)


def test_a_perturbed_feature_does_not_feed_the_next():
    torch.manual_seed(0)
    model = build_denoiser(in_channels=3, encoder="tiny", augmentation=0.5).train()
    seen = []
    model.encoder.register_forward_hook(lambda _m, _i, out: seen.append([f.clone() for f in out]))
    x = torch.rand(1, 3, 32, 32)
    model(x)
    assert all(torch.equal(a, b) for a, b in zip(seen[0], model.encoder(x), strict=True))


def test_a_denoiser_can_be_copied_after_it_ran():
    model = build_denoiser(encoder="tiny").train()
    model(torch.rand(1, 1, 32, 32))
    assert copy.deepcopy(model).augment.gamma == 0.025


def test_a_random_encoder_is_said_loudly(caplog):
    build_denoiser(encoder="tiny")
    assert "random weights: this is not CLIP" in caplog.text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"in_channels": 2}, "in_channels"),
        ({"width": 3}, "width"),
        ({"width": "64"}, "width cannot be '64'"),
        ({"width": 32.0}, r"width cannot be 32\.0"),
        ({"width": "abc"}, "width cannot be 'abc'"),
        ({"in_channels": True}, "in_channels cannot be True"),
        ({"in_channels": "1"}, "in_channels cannot be '1'"),
        ({"augmentation": "x"}, "augmentation cannot be 'x'"),
        ({"augmentation": None}, "augmentation cannot be None"),
        ({"augmentation": float("nan")}, "augmentation cannot be nan"),
        ({"use_image": "no"}, "use_image cannot be 'no'"),
        ({"use_f5": 1}, "use_f5 cannot be 1"),
        ({"encoder_norm": "thawed"}, "encoder_norm"),
        ({"encoder_training": "none"}, "encoder_training"),
        ({"augmentation": -0.1}, "augmentation"),
        ({"start": "zero"}, "start"),
        ({"start": "identity", "use_image": False}, "start"),
        ({"width": 32, "pretrained": "openai"}, "width 32"),
        ({"encoder": "tiny", "pretrained": "openai"}, "tiny"),
        ({"encoder_training": "scratch", "pretrained": "openai"}, "encoder_training"),
    ],
)
def test_settings_that_contradict_are_refused(options, named):
    with pytest.raises(ConfigError, match=named):
        build_denoiser(**options)
