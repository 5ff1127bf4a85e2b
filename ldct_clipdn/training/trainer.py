"""One training, from start or checkpoint to its end: the story that the bundle's `run` tells."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.engines import Evaluator, SupervisedTrainer
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ldct_clipdn.core.denoiser import FeatureAugmentation
from ldct_clipdn.core.words import counted
from ldct_clipdn.data.positions import PositionSampler, seed_at
from ldct_clipdn.errors import ConfigError, DataError
from ldct_clipdn.training.checkpoint import RunState, denoiser_in
from ldct_clipdn.training.progress import MeasureLog, TrainProgress

__all__ = [
    "Interruption",
    "require_fitting_images",
    "run_evaluation",
    "run_inference",
    "run_training",
]

INTERRUPTED: Final = 130
"""Exit code of a run that was interrupted, as shells give it."""

logger = logging.getLogger(__name__)


class Interruption:
    """Ends a training after the iteration in which Ctrl-C or a termination came.

    Of several processes each may be told at another moment; they agree after every iteration, as
    one that went on alone would wait for the others for ever.
    """

    def __init__(self) -> None:
        self.requested = False
        self.ending = False

    @contextmanager
    def watching(self, trainer: SupervisedTrainer) -> Iterator[None]:
        """Watch for signals; a second one ends the process at once.

        Parameters
        ----------
        trainer
            Is told to terminate.

        Yields
        ------
        None
            Signals are watched inside.
        """

        def note(number: int, _frame: FrameType | None) -> None:
            self.requested = True
            signal.signal(number, before[number])

        watched: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, note) for number in watched}
        try:
            with (
                trainer.add_event_handler(Events.ITERATION_COMPLETED, self._agree),
                trainer.add_event_handler(Events.EPOCH_COMPLETED, self._end),
            ):
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _agree(self, trainer: SupervisedTrainer) -> None:
        self.ending = self.requested
        if _is_distributed():
            flag = torch.tensor(int(self.requested), device=trainer.state.device)
            dist.all_reduce(flag, dist.ReduceOp.MAX)
            self.ending = bool(flag)
        if trainer.state.iteration % trainer.state.epoch_length:
            self._end(trainer)  # else the validation that is due comes first

    def _end(self, trainer: SupervisedTrainer) -> None:
        if self.ending:
            trainer.terminate()


def require_fitting_images(
    dataset: Dataset[dict[str, Any]], sampler: PositionSampler, network: nn.Module
) -> None:
    """Look at the first sample before anything is written: the network must take such images.

    Parameters
    ----------
    dataset
        Of the training; each sample has an `image` [C, H, W].
    sampler
        Says which sample is the first.
    network
        As for `denoiser_in`.

    Raises
    ------
    ConfigError
        When it takes images of other channels.
    """
    channels = len(dataset[next(iter(sampler))]["image"])
    wanted = denoiser_in(network).config.to_dict().get("in_channels", channels)
    if wanted != channels:
        raise ConfigError(
            f"the network takes images of {wanted} channels, and these have {channels}",
            remedy=f"Give in_channels {channels} (--network_def#in_channels)",
        )


def run_training(
    trainer: SupervisedTrainer,
    state: RunState,
    iterations: int,
    evaluator: Evaluator | None,
    validation_log: MeasureLog,
) -> None:
    """Train to the last iteration, saving and validating on the way.

    Parameters
    ----------
    trainer
        A MONAI trainer; one epoch is one validation interval.
    state
        What is saved, and restored when the run resumes.
    iterations
        Where the training ends exactly.
    evaluator
        A MONAI evaluator; None where there is nothing to validate on.
    validation_log
        What the evaluator writes to.

    Raises
    ------
    ConfigError
        When its loss or weights are no numbers any more; `last.pt` is from before.
    SystemExit
        With 130 when the run was interrupted; `last.pt` holds its state.
    """
    done = state.restore(trainer)
    _say_what_runs(state, done, iterations)
    if done >= iterations:
        logger.info("Nothing is left to do")
        return
    validation_log.begin(done)
    _end_exactly_at(trainer, iterations)
    _reseed_augmentation(trainer, state)
    _keep_average(trainer, state)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, _count, validation_log)
    progress = TrainProgress(state.run_dir, iterations)
    if _is_main_process():
        progress.attach(trainer)
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED(every=trainer.state.epoch_length),
            lambda: state.require_finite(trainer.state.iteration),
        )
        trainer.add_event_handler(Events.EPOCH_COMPLETED, _record, state, evaluator, validation_log)
        if done == 0:
            state.save_last(0)  # a run that is killed at once can be resumed, and a full disk shows
    interruption = Interruption()
    try:
        with interruption.watching(trainer):
            trainer.run()
    finally:
        progress.close()
    if trainer.state.iteration % trainer.state.epoch_length:
        _close_short_interval(
            trainer, state, evaluator, validation_log, measure=not interruption.ending
        )
    if interruption.ending and trainer.state.iteration < iterations:
        logger.warning(
            "Interrupted after iteration %d; go on with: --resume True --run_dir %s",
            trainer.state.iteration,
            state.run_dir,
        )
        raise SystemExit(INTERRUPTED)
    logger.info("Done: %s and %s", state.best_path, state.last_path.name)


def run_evaluation(evaluator: Evaluator, validation_log: MeasureLog) -> None:
    """Measure a network once and say what came out.

    Parameters
    ----------
    evaluator
        A MONAI evaluator.
    validation_log
        What it writes to.
    """
    validation_log.begin(0)
    evaluator.run()
    logger.info("%s", validation_log.summary())


def run_inference(evaluator: Evaluator, output_dir: str) -> None:
    """Denoise every slice or picture of a data set that can be read, with a progress bar.

    Parameters
    ----------
    evaluator
        A MONAI evaluator whose postprocessing saves; its data set leaves out what cannot be read.
    output_dir
        Where it saves to.

    Raises
    ------
    DataError
        When some were left out; the others are there.
    """
    loader: Any = evaluator.data_loader
    count, done = len(loader.dataset.data), 0
    with tqdm(total=count, desc="denoising", unit=" images", disable=None) as bar:

        def note(engine: Evaluator) -> None:
            nonlocal done
            done += len(engine.state.output)
            bar.update(len(engine.state.output))

        evaluator.add_event_handler(Events.ITERATION_COMPLETED, note)
        evaluator.run()
    logger.info("%s denoised: %s", counted(done, "image"), output_dir)
    if done < count:
        raise DataError(
            f"{count - done} of {counted(count, 'image')} could not be read and were left out",
            remedy="They are named above; of CT `ldct-clipdn data check DIR` says more",
        )


def _keep_average(trainer: SupervisedTrainer, state: RunState) -> None:
    if state.average is not None:
        update = state.average.update_parameters
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: update(state.network))


def _record(
    trainer: SupervisedTrainer,
    state: RunState,
    evaluator: Evaluator | None,
    validation_log: MeasureLog,
) -> None:
    """Save, after the validation that closed this interval."""
    iteration = trainer.state.iteration
    score = None
    if evaluator is not None:
        score = float(evaluator.state.metrics[evaluator.state.key_metric_name])
        logger.info("Iteration %d: %s", iteration, validation_log.summary())
    state.save_best(iteration, score)
    state.save_last(iteration)


def _close_short_interval(
    trainer: SupervisedTrainer,
    state: RunState,
    evaluator: Evaluator | None,
    validation_log: MeasureLog,
    *,
    measure: bool,
) -> None:
    """Save where the training ended between two validations; measure, unless it was interrupted."""
    state.require_finite(trainer.state.iteration)
    if measure and evaluator is not None:
        evaluator.run(trainer.state.epoch)
    if _is_main_process() and measure:
        _record(trainer, state, evaluator, validation_log)
    elif _is_main_process():
        state.save_last(trainer.state.iteration)


def _count(trainer: SupervisedTrainer, validation_log: MeasureLog) -> None:
    validation_log.iteration = trainer.state.iteration


def _end_exactly_at(trainer: SupervisedTrainer, iterations: int) -> None:
    def end(engine: SupervisedTrainer) -> None:
        within_epoch = engine.state.iteration % engine.state.epoch_length
        if engine.state.iteration >= iterations and within_epoch:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, end)


def _reseed_augmentation(trainer: SupervisedTrainer, state: RunState) -> None:
    augment = getattr(denoiser_in(state.network), "augment", None)
    if not isinstance(augment, FeatureAugmentation):  # a network that ours is compared with
        return
    seed, rank = int(state.settings["seed"]), dist.get_rank() if _is_distributed() else 0

    def reseed(engine: SupervisedTrainer) -> None:
        augment.reseed(seed_at(seed, engine.state.iteration, rank, 2))

    trainer.add_event_handler(Events.ITERATION_STARTED, reseed)


def _say_what_runs(state: RunState, done: int, iterations: int) -> None:
    config = denoiser_in(state.network).config
    logger.info(
        "Encoder %s (%s), weights: %s; run folder %s; iterations %d to %d",
        config.encoder,
        config.encoder_training,
        config.encoder_source,
        state.run_dir,
        done,
        iterations,
    )


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _is_main_process() -> bool:
    return not _is_distributed() or dist.get_rank() == 0
