"""Methods that stand in tables: chosen strengths, networks from file, users' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from natural_images import made_up
from skimage.restoration import denoise_tv_chambolle

from ldct_clipdn import build_denoiser
from ldct_clipdn.bench.methods import choose_strength, from_callable, make_method
from ldct_clipdn.bench.peers import RESIDUAL_UNIT, build_peer, load_peer
from ldct_clipdn.core.benchmark import Picture
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.errors import ConfigError, WeightsError

CPU = torch.device("cpu")


def pictures(count: int, side: int = 32) -> list[Picture]:
    arrays = [np.round(made_up(k, side, side) * 255).astype(np.uint8) for k in range(count)]
    return [Picture(f"p{k}", torch.from_numpy(a).permute(2, 0, 1)) for k, a in enumerate(arrays)]


def test_strength_is_the_best_of_those_tried():
    # a filter whose result is right at strength 0.4 alone: it undoes a known darkening
    half = [Picture("p", one.clean, (one.clean * 0.4).byte()) for one in pictures(2)]
    best = choose_strength(lambda image, s: image / s, (0.2, 0.4, 0.8), half, None)
    assert best == 0.4


def test_strength_grows_with_the_noise_and_helps():
    method = make_method("tv", CPU, pictures(2))
    weak, strong = (method.prepare(Noise("gaussian", sigma)) for sigma in (15, 50))
    assert float(strong.setting.split()[1]) > float(weak.setting.split()[1])
    chosen_on = method.settings["validation"]
    assert list(chosen_on) == ["p0", "p1"]
    other = make_method("tv", CPU, [Picture("p0", pictures(2)[1].clean)]).settings["validation"]
    assert other["p0"] == chosen_on["p1"] != chosen_on["p0"]  # known by what they show


def test_filters_need_validation_or_a_strength():
    with pytest.raises(ConfigError, match=r"other pictures than the test's.*tv:0\.1"):
        make_method("tv", CPU)
    with pytest.raises(ConfigError, match="no strength 'much'"):
        make_method("nlm:much", CPU, pictures(1))


def test_tv_is_scikit_images():
    noisy = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    prepared = make_method("tv:0.1", CPU).prepare(Noise("gaussian", 15))
    expected = denoise_tv_chambolle(
        noisy[0].permute(1, 2, 0).double().numpy(), weight=0.1, channel_axis=-1
    )
    denoised = prepared.denoise(noisy)[0].permute(1, 2, 0)
    np.testing.assert_allclose(denoised, expected, atol=1e-6)
    assert prepared.setting == "strength 0.1"


def test_weights_join_by_file(tmp_path):
    model = build_denoiser(encoder="tiny", in_channels=3, encoder_training="scratch").eval()
    save_denoiser(model, tmp_path / "ours.safetensors")
    method = make_method(f"weights:mine={tmp_path / 'ours.safetensors'}", CPU)
    noisy = torch.rand(2, 3, 20, 30)
    with torch.no_grad():
        assert torch.equal(method.prepare(None).denoise(noisy), model(noisy))
    assert (method.name, method.counterpart) == ("mine", "CLIPDenoising")
    assert method.settings["config"]["encoder"] == "tiny"
    assert len(method.settings["sha256"]) == 64
    save_denoiser(build_denoiser(encoder="tiny"), tmp_path / "ct.safetensors")
    with pytest.raises(ConfigError, match="one channel"):
        make_method(f"weights:{tmp_path / 'ct.safetensors'}", CPU)


def test_any_callable_or_module_joins():
    assert from_callable("f", lambda x: x * 2).prepare(None).denoise(torch.ones(1)) == 2
    module = torch.nn.Dropout()
    method = from_callable("m", module)
    assert not module.training
    assert method.module is module
    named = make_method("python:torch.nn:Identity", CPU)
    assert torch.equal(named.prepare(None).denoise(torch.ones(2)), torch.ones(2))
    with pytest.raises(ConfigError, match="cannot be imported"):
        make_method("python:no_such_module:f", CPU)


def test_unknown_methods_are_named():
    with pytest.raises(ConfigError, match=r"no method 'bm3d'.*noisy, tv"):
        make_method("bm3d", CPU)


@pytest.mark.parametrize(
    ("peer", "parameters"), [("dncnn", 0.67e6), ("restormer", 26.1e6), ("red_cnn", 1.86e6)]
)
def test_peers_are_as_large_as_published(peer, parameters):
    # Table 6; RED-CNN's: 10 layers of 5 x 5, 96 channels (its paper's section III)
    with torch.device("meta"):
        network = build_peer(peer)
    count = sum(one.numel() for one in network.parameters())
    assert count == pytest.approx(parameters, rel=0.01)


def test_peers_begin_as_residual_networks_and_keep_any_size():
    noisy = torch.rand(1, 3, 21, 37)
    dncnn = build_peer("dncnn", width=8).eval()
    assert torch.equal(dncnn(noisy), noisy)  # its last layer starts at zero
    red_cnn = build_peer("red_cnn", width=8)
    assert torch.equal(red_cnn(noisy), noisy)
    assert torch.equal(red_cnn(noisy[..., :1, :2]), noisy[..., :1, :2])
    restormer = build_peer("restormer", width=8).eval()
    for parameter in restormer.body.output.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        torch.testing.assert_close(restormer(noisy), noisy)


def test_red_cnn_is_its_paper_s_figure():
    # written out layer by layer, as public implementations have it
    x = torch.rand(1, 1, 30, 26)
    network = build_peer("red_cnn", in_channels=1, width=8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    c, t = network.body.convolutions, network.body.deconvolutions
    second = c[1](c[0](x).relu()).relu()
    fourth = c[3](c[2](second).relu()).relu()
    y = (t[0](c[4](fourth).relu()) + fourth).relu()
    y = (t[2](t[1](y).relu()) + second).relu()
    expected = RESIDUAL_UNIT[1] * t[4](t[3](y).relu()) + x
    assert [layer.kernel_size for layer in (*c, *t)] == [(5, 5)] * 10
    assert second.shape[-2:] == (22, 18)  # nothing is padded
    torch.testing.assert_close(network(x), expected)


def test_peers_come_back_from_a_run(tmp_path):
    network = build_peer("dncnn", width=8)
    torch.save(
        {"network": network.state_dict(), "config": network.config.to_dict()}, tmp_path / "best.pt"
    )
    back = load_peer(tmp_path / "best.pt")
    assert not back.training
    assert back.config == network.config
    assert all(
        torch.equal(a, b) for a, b in zip(back.parameters(), network.parameters(), strict=True)
    )
    save_denoiser(build_denoiser(encoder="tiny"), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no DnCNN, Restormer or RED-CNN"):
        load_peer(tmp_path / "other.safetensors")


def save_peer(path, **settings):
    network = build_peer(**settings)
    torch.save({"network": network.state_dict(), "config": network.config.to_dict()}, path)
    return path


def test_a_peer_is_compared_with_the_printed_one_where_it_is_as_wide(tmp_path):
    narrow = save_peer(tmp_path / "narrow.pt", peer="dncnn", width=16)
    full = save_peer(tmp_path / "full.pt", peer="dncnn")
    method = make_method(f"dncnn:{full}", CPU)
    assert (method.name, method.counterpart) == ("DnCNN", "DnCNN")
    method = make_method(f"dncnn:{narrow}", CPU)
    assert (method.name, method.counterpart) == ("DnCNN (width 16)", "")
    method = make_method(f"dncnn:mine={full}", CPU)
    assert (method.name, method.counterpart) == ("mine", "DnCNN")
    with pytest.raises(ConfigError, match=r"this is a DnCNN \(width 16\), not a restormer"):
        make_method(f"restormer:{narrow}", CPU)
    ct = save_peer(tmp_path / "ct.pt", peer="dncnn", width=8, in_channels=1)
    with pytest.raises(ConfigError, match="one channel"):
        make_method(f"dncnn:{ct}", CPU)


def test_unknown_or_odd_peers_are_refused():
    with pytest.raises(ConfigError, match="no network named 'unet'"):
        build_peer("unet")
    with pytest.raises(ConfigError, match="cannot have width 9"):
        build_peer("dncnn", width=9)
