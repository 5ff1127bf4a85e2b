"""The bundle of natural images: its overlays on the CT bundle's training, run for a few steps."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest
import torch
from bundle_runs import our_error
from natural_images import save_pairs, save_pictures
from PIL import Image

from ldct_clipdn.bench.peers import load_peer
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import load_denoiser, save_denoiser
from ldct_clipdn.data.natural import read_rgb
from ldct_clipdn.data.picture_files import LoadImageRGBd, picture_items
from ldct_clipdn.data.picture_training import (
    CameraNoise,
    JoinPaird,
    SplitPaird,
    _warn_of_linear_response,
    picture_noise_named,
    picture_sets,
)
from ldct_clipdn.data.transforms import TurnOrFlipd
from ldct_clipdn.errors import ConfigError, DataError
from ldct_clipdn.training.schedule import cosine_schedule

CONFIGS = Path(__file__).parents[2] / "bundles" / "image_clip_denoising" / "configs"

SMALL: dict[str, Any] = {
    "encoder_weights": "none",
    "network_def#width": 4,
    "start": "identity",
    "crop_size": 32,
    "batch_size": 2,
    "num_workers": 0,
    "max_iterations": 4,
    "validation_interval": 2,
    "device": "cpu",
}


def train(run_dir: Path, *overlays: str, **settings: Any) -> Path:
    names = ("train.json", *overlays)
    monai.bundle.run(
        run_id="training",
        config_file=[str(CONFIGS / name) for name in names],
        logging_file=False,
        run_dir=str(run_dir),
        **{**SMALL, **settings},
    )
    return run_dir / "last.pt"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data") / "train", 3, 40, 48)


def test_synthetic_training_leaves_a_denoiser_and_its_curve(pictures, tmp_path):
    last = train(
        tmp_path / "run", **{"network_def#encoder": "tiny"},
        dataset_dir=str(pictures), validation_dir=str(pictures), validation_pictures=2,
    )  # fmt: skip
    model = load_denoiser(last)
    assert (model.config.in_channels, model.config.encoder) == (3, "tiny")
    rows = list(csv.DictReader((tmp_path / "run/validation.csv").read_text().splitlines()))
    assert [(row["iteration"], row["pictures"]) for row in rows] == [("2", "2"), ("4", "2")]
    # validation noise is of sigma 50, as published: 14.2 dB before limiting
    assert 14 < float(rows[0]["input_psnr"]) < 16


@pytest.mark.parametrize(
    ("overlay", "settings"),
    [
        ("ablation.json", {"variant": "imagenet"}),
        ("ablation.json", {"variant": "restormer_decoder"}),
        ("srgb.json", {"network_def#encoder": "tiny"}),
        ("plain_cosine.json", {"network_def#encoder": "tiny"}),
    ],
)
def test_overlays_train(pictures, tmp_path, overlay, settings):
    last = train(
        tmp_path / "run", overlay, dataset_dir=str(pictures), max_iterations=1,
        validation_interval=1, **settings,
    )  # fmt: skip
    saved = torch.load(last, weights_only=True)
    assert saved["step"] == 1
    assert load_denoiser(last).config.in_channels == 3
    if overlay == "srgb.json":
        assert (saved["settings"]["noise"], saved["settings"]["gamma"]) == ("camera", 0.05)


def test_deraining_learns_from_pairs(tmp_path):
    folder = save_pairs(tmp_path / "Rain100L", 3)
    last = train(
        tmp_path / "run", "deraining.json", dataset_dir=str(folder), validation_dir=str(folder),
        **{"network_def#encoder": "tiny"},
    )  # fmt: skip
    assert last.is_file()
    (row, *_) = csv.DictReader((tmp_path / "run/validation.csv").read_text().splitlines())
    assert float(row["input_psnr"]) == pytest.approx(20, abs=1)  # the pairs' own noise, of 0.1


@pytest.mark.parametrize("peer", ["dncnn", "restormer"])
def test_peers_train_under_the_same_protocol(pictures, tmp_path, peer):
    last = train(
        tmp_path / "run", f"{peer}.json", dataset_dir=str(pictures),
        **{"network_def#width": 8}, max_iterations=1, validation_interval=1,
    )  # fmt: skip
    network = load_peer(last)
    assert network.config.peer == peer
    assert network(torch.rand(1, 3, 40, 40)).shape == (1, 3, 40, 40)


def test_pairs_are_cropped_and_turned_together(tmp_path):
    folder = save_pairs(tmp_path / "pairs", 1)
    (item,) = picture_sets(folder, pairs=True).training
    loaded = JoinPaird("image")(LoadImageRGBd(["image", "noisy"])(item))
    turn = TurnOrFlipd("image")
    turn.set_random_state(seed=3)
    split = SplitPaird("image")(turn(loaded))
    alone = TurnOrFlipd("image")
    alone.set_random_state(seed=3)
    noisy = read_rgb(folder / "0_real.png").float() / 255
    assert torch.equal(split["noisy"], alone({"image": noisy})["image"])
    assert split["image"].shape == split["noisy"].shape


def test_a_pair_of_two_sizes_is_named(tmp_path):
    folder = save_pairs(tmp_path / "pairs", 2)
    with Image.open(folder / "1_real.png") as file:
        file.crop((0, 0, 30, 32)).save(folder / "1_real.png")
    with pytest.raises(DataError, match=r"pair 1 is of two sizes: 32 x 40 and 32 x 30"):
        picture_sets(folder, pairs=True)


def test_pictures_that_differ_in_their_ending_alone_have_results_of_their_own(tmp_path):
    save_pictures(tmp_path / "in", 1)
    with Image.open(tmp_path / "in" / "p0.png") as file:
        for name in ("p0.bmp", "p0.tif", "p0_2.png"):
            file.save(tmp_path / "in" / name)
    items = picture_items(tmp_path / "in")
    names = {Path(one["image"]).name: one["name"] for one in items}
    assert names == {"p0.bmp": "p0", "p0.png": "p0_2", "p0.tif": "p0_3", "p0_2.png": "p0_2_2"}


def infer(source: Path, folder: Path) -> Path:
    model = build_denoiser(in_channels=3, encoder="tiny", width=4, start="identity").eval()
    save_denoiser(model, folder / "w.safetensors")
    monai.bundle.run(
        run_id="inference",
        config_file=str(CONFIGS / "inference.json"),
        logging_file=False,
        dataset_dir=str(source),
        weights=str(folder / "w.safetensors"),
        output_dir=str(folder / "out"),
        device="cpu",
    )
    return folder / "out"


def test_inference_writes_what_the_network_makes(pictures, tmp_path):
    written = sorted(infer(pictures, tmp_path).iterdir())
    assert [path.name for path in written] == ["p0.png", "p1.png", "p2.png"]
    for path in written:  # the identity start passes pictures through
        change = read_rgb(path).int() - read_rgb(pictures / path.name).int()
        assert int(change.abs().max()) <= 1


def test_inference_goes_on_without_what_cannot_be_read(tmp_path):
    source = save_pictures(tmp_path / "in", 2)
    (source / "p0.png").write_bytes(b"no picture")
    with pytest.raises(RuntimeError) as caught:
        infer(source, tmp_path)
    assert "1 of 2 images could not be read" in our_error(caught.value).reason
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["p1.png"]


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("part", ["train", "validate"])
def test_a_damaged_picture_is_named_before_the_first_iteration(part, pictures, tmp_path):
    damaged = save_pictures(tmp_path / "damaged", 3, 40, 48)
    cut_short(damaged / "p1.png")
    folders = {"train": (damaged, pictures), "validate": (pictures, damaged)}[part]
    with pytest.raises(RuntimeError) as caught:
        train(
            tmp_path / "run", dataset_dir=str(folders[0]), validation_dir=str(folders[1]),
            **{"network_def#encoder": "tiny"},
        )  # fmt: skip
    assert our_error(caught.value).path == damaged / "p1.png"
    assert not (tmp_path / "run" / "train.csv").exists()


def test_all_damaged_pictures_are_named(tmp_path, caplog):
    folder = save_pictures(tmp_path / "damaged", 3)
    for name in ("p0.png", "p2.png"):
        cut_short(folder / name)
    with pytest.raises(DataError, match="2 of 3 pictures cannot be read"):
        picture_sets(folder)
    assert [Path(one.getMessage().partition(":")[0]).name for one in caplog.records] == [
        "p0.png",
        "p2.png",
    ]


def test_a_linear_response_is_said_once(pictures, tmp_path, caplog):
    _warn_of_linear_response.cache_clear()
    picture_noise_named("gaussian", 15)
    assert "linear response" not in caplog.text
    for _ in ("training", "validation"):
        picture_noise_named("camera", 15)
    assert caplog.text.count("linear response: this is not the published training") == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("pairs", "maybe"), ("validation_pictures", -23), ("validation_pictures", "many"),
     ("validation_sigma", "strong")],
)  # fmt: skip
def test_an_impossible_setting_is_an_error(setting, value, pictures, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        train(tmp_path / "run", dataset_dir=str(pictures), **{setting: value})
    assert str(our_error(caught.value)).startswith(f"--{setting} cannot be {value!r}. Give")


def test_words_that_stand_for_null(pictures, tmp_path):
    last = train(
        tmp_path / "run", dataset_dir=str(pictures), validation_dir=str(pictures),
        validation_pictures="all", camera_curves="none", max_iterations=1,
        validation_interval=1, **{"network_def#encoder": "tiny"},
    )  # fmt: skip
    (row,) = csv.DictReader((last.parent / "validation.csv").read_text().splitlines())
    assert row["pictures"] == "3"


def test_camera_noise_follows_its_seed():
    image = torch.rand(3, 16, 16)
    noise = CameraNoise()
    draws = []
    for seed in (1, 1, 2):
        noise.set_random_state(seed=seed)
        draws.append(noise(image))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_what_cannot_train_is_refused(pictures, tmp_path):
    with pytest.raises(ConfigError, match="no training noise 'ct'"):
        picture_noise_named("ct", 15)
    with pytest.raises(ConfigError, match="--dataset_dir"):
        picture_sets(None)
    with pytest.raises(RuntimeError) as caught:
        train(tmp_path / "run", dataset_dir=str(pictures), sigmaa=3)
    assert "no such setting: --sigmaa" in str(our_error(caught.value))


def test_published_learning_rates():
    # measured with the published classes
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    rate = cosine_schedule(optimizer, 300_000, hold=92_000).lr_lambdas[0]
    printed = {1: 3e-4, 92000: 3e-4, 92001: 3e-4, 92002: 2.99999999829829e-4,
               144001: 2.5621246e-4, 196001: 1.505e-4, 248001: 4.4787536e-5,
               300000: 1.000000017e-6}  # fmt: skip
    for iteration, expected in printed.items():
        assert 3e-4 * rate(iteration - 1) == pytest.approx(expected, rel=2e-8)
    assert round(0.3066666666666667 * 300_000) == 92_000


def test_configs_are_the_ct_bundles_but_for_the_differences(monkeypatch):
    """One command makes them: scripts/picture_bundle.py."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    from picture_bundle import contents

    for name, text in contents().items():
        assert (CONFIGS / name).read_text(encoding="utf-8") == text, name
    assert not [path for path in CONFIGS.parent.rglob("*") if path.is_symlink()]


def test_monai_finds_its_properties(pictures, tmp_path):
    """In each config alone, validation included."""
    data = {"dataset_dir": str(pictures)}
    small = {**SMALL, "network_def#encoder": "tiny", "run_dir": str(tmp_path / "run")}
    weights = tmp_path / "w.safetensors"
    save_denoiser(build_denoiser(in_channels=3, encoder="tiny"), weights)
    for name, kind, settings in (
        ("train.json", "train", {**small, "validation_dir": str(pictures)}),
        ("inference.json", "infer", {"weights": str(weights), "device": "cpu"}),
    ):
        workflow = monai.bundle.ConfigWorkflow(
            str(CONFIGS / name), logging_file=False, workflow_type=kind, **data, **settings
        )
        workflow.initialize()
        assert workflow.check_properties() == []


def test_transforms_without_files_are_what_monai_deploy_needs(pictures):
    """It leaves out what loads and saves, by name, and hands over and takes pixels."""
    parser = monai.bundle.ConfigParser()
    parser.read_config(str(CONFIGS / "inference.json"))
    pixels = torch.tensor([[[-0.1, 0.5]], [[1.0, 0.25]], [[1.5, 0.0]]])
    for key, entry, expected in (
        ("preprocessing", "image", pixels),
        ("postprocessing", "pred", pixels.clamp(0, 1) * 255),
    ):
        chain = parser[key]["transforms"]
        kept = [
            one for one in chain
            if not any(name in one["_target_"] for name in ("LoadImage", "SaveImage"))
        ]  # fmt: skip
        assert 0 < len(kept) < len(chain)
        made = [monai.bundle.ConfigParser({"x": one}).get_parsed_content("x") for one in kept]
        assert torch.equal(monai.transforms.Compose(made)({entry: pixels})[entry], expected)


def test_the_bundle_works_wherever_it_is_copied(pictures, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(CONFIGS, copy / "configs")
    monai.bundle.run(
        run_id="run",
        config_file=str(copy / "configs" / "train.json"),
        dataset_dir=str(pictures),
        **{**SMALL, "network_def#encoder": "tiny"},
    )
    (run,) = (copy / "runs").iterdir()
    assert (run / "last.pt").is_file()


@pytest.mark.parametrize("size", [(5, 70), (1, 1)])
def test_pictures_smaller_than_a_crop_train(tmp_path, size):
    """They are mirrored at the right and the bottom, as often as it takes."""
    folder = save_pictures(tmp_path / "small", 2, *size)
    padded = train_chain()({"image": str(folder / "p0.png")})["image"]
    picture = read_rgb(folder / "p0.png").numpy() / np.float32(255)
    missing = [(0, max(32 - side, 0)) for side in size]
    expected = np.pad(picture, [(0, 0), *missing], mode="symmetric")
    np.testing.assert_allclose(padded, expected, atol=1e-7)
    last = train(
        tmp_path / "run", dataset_dir=str(folder), max_iterations=1, validation_interval=1,
        **{"network_def#encoder": "tiny"},
    )  # fmt: skip
    assert last.is_file()


def train_chain():
    parser = monai.bundle.ConfigParser()
    parser.read_config(str(CONFIGS / "train.json"))
    parser["crop_size"] = 32
    chain = parser.get_parsed_content("train#deterministic_transforms")
    return monai.transforms.Compose(chain)
