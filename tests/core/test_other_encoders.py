"""Encoders of the ablations against torchvision, open_clip, MONAI and a second statement."""

from __future__ import annotations

import pytest
import torch
from natural_images import folder, made_up
from torch import nn
from torch.nn import functional as F

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.encoder import ENCODERS, EncoderLayout
from ldct_clipdn.core.encoders import make_encoder
from ldct_clipdn.core.restormer import ChannelAttention, GatedNetwork, RestormerBlock
from ldct_clipdn.core.vit import ViTEncoder
from ldct_clipdn.core.weights import read_encoder_weights
from ldct_clipdn.errors import ConfigError, WeightsError

IMAGENET_FILE = "imagenet_resnet50v2_stem_to_stage3.safetensors"
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
OTHERS = ["ViT-B-16", "MoCo-v3-RN50", "ImageNet-RN50v2"]


def shake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give BatchNorm statistics and weights that leave no term out."""
    torch.manual_seed(seed)
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            nn.init.normal_(one.running_mean, 0, 0.1)
            nn.init.uniform_(one.running_var, 0.5, 1.5)
            nn.init.uniform_(one.weight, 0.5, 1)
            nn.init.normal_(one.bias, 0, 0.1)
    return module.eval()


def image(side: int = 64) -> torch.Tensor:
    return torch.from_numpy(made_up(0, side, side + 32)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def torchvision_net() -> nn.Module:
    from torchvision.models import resnet50

    return shake(resnet50(weights=None))


def test_moco_encoder_equals_torchvisions_resnet(torchvision_net):
    net = torchvision_net
    encoder = make_encoder(ENCODERS["MoCo-v3-RN50"], with_f5=True, norm="frozen").eval()
    state = {k: v for k, v in net.state_dict().items() if not k.startswith("fc.")}
    encoder.load_state_dict(state)  # strict: the same keys, all of them
    x = image()
    with torch.no_grad():
        deep = net.relu(net.bn1(net.conv1((x - MEAN) / STD)))
        theirs = [deep]
        deep = net.maxpool(deep)
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            deep = layer(deep)
            theirs.append(deep)
        for a, b in zip(encoder(x), theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


def test_moco_checkpoint_as_it_is_published(torchvision_net, tmp_path):
    base = torchvision_net.state_dict()
    inside = {f"module.base_encoder.{k}": v for k, v in base.items() if not k.startswith("fc.")}
    inside["module.base_encoder.fc.0.weight"] = torch.zeros(4, 2048)  # projector
    inside["module.momentum_encoder.conv1.weight"] = torch.zeros(64, 3, 7, 7)
    inside["module.predictor.0.weight"] = torch.zeros(4, 4)
    content = {"epoch": 1000, "arch": "resnet50", "state_dict": inside, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "r-50-1000ep.pth.tar")
    model = build_denoiser(
        in_channels=3, encoder="MoCo-v3-RN50", pretrained=tmp_path / "r-50-1000ep.pth.tar"
    )
    assert torch.equal(model.encoder.conv1.weight, base["conv1.weight"])
    assert "layer4" not in dict(model.encoder.named_children())
    assert "r-50-1000ep.pth.tar (SHA-256 " in model.config.encoder_source
    del inside["module.base_encoder.layer3.0.conv1.weight"]
    torch.save(content, tmp_path / "broken.pth.tar")
    with pytest.raises(WeightsError, match=r"1 missing: layer3\.0\.conv1\.weight"):
        read_encoder_weights(str(tmp_path / "broken.pth.tar"), model.config)


def restated_imagenet(state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """State data/weights/README.md once more, with functions alone."""

    def bn(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=1e-5)

    x = bn("input_bn", (x - MEAN) / STD)
    features = [F.relu(bn("stem.bn", F.conv2d(x, state["stem.conv.weight"], None, 2, 3)))]
    x = F.max_pool2d(features[0], 3, 2, 1)
    outputs = []
    for stage, units in ((1, 3), (2, 4), (3, 6)):
        for unit in range(units):
            name = f"stage{stage}.{unit}"
            stride = 2 if unit == 0 and stage > 1 else 1
            h = F.relu(bn(f"{name}.bn1", x))
            y = F.conv2d(h, state[f"{name}.conv1.weight"])
            y = F.conv2d(
                F.relu(bn(f"{name}.bn2", y)), state[f"{name}.conv2.weight"], None, stride, 1
            )
            y = F.conv2d(F.relu(bn(f"{name}.bn3", y)), state[f"{name}.conv3.weight"])
            if unit == 0:
                x = F.conv2d(h, state[f"{name}.downsample.weight"], None, stride)
            x = y + x
        outputs.append(x)
    names = ("stage2.0.bn1", "stage3.0.bn1", "out_bn")
    return features + [F.relu(bn(name, x)) for name, x in zip(names, outputs, strict=True)]


def test_imagenet_encoder_is_what_its_readme_says():
    encoder = shake(make_encoder(EncoderLayout((3, 4, 6), 8, "imagenet"), with_f5=False,
                                 norm="frozen"))  # fmt: skip
    x = image()
    with torch.no_grad():
        for a, b in zip(encoder(x), restated_imagenet(encoder.state_dict(), x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


@pytest.mark.data
def test_imagenet_file_fits_and_gives_its_channel_statistics():
    path = folder("weights") / IMAGENET_FILE
    model = build_denoiser(in_channels=3, encoder="ImageNet-RN50v2", pretrained=path).eval()
    assert "9ebb4db4ca958fe3" in model.config.encoder_source
    with torch.no_grad():
        f1, *_, f4 = model.encoder(image(96))
    state = model.encoder.state_dict()
    assert (f1.shape[1], f4.shape[1]) == (64, 1024)
    with torch.no_grad():
        expected = restated_imagenet(state, image(96))
    torch.testing.assert_close(f4, expected[-1], rtol=1e-4, atol=1e-4 * float(f4.max()))
    # the file's weights are those of a trained network: each unit's batch norms differ
    assert float(state["out_bn.running_var"].log().std()) > 0.1


def test_vit_equals_open_clips_seventh_layer():
    from open_clip.transformer import QuickGELU, VisionTransformer

    torch.manual_seed(0)
    tower = VisionTransformer(
        image_size=224, patch_size=16, width=48, layers=8, heads=12, mlp_ratio=4.0,
        output_dim=16, act_layer=QuickGELU,
    ).eval()  # fmt: skip
    encoder = ViTEncoder(7, 48).eval()
    state = {k: v for k, v in tower.state_dict().items() if k in encoder.state_dict()}
    encoder.load_state_dict(state)
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        tokens = tower._embeds(x)
        for block in tower.transformer.resblocks[:7]:
            tokens = block(tokens)
        (ours,) = encoder(x)
    assert ours.shape == (2, 48, 14, 14)
    torch.testing.assert_close(ours.flatten(2).mT, tokens[:, 1:], rtol=1e-4, atol=1e-5)


def test_clip_vit_file_loads_and_text_is_passed_over(tmp_path):
    encoder = make_encoder(EncoderLayout((7,), 64, "vit"), with_f5=False, norm="frozen")
    state = {f"visual.{k}": v for k, v in encoder.state_dict().items()}
    state |= {"visual.proj": torch.zeros(768, 512), "visual.ln_post.weight": torch.zeros(768),
              "visual.transformer.resblocks.11.ln_1.weight": torch.zeros(768),
              "transformer.resblocks.0.ln_1.weight": torch.zeros(512)}  # fmt: skip
    torch.save(state, tmp_path / "vit.pt")
    model = build_denoiser(in_channels=3, encoder="ViT-B-16", pretrained=tmp_path / "vit.pt")
    assert torch.equal(model.encoder.class_embedding, encoder.class_embedding)


def test_vit_takes_other_sizes_with_the_same_positions():
    encoder = ViTEncoder(1, 24).eval()
    assert torch.equal(encoder._positions(14, 14), encoder.positional_embedding)
    ramp = torch.arange(14.0)[:, None, None].expand(14, 14, 24).reshape(196, 24)
    encoder.positional_embedding.data[1:] = ramp
    wide = encoder._positions(14, 28)[1:].unflatten(0, (14, 28))
    torch.testing.assert_close(wide[:, 0], wide[:, 27])
    torch.testing.assert_close(wide[7, 3], torch.full((24,), 7.0), atol=1e-3, rtol=0)


def test_restormer_parts_equal_monais():
    from monai.networks.blocks.cablock import CABlock, FeedForward

    torch.manual_seed(0)
    x = torch.rand(2, 12, 10, 14)
    for ours, theirs in (
        (ChannelAttention(12, 3), CABlock(2, 12, 3, bias=False)),
        (GatedNetwork(12), FeedForward(2, 12, 2.66, bias=False)),
    ):
        state = {k.replace(".conv.", "."): v for k, v in theirs.state_dict().items()}
        ours.load_state_dict(state)
        with torch.no_grad():
            torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_restormer_block_normalises_each_pixel():
    block = RestormerBlock(8, 2)
    pixels = torch.rand(1, 8, 4, 4) * 100
    normed = block.norm1(pixels.movedim(1, -1))
    torch.testing.assert_close(normed.mean(-1), torch.zeros(1, 4, 4), atol=1e-5, rtol=0)
    assert block(pixels).shape == pixels.shape


def train_one_step(model: nn.Module) -> None:
    model.train()
    optimizer = torch.optim.AdamW(model.trainable_parameters(), lr=1e-2)
    model(torch.rand(2, 3, 33, 40)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("encoder", OTHERS)
@pytest.mark.parametrize("training", ["frozen", "finetune"])
def test_each_trains_a_step_as_it_claims(encoder, training):
    torch.manual_seed(0)
    model = build_denoiser(in_channels=3, encoder=encoder, width=2, encoder_training=training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train_one_step(model)
    after = model.state_dict()
    changed = [k for k in before if not torch.equal(after[k], before[k])]
    assert any(k.startswith("up_path.") for k in changed)
    assert "last.weight" in changed
    assert any(k.startswith("encoder.") for k in changed) == (training == "finetune")
    assert not any(k.endswith(("running_mean", "running_var")) for k in changed)


def test_vit_decoder_blocks_all_learn():
    torch.manual_seed(0)
    model = build_denoiser(in_channels=3, encoder="ViT-B-16", width=2)
    before = {k: v.clone() for k, v in model.up_path.state_dict().items()}
    train_one_step(model)
    after = model.up_path.state_dict()
    mixer = [k for k in before if k.startswith("0.blocks.") and k.endswith("c_fc.weight")]
    assert len(mixer) == 4
    assert not any(torch.equal(after[k], before[k]) for k in mixer)
    assert len(model.up_path) == 5


@pytest.mark.parametrize("encoder", OTHERS)
def test_identity_start_passes_the_image_through(encoder):
    model = build_denoiser(in_channels=3, encoder=encoder, width=4, start="identity").eval()
    x = image(32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), x, atol=1e-5, rtol=0)


def test_restormer_decoder_trains_and_has_its_own_keys():
    torch.manual_seed(0)
    model = build_denoiser(in_channels=3, encoder="tiny", decoder="restormer")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train_one_step(model)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert any("attn.qkv.weight" in k for k in changed)
    assert not any("conv_block.block." in k for k in before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "ImageNet-RN50v2", "use_f5": True}, "has no F5"),
        ({"encoder": "ViT-B-16", "use_f5": True}, "has no F5"),
        ({"encoder": "ViT-B-16", "decoder": "restormer"}, "conv with a ViT"),
        ({"width": 4, "decoder": "restormer", "start": "identity"}, "cannot pass an image"),
        ({"encoder": "tiny", "start": "identity"}, "no room for the image's channels"),
        ({"encoder": "tiny", "decoder": "unet"}, "decoder cannot be 'unet'"),
    ],
)
def test_what_cannot_be_built_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_denoiser(in_channels=3, **settings)
