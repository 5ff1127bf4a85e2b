"""Every weights format, made in exactly its form, and every way it can be wrong."""

from __future__ import annotations

import json
import pickle
import socket
import sys

import pytest
import torch
from clip_files import clip_like_module, clip_like_state
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ldct_clipdn.core import weight_files, weight_store
from ldct_clipdn.core.config import DenoiserConfig
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.encoder_files import ENCODER_VARIABLE, fetch_encoder
from ldct_clipdn.core.weight_import import identify_weights
from ldct_clipdn.core.weights import (
    load_denoiser,
    open_denoiser,
    read_encoder_weights,
    save_denoiser,
)
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.errors import ConfigError, WeightsError

RN50 = DenoiserConfig()


@pytest.fixture(scope="module")
def state():
    return clip_like_state()


def encoder_part(state):
    """The expected result: visual tower without attention pooling and layer4, in float32."""
    return {
        key.removeprefix("visual."): value.float() if value.is_floating_point() else value
        for key, value in state.items()
        if key.startswith("visual.") and not key.startswith(("visual.attnpool", "visual.layer4"))
    }


def assert_same(result, expected):
    assert result.keys() == expected.keys()
    assert all(torch.equal(result[k], expected[k]) for k in expected)


# --- encoder files -------------------------------------------------------------------------


def test_whole_clip_state_dict(tmp_path, state):
    path = tmp_path / "clip.pt"
    torch.save(state, path)
    assert_same(read_encoder_weights(str(path), RN50).state, encoder_part(state))


def test_bare_visual_tower_and_safetensors(tmp_path, state):
    tower = {k.removeprefix("visual."): v for k, v in state.items() if k.startswith("visual.")}
    save_file(tower, tmp_path / "tower.safetensors")
    result = read_encoder_weights(str(tmp_path / "tower.safetensors"), RN50)
    assert_same(result.state, encoder_part(state))
    assert "tower.safetensors (SHA-256 " in result.source


def test_open_clip_training_checkpoint(tmp_path, state):
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(wrapped, tmp_path / "epoch_3.pt")
    result = read_encoder_weights(str(tmp_path / "epoch_3.pt"), RN50)
    assert_same(result.state, encoder_part(state))


@pytest.mark.filterwarnings(r"ignore:.torch\.jit\.(script|save)")
def test_torchscript_archive_is_opened_only_when_its_hash_is_known(tmp_path, state, monkeypatch):
    path = tmp_path / "archive.pt"
    torch.jit.save(torch.jit.script(clip_like_module(state)), path)

    def refuse(*_args, **_kwargs):
        raise AssertionError("an unknown archive was opened")

    with monkeypatch.context() as patch:
        patch.setattr(torch.jit, "load", refuse)
        with pytest.raises(WeightsError, match="unknown SHA-256.*trust-torchscript"):
            read_encoder_weights(str(path), RN50)
    by_option = read_encoder_weights(str(path), RN50, trust_torchscript=True)
    assert_same(by_option.state, encoder_part(state))
    known = {"x.pt": {"sha256": weight_files.file_sha256(path)}}
    monkeypatch.setattr(weight_files, "known_weights", lambda: known)
    assert_same(read_encoder_weights(str(path), RN50).state, encoder_part(state))


def test_a_file_named_rn50_must_be_rn50(tmp_path, state):
    torch.save(state, tmp_path / "RN50.pt")
    with pytest.raises(WeightsError, match="SHA-256.*afeb0e10f9e5a86da6080e35cf09123aca3b358a"):
        read_encoder_weights(str(tmp_path / "RN50.pt"), RN50)


def test_half_precision_becomes_float32(tmp_path, state):
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    torch.save(half, tmp_path / "half.pt")
    result = read_encoder_weights(str(tmp_path / "half.pt"), RN50).state
    assert_same(result, encoder_part(half))
    assert result["conv1.weight"].dtype == torch.float32


def test_layer4_is_loaded_when_f5_is_asked_for(tmp_path, state):
    torch.save(state, tmp_path / "clip.pt")
    result = read_encoder_weights(str(tmp_path / "clip.pt"), DenoiserConfig(use_f5=True)).state
    assert torch.equal(result["layer4.2.conv3.weight"], state["visual.layer4.2.conv3.weight"])


def test_the_builder_puts_the_weights_in_and_remembers_their_source(tmp_path, state):
    torch.save(state, tmp_path / "clip.pt")
    model = build_denoiser(pretrained=tmp_path / "clip.pt")
    assert_same(model.encoder.state_dict(), encoder_part(state))
    assert model.config.encoder_source.startswith("clip.pt (SHA-256 ")


@pytest.fixture
def named(tmp_path, state, monkeypatch):
    """A file that the environment variable names; nobody knows its SHA-256."""
    path = tmp_path / "mine.pt"
    torch.save(state, path)
    monkeypatch.setenv(ENCODER_VARIABLE, str(path))
    return path


@pytest.mark.parametrize("tag", ["openai", "yfcc15m"])
def test_the_environment_variable_replaces_a_tag_and_does_not_take_its_name(named, state, tag):
    result = read_encoder_weights(tag, RN50)
    assert_same(result.state, encoder_part(state))
    sha256 = weight_files.file_sha256(named)
    assert result.source == f"mine.pt (SHA-256 {sha256}, named by {ENCODER_VARIABLE})"


def test_a_file_by_variable_has_the_tags_name_where_it_is_the_tags_file(named, monkeypatch):
    sha256 = weight_files.file_sha256(named)
    entry = {"sha256": sha256, "encoder": "RN50", "tag": "openai", "what": "OpenAI's"}
    monkeypatch.setattr(weight_store, "known_weights", lambda: {"RN50.pt": entry})
    source = read_encoder_weights("openai", RN50).source
    assert source == f"openai (mine.pt, SHA-256 {sha256})"


def test_open_clips_table_says_what_else_may_have_a_tags_name(named, monkeypatch):
    from open_clip import pretrained

    sha256 = weight_files.file_sha256(named)
    url = f"https://github.com/mlfoundations/open_clip/releases/rn50-yfcc15m-{sha256[:8]}.pt"
    monkeypatch.setattr(pretrained, "get_pretrained_cfg", lambda *_: {"url": url})
    source = read_encoder_weights("yfcc15m", RN50).source
    assert source == f"yfcc15m (mine.pt, SHA-256 {sha256})"


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("tag", "encoder"), [("opnai", "RN50"), ("yfcc15m", "RN50x4"), ("openai", "MoCo-v3-RN50")]
)
def test_the_environment_variable_does_not_serve_a_tag_that_nobody_knows(tag, encoder):
    with pytest.raises(WeightsError, match=f"'{tag}' is neither a file nor a tag .* {encoder}"):
        read_encoder_weights(tag, DenoiserConfig(encoder=encoder))


def test_a_named_file_serves_where_open_clip_is_not_installed(named, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    assert read_encoder_weights("cc12m", RN50).source.startswith("mine.pt (SHA-256 ")


def test_a_file_that_is_called_like_a_tag_is_not_taken_for_it(named, tmp_path, monkeypatch):
    named.rename(tmp_path / "openai")
    monkeypatch.delenv(ENCODER_VARIABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="'openai' could not be fetched"):
        read_encoder_weights("openai", RN50)
    source = read_encoder_weights("./openai", RN50).source
    assert source.startswith("file openai (SHA-256 ")


def without(key):
    return lambda state: {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without("visual.layer2.0.conv1.weight"), r"1 missing: layer2\.0\.conv1\.weight"),
        (lambda s: {**s, "visual.layer2.9.conv1.weight": torch.zeros(1)}, r"unknown: layer2\.9"),
        (
            lambda s: {**s, "visual.conv1.weight": torch.zeros(32, 4, 3, 3)},
            r"conv1\.weight is \(32, 4, 3, 3\), not \(32, 3, 3, 3\)",
        ),
        (lambda s: {**s, "visual.layer4.0.conv1.weight": torch.zeros(1)}, r"unknown: layer4\.0"),
        (without("visual.conv1.weight"), r"no visual\.conv1\.weight"),
    ],
)
def test_every_key_and_shape_is_checked(tmp_path, state, change, named):
    torch.save(change(state), tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match=named) as caught:
        read_encoder_weights(str(tmp_path / "bad.pt"), RN50)
    assert caught.value.path == tmp_path / "bad.pt"
    assert caught.value.remedy


def test_weights_of_another_encoder_do_not_fit(tmp_path, state):
    torch.save(state, tmp_path / "rn50.pt")
    with pytest.raises(WeightsError, match="not hold exactly a CLIP RN50x4 visual encoder"):
        read_encoder_weights(str(tmp_path / "rn50.pt"), DenoiserConfig(encoder="RN50x4"))


def test_without_network_one_error_names_the_three_ways(monkeypatch, tmp_path):
    monkeypatch.delenv(ENCODER_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no cached download
    with pytest.raises(WeightsError) as caught:
        build_denoiser(pretrained="openai")
    text = str(caught.value)
    assert all(way in text for way in ("internet", "local file", ENCODER_VARIABLE))
    assert "\n" not in text


def test_fetching_gives_up_after_seconds_and_leaves_others_timeouts_alone(monkeypatch):
    import open_clip.pretrained

    during = []

    def download(*_args, **_options):
        during.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", download)
    with pytest.raises(WeightsError, match="timed out"):
        fetch_encoder("RN50", "openai")
    assert during == [10]
    assert socket.getdefaulttimeout() is None


def test_an_unknown_tag_lists_the_known_ones():
    with pytest.raises(WeightsError, match="nor a tag.*openai, yfcc15m, cc12m"):
        build_denoiser(pretrained="opneai")


# --- denoiser files ------------------------------------------------------------------------


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_denoiser(encoder="tiny", encoder_norm="adapt", augmentation=0.1).eval()


def assert_computes_the_same(loaded, model):
    x = torch.rand(1, model.config.in_channels, 40, 33)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
    assert not loaded.training


def test_our_safetensors_say_what_noise_they_are_for(tmp_path, model):
    path = tmp_path / "model.safetensors"
    save_denoiser(model, path, {"target_noise_hu": 12, "trained_noise_hu": [5, 110.0]})
    _, info = open_denoiser(path)
    assert (info.target_noise_hu, info.trained_noise_hu) == (12.0, (5.0, 110.0))
    save_denoiser(model, path)
    _, info = open_denoiser(path)
    assert (info.target_noise_hu, info.trained_noise_hu) == (None, None)


def test_our_files_say_which_hu_the_network_sees(tmp_path):
    path = tmp_path / "narrow.safetensors"
    narrow = build_denoiser(encoder="tiny", hu_range=(-160, 240))
    save_denoiser(narrow, path)
    loaded, info = open_denoiser(path)
    assert loaded.config == narrow.config
    assert loaded.config.hu_range == info.hu_range == (-160.0, 240.0)
    assert identify_weights(path).what.endswith("HU -160 to 240")


def test_files_from_before_are_of_the_published_range(tmp_path, model):
    """As HURange() has it; and whoever reads one knows that it was not said."""
    published = (HURange().low, HURange().high)
    config = {k: v for k, v in model.config.to_dict().items() if k != "hu_range"}
    path = tmp_path / "old.safetensors"
    weight_files.write_weights_file(path, model.state_dict(), {"config": config})
    save_denoiser(model, tmp_path / "bare.pt")
    for one in (path, tmp_path / "bare.pt"):
        loaded, info = open_denoiser(one)
        assert (loaded.config.hu_range, info.hu_range) == (published, None)
    assert model.config.hu_range == published


def test_colour_images_have_no_hu(tmp_path):
    colour = build_denoiser(encoder="tiny", in_channels=3)
    save_denoiser(colour, tmp_path / "colour.safetensors")
    loaded, info = open_denoiser(tmp_path / "colour.safetensors")
    assert (loaded.config.hu_range, info.hu_range) == (None, None)
    assert "hu_range" not in colour.config.to_dict()
    with pytest.raises(ConfigError, match="3 channels have no HU"):
        build_denoiser(encoder="tiny", in_channels=3, hu_range=(0, 1))


@pytest.mark.parametrize(
    "wrong", [(240, -160), (1, 1), (0,), (0, 1, 2), (0, float("inf")), "ab", 7]
)
def test_what_is_no_hu_range_is_refused(wrong):
    with pytest.raises(ConfigError, match="hu_range cannot be"):
        DenoiserConfig(hu_range=wrong)


def test_a_bare_state_dict_would_lose_the_hu_range(tmp_path):
    narrow = build_denoiser(encoder="tiny", hu_range=(-160, 240))
    with pytest.raises(ConfigError, match="sees HU -160 to 240") as caught:
        save_denoiser(narrow, tmp_path / "model.pt")
    assert ".safetensors" in caught.value.remedy
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "notes", [{"target_noise_hu": "much"}, {"trained_noise_hu": 7}, {"trained_noise_hu": [1]}]
)
def test_noise_that_is_no_number_is_refused(tmp_path, model, notes):
    path = tmp_path / "model.safetensors"
    save_denoiser(model, path, notes)
    with pytest.raises(WeightsError, match="noise"):
        open_denoiser(path)


def test_our_safetensors_keep_the_configuration(tmp_path, model):
    path = tmp_path / "w.safetensors"
    save_denoiser(model, path)
    loaded, info = open_denoiser(path)
    assert loaded.config == model.config
    assert_computes_the_same(loaded, model)
    assert info.sha256 == weight_files.file_sha256(path)
    assert info.encoder == "tiny, width 2, encoder weights: random"


def test_bare_state_dict_as_monai_wants_it(tmp_path, model):
    save_denoiser(model, tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert content.keys() == model.state_dict().keys()
    loaded, info = open_denoiser(tmp_path / "model.pt")
    assert_computes_the_same(loaded, model)
    assert "not recorded" in info.encoder


@pytest.mark.parametrize("channels", [1, 3])
def test_published_checkpoint(tmp_path, channels):
    torch.manual_seed(0)
    full = build_denoiser(in_channels=channels, use_f5=True)  # layer4 is in published files
    plain = build_denoiser(in_channels=channels).eval()
    plain.encoder.load_state_dict(full.encoder.state_dict(), strict=False)
    layer4 = {k: v for k, v in full.state_dict().items() if k.startswith("encoder.layer4.")}
    params = {f"module.{k}": v for k, v in {**plain.state_dict(), **layer4}.items()}
    assert len(params) == (342 if channels == 1 else 341)  # as the published class has
    torch.save({"params": params}, tmp_path / "net_g_latest.pth")
    loaded = load_denoiser(tmp_path / "net_g_latest.pth")
    assert loaded.config.encoder_norm == "frozen"
    assert loaded.config.in_channels == channels
    assert_computes_the_same(loaded, plain)
    adapting = load_denoiser(tmp_path / "net_g_latest.pth", encoder_norm="adapt")
    assert adapting.train().encoder.training
    wrong = {**params, "module.encoder.layer4.0.conv1.weight": torch.zeros(3)}
    torch.save({"params": wrong}, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError, match=r"unknown: encoder\.layer4\.0\.conv1\.weight"):
        load_denoiser(tmp_path / "wrong.pth")


@pytest.mark.parametrize("options", [{"width": 4}, {"use_f5": True}, {"use_image": False}])
def test_the_layout_is_read_off_a_bare_state_dict(tmp_path, options):
    model = build_denoiser(encoder="tiny", in_channels=3, **options).eval()
    save_denoiser(model, tmp_path / "m.pt")
    assert_computes_the_same(load_denoiser(tmp_path / "m.pt"), model)


def write_bytes(content):
    return lambda path, _good: path.write_bytes(content)


def truncated(path, good):
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (write_bytes(b""), "empty"),
        (write_bytes(b"not weights at all, but some text"), "no plain weights|no weights file"),
        (write_bytes(b"root:x:0:0:root:/root:/bin/bash\n"), "damaged|no plain weights|no weights"),
        (truncated, "damaged or truncated|no plain weights"),
        (lambda path, _good: torch.save([1, 2], path), "not? state dict but a list|no state dict"),
        (lambda path, _good: torch.save({}, path), "it is empty"),
        (lambda path, _good: torch.save({"a": torch.zeros(1)}, path), "no denoiser: it holds a"),
        (lambda path, _good: torch.save({"a": 1}, path), "no state dict: a"),
    ],
)
def test_what_is_no_denoiser_is_refused_with_its_name(tmp_path, model, suffix, damage, named):
    good, bad = tmp_path / f"good{suffix}", tmp_path / f"bad{suffix}"
    save_denoiser(model, good)
    damage(bad, good)
    with pytest.raises(WeightsError, match=named) as caught:
        load_denoiser(bad)
    assert caught.value.path == bad
    assert caught.value.remedy


def is_nan(value):
    return value.clone().fill_(float("nan"))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("key", "change", "named"),
    [
        ("last.weight", is_nan, r"last\.weight is not finite"),
        ("last.weight", lambda value: value.double() + 1e300, r"last\.weight is not finite"),
        ("last.weight", lambda value: value.int(), r"last\.weight is int32"),
        ("last.weight", lambda value: value.cfloat(), r"last\.weight is complex64"),
        ("encoder.bn1.running_var", lambda value: value - 2, "running_var is a negative variance"),
    ],
)
def test_values_that_nothing_can_compute_with(tmp_path, model, suffix, key, change, named):
    state = {**model.state_dict(), key: change(model.state_dict()[key])}
    path = tmp_path / f"bad{suffix}"
    weight_files.write_weights_file(path, state, {})
    for read in (load_denoiser, identify_weights):
        with pytest.raises(WeightsError, match=named) as caught:
            read(path)
        assert caught.value.path == path
        assert "\n" not in str(caught.value)


def test_an_encoders_values_are_checked_too(tmp_path, state):
    torch.save({**state, "visual.bn1.bias": is_nan(state["visual.bn1.bias"])}, tmp_path / "e.pt")
    with pytest.raises(WeightsError, match=r"bn1\.bias is not finite"):
        read_encoder_weights(str(tmp_path / "e.pt"), RN50)


def flip_a_byte(path, of):
    """Damage the tensor in the archive at `path`, as a bad disk would."""
    content = bytearray(path.read_bytes())
    place = content.index(of.contiguous().numpy().tobytes())
    content[place + 1] ^= 1  # of the mantissa's last bits: still a number
    path.write_bytes(bytes(content))


def test_a_flipped_byte_in_a_checkpoint_is_noticed(tmp_path, model):
    path = tmp_path / "m.pt"
    save_denoiser(model, path)
    flip_a_byte(path, model.last.weight.detach())
    with pytest.raises(WeightsError, match=r"damaged: .* is not what was saved"):
        load_denoiser(path)


def test_a_file_without_checksums_is_read(tmp_path, model):
    torch.serialization.set_crc32_options(False)
    try:
        save_denoiser(model, tmp_path / "m.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(load_denoiser(tmp_path / "m.pt").state_dict(), model.state_dict())


def test_weights_are_named_by_a_text_or_path():
    with pytest.raises(ConfigError, match="weights cannot be None"):
        load_denoiser(None)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: b"\x80\x02" + rest))
def test_any_bytes_are_refused_with_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_denoiser(path)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_runs_code_is_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (marker.write_text, ("x",))

    path = tmp_path / "bomb.pt"
    path.write_bytes(pickle.dumps({"params": Bomb()}, protocol=2))
    with pytest.raises(WeightsError):
        load_denoiser(path)
    assert not marker.exists()


def test_missing_file_and_missing_default(monkeypatch, tmp_path):
    monkeypatch.setattr("ldct_clipdn.core.weight_store.SHIPPED", tmp_path)
    with pytest.raises(WeightsError, match="No such file"):
        load_denoiser("/nowhere/w.pt")
    with pytest.raises(WeightsError, match="without default weights"):
        load_denoiser()


def test_a_configuration_of_another_version_is_named(tmp_path, model):
    extra = {"config": {**model.config.to_dict(), "colour": "blue"}}
    weight_files.write_weights_file(tmp_path / "w.safetensors", model.state_dict(), extra)
    with pytest.raises(WeightsError, match="another version.*colour"):
        load_denoiser(tmp_path / "w.safetensors")


@pytest.mark.parametrize("config", [{"encoder": "RN51"}, {"width": -2}, [1], "RN50"])
def test_a_configuration_that_makes_no_sense_is_a_weights_error(tmp_path, model, config):
    weight_files.write_weights_file(
        tmp_path / "w.safetensors", model.state_dict(), {"config": config}
    )
    with pytest.raises(WeightsError, match="another version"):
        load_denoiser(tmp_path / "w.safetensors")


def test_safetensors_whose_notes_are_no_json_object(tmp_path, model):
    for notes in ("[1]", "{", "3"):
        save_file(model.state_dict(), tmp_path / "w.safetensors", {"ldct_clipdn": notes})
        with pytest.raises(WeightsError, match="damaged"):
            load_denoiser(tmp_path / "w.safetensors")


def test_writing_is_whole_or_not_at_all(tmp_path, model):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        save_denoiser(model, tmp_path / "file" / "w.pt")
    with pytest.raises(ConfigError, match=r"\.safetensors or \.pt"):
        save_denoiser(model, tmp_path / "w.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_table_of_known_weights_names_what_open_clip_downloads():
    from open_clip.pretrained import get_pretrained_cfg

    for name, entry in weight_files.known_weights().items():
        if entry["kind"] == "denoiser":  # ours: tests/core/test_default_weights.py
            continue
        assert get_pretrained_cfg(entry["encoder"], "openai")["url"].endswith(
            f"{entry['sha256']}/{name}"
        )
    assert json.dumps(weight_files.known_weights())
