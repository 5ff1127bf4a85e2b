"""Equal time: planned from CPU seconds, once; a second start goes on; nothing is trained twice."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

START_SECONDS = 9.0
CACHE_SECONDS = 60.0
"""The first run of all fills caches."""

STEP_SECONDS = 0.5


class Machine:
    """Stands for the processes: takes CPU time by the iteration, and can be killed."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.runs: list[dict[str, str]] = []
        self.kill = False

    def run(self, command: list[str], *, check: bool) -> None:
        options = dict(zip(command[7::2], command[8::2], strict=True))
        self.runs.append({key.removeprefix("--"): value for key, value in options.items()})
        folder = Path(options["--run_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "last.pt").touch()
        self.seconds += CACHE_SECONDS if len(self.runs) == 1 else 0
        self.seconds += START_SECONDS + STEP_SECONDS * int(options["--max_iterations"])
        if self.kill:
            raise subprocess.CalledProcessError(-9, command)

    def getrusage(self, who: int) -> Any:
        return SimpleNamespace(ru_utime=self.seconds - 1, ru_stime=1.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import equal_time

    one = Machine()
    monkeypatch.setattr(equal_time.subprocess, "run", one.run)
    monkeypatch.setattr(equal_time.resource, "getrusage", one.getrusage)
    return one


@pytest.fixture
def trainings(machine: Machine, tmp_path: Path) -> Any:
    from equal_time import EqualTime

    return EqualTime("ldct_clip_denoising", {"sigma": 5, "gamma": 0}, tmp_path, minutes=2)


def model(**settings: object) -> Any:
    from equal_time import Model

    return Model(("train.json",), settings)


def test_iterations_fill_the_cpu_time_whatever_the_start_takes(machine, trainings, tmp_path):
    trainings.train("one", model(gamma=0.1))
    training = machine.runs[-1]
    assert int(training["max_iterations"]) == 2 * 60 / STEP_SECONDS
    assert int(training["validation_interval"]) == 60
    assert (training["sigma"], training["gamma"]) == ("5", "0.1")  # a model's own settings win
    assert all(run["max_iterations"] == run["validation_interval"] for run in machine.runs[:3])
    with (tmp_path / "times.csv").open(encoding="utf-8") as file:
        assert [float(row["seconds"]) for row in csv.DictReader(file)] == [69.5, 11, 31, 129]


def test_a_time_that_cannot_be_told_stops_before_a_plan_is_made(machine, trainings, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "STEP_SECONDS", 0.0)
    with pytest.raises(SystemExit, match=r"one: 44 iterations took no longer than 4,"):
        trainings.train("one", model())
    assert not trainings.run_dir("one").with_suffix(".json").exists()


def test_a_killed_training_goes_on_by_the_same_plan_and_a_done_one_is_left_alone(
    machine, trainings
):
    trainings.train("other", model())
    planned = len(machine.runs)
    (trainings.run_dir("other") / "done").unlink()  # as if it had been killed
    machine.kill = True
    with pytest.raises(subprocess.CalledProcessError):
        trainings.train("other", model())
    assert not trainings.is_done("other")
    machine.kill = False
    trainings.train("other", model())
    assert [run["resume"] for run in machine.runs] == ["False"] * planned + ["True"] * 2
    assert len({run["max_iterations"] for run in machine.runs[planned - 1 :]}) == 1
    trainings.train("other", model())
    assert len(machine.runs) == planned + 2


@pytest.mark.parametrize("done", [True, False])
def test_another_recipe_is_no_going_on(machine, trainings, tmp_path, monkeypatch, done):
    import equal_time

    configs = tmp_path / "bundles" / "ldct_clip_denoising" / "configs"
    configs.mkdir(parents=True)
    (configs / "train.json").write_text("{}")
    monkeypatch.setattr(equal_time, "BUNDLES", tmp_path / "bundles")
    trainings.train("one", model(gamma=0.1))
    if not done:
        (trainings.run_dir("one") / "done").unlink()
    count = len(machine.runs)
    with pytest.raises(SystemExit, match=r"one\.json: .*other settings\. .*remove"):
        trainings.train("one", model(gamma=0.2))
    longer = replace(trainings, minutes=60)
    with pytest.raises(SystemExit, match=r"planned with other minutes and settings\."):
        longer.train("one", model(gamma=0.2))
    (configs / "train.json").write_text('{"sigma": 1}')
    with pytest.raises(SystemExit, match=r"planned with other configs\."):
        trainings.train("one", model(gamma=0.1))
    plan = trainings.run_dir("one").with_suffix(".json")
    old = {key: value for key, value in json.loads(plan.read_text()).items() if "_" in key}
    assert set(old) == {"max_iterations", "seconds_per_step"}
    plan.write_text(json.dumps(old))  # as it was before recipes were kept
    assert len(machine.runs) == count
    longer.train("one", model(gamma=0.1))
    assert len(machine.runs) == count + (not done)


def test_a_moved_output_folder_goes_on(machine, tmp_path):
    from equal_time import EqualTime

    def trainings(out: Path) -> Any:
        given = {"cache_dir": out / "cache", "dataset_dir": tmp_path / "data"}
        return EqualTime("ldct_clip_denoising", given, out, minutes=2)

    trainings(tmp_path / "a").train("one", model())
    (tmp_path / "a").rename(tmp_path / "b")
    trainings(tmp_path / "b").train("one", model())
    assert len(machine.runs) == 4
    kept = json.loads((tmp_path / "b/runs/one.json").read_text())["settings"]
    assert kept == {"dataset_dir": str(tmp_path / "data")}


def test_the_time_taken_is_said_with_what_was_taken_after_a_stop(machine, trainings):
    trainings.train("one", model())
    (trainings.run_dir("one") / "done").unlink()
    trainings.train("one", model())
    trainings.train("two", model())
    assert trainings.times(["one", "two"]) == (
        "CPU seconds of those planned: one 258 of 120 (more than 15% off: +115%), two 129 of 120."
    )


def test_another_device_is_another_plan(machine, trainings):
    trainings.train("one", model())
    count = len(machine.runs)
    with pytest.raises(SystemExit, match=r"planned with other device\."):
        replace(trainings, device="cuda").train("one", model())
    assert len(machine.runs) == count


def test_folders_of_before_device_and_header_were_kept_go_on(machine, trainings, tmp_path):
    trainings.train("one", model())
    plan, times = trainings.run_dir("one").with_suffix(".json"), tmp_path / "times.csv"
    known = json.loads(plan.read_text())
    assert known.pop("device") == "cpu"
    plan.write_text(json.dumps(known))
    times.write_text("".join(times.read_text().splitlines(keepends=True)[1:]))
    trainings.train("two", model())
    (trainings.run_dir("one") / "done").unlink()
    trainings.train("one", model())
    assert len(machine.runs) == 9
    assert "model" not in times.read_text()
    assert trainings.times(["two"]) == "CPU seconds of those planned: two 129 of 120."


def test_a_training_killed_before_it_saved_starts_anew(machine, trainings):
    left = trainings.run_dir("early") / "events.out"
    left.parent.mkdir(parents=True)
    left.touch()
    trainings.train("early", model())
    assert not left.exists()
    assert machine.runs[-1]["resume"] == "False"


def test_the_command_runs_the_bundle_with_its_configs(machine, trainings, monkeypatch):
    import equal_time

    seen: list[list[str]] = []
    monkeypatch.setattr(
        equal_time.subprocess, "run", lambda c, check: (seen.append(c), machine.run(c, check=check))
    )
    trainings.train("named", model())
    assert seen[0][:6] == [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file"]
    configs = eval(seen[0][6])  # noqa: S307 - as Fire reads it
    assert [Path(one).is_file() for one in configs] == [True]


@pytest.mark.parametrize(
    ("name", "encoder", "training"),
    [
        ("dncnn_mixture", "none (dncnn, width 64)", "scratch"),
        ("red_cnn_white", "none (red_cnn, width 96)", "scratch"),
        ("random_frozen_white", "RN50", "frozen"),
        ("random_frozen_coloured", "RN50", "frozen"),
        ("random_scratch_mixture", "RN50", "scratch"),
        ("imagenet_frozen_mixture", "ImageNet-RN50v2", "frozen"),
        ("imagenet_finetune_white", "ImageNet-RN50v2", "finetune"),
    ],
)
def test_ct_models_are_what_their_names_say(machine, tmp_path, name, encoder, training):
    import ct_trainings
    import equal_time
    from monai.bundle import ConfigParser

    assert name in ct_trainings.NAMES
    one = ct_trainings.model_named(name, tmp_path / "imagenet.safetensors")
    folder = equal_time.BUNDLES / "ldct_clip_denoising" / "configs"
    parser = ConfigParser()
    parser.read_config([str(folder / config) for config in one.configs])
    given = {**ct_trainings.REDUCED, **one.settings, "max_iterations": 100}
    from_file = given.get("encoder_weights") == tmp_path / "imagenet.safetensors"
    assert from_file == name.startswith("imagenet")
    parser.update({**given, "encoder_weights": "none"})
    with torch.device("meta"):
        config = parser.get_parsed_content("network_def").config
    assert (config.encoder, config.encoder_training) == (encoder, training)
    assert config.to_dict()["in_channels"] == 1
    white, papers = name.endswith("white"), not name.endswith("mixture")
    assert parser.get_parsed_content("noise") == ("gaussian" if white else "ct")
    assert (parser.get_parsed_content("gamma"), parser.get_parsed_content("mixup")) == (
        (0.025, 0.5) if papers else (0, 0)
    )
    assert parser.get_parsed_content("encoder_norm") == ("adapt" if papers else "calibrate")
    assert papers or parser.get_parsed_content("fall") == 25


def test_the_ct_command_trains_what_it_is_told_and_judges_what_is_done(
    machine, monkeypatch, tmp_path
):
    import ct_trainings

    from ldct_clipdn.bench import generalise

    judged: list[str] = []
    monkeypatch.setattr(
        "ldct_clipdn.bench.columns.network_column", lambda text, _: judged.append(text)
    )
    monkeypatch.setattr("ldct_clipdn.bench.cases.find_cases", lambda *given: list(given))
    monkeypatch.setattr(generalise, "measure_generalisation", lambda *_: [])
    words = "--minutes 1 --train T --validate V --imagenet I --only red_cnn_white dncnn_white"
    out = str(tmp_path / "out")
    monkeypatch.setattr(sys, "argv", ["ct_trainings.py", *words.split(), "--out", out])
    ct_trainings.main()
    assert [run["peer"] for run in machine.runs] == ["red_cnn"] * 4 + ["dncnn"] * 4
    assert {run["dataset_dir"] for run in machine.runs} == {"T"}
    assert not judged
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--test", "somewhere"])
    ct_trainings.main()
    assert len(machine.runs) == 8
    assert [one.partition("=")[0] for one in judged] == ["dncnn_white", "red_cnn_white", "default"]


def test_every_network_meets_every_noise(machine):
    from ct_trainings import NAMES, NETWORKS, RECIPES

    assert sorted(NAMES) == sorted(f"{one}_{noise}" for one in NETWORKS for noise in RECIPES)


@pytest.mark.parametrize("name", ["random_frozen", "imagenet", "dncnn", "restormer"])
def test_natural_models_name_configs_that_exist(machine, name):
    import equal_time
    from natural_trainings import model_named

    one = model_named(name, Path("imagenet.safetensors"))
    folder = equal_time.BUNDLES / "image_clip_denoising" / "configs"
    assert all((folder / config).is_file() for config in one.configs)
    is_file = str(one.settings.get("encoder_weights", "none")) != "none"
    assert is_file == (name == "imagenet")
