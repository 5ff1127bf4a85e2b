"""One training, from start or checkpoint to its end: the story that the bundle's `run` tells."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch.distributed as dist
from ignite.engine import Engine, Events

from ldct_clipdn.core.denoiser import FeatureAugmentation
from ldct_clipdn.data.positions import seed_at
from ldct_clipdn.training.checkpoint import RunState, denoiser_in
from ldct_clipdn.training.progress import TrainProgress
from ldct_clipdn.training.validation import ValidationLog

__all__ = ["Interruption", "run_evaluation", "run_training"]

logger = logging.getLogger(__name__)


class Interruption:
    """Ends a training after the iteration in which Ctrl-C or a termination came."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def watching(self, trainer: Engine) -> Iterator[None]:
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

        def stop(number: int, _frame: FrameType | None) -> None:
            self.requested = True
            trainer.terminate()
            signal.signal(number, before[number])

        watched = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, stop) for number in watched}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_training(
    trainer: Engine,
    state: RunState,
    iterations: int,
    evaluator: Engine | None = None,
    validation_log: ValidationLog | None = None,
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
    SystemExit
        With 130 when the run was interrupted; `last.pt` holds its state.
    """
    done = state.restore(trainer)
    _say_what_runs(state, done, iterations)
    if done >= iterations:
        return
    _end_exactly_at(trainer, iterations)
    _reseed_augmentation(trainer, state)
    on_main = _is_main_process()
    if on_main:
        progress = TrainProgress(state.run_dir, iterations)
        progress.attach(trainer)
        if validation_log is not None:
            validation_log.log.begin(done)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, _record, state, evaluator, validation_log)
    if validation_log is not None:
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda engine: setattr(validation_log, "iteration", engine.state.iteration),
        )
    interruption = Interruption()
    with interruption.watching(trainer):
        trainer.run()
    if trainer.state.iteration % trainer.state.epoch_length:  # it ended between two validations
        if evaluator is not None and not interruption.requested:
            evaluator.run(trainer.state.epoch)
        if on_main:
            _record(trainer, state, None if interruption.requested else evaluator, validation_log)
    if on_main:
        progress.close()
    if interruption.requested and trainer.state.iteration < iterations:
        logger.warning(
            "Interrupted after iteration %d; go on with: --resume True --run_dir %s",
            trainer.state.iteration,
            state.run_dir,
        )
        raise SystemExit(130)
    logger.info("Done: %s and %s", state.best_path, state.last_path.name)


def run_evaluation(evaluator: Engine, validation_log: ValidationLog) -> None:
    """Measure a network once and say what came out.

    Parameters
    ----------
    evaluator
        A MONAI evaluator.
    validation_log
        What it writes to.
    """
    validation_log.log.path.parent.mkdir(parents=True, exist_ok=True)
    validation_log.log.begin(0)
    evaluator.run()
    logger.info("%s", validation_log.summary())
    logger.info("By patient: %s", validation_log.log.path)


def _record(
    trainer: Engine,
    state: RunState,
    evaluator: Engine | None,
    validation_log: ValidationLog | None,
) -> None:
    """Save, after the validation that closed this interval."""
    iteration = trainer.state.iteration
    score = None
    if evaluator is not None and validation_log is not None:
        score = float(evaluator.state.metrics[evaluator.state.key_metric_name])
        logger.info("Iteration %d: %s", iteration, validation_log.summary())
    if score is not None or validation_log is None:
        state.save_best(iteration, score)
    state.save_last(iteration)


def _end_exactly_at(trainer: Engine, iterations: int) -> None:
    def end(engine: Engine) -> None:
        within_epoch = engine.state.iteration % engine.state.epoch_length
        if engine.state.iteration >= iterations and within_epoch:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, end)


def _reseed_augmentation(trainer: Engine, state: RunState) -> None:
    augment: FeatureAugmentation = denoiser_in(state.network).augment
    seed, rank = int(state.settings["seed"]), dist.get_rank() if _is_distributed() else 0

    def reseed(engine: Engine) -> None:
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
