"""Runs the CT bundle, within this process or in one of its own."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
from ignite.engine import Engine, Events

from ldct_clipdn.errors import LdctError
from ldct_clipdn.training.trainer import Interruption

BUNDLE = Path(__file__).parents[1] / "bundles" / "ldct_clip_denoising"
CONFIGS = BUNDLE / "configs"

BOTH = (BUNDLE, BUNDLE.with_name("image_clip_denoising"))
"""Our bundles: every check that needs no data of its own goes over both."""

SMALL: dict[str, Any] = {
    "encoder_weights": "none",
    "network_def#encoder": "tiny",
    "start": "identity",
    "crop_size": 32,
    "batch_size": 2,
    "num_workers": 0,
    "max_iterations": 4,
    "validation_interval": 2,
    "device": "cpu",
}
"""Settings of a training that takes a second."""


def run_bundle(configs: str | list[str], run_id: str, **overrides: Any) -> None:
    """Run an id of one or several configs within this process."""
    files = [str(CONFIGS / one) for one in ([configs] if isinstance(configs, str) else configs)]
    monai.bundle.run(
        run_id=run_id,
        config_file=files if len(files) > 1 else files[0],
        logging_file=False,
        **overrides,
    )


def command(configs: str | list[str], run_id: str, **overrides: Any) -> list[str]:
    """Write the command line that does the same."""
    names = [str(CONFIGS / one) for one in ([configs] if isinstance(configs, str) else configs)]
    config = names[0] if len(names) == 1 else str(names)
    options = [word for key, value in overrides.items() for word in (f"--{key}", str(value))]
    return ["-m", "monai.bundle", "run", run_id, "--config_file", config, *options]


def start_process(words: list[str], cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a Python process with its output in a pipe."""
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def interrupt_after(iteration: int, patch: pytest.MonkeyPatch) -> None:
    """Send this process what Ctrl-C sends, within the iteration."""
    watching = Interruption.watching

    def watching_and_interrupting(self: Interruption, trainer: Engine) -> Any:
        trainer.add_event_handler(
            Events.ITERATION_STARTED(once=iteration), lambda: signal.raise_signal(signal.SIGINT)
        )
        return watching(self, trainer)

    patch.setattr(Interruption, "watching", watching_and_interrupting)


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table that a run wrote."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def our_error(error: BaseException | None) -> LdctError:
    """Take our error out of the ones that MONAI wraps around it."""
    while error is not None:
        if isinstance(error, LdctError):
            return error
        error = error.__cause__ or error.__context__
    raise AssertionError("no error of ours among the causes")


def without_warnings(words: list[str]) -> list[str]:
    return ["-W", "ignore", *words]
