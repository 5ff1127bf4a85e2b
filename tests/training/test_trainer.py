"""How a training ends: Ctrl-C once saves, twice ends at once; what comes to nothing is not kept."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch.utils.data import DataLoader, Dataset

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.data.positions import PositionSampler
from ldct_clipdn.errors import ConfigError, WeightsError
from ldct_clipdn.training.checkpoint import RunState, denoiser_in
from ldct_clipdn.training.schedule import build_optimizer, cosine_schedule
from ldct_clipdn.training.trainer import Interruption, require_fitting_images, run_training
from ldct_clipdn.training.validation import SliceScores, ValidationLog


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


class Ramp(Dataset[dict[str, torch.Tensor]]):
    """One grey picture, to be turned around."""

    def __getitem__(self, _where: object) -> dict[str, torch.Tensor]:
        image = torch.linspace(0, 1, 1024).reshape(1, 32, 32)
        return {"image": image, "label": image.flip(-1)}


class Run:
    """A training of 12 iterations, saved after every fourth; of a loss that may go wrong."""

    def __init__(self, run_dir: Path, *, resume: bool = False, nan_at: int = 0) -> None:
        network = build_denoiser(encoder="tiny", width=4, encoder_training="scratch")
        optimizer = build_optimizer(network, 1e-3)
        sampler = PositionSampler(2, batch_size=2, iterations=12, seed=1)
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=3,
            epoch_length=4,
            train_data_loader=DataLoader(Ramp(), 2, sampler=sampler),
            network=network,
            optimizer=optimizer,
            loss_function=lambda pred, label: (
                (pred - label).abs().mean()
                * (float("nan") if self.trainer.state.iteration == nan_at else 1)
            ),
            decollate=False,
        )
        self.state = RunState(
            run_dir=str(run_dir),
            network=network,
            optimizer=optimizer,
            scheduler=cosine_schedule(optimizer, 12),
            sampler=sampler,
            settings={"seed": 1},
            resume=resume,
        )

    def train(self, iterations: int = 12) -> None:
        log = ValidationLog(SliceScores(), None)
        run_training(self.trainer, self.state, iterations, None, log)


def saved(run_dir: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run_dir / name, weights_only=True)
    assert all(value.isfinite().all() for value in content["network"].values())
    return content


@pytest.mark.parametrize(("nan_at", "kept"), [(2, 0), (7, 4), (8, 4), (10, 8)])
def test_a_loss_that_is_no_number_ends_it_and_the_last_good_state_goes_on(
    nan_at: int, kept: int, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"loss is nan after iteration {nan_at}") as caught:
        Run(tmp_path, nan_at=nan_at).train()
    assert caught.value.path == tmp_path
    assert "--learning_rate" in caught.value.remedy
    assert f"\n{nan_at},nan," in (tmp_path / "train.csv").read_text()
    assert saved(tmp_path, "last.pt")["step"] == kept
    if kept:
        assert saved(tmp_path, "best.pt")["step"] == kept
    Run(tmp_path, resume=True).train()
    assert saved(tmp_path, "last.pt")["step"] == 12
    assert "nan" not in (tmp_path / "train.csv").read_text()


@pytest.mark.parametrize(("spoilt_at", "iterations", "kept"), [(8, 12, 4), (10, 10, 8)])
def test_weights_that_are_no_numbers_are_never_saved(
    spoilt_at: int, iterations: int, kept: int, tmp_path: Path
) -> None:
    """The last step before saving may spoil them while every loss was finite."""
    run = Run(tmp_path)

    def spoil() -> None:
        denoiser_in(run.state.network).last.weight.data[0, 0] = float("inf")

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=spoilt_at), spoil)
    said = rf"last\.weight is not finite after iteration {spoilt_at}"
    with pytest.raises(ConfigError, match=said):
        run.train(iterations)
    for name in ("last.pt", "best.pt"):
        assert saved(tmp_path, name)["step"] == kept


def test_a_network_for_other_images_is_refused() -> None:
    sampler = PositionSampler(2, batch_size=2, iterations=12, seed=1)
    with pytest.raises(ConfigError, match="takes images of 3 channels, and these have 1") as caught:
        require_fitting_images(Ramp(), sampler, build_denoiser(encoder="tiny", in_channels=3))
    assert "--network_def#in_channels" in caught.value.remedy
    require_fitting_images(Ramp(), sampler, build_denoiser(encoder="tiny"))


def test_a_damaged_checkpoint_does_not_go_on(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.state.save_last(4)
    content = bytearray((tmp_path / "last.pt").read_bytes())
    weight = denoiser_in(run.state.network).last.weight.detach()
    content[content.index(weight.contiguous().numpy().tobytes()) + 1] ^= 1
    (tmp_path / "last.pt").write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="is not what was saved"):
        Run(tmp_path, resume=True).train()
