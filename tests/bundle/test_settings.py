"""Settings: what is misspelt or impossible is named in one line; what MONAI expects is there."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch
from bundle_runs import BOTH, CONFIGS, SMALL, command, our_error, rows, run_bundle, start_process
from ct_layouts import make_mayo
from monai.bundle import ConfigParser, ConfigWorkflow

Train = Callable[..., Path]

ALL_CONFIGS = sorted(path for bundle in BOTH for path in (bundle / "configs").glob("*.json"))
every_config = pytest.mark.parametrize(
    "config", ALL_CONFIGS, ids=lambda path: f"{path.parents[1].name}-{path.stem}"
)


def items(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through a config."""
    pairs = config.items() if isinstance(config, dict) else enumerate(config)
    for name, value in pairs:
        here = f"{path}#{name}".lstrip("#")
        yield here, value
        if isinstance(value, dict | list):
            yield from items(value, here)


@pytest.mark.parametrize(
    ("override", "names", "meant"),
    [
        ({"learning_rat": 1e-3}, "--learning_rat", "--learning_rate"),
        ({"no_such_id": 1}, "--no_such_id", ""),
        ({"train#trianer": 1}, "--train#trianer", "--train#trainer"),
        ({"validate::foo": 1}, "--validate#foo", ""),
        ({"network_def#encodr": "tiny"}, "--network_def#encodr", "--network_def#encoder"),
        ({"train#trainer#max_epoch": 3}, "--train#trainer#max_epoch", "#max_epochs"),
    ],
)
def test_a_misspelt_setting_is_an_error(
    override: dict[str, Any], names: str, meant: str, train: Train, tmp_path: Path
) -> None:
    """MONAI itself would add it and ignore it."""
    with pytest.raises(RuntimeError) as caught:
        train(**override)
    error = our_error(caught.value)
    assert f"no such setting: {names}" in str(error)
    assert meant in error.remedy
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"batch_size": 0}, "--batch_size cannot be 0"),
        ({"max_iterations": "many"}, "--max_iterations cannot be 'many'"),
        ({"mixup": 2}, "--mixup cannot be 2"),
        ({"max_norm": 0}, "--max_norm cannot be 0"),
        ({"betas": 0.9}, "--betas cannot be 0.9"),
        ({"resume": "yes"}, "--resume cannot be 'yes'"),
        ({"strict": "no"}, "--strict cannot be 'no'. Give True or False"),
        ({"validation_slices": -1}, "--validation_slices cannot be -1"),
        ({"validation_slices": "many"}, "Give a whole number from 0, or all"),
        ({"run_dir": True}, "--run_dir cannot be True. Give a name or path"),
        ({"cache_dir": 1e3}, "--cache_dir cannot be 1000.0. Give a name or path"),
        ({"noise": "pink"}, "training noise is named 'pink'"),
        ({"hu_range": (240, -160)}, "--hu_range cannot be (240, -160)"),
        ({"hu_range": -160}, "--hu_range cannot be -160. Give two numbers of HU"),
        ({"network_def#in_channels": 3, "start": "random"}, "images of 3 channels have no HU"),
        ({"learning_rate": 1e-9}, "learning rate 1e-09"),
        ({"encoder_norm": "cold"}, "encoder_norm cannot be 'cold'"),
        (
            {"encoder_weights": "/no/such/RN50.pt", "network_def#encoder": "RN50"},
            "/no/such/RN50.pt",
        ),
        ({"dataset_dir": "/no/such/folder"}, "/no/such/folder"),
        ({"dataset_dir": None}, "no data to train on"),
        ({"device": "cuda:99"}, "--device cannot be 'cuda:99'"),
        ({"device": "auto"}, "--device cannot be 'auto'"),
        ({"loss#_target_": "torch.nn.L2Loss"}, "no class or function torch.nn.L2Loss"),
    ],
)
def test_an_impossible_setting_is_an_error(
    override: dict[str, Any], says: str, train: Train
) -> None:
    with pytest.raises(RuntimeError) as caught:
        train(**override)
    line = str(our_error(caught.value))
    assert says in line
    assert "\n" not in line


@pytest.mark.filterwarnings("ignore:Can't merge")
def test_an_overlay_alone_is_an_error(dataset: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        run_bundle("evaluate.json", "evaluate", dataset_dir=str(dataset))
    line = str(our_error(caught.value))
    assert line.startswith("the config refers to bundle_root, seed, sets, which it")
    assert "['train.json','evaluate.json']" in line


def test_a_none_that_monai_would_drop_is_an_error(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", "-validation-slices", "None"])
    with pytest.raises(RuntimeError) as caught:
        train(validation_slices=None)
    assert "Give --validation_slices all" in str(our_error(caught.value))


def test_all_and_none_stand_for_null(train: Train) -> None:
    run_dir = train(validation_slices="all", validation_dir="None")
    assert {row["slices"] for row in rows(run_dir / "validation.csv")} == {"3"}


def test_names_may_look_like_numbers(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fire makes a number of 2026_11_29, and what was typed cannot be told from it any more."""
    for number, patient in enumerate(("506", "67")):
        make_mayo(tmp_path / "2016" / patient, patient, "full", size=48, seed=number)
    monkeypatch.chdir(tmp_path)
    numbers = {"dataset_dir": 2016, "test_patients": 506, "run_dir": 2026_11_29}
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", "--run-dir=2026_11_29"])
    run_bundle("train.json", "run", **{**SMALL, "cache_dir": str(cache_dir), **numbers})
    run = tmp_path / "2026_11_29"
    assert {row["patient"] for row in rows(run / "validation.csv")} == {"506"}
    settings = {"dataset_dir": 2016, "weights": str(run / "last.pt"), "output_dir": 7}
    run_bundle("inference.json", "run", **settings, device="cpu")
    assert len(list((tmp_path / "7").rglob("*.nii.gz"))) == 6


def test_strict_stops_at_what_is_passed_over_otherwise(
    dataset: Path, train: Train, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(dataset, data)
    (data / "full_1mm" / "L067" / "cut.IMA").write_bytes(b"cut short")
    with pytest.raises(RuntimeError) as caught:
        train(dataset_dir=str(data), strict=True)
    assert "cut.IMA" in str(our_error(caught.value))
    assert (train(dataset_dir=str(data)) / "last.pt").is_file()


@pytest.mark.slow
def test_a_process_ends_with_one_line(dataset: Path, tmp_path: Path) -> None:
    words = command("train.json", "training", dataset_dir=dataset, max_iteration=3)
    with start_process(["-W", "ignore", *words], tmp_path) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
    assert process.returncode == 1
    assert lines[-1].startswith(
        "ldct_clipdn: no such setting: --max_iteration. Did you mean --max_"
    )
    assert not any("Traceback" in line for line in lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_what_nothing_uses_is_said(
    dataset: Path,
    cache_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`peer.json` has no encoder and no augmentation; gamma would be in the record alone."""
    words = ["--gamma", "0.3", "--encoder_norm=adapt", "--sigma", "7"]
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", "training", *words])
    run_bundle(
        ["train.json", "peer.json"], "training", dataset_dir=str(dataset), cache_dir=str(cache_dir),
        run_dir=str(tmp_path / "run"), max_iterations=2, validation_interval=2, crop_size=32,
        batch_size=2, num_workers=0, device="cpu", gamma=0.3, encoder_norm="adapt", sigma=7,
        **{"network_def#width": 8},
    )  # fmt: skip
    said = [one.getMessage() for one in caplog.records if "changes nothing" in one.getMessage()]
    assert said == [
        f"--{name} changes nothing: no part of these configs uses it"
        for name in ("gamma", "encoder_norm")
    ]


def test_nested_overrides_reach_what_they_name(train: Train) -> None:
    """MONAILabel's way too: `network_def#width`, `train#trainer#max_epochs`."""
    changes = {"network_def#width": 4, "train#trainer#max_epochs": 3, "max_iterations": 40_000}
    run_dir = train(**changes)
    saved = torch.load(run_dir / "last.pt", weights_only=True)
    assert saved["step"] == 6
    assert saved["network"]["last.weight"].shape == (1, 4, 3, 3)
    assert saved["optimizer"]["param_groups"][0]["lr"] == pytest.approx(1e-6)


def test_an_unknown_run_id(train: Train) -> None:
    with pytest.raises(ValueError, match="doesn't exist in the config file"):
        train(run_id="nosuch")


@every_config
def test_every_target_can_be_imported(config: Path) -> None:
    """Full dotted paths, or names that MONAI finds."""
    content = json.loads(config.read_text(encoding="utf-8"))
    known = monai.bundle.ComponentLocator().get_component_module_name
    for path, value in items(content):
        if path.rpartition("#")[2] == "_target_":
            module, _, name = value.rpartition(".")
            target = getattr(importlib.import_module(module), name) if module else known(value)
            assert target, f"{path}: {value}"
            assert isinstance(target, str) or callable(target), f"{path}: {value} is ambiguous"


@every_config
def test_no_path_and_no_host_of_ours(config: Path) -> None:
    for path, value in items(json.loads(config.read_text(encoding="utf-8"))):
        if isinstance(value, str) and path != "schema":
            assert not value.startswith("/"), path
            assert "://" not in value, path


@pytest.mark.parametrize("bundle", BOTH, ids=lambda path: path.name)
def test_the_readme_lists_every_setting(bundle: Path) -> None:
    text = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    names = {
        name.lstrip("+").partition("#")[0]
        for config in (bundle / "configs").glob("*.json")
        if config.name != "metadata.json"
        for name in json.loads(config.read_text(encoding="utf-8"))
    }
    assert {name for name in names if f"`{name}`" not in text and f"`{name}#" not in text} == set()


def test_defaults_are_the_papers() -> None:
    """As in the published options for CT (`Denoising/Options`)."""
    config = json.loads((CONFIGS / "train.json").read_text(encoding="utf-8"))
    assert {
        name: config[name]
        for name in ("max_iterations", "batch_size", "crop_size", "learning_rate", "sigma", "gamma")
    } == {
        "max_iterations": 40_000,
        "batch_size": 16,
        "crop_size": 128,
        "learning_rate": 3e-4,
        "sigma": 5,
        "gamma": 0.025,
    }
    assert config["mixup"] == 0.5
    assert config["encoder_weights"] == "openai"
    assert config["seed"] == 100
    assert config["loss"] == {"_target_": "torch.nn.L1Loss"}
    assert (config["max_norm"], config["betas"]) == (0.01, [0.9, 0.999])
    assert config["train"]["dataloader"]["drop_last"]


def workflow(files: list[str], kind: str, **overrides: Any) -> ConfigWorkflow:
    made = ConfigWorkflow(
        config_file=[str(CONFIGS / one) for one in files],
        logging_file=False,
        workflow_type=kind,
        **overrides,
    )
    made.initialize()
    return made


def test_properties(dataset: Path, cache_dir: Path, weights: Path, tmp_path: Path) -> None:
    """MONAI finds every required and optional property under its id."""
    data = {"dataset_dir": str(dataset)}
    small = {**SMALL, **data, "cache_dir": str(cache_dir), "run_dir": str(tmp_path / "r")}
    assert workflow(["train.json"], "train", **small).check_properties() == []
    both = ["train.json", "evaluate.json"]
    measured = {key: value for key, value in small.items() if not key.startswith("network_def")}
    assert workflow(both, "train", **measured, weights=str(weights)).check_properties() == []
    inference = workflow(["inference.json"], "infer", **data, weights=str(weights))
    assert inference.check_properties() == []
    trainer = workflow(
        ["train.json"], "train", **{**small, "max_iterations": 5, "run_dir": str(tmp_path / "s")}
    )
    assert trainer.max_epochs == 3
    assert trainer.network_def.config.encoder == "tiny"


def test_properties_are_checked_at_all(dataset: Path, weights: Path, tmp_path: Path) -> None:
    """Without metadata the check fails."""
    copy = tmp_path / "configs"
    copy.mkdir()
    (copy / "inference.json").write_text((CONFIGS / "inference.json").read_text())
    made = ConfigWorkflow(
        config_file=str(copy / "inference.json"),
        logging_file=False,
        workflow_type="infer",
        dataset_dir=str(dataset),
        weights=str(weights),
    )
    made.initialize()
    with pytest.raises(KeyError, match="version"):
        made.check_properties()


def test_duplicate_keys_would_be_noticed(tmp_path: Path) -> None:
    """The switch that the fixture sets does what the tests rely on."""
    twice = tmp_path / "twice.json"
    twice.write_text('{"a": 1, "a": 2}')
    with pytest.raises(ValueError, match="uplicate"):
        ConfigParser.load_config_file(str(twice))


def test_logging_conf(dataset: Path, tmp_path: Path, weights: Path) -> None:
    """MONAI refuses handlers that are not spelt in full; ours it accepts."""
    text = (CONFIGS / "logging.conf").read_text()
    bad = tmp_path / "logging.conf"
    bad.write_text(text.replace("class=StreamHandler", "class=handlers.RotatingFileHandler"))
    with pytest.raises(ValueError, match="handlers"):
        monai.bundle.run(
            run_id="run", config_file=str(CONFIGS / "inference.json"), logging_file=str(bad)
        )


def test_evaluation_needs_other_patients(
    dataset: Path, cache_dir: Path, weights: Path, evaluation: list[str]
) -> None:
    with pytest.raises(RuntimeError) as caught:
        run_bundle(
            evaluation,
            "evaluate",
            dataset_dir=str(dataset / "full_1mm" / "L067"),
            cache_dir=str(cache_dir),
            weights=str(weights),
        )
    assert "nothing to evaluate on" in our_error(caught.value).reason
