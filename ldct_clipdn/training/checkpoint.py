"""When a run is saved and how it goes on; the weights inside are read by `core.weights`."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ignite.engine import Engine
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel

import ldct_clipdn
from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.core.weight_checks import broken_values
from ldct_clipdn.core.weight_files import UNPICKLE_ERRORS, check_archive
from ldct_clipdn.core.whole_file import system_words, whole_file
from ldct_clipdn.data.positions import PositionSampler
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = ["RunState", "came_to_nothing", "denoiser_in"]

FORMAT = 1


@dataclass
class RunState:
    """Everything a run needs to go on bit for bit, and the two files it is kept in.

    Data, crops, noise, mixup and feature augmentation follow from seed and iteration
    (`data.positions`), so no generator's state is kept.

    Parameters
    ----------
    run_dir
        The run's folder.
    network
        The denoiser, maybe wrapped for several processes.
    optimizer
        Its optimiser.
    scheduler
        Its learning rate.
    sampler
        Told where to start.
    settings
        What must be the same when the run goes on; what an older version did not store may be
        anything.
    resume
        Whether `restore` reads `last.pt`.
    average
        Moving average of the weights: it is what the files hold as the network, and the weights
        that training goes on with stand beside it.
    may_change
        Settings that may be others when the run goes on, as long as the learning rate is at that
        iteration what it was.
    """

    run_dir: str
    network: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    sampler: PositionSampler
    settings: Mapping[str, Any]
    resume: bool = False
    average: AveragedModel | None = None
    may_change: Collection[str] = ()
    best: float = field(default=float("-inf"), init=False)

    @property
    def last_path(self) -> Path:
        """The state after the last saved iteration."""
        return Path(self.run_dir) / "last.pt"

    @property
    def best_path(self) -> Path:
        """The state with the best validation so far."""
        return Path(self.run_dir) / "best.pt"

    def restore(self, trainer: Engine) -> int:
        """Load `last.pt` when resuming.

        Parameters
        ----------
        trainer
            Told its iteration and epoch.

        Returns
        -------
        int
            Iterations done so far; 0 for a new run.

        Raises
        ------
        ConfigError
            When a setting differs from the interrupted run's, or the learning rate would jump.
        WeightsError
            When the file is damaged.
        """
        if not self.resume:
            return 0
        saved = self._read_last()
        before = {k: v for k, v in saved["settings"].items() if k not in self.may_change}
        before["network"] = _as_stored_now(before.get("network"), denoiser_in(self.network))
        if differing := list(_differences(before, self.settings)):
            raise ConfigError(
                f"a resumed run must keep its settings: {'; '.join(differing)}",
                path=self.last_path,
                remedy="Give the settings and the data of the first start, or start a new run",
            )
        self.scheduler.load_state_dict(saved["scheduler"])
        self._check_rate()
        denoiser_in(self.network).load_state_dict(saved.get("live", saved["network"]))
        if self.average is not None:
            self.average.module.load_state_dict(saved["network"])
            self.average.n_averaged.fill_(saved["step"])
        self.optimizer.load_state_dict(saved["optimizer"])
        trainer.load_state_dict(
            {
                "iteration": saved["step"],
                "epoch_length": trainer.state.epoch_length,
                "max_epochs": trainer.state.max_epochs,
            }
        )
        self.best = saved["best"]
        self.sampler.start_iteration = saved["step"]
        return int(saved["step"])

    def require_finite(self, iteration: int) -> None:
        """Stop a training whose weights are no numbers any more; what was saved before stays.

        Parameters
        ----------
        iteration
            Iterations done.

        Raises
        ------
        ConfigError
            When a weight or statistic is not finite.
        """
        for network in (denoiser_in(self.network), self.average):
            state = {} if network is None else network.state_dict()
            if broken := broken_values(state, state):
                raise came_to_nothing(broken[0], iteration, self.run_dir)

    def save_last(self, iteration: int) -> None:
        """Write `last.pt`, whole or not at all.

        Parameters
        ----------
        iteration
            Iterations done.

        Raises
        ------
        ConfigError
            When the weights are not finite.
        WeightsError
            When it cannot be written.
        """
        self._write(self.last_path, iteration)

    def save_best(self, iteration: int, score: float | None) -> None:
        """Write `best.pt` if the score is the best so far.

        Parameters
        ----------
        iteration
            Iterations done.
        score
            Higher is better; None where nothing was measured, and then the newest is kept.
        """
        if score is not None:
            if not score > self.best:  # nor is one that is no number
                return
            self.best = score
        self._write(self.best_path, iteration)

    def _write(self, path: Path, iteration: int) -> None:
        self.require_finite(iteration)
        network = denoiser_in(self.network)
        kept = network if self.average is None else self.average.module
        content = {
            "format": FORMAT,
            "network": kept.state_dict(),
            "config": network.config.to_dict(),
            "origin": _origin(),
            "step": iteration,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "settings": dict(self.settings),
            "best": self.best,
        }
        if self.average is not None:
            content["live"] = network.state_dict()
        try:
            with whole_file(path) as partial, partial.open("wb") as file:
                torch.save(content, file)
        except (OSError, RuntimeError) as error:  # torch's writer ends a full disk so
            raise WeightsError(
                f"the checkpoint cannot be written ({system_words(error)})",
                path=path,
                remedy="Free space or name another run_dir, then resume from the last one",
            ) from error

    def _check_rate(self) -> None:
        """Compare the rate that the run had with what the schedule says today."""
        if not isinstance(self.scheduler, LambdaLR):  # others need not say what they come to
            return
        step = self.scheduler.last_epoch
        shares = (share(step) for share in self.scheduler.lr_lambdas)
        now = [rate * share for rate, share in zip(self.scheduler.base_lrs, shares, strict=True)]
        before = self.scheduler.get_last_lr()
        if not all(math.isclose(*pair, rel_tol=1e-6) for pair in zip(before, now, strict=True)):
            raise ConfigError(
                f"the learning rate would jump from {before[0]:.2e} to {now[0]:.2e} "
                f"after iteration {step}",
                path=self.last_path,
                remedy="Once the rate falls, a run keeps its length: give max_iterations of the "
                "first start, or start a new run with --continue_from this file",
            )

    def _read_last(self) -> dict[str, Any]:
        check_archive(self.last_path)
        try:
            saved = torch.load(self.last_path, map_location="cpu", weights_only=True)
        except UNPICKLE_ERRORS as error:
            raise WeightsError(
                "the checkpoint is damaged",
                path=self.last_path,
                remedy="Copy best.pt of the same run over it, or start a new run",
            ) from error
        if not isinstance(saved, Mapping) or saved.get("format") != FORMAT:
            raise WeightsError(
                "this is no checkpoint of a run that can go on",
                path=self.last_path,
                remedy="Give the run_dir of an interrupted run",
            )
        return dict(saved)


def came_to_nothing(what: str, iteration: int, run_dir: str) -> ConfigError:
    """Say that a training has nothing left to go on with, and what to do.

    Parameters
    ----------
    what
        What is no number any more.
    iteration
        Iterations done.
    run_dir
        The run's folder.

    Returns
    -------
    ConfigError
        To be raised.
    """
    return ConfigError(
        f"training came to nothing: {what} after iteration {iteration}",
        path=run_dir,
        remedy="what is saved there is from before; start a new run with a lower "
        "--learning_rate or --max_norm, from its last.pt if you like (--continue_from)",
    )


def denoiser_in(network: nn.Module) -> CLIPDenoiser:
    """Take the denoiser out of what wraps it for several processes.

    Parameters
    ----------
    network
        A denoiser, or DistributedDataParallel around one. A network that is compared with ours
        passes too, if it says what it is: it has a `config` with `to_dict`.

    Returns
    -------
    CLIPDenoiser
        The denoiser.

    Raises
    ------
    ConfigError
        When it is another network.
    """
    inner = getattr(network, "module", network)
    if not hasattr(getattr(inner, "config", None), "to_dict"):
        raise ConfigError(
            f"the network is a {type(inner).__name__}, not a CLIPDenoiser",
            remedy="Set network_def to ldct_clipdn.core.denoiser.build_denoiser",
        )
    return cast("CLIPDenoiser", inner)


def _as_stored_now(saved: object, network: nn.Module) -> object:
    """Give stored settings of a network as they would be stored today: with what came since.

    The same encoder may have been called otherwise; its SHA-256 tells that it is the same.
    """
    config: Any = network.config
    kind, now = type(config), config.to_dict()
    try:
        stored: dict[str, Any] = kind(**cast("Mapping[str, Any]", saved)).to_dict()
    except (ConfigError, TypeError):  # of another kind of network, or of a later version
        return saved
    was, is_now = (_sha256_in(str(one.get("encoder_source"))) for one in (stored, now))
    if was and was == is_now:
        stored["encoder_source"] = now["encoder_source"]
    return stored


def _sha256_in(source: str) -> str:
    found = re.search(r"SHA-256 ([0-9a-f]{64})", source)
    return found[1] if found else ""


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], above: str = ""
) -> Iterator[str]:
    """Say what is another; what was not stored before differs only within a part that was."""
    for name in {**before, **now} if above else before:
        old, value = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            yield from _differences(old, value, f"{above}{name} ")
        elif old != value:
            yield f"{above}{name} was {old!r}, now {value!r}"


def _origin() -> dict[str, str]:
    return {
        "ldct_clipdn": ldct_clipdn.__version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
