"""The schedule whose end can be moved, and the average of the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.training.schedule import (
    FINAL_RATE,
    build_optimizer,
    cosine_schedule,
    hold_and_fall,
    moving_average,
)


def _rates(iterations: int, fall: int, steps: int) -> list[float]:
    network = build_denoiser(encoder="tiny", encoder_training="scratch")
    optimizer = build_optimizer(network, 1e-3, betas=(0.9, 0.99))
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.99)
    schedule = hold_and_fall(optimizer, iterations, fall)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_holds_then_falls_in_a_straight_line() -> None:
    rates = _rates(10, 4, 12)
    assert rates[:7] == [1e-3] * 7
    assert rates[8] == pytest.approx((1e-3 + FINAL_RATE) / 2)
    assert rates[10:] == [pytest.approx(FINAL_RATE)] * 2


def test_the_end_decides_nothing_before_the_fall() -> None:
    assert _rates(10, 4, 7) == _rates(30, 4, 7)


@pytest.mark.parametrize(
    ("schedule", "settings"),
    [
        (hold_and_fall, {"fall": 0}),
        (cosine_schedule, {"hold": 10}),
        (cosine_schedule, {"hold": -1}),
    ],
)
def test_a_fall_in_no_time_is_refused(schedule: Callable[..., Any], settings: Any) -> None:
    optimizer = build_optimizer(build_denoiser(encoder="tiny", encoder_training="scratch"), 1e-3)
    with pytest.raises(ConfigError, match="the rate cannot"):
        schedule(optimizer, 10, **settings)


def test_average_of_weights_and_copy_of_statistics() -> None:
    network = build_denoiser(encoder="tiny", encoder_training="scratch")
    average = moving_average(network, 0.75)
    average.update_parameters(network)
    before = network.last.weight.detach().clone()
    with torch.no_grad():
        network.last.weight.add_(1)
        network.encoder.bn1.running_mean.add_(1)
    average.update_parameters(network)
    torch.testing.assert_close(average.module.last.weight.detach(), before + 0.25)
    torch.testing.assert_close(
        average.module.encoder.bn1.running_mean, network.encoder.bn1.running_mean
    )
