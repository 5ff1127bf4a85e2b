"""`weights`: every action on files made in exactly their form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_files import clip_like_module, clip_like_state
from safetensors import safe_open
from safetensors.torch import save_file

from ldct_clipdn.core import weight_files, weight_import, weight_store
from ldct_clipdn.core.config import DenoiserConfig
from ldct_clipdn.core.denoiser import CLIPDenoiser, build_denoiser
from ldct_clipdn.core.encoder_files import ENCODER_VARIABLE
from ldct_clipdn.core.encoders import make_encoder
from ldct_clipdn.core.weights import (
    load_denoiser,
    read_encoder_weights,
    save_denoiser,
)
from ldct_clipdn.training.checkpoint import RunState

SCRIPTING = pytest.mark.filterwarnings(r"ignore:.torch\.jit\.(script|save)")


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "mine.pt"
    torch.save(clip_like_state(), path)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A TorchScript archive, as OpenAI's, of a hash that nobody knows."""
    path = tmp_path / "archive.pt"
    torch.jit.save(torch.jit.script(clip_like_module(clip_like_state())), path)
    return path


# --- verify ----------------------------------------------------------------------------------


def test_verify_says_what_a_denoiser_is(cli: Callable, weights: Path) -> None:
    done = cli("weights", "verify", weights, "--json")
    assert done.code == 0
    assert json.loads(done.out) == {
        "path": str(weights),
        "sha256": weight_files.file_sha256(weights),
        "form": "safetensors",
        "kind": "denoiser",
        "what": "tiny, width 2, encoder weights: random, HU -1024 to 3072",
        "known_as": "",
    }
    out = cli("weights", "verify", weights).out
    assert "fits: denoiser, tiny, width 2" in out
    assert weight_files.file_sha256(weights) in out


def test_verify_says_what_an_encoder_is(cli: Callable, clip_file: Path) -> None:
    assert "fits: encoder, layout of CLIP RN50\n" in cli("weights", "verify", clip_file).out


@pytest.mark.parametrize("encoder", ["MoCo-v3-RN50", "ImageNet-RN50v2", "tiny"])
def test_verify_never_calls_clip_what_is_not(cli: Callable, tmp_path: Path, encoder: str) -> None:
    layout = DenoiserConfig(encoder=encoder).layout
    with torch.device("meta"):
        expected = make_encoder(layout, with_f5=False, norm="frozen").state_dict()
    state = {key: torch.zeros_like(value, device="cpu") for key, value in expected.items()}
    save_file(state, tmp_path / "e.safetensors")
    out = json.loads(cli("weights", "verify", tmp_path / "e.safetensors", "--json").out)
    assert (out["kind"], out["what"]) == ("encoder", f"layout of {encoder}")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda s: {k: v for k, v in s.items() if k != "visual.bn1.weight"},
            "1 missing: bn1.weight",
        ),
        (lambda s: {"visual.conv1.weight": s["visual.conv1.weight"]}, "a CLIP RN50 visual encoder"),
        (lambda _: {"a": torch.zeros(1)}, "this is no CLIP ResNet"),
        (lambda s: {**s, "up_path.0.x": torch.zeros(1)}, "this is no denoiser"),
    ],
)
def test_verify_names_what_does_not_fit(
    cli: Callable, tmp_path: Path, clip_file: Path, change: Callable, reason: str
) -> None:
    torch.save(change(torch.load(clip_file)), tmp_path / "bad.pt")
    done = cli("weights", "verify", tmp_path / "bad.pt")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"ldct-clipdn weights: {tmp_path / 'bad.pt'}: ")
    assert reason in done.err
    assert done.err.count("\n") == 1


# --- import and list -------------------------------------------------------------------------


def test_an_imported_denoiser_serves_by_its_name(
    cli: Callable, folder: Path, weights: Path
) -> None:
    done = cli("weights", "import", weights)
    assert done.code == 0
    assert "Use it with: --weights tiny" in done.out
    assert (folder / "tiny.safetensors").read_bytes() == weights.read_bytes()
    expected = load_denoiser(weights).state_dict()
    for name in ("tiny", "tiny.safetensors"):
        loaded = load_denoiser(name).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in expected.items())
    assert cli("weights", "verify", "tiny").code == 0
    assert f"tiny         {folder / 'tiny.safetensors'} (0.1 MiB)" in cli("weights", "list").out


@pytest.mark.parametrize("name", ["default", "scratch-w32", "openai", "yfcc15m", "RN50"])
def test_a_name_that_means_other_weights_is_refused(
    cli: Callable, folder: Path, weights: Path, name: str
) -> None:
    done = cli("weights", "import", weights, "--name", name)
    assert done.code == 2
    assert f"'{name}' means " in done.err
    assert done.err.count("\n") == 1
    assert not folder.exists()


def test_what_a_known_name_means_does_not_depend_on_the_folder(folder: Path, weights: Path) -> None:
    folder.mkdir()
    for name in ("default.safetensors", "scratch-w32.pt"):
        (folder / name).write_bytes(weights.read_bytes())
    for name in ("default", "scratch-w32"):
        assert load_denoiser(name).config.encoder == "RN50"


def test_known_weights_imported_by_what_they_mean_keep_their_name(
    cli: Callable, folder: Path
) -> None:
    done = cli("weights", "import", weight_store.find_weights("default"), "--name", "default")
    assert done.code == 0
    assert [one.name for one in folder.iterdir()] == ["scratch-w32.safetensors"]


def test_importing_twice_is_no_error_and_another_file_of_that_name_is(
    cli: Callable, folder: Path, weights: Path, tmp_path: Path
) -> None:
    assert cli("weights", "import", weights).code == 0
    assert cli("weights", "import", weights).code == 0
    torch.save(build_denoiser(encoder="tiny").state_dict(), tmp_path / "tiny.pt")
    done = cli("weights", "import", tmp_path / "tiny.pt")
    assert done.code == 2
    assert "weights named 'tiny' already" in done.err
    assert [one.name for one in folder.iterdir()] == ["tiny.safetensors"]


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a.pt"])
def test_names_that_cannot_be(cli: Callable, folder: Path, weights: Path, name: str) -> None:
    done = cli("weights", "import", weights, "--name", name)
    assert done.code == 2
    assert "cannot be named" in done.err
    assert not folder.exists()


def test_what_fits_nothing_is_not_imported(cli: Callable, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"nothing")
    assert cli("weights", "import", tmp_path / "a.pt").code == 1
    assert not folder.exists()


def test_a_known_file_serves_wherever_its_tag_is_asked_for(
    cli: Callable, folder: Path, clip_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {
        "sha256": weight_files.file_sha256(clip_file),
        "kind": "encoder", "encoder": "RN50", "tag": "openai", "what": "OpenAI's",
    }  # fmt: skip
    for module in (weight_files, weight_import, weight_store):
        monkeypatch.setattr(module, "known_weights", lambda: {"RN50.pt": entry})
    assert "tag openai, not imported" in cli("weights", "list").out
    done = cli("weights", "import", clip_file)
    assert f"SHA-256: {entry['sha256']} (known: RN50.pt)" in done.out
    assert "Use it with: --encoder_weights RN50" in done.out
    assert [one.name for one in folder.iterdir()] == ["RN50.pt"]
    assert f"here: {folder / 'RN50.pt'}" in cli("weights", "list").out
    by_tag = read_encoder_weights("openai", DenoiserConfig())
    assert by_tag.source == f"openai (RN50.pt, SHA-256 {entry['sha256']})"
    assert torch.equal(by_tag.state["conv1.weight"], torch.load(clip_file)["visual.conv1.weight"])


@SCRIPTING
def test_a_torchscript_archive_needs_trust_once(cli: Callable, folder: Path, archive: Path) -> None:
    done = cli("weights", "import", archive)
    assert done.code == 1
    assert "unknown SHA-256" in done.err
    assert cli("weights", "verify", archive).code == 1
    assert cli("weights", "verify", archive, "--trust-torchscript").code == 0
    assert cli("weights", "import", archive, "--trust-torchscript", "--name", "own").code == 0
    assert [one.name for one in folder.iterdir()] == ["own.safetensors"]
    expected = clip_like_state()
    state = read_encoder_weights("own", DenoiserConfig(use_f5=True)).state
    assert all(torch.equal(value, expected[f"visual.{key}"]) for key, value in state.items())


def test_a_folder_that_cannot_be_written(
    cli: Callable, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(weight_store.FOLDER_VARIABLE, str(tmp_path / "file" / "store"))
    done = cli("weights", "import", weights)
    assert done.code == 1
    assert "cannot be written" in done.err


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(weight_store.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert weight_store.weights_folder() == tmp_path / "ldct_clipdn" / "weights"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weight_store.weights_folder() == tmp_path / ".local/share/ldct_clipdn/weights"


def test_a_name_that_nobody_knows(cli: Callable, folder: Path) -> None:
    assert "no weights named 'nobody'" in cli("weights", "verify", "nobody").err


def test_a_file_goes_before_an_imported_name(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    (folder / "x.pt").write_bytes(b"")
    (tmp_path / "x.pt").write_bytes(weights.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert weight_store.find_weights("x.pt") == Path("x.pt")
    assert weight_store.find_weights("x") == folder / "x.pt"


# --- fetch -----------------------------------------------------------------------------------


def test_fetch_without_network_is_one_line(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = cli("weights", "fetch", "openai")
    assert done.code == 1
    assert ENCODER_VARIABLE in done.err
    assert done.err.count("\n") == 1


def test_fetch_checks_what_it_fetched(
    cli: Callable, clip_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip.pretrained

    asked: list[object] = []

    def download(entry: dict, **_: object) -> str:
        asked.append(entry["url"])
        return str(clip_file)

    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", download)
    done = cli("weights", "fetch", "openai", "--encoder", "RN50")
    assert done.code == 0
    assert "layout of CLIP RN50" in done.out
    assert str(asked[0]).endswith("/RN50.pt")


def test_fetch_of_what_is_not_there(cli: Callable) -> None:
    assert "neither a file nor a tag" in cli("weights", "fetch", "opneai").err
    done = cli("weights", "fetch", "openai", "--encoder", "RN51")
    assert done.code == 2
    assert "no encoder named 'RN51'" in done.err


# --- export ----------------------------------------------------------------------------------


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run's folder as training writes it."""
    torch.manual_seed(1)
    network = build_denoiser(encoder="tiny", encoder_norm="adapt", augmentation=0.1)
    optimizer = torch.optim.AdamW(network.trainable_parameters())
    network(torch.rand(1, 1, 32, 32)).mean().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    folder = tmp_path / "run"
    folder.mkdir()
    state = RunState(str(folder), network, optimizer, scheduler, None, {})  # type: ignore[arg-type]
    state.save_best(7, 1.0)
    return folder


def test_export_keeps_weights_and_configuration_alone(
    cli: Callable, run_dir: Path, tmp_path: Path
) -> None:
    target = tmp_path / "models" / "model.safetensors"
    done = cli("weights", "export", run_dir / "best.pt", target, "--json")
    assert done.code == 0
    assert json.loads(done.out)["path"] == str(target)
    before, after = load_denoiser(run_dir / "best.pt"), load_denoiser(target)
    assert after.config == before.config
    assert after.config.encoder_norm == "adapt"
    assert all(torch.equal(after.state_dict()[k], v) for k, v in before.state_dict().items())
    with safe_open(target, "pt") as file:
        notes = json.loads(file.metadata()[weight_files.METADATA_KEY])
    assert notes["step"] == 7
    assert "torch" in notes["origin"]
    assert target.stat().st_size < (run_dir / "best.pt").stat().st_size


def test_export_for_monai_is_a_bare_state_dict(
    cli: Callable, run_dir: Path, tmp_path: Path
) -> None:
    target = tmp_path / "model.pt"
    assert cli("weights", "export", run_dir / "best.pt", target).code == 0
    network = build_denoiser(encoder="tiny")
    network.load_state_dict(torch.load(target, weights_only=True))  # strict
    expected = load_denoiser(run_dir / "best.pt").state_dict()
    assert all(torch.equal(network.state_dict()[key], value) for key, value in expected.items())


def test_export_refuses_what_it_cannot_do(
    cli: Callable, run_dir: Path, tmp_path: Path, clip_file: Path
) -> None:
    done = cli("weights", "export", run_dir / "best.pt", tmp_path / "model.onnx")
    assert done.code == 2
    assert ".safetensors or .pt" in done.err
    assert cli("weights", "export", run_dir / "last.pt", tmp_path / "m.pt").code == 1
    done = cli("weights", "export", clip_file, tmp_path / "m.pt")
    assert done.code == 1
    assert "this is no denoiser" in done.err


def test_export_notices_when_the_file_differs(
    cli: Callable, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def spoil(_: object, file: object) -> None:
        save(build_denoiser(encoder="tiny").state_dict(), file)

    monkeypatch.setattr(torch, "save", spoil)
    (tmp_path / "m.pt").write_bytes(b"good")
    done = cli("weights", "export", run_dir / "best.pt", tmp_path / "m.pt")
    assert done.code == 1
    assert "was not written as it is" in done.err
    assert (tmp_path / "m.pt").read_bytes() == b"good"
    assert {one.name for one in tmp_path.iterdir()} == {"m.pt", "run"}


def test_export_and_import_refuse_weights_that_are_no_numbers(
    cli: Callable, folder: Path, tmp_path: Path
) -> None:
    model = build_denoiser(encoder="tiny")
    model.last.weight.data.fill_(float("nan"))
    bad = tmp_path / "bad.pt"
    save_denoiser(model, bad)
    for words in (("export", bad, tmp_path / "m.pt"), ("import", bad)):
        done = cli("weights", *words)
        assert done.code == 1
        assert f"{bad}: the file holds a tiny denoiser" in done.err
        assert "last.weight is not finite" in done.err
    assert not folder.exists()
    assert not (tmp_path / "m.pt").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoder": "MoCo-v3-RN50", "width": 2}, "encoder is MoCo-v3-RN50"),
        ({"encoder": "ImageNet-RN50v2", "width": 2}, "encoder is ImageNet-RN50v2"),
        ({"decoder": "restormer"}, "decoder restormer"),
    ],
)
def test_export_leaves_what_is_there_where_a_bare_state_dict_would_not_do(
    cli: Callable, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    config = DenoiserConfig(**{"encoder": "tiny", **settings})
    save_denoiser(CLIPDenoiser(config), tmp_path / "a.safetensors")
    (tmp_path / "models").mkdir()
    target = tmp_path / "models" / "model.pt"
    target.write_bytes(b"good")
    done = cli("weights", "export", tmp_path / "a.safetensors", target)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"ldct-clipdn weights: {target}: a bare state dict")
    assert said in done.err
    assert "ends in .safetensors" in done.err
    assert target.read_bytes() == b"good"
    assert list(target.parent.iterdir()) == [target]
    assert (
        cli("weights", "export", tmp_path / "a.safetensors", tmp_path / "b.safetensors").code == 0
    )


def test_export_never_takes_the_name_of_known_weights(
    cli: Callable, run_dir: Path, tmp_path: Path
) -> None:
    done = cli("weights", "export", run_dir / "best.pt", tmp_path / "RN50.pt")
    assert done.code == 1
    assert "give it another name" in done.err
    assert not list(tmp_path.glob("*.pt"))


def test_verify_of_an_archive_whose_directory_is_damaged(cli: Callable, tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    torch.save(build_denoiser(encoder="tiny").state_dict(), path)
    content = path.read_bytes()
    assert content.count(b"PK\x01\x02") > 5
    path.write_bytes(content.replace(b"PK\x01\x02", b"PK\x00\x00"))
    done = cli("weights", "verify", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"ldct-clipdn weights: {path}: this is a damaged")
    assert done.err.count("\n") == 1
