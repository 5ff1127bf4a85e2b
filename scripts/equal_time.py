"""Trains several models by a bundle, each for the same time; a second start goes on with them.

The time is the process's CPU time, since cores are shared with other work; on a GPU it is the
clock's. It is turned into iterations beforehand, by short runs of every model, because the
learning rate falls over a length that has to be known; so the same plan trains the same model. A
plan keeps what it was made for: a second start with other minutes, another device or another
recipe is refused.
"""

from __future__ import annotations

import csv
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["EqualTime", "Model"]

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"

TIMED_STEPS = (1, 4, 44)
"""The first run fills caches; the difference of the others is free of what it takes to start."""

FEWEST_ITERATIONS = 20

TIMES = ("model", "run", "iterations", "seconds")

FAR_OFF = 0.15
"""Share of its time by which a training may miss it without a word."""


@dataclass(frozen=True)
class Model:
    """What distinguishes one training from the others.

    Parameters
    ----------
    configs
        Files of the bundle, each laid over those before it.
    settings
        By id.
    """

    configs: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class EqualTime:
    """Trainings of one bundle in one folder.

    Parameters
    ----------
    bundle
        Its name.
    settings
        What all models share, by id; a model's own go before.
    out
        Gets `runs/NAME` of every model, `runs/NAME.json` with its plan, and `times.csv`.
    minutes
        For each model.
    device
        `cpu`, `cuda` or `cuda:N`.
    checkpoints
        How often a training validates and saves.
    """

    bundle: str
    settings: Mapping[str, object]
    out: Path
    minutes: float
    device: str = "cpu"
    checkpoints: int = 4

    def run_dir(self, name: str) -> Path:
        """Give the folder of a model's run."""
        return self.out / "runs" / name

    def is_done(self, name: str) -> bool:
        """Say whether a model has had its time."""
        return (self.run_dir(name) / "done").exists()

    def train(self, name: str, model: Model) -> None:
        """Train one model for its time, or go on with it where it was stopped."""
        self._require_same_plan(name, model)
        if self.is_done(name):
            return
        iterations = self._planned(name, model)
        run_dir = self.run_dir(name)
        if not (run_dir / "last.pt").exists():  # killed before it could save anything
            shutil.rmtree(run_dir, ignore_errors=True)
        self._run(name, model, run_dir, iterations, max(iterations // self.checkpoints, 1))
        (run_dir / "done").touch()

    def times(self, names: Iterable[str]) -> str:
        """Say how long each model trained, with what it trained after a stop; mark what is off."""
        seconds = dict.fromkeys(names, 0.0)
        with (self.out / "times.csv").open(newline="", encoding="utf-8") as file:
            for _, run, _, used in csv.reader(file):
                if run in seconds:  # neither a timing nor the header, which old files lack
                    seconds[run] += float(used)
        kind = "CPU seconds" if self.device == "cpu" else "seconds"
        return f"{kind} of those planned: {', '.join(map(self._time, seconds, seconds.values()))}."

    def _time(self, name: str, seconds: float) -> str:
        known = json.loads(self._plan(name).read_text(encoding="utf-8"))
        planned = 60 * known.get("minutes", self.minutes)
        off = seconds / planned - 1
        mark = f" (more than {FAR_OFF:.0%} off: {off:+.0%})" if abs(off) > FAR_OFF else ""
        return f"{name} {seconds:.0f} of {planned:.0f}{mark}"

    def _plan(self, name: str) -> Path:
        return self.run_dir(name).with_suffix(".json")

    def _recipe(self, model: Model) -> dict[str, object]:
        """Give all that a plan is made for; where the output lies is not part of it."""
        configs = BUNDLES / self.bundle / "configs"
        settings = {**self.settings, **model.settings}
        return {
            "minutes": self.minutes,
            "device": self.device,
            "configs": {
                one: hashlib.sha256((configs / one).read_bytes()).hexdigest()
                for one in model.configs
            },
            "settings": {
                key: str(value.resolve() if isinstance(value, Path) else value)
                for key, value in settings.items()
                if not (isinstance(value, Path) and value.is_relative_to(self.out))
            },
        }

    def _require_same_plan(self, name: str, model: Model) -> None:
        """Refuse a plan of another recipe; what an old plan does not say passes."""
        plan = self._plan(name)
        if not plan.exists():
            return
        known = json.loads(plan.read_text(encoding="utf-8"))
        recipe = self._recipe(model)
        if other := [key for key in recipe if known.get(key, recipe[key]) != recipe[key]]:
            raise SystemExit(
                f"{plan}: {name} was planned with other {' and '.join(other)}. "
                f"Give the same, name another --out, or remove {plan} and {self.run_dir(name)}"
            )

    def _planned(self, name: str, model: Model) -> int:
        plan = self._plan(name)
        if not plan.exists():
            seconds = self._seconds_per_step(name, model)
            iterations = max(FEWEST_ITERATIONS, int(self.minutes * 60 / seconds))
            plan.parent.mkdir(parents=True, exist_ok=True)
            about = {"max_iterations": iterations, "seconds_per_step": round(seconds, 4)}
            plan.write_text(json.dumps({**about, **self._recipe(model)}), encoding="utf-8")
        return int(json.loads(plan.read_text(encoding="utf-8"))["max_iterations"])

    def _seconds_per_step(self, name: str, model: Model) -> float:
        start = time.time_ns()
        _, few, many = (
            self._run(name, model, self.out / "timing" / f"{name}_{steps}_{start}", steps, steps)
            for steps in TIMED_STEPS
        )
        if many <= few:
            raise SystemExit(
                f"{name}: {TIMED_STEPS[2]} iterations took no longer than {TIMED_STEPS[1]}, so "
                "their time is not known. Start again when the machine is less busy"
            )
        return (many - few) / (TIMED_STEPS[2] - TIMED_STEPS[1])

    def _run(self, name: str, model: Model, run_dir: Path, iterations: int, interval: int) -> float:
        """Run the bundle in a process of its own; give the seconds it took."""
        configs = [str(BUNDLES / self.bundle / "configs" / one) for one in model.configs]
        given = {
            **self.settings,
            **model.settings,
            "max_iterations": iterations,
            "validation_interval": interval,
            "device": self.device,
            "run_dir": run_dir,
            "resume": (run_dir / "last.pt").exists(),
        }
        options = [word for key, value in given.items() for word in (f"--{key}", str(value))]
        command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file"]
        self.out.mkdir(parents=True, exist_ok=True)
        before = self._clock()
        try:
            subprocess.run([*command, str(configs), *options], check=True)
        finally:
            seconds = self._clock() - before
            with (self.out / "times.csv").open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                if file.tell() == 0:
                    writer.writerow(TIMES)
                writer.writerow((name, run_dir.name, iterations, f"{seconds:.1f}"))
        return seconds

    def _clock(self) -> float:
        """Give the CPU seconds of all processes that ran, or on a GPU the time."""
        if self.device != "cpu":
            return time.monotonic()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
