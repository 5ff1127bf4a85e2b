"""What changes the weights, and how fast: optimiser, rate per iteration, gradient limit."""

from __future__ import annotations

import math
from typing import Final

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.errors import ConfigError

__all__ = [
    "FINAL_RATE",
    "GradientLimit",
    "build_optimizer",
    "cosine_schedule",
    "hold_and_fall",
    "moving_average",
]

FINAL_RATE: Final = 1e-6
"""Learning rate at the end of the cosine, as published."""


def build_optimizer(
    network: CLIPDenoiser, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)
) -> AdamW:
    """Make AdamW over what may change, with the published weight decay.

    Parameters
    ----------
    network
        The denoiser.
    learning_rate
        Rate of the first iteration.
    betas
        Decay of the averages of gradient and squared gradient.

    Returns
    -------
    torch.optim.AdamW
        With weight decay 1e-4.

    Raises
    ------
    ConfigError
        When the rate cannot be used.
    """
    if not FINAL_RATE <= learning_rate < 1:
        raise ConfigError(
            f"the learning rate {learning_rate} is not in [{FINAL_RATE}, 1)",
            remedy="Give learning_rate; the paper's is 3e-4",
        )
    parameters = network.trainable_parameters()
    return AdamW(parameters, lr=learning_rate, betas=(betas[0], betas[1]), weight_decay=1e-4)


def moving_average(network: CLIPDenoiser, decay: float) -> AveragedModel:
    """Make the exponential moving average of a network's weights.

    Parameters
    ----------
    network
        The denoiser, as training begins.
    decay
        Share of the old average that stays at every iteration, 0 to below 1.

    Returns
    -------
    torch.optim.swa_utils.AveragedModel
        For `RunState`, which keeps it up.
    """
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))


def cosine_schedule(optimizer: AdamW, iterations: int, hold: int = 0) -> LambdaLR:
    """Fall from the first rate to 1e-6 along half a cosine, one step per iteration.

    Parameters
    ----------
    optimizer
        Its present rate is the first.
    iterations
        Length of the training; after it the rate stays at its end.
    hold
        Steps before the fall begins; the published natural-image trainings hold 92,000 of 300,000.

    Returns
    -------
    torch.optim.lr_scheduler.LambdaLR
        To be stepped after every iteration.

    Raises
    ------
    ConfigError
        When nothing is left to fall in.
    """
    if not 0 <= hold < iterations:
        raise ConfigError(
            f"the rate cannot hold for {hold} of {iterations} iterations",
            remedy="Give a hold_share of 0 to below 1, or more max_iterations",
        )
    first = float(optimizer.param_groups[0]["lr"])

    def share(step: int) -> float:
        fallen = max(min(step, iterations) - hold, 0) / (iterations - hold)
        wave = 0.5 * (1 + math.cos(math.pi * fallen))
        return (FINAL_RATE + (first - FINAL_RATE) * wave) / first

    return LambdaLR(optimizer, share)


def hold_and_fall(optimizer: AdamW, iterations: int, fall: int) -> LambdaLR:
    """Keep the first rate, then fall to 1e-6 in a straight line over the last iterations.

    Until the fall begins, the end can be moved: nothing before it depends on `iterations`.

    Parameters
    ----------
    optimizer
        Its present rate is the first.
    iterations
        Length of the training.
    fall
        How many iterations the fall takes; where the training is shorter, it begins on the line.

    Returns
    -------
    torch.optim.lr_scheduler.LambdaLR
        To be stepped after every iteration.

    Raises
    ------
    ConfigError
        When `fall` is less than 1.
    """
    if fall < 1:
        raise ConfigError(f"the rate cannot fall in {fall} iterations", remedy="Give 1 or more")
    first = float(optimizer.param_groups[0]["lr"])

    def share(step: int) -> float:
        left = min(max((iterations - step) / fall, 0.0), 1.0)
        return (FINAL_RATE + (first - FINAL_RATE) * left) / first

    return LambdaLR(optimizer, share)


class GradientLimit:
    """Limits the global L2 norm of the gradient between backward and step.

    Parameters
    ----------
    max_norm
        Largest norm.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def attach(self, engine: SupervisedTrainer) -> None:
        """Watch a trainer.

        Parameters
        ----------
        engine
            A MONAI trainer.
        """
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._limit)

    def _limit(self, engine: SupervisedTrainer) -> None:
        optimizer: torch.optim.Optimizer = engine.optimizer
        if engine.scaler is not None:  # mixed precision: gradients are scaled up until here
            engine.scaler.unscale_(optimizer)
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        clip_grad_norm_(parameters, self.max_norm)
