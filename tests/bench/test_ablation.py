"""The paper's variants: each builds, trains a step as it claims, and joins its table."""

from __future__ import annotations

import pytest
import torch
from natural_images import save_pictures

from ldct_clipdn.bench.ablation import VARIANTS, build_variant
from ldct_clipdn.bench.published import published_scores
from ldct_clipdn.cli.main import main
from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.errors import ConfigError

LEARNS_ALL = {"random", "finetune", "imagenet_finetune"}


def train_one_step(model: CLIPDenoiser) -> set[str]:
    """Train a step and say which parameters changed."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.train()
    optimizer = torch.optim.AdamW(model.trainable_parameters(), lr=1e-2)
    torch.manual_seed(1)
    model(torch.rand(2, 3, 32, 32)).square().mean().backward()
    optimizer.step()
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_trains_what_it_claims(name):
    torch.manual_seed(0)
    changed = train_one_step(build_variant(name, width=4, start="identity"))
    assert any(one.startswith("up_path.") for one in changed)
    assert any(one.startswith("encoder.") for one in changed) == (name in LEARNS_ALL)


def test_only_the_published_method_perturbs_features():
    perturbing = [name for name in VARIANTS if build_variant(name, width=4).augment.gamma > 0]
    assert perturbing == ["pfa"]


def test_without_input_the_decoder_does_not_see_the_image():
    torch.manual_seed(0)
    with_image, without = (
        build_variant(name, width=4).eval() for name in ("baseline", "without_input")
    )
    constant = [torch.ones(1, c, 32 // s, 32 // s) for c, s in ((4, 2), (16, 4), (32, 8), (64, 16))]
    images = torch.rand(2, 1, 3, 32, 32)
    for model, sees in ((with_image, True), (without, False)):
        model.encoder.forward = lambda _: constant
        with torch.no_grad():
            first, second = (model(image) for image in images)
        assert torch.equal(first, second) != sees


def test_f5_changes_the_decoders_input():
    torch.manual_seed(0)
    model = build_variant("f5", width=4).eval()
    plain = build_variant("baseline", width=4)
    assert model.up_path[0].conv_block.block[0].in_channels == 32 * 4
    assert plain.up_path[0].conv_block.block[0].in_channels == 16 * 4
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = model(image)
        model.encoder.layer4[0].bn3.weight.mul_(3)
        assert not torch.equal(model(image), before)


def test_augmentation_is_drawn_anew_in_training_alone():
    model = build_variant("pfa", width=4)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        model.train()
        assert not torch.equal(model(image), model(image))
        model.eval()
        assert torch.equal(model(image), model(image))


def test_printed_columns_have_the_names_that_the_variants_point_to():
    printed = {method for *_, method in published_scores(4, 5, 8, 10)}
    named = {variant.published for variant in VARIANTS.values() if variant.published}
    assert named <= printed
    assert printed - named == {"DnCNN"}


def test_unknown_variants_are_refused():
    with pytest.raises(ConfigError, match=r"no variant 'F5'.*pfa, baseline"):
        build_variant("F5")


def test_trained_variants_are_measured(tmp_path, capsys):
    pictures = save_pictures(tmp_path / "Kodak24", 2)
    for name in ("baseline", "f5"):
        model = build_variant(name, width=4, start="identity")
        (tmp_path / "runs" / name).mkdir(parents=True)
        torch.save(
            {"network": model.state_dict(), "config": model.config.to_dict()},
            tmp_path / "runs" / name / "last.pt",
        )
    arguments = ["benchmark", "ablation", str(pictures), "--out", str(tmp_path / "out"), "-q"]
    assert main([*arguments, "--runs", str(tmp_path / "runs"), "--noise", "gaussian:50"]) == 0
    printed = capsys.readouterr().out
    assert "| baseline | f5 |" in printed
    assert "26.87/0.692" in printed
    assert "f5 - with F5 [paper]" in printed
    urban100 = save_pictures(tmp_path / "Urban100", 1)
    urban = ["benchmark", "ablation", str(urban100), "--noise", "speckle:0.04"]
    out = ["--out", str(tmp_path / "urban"), "-q"]
    assert main([*urban, "--runs", str(tmp_path / "runs"), *out]) == 0
    assert "| baseline - baseline [paper] |" in capsys.readouterr().out  # Table 5's RN50
    assert main([*arguments, "--runs", str(tmp_path / "none")]) == 1
    assert "no variant was trained here" in capsys.readouterr().err


def test_list_names_every_variant(capsys):
    assert main(["benchmark", "ablation", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name} " in printed for name in VARIANTS)
    assert main(["benchmark", "ablation"]) == 2
    assert "SET, --runs and --out" in capsys.readouterr().err
