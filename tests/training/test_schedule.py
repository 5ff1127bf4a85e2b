"""Learning rate, optimiser and gradient limit, against the published ones and PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.training.schedule import GradientLimit, build_optimizer, cosine_schedule


def adamw(rate: float = 3e-4) -> AdamW:
    return AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def rates(
    optimizer: AdamW, schedule: torch.optim.lr_scheduler.LRScheduler, count: int
) -> list[float]:
    """Give the rate of iterations 1 to count."""
    found = []
    for _ in range(count):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return found


def test_the_published_rates() -> None:
    """Measured with the published class."""
    optimizer = adamw()
    schedule = cosine_schedule(optimizer, 40_000)
    share = schedule.lr_lambdas[0]
    measured = {
        1: 3e-4,
        10_001: 2.5621246e-4,
        20_001: 1.505e-4,
        30_001: 4.4787536e-5,
        40_000: 1.00000046e-6,
    }
    for iteration, rate in measured.items():
        assert 3e-4 * share(iteration - 1) == pytest.approx(rate, rel=1e-7)
    assert 3e-4 * share(40_000) == pytest.approx(1e-6, rel=1e-9)
    assert share(50_000) == share(40_000)  # never up again, as CosineAnnealingLR would


def test_it_equals_pytorchs_cosine() -> None:
    ours, theirs = adamw(), adamw()
    found = rates(ours, cosine_schedule(ours, 50), 50)
    expected = rates(theirs, CosineAnnealingLR(theirs, 50, eta_min=1e-6), 50)
    assert found == pytest.approx(expected, rel=1e-9)
    assert float(ours.param_groups[0]["lr"]) == pytest.approx(1e-6)


def test_the_optimiser_takes_what_is_learnable_alone() -> None:
    network = build_denoiser(encoder="tiny", encoder_training="frozen")
    optimizer = build_optimizer(network, 3e-4)
    taken = {id(one) for group in optimizer.param_groups for one in group["params"]}
    assert taken == {id(one) for name, one in network.named_parameters() if "encoder." not in name}
    group = optimizer.param_groups[0]
    assert (group["betas"], group["weight_decay"], group["eps"]) == ((0.9, 0.999), 1e-4, 1e-8)


@pytest.mark.parametrize("rate", [0.0, 1e-9, 1.0, float("nan")])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(ConfigError, match="learning rate"):
        build_optimizer(build_denoiser(encoder="tiny", encoder_training="scratch"), rate)


def test_the_gradient_is_limited_between_backward_and_step() -> None:
    """With plain descent the step's length is the limited norm, in the gradient's direction."""
    network = torch.nn.Conv2d(1, 1, 1)
    before = [one.detach().clone() for one in network.parameters()]
    batch = {"image": torch.ones(1, 1, 4, 4), "label": torch.full((1, 1, 4, 4), 100.0)}
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch],
        network=network,
        optimizer=SGD(network.parameters(), lr=1.0),
        loss_function=torch.nn.MSELoss(),
        train_handlers=[GradientLimit(0.01)],
        decollate=False,
    ).run()
    steps = [after.detach() - b for after, b in zip(network.parameters(), before, strict=True)]
    moved = torch.cat([one.flatten() for one in steps])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)
    assert torch.all(moved > 0)
