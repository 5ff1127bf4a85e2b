"""How a training ends: Ctrl-C once saves, twice ends at once, and the handlers come back."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer

from ldct_clipdn.training.trainer import Interruption


def make_trainer() -> SupervisedTrainer:
    network = torch.nn.Conv2d(1, 1, 1)
    batch = {"image": torch.ones(1, 1, 4, 4), "label": torch.ones(1, 1, 4, 4)}
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=3,
        epoch_length=4,
        train_data_loader=[batch],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=torch.nn.L1Loss(),
        decollate=False,
    )


def send(kind: signal.Signals) -> Callable[[], None]:
    return lambda: signal.raise_signal(kind)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("iteration", "epochs"), [(2, 0), (4, 1), (6, 1)])
def test_the_iteration_under_way_is_the_last(
    kind: signal.Signals, iteration: int, epochs: int
) -> None:
    """At a validation, that comes first: an epoch that ends is completed."""
    trainer, interruption, completed = make_trainer(), Interruption(), []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: completed.append(1))
    trainer.add_event_handler(Events.ITERATION_STARTED(once=iteration), send(kind))
    before = signal.getsignal(kind)
    with interruption.watching(trainer):
        trainer.run()
    assert interruption.ending
    assert trainer.state.iteration == iteration
    assert len(completed) == epochs
    assert signal.getsignal(kind) == before


def test_a_second_one_ends_at_once() -> None:
    trainer, interruption = make_trainer(), Interruption()
    for _ in range(2):
        trainer.add_event_handler(Events.ITERATION_STARTED(once=2), send(signal.SIGINT))
    # a shell that runs the tests in the background lets them ignore it
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interruption.watching(trainer):
            trainer.run()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, ours)


def test_undisturbed_it_runs_to_its_end() -> None:
    trainer, interruption = make_trainer(), Interruption()
    with interruption.watching(trainer):
        trainer.run()
    assert not interruption.ending
    assert trainer.state.iteration == 12
