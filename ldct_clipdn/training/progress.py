"""What a training shows while it runs: a progress bar, `train.csv`, and what it measures."""

from __future__ import annotations

import csv
import math
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

import torch
from ignite.engine import Events
from monai.engines import Evaluator, SupervisedTrainer
from tqdm import tqdm

from ldct_clipdn.training.checkpoint import came_to_nothing

__all__ = ["CsvLog", "MeasureLog", "TrainProgress"]

LOG_EVERY: Final = 10
"""Iterations between two readings of the loss; reading it more often would stall a GPU."""


class CsvLog:
    """A CSV file that a resumed run goes on with.

    Parameters
    ----------
    path
        The file.
    columns
        Its columns; the first is `iteration`.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns

    def begin(self, iteration: int) -> None:
        """Drop the rows after an iteration: a resumed run writes them again.

        Parameters
        ----------
        iteration
            Iterations done; 0 starts the file.
        """
        kept: list[dict[str, str]] = []
        if iteration and self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.DictReader(file) if int(row["iteration"]) <= iteration]
        self.path.unlink(missing_ok=True)
        if kept:
            self.add(*kept)

    def add(self, *rows: dict[str, Any]) -> None:
        """Append rows.

        Parameters
        ----------
        *rows
            One value per column.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)


class MeasureLog(ABC):
    """Writes what every validation measures; stands among the evaluator's handlers.

    Parameters
    ----------
    *logs
        Its files; none for all but the first of several processes.
    """

    def __init__(self, *logs: CsvLog) -> None:
        self.logs = logs
        self.iteration = 0

    def attach(self, engine: Evaluator) -> None:
        """Watch an evaluator.

        Parameters
        ----------
        engine
            A MONAI evaluator.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def begin(self, iteration: int) -> None:
        """Drop what was measured after an iteration: a resumed run measures it again.

        Parameters
        ----------
        iteration
            Iterations done; 0 starts the files.
        """
        self.iteration = iteration
        for log in self.logs:
            log.begin(iteration)

    @abstractmethod
    def summary(self) -> str:
        """Say in one line how result and input compare.

        Returns
        -------
        str
            Measures before and after.
        """

    @abstractmethod
    def _write(self, engine: Evaluator) -> None:
        """Write what was measured, and give its means to the engine's metrics."""


class TrainProgress:
    """A bar with loss, rate and time left on stderr, and a row per iteration in `train.csv`.

    Parameters
    ----------
    run_dir
        The run's folder.
    iterations
        Length of the training.
    """

    def __init__(self, run_dir: str, iterations: int) -> None:
        self.run_dir = run_dir
        self.log = CsvLog(Path(run_dir) / "train.csv", ("iteration", "loss", "learning_rate"))
        self.iterations = iterations
        self._unread: list[tuple[int, torch.Tensor, float]] = []
        self._bar: tqdm[Any] | None = None

    def attach(self, engine: SupervisedTrainer) -> None:
        """Watch a trainer that stands at the iteration it will go on from.

        Parameters
        ----------
        engine
            A MONAI trainer with `decollate` off.
        """
        self.log.begin(engine.state.iteration)
        self._bar = tqdm(
            total=self.iterations,
            initial=engine.state.iteration,
            desc="training",
            unit="it",
            file=sys.stderr,
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )
        # the rate must be read before the schedule's own handler steps it
        engine.add_event_handler(Events.ITERATION_STARTED, self._note_rate)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note_loss)

    def close(self) -> None:
        """Write what is not written yet, and end the bar's line.

        Raises
        ------
        ConfigError
            When a loss is not finite.
        """
        try:
            self._write()
        finally:
            if self._bar is not None:
                self._bar.close()

    def _note_rate(self, engine: SupervisedTrainer) -> None:
        self._rate = float(engine.optimizer.param_groups[0]["lr"])

    def _note_loss(self, engine: SupervisedTrainer) -> None:
        loss = torch.as_tensor(engine.state.output["loss"]).detach()
        self._unread.append((engine.state.iteration, loss, self._rate))
        # at an epoch's end too: what came to nothing is neither validated nor saved
        if (
            len(self._unread) == LOG_EVERY
            or engine.state.iteration % engine.state.epoch_length == 0
        ):
            self._write()
        assert self._bar is not None  # noqa: S101 - for the type checker: attach made it
        self._bar.update()

    def _write(self) -> None:
        if not self._unread or self._bar is None:
            return
        rows = [
            {"iteration": iteration, "loss": float(loss), "learning_rate": rate}
            for iteration, loss, rate in self._unread
        ]
        self._unread.clear()
        self.log.add(*rows)
        mean = sum(float(row["loss"]) for row in rows) / len(rows)
        self._bar.set_postfix(loss=f"{mean:.5f}", lr=f"{self._rate:.1e}", refresh=False)
        for row in rows:
            if not math.isfinite(float(row["loss"])):
                what, iteration = f"its loss is {row['loss']}", int(row["iteration"])
                raise came_to_nothing(what, iteration, self.run_dir)
