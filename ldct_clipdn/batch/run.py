"""Denoises a study: find, plan, and for each series read, denoise, write, record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.batch.hold import hold_folder
from ldct_clipdn.batch.manifest import (
    Manifest,
    all_inputs,
    tool_versions,
    unused_series,
)
from ldct_clipdn.batch.options import RunOptions
from ldct_clipdn.batch.plan import Plan, check_folders, plan_run
from ldct_clipdn.batch.resume import begin_run, earlier_results, end_run
from ldct_clipdn.batch.select import select_series
from ldct_clipdn.batch.series import Outcome, Setting, denoise_series
from ldct_clipdn.batch.volume import denoise_volume
from ldct_clipdn.batch.volume_plan import plan_volumes, without_volumes
from ldct_clipdn.batch.watch import Watched
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.ct.strength import parse_strength
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.inference.denoise import trained_range
from ldct_clipdn.inference.engine import open_engine
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.uids import Recipe

if TYPE_CHECKING:
    from ldct_clipdn.inference.backends import Backend

__all__ = ["Progress", "RunOptions", "Show", "denoise_study", "plan_study", "try_engine"]

Show = Callable[[Watched], None]
"""Called with a series or volume that was denoised."""

Progress = Callable[[int, int], None]
"""Called with the number of slices that are done, and of all."""

DEFAULTS: Final = RunOptions()

CUDA_BATCH: Final = 4

NO_ATTRIBUTES: Final = "a volume: it has no DICOM attributes, by which --series chooses"

logger = logging.getLogger(__name__)


def denoise_study(
    source: str | Path,
    target: str | Path,
    options: RunOptions = DEFAULTS,
    *,
    progress: Progress | None = None,
    show: Show | None = None,
    is_shown: Callable[[str], bool] | None = None,
) -> Manifest:
    """Denoise every CT series in a file or folder, each into a new derived series.

    Parameters
    ----------
    source
        File or folder; is never changed.
    target
        Output folder, outside the source; gets one folder per derived series and `manifest.json`.
    options
        How.
    progress
        Called as slices are done.
    show
        Called with each series and volume that was denoised; must not raise.
    is_shown
        Says by its UID, or a volume's name, whether a result that an earlier run finished has been
        shown, and `show` is not called again; None: it has.

    Returns
    -------
    Manifest
        What became of every series and file. A series that failed is in it and raises nothing.

    Raises
    ------
    ConfigError
        When source, target or options cannot be used, or another run holds the target.
    WeightsError, BackendError
        When the engine does not open.
    WriteError
        When the target cannot be written any longer.
    """
    source, target = Path(source), Path(target)
    plan = plan_study(source, target, options)
    engine = _open(plan, options)
    recipe, noise = _recipe(engine, options), _target_noise(plan, engine, options)
    with hold_folder(target):
        time = begin_run(target, _task(plan, recipe, noise))
        setting = Setting(
            source=source,
            target=target,
            engine=engine,
            recipe=recipe,
            time=time,
            target_noise=noise,
            show=show or _silence,
            is_shown=is_shown or _always,
        )
        outcomes = _denoise(plan, setting, progress or _silence)
        manifest = _manifest(plan, setting, options, outcomes)
        manifest.write(target)
        end_run(target)
    return manifest


def plan_study(source: str | Path, target: str | Path, options: RunOptions = DEFAULTS) -> Plan:
    """Say what `denoise_study` will do, and do nothing.

    Parameters
    ----------
    source
        File or folder.
    target
        Output folder, outside the source; need not exist.
    options
        How.

    Returns
    -------
    Plan
        What will become of every series and file.

    Raises
    ------
    ConfigError
        When source, target or options cannot be used.
    """
    source, target = Path(source), Path(target)
    check_folders(source, target)
    admit = frozenset(options.accept)
    plan = plan_run(select_series(find_series(source, admit=admit), options.series))
    if options.series:
        return replace(plan, unused=without_volumes(plan.unused, NO_ATTRIBUTES))
    volumes, unused = plan_volumes(plan.unused, source, admit)
    return replace(plan, volumes=volumes, unused=unused)


def try_engine(plan: Plan, options: RunOptions = DEFAULTS) -> None:
    """Open what a plan would be computed with, as the run does, and let go of it.

    Parameters
    ----------
    plan
        As `plan_study` makes it.
    options
        How.

    Raises
    ------
    ConfigError
        When no strength can be chosen.
    WeightsError, BackendError
        When the engine does not open.
    """
    engine = _open(plan, options)
    _target_noise(plan, engine, options)
    _seen_range(engine, options)


def _open(plan: Plan, options: RunOptions) -> Backend:
    """Open the engine; where nothing is computed, the one that needs nothing."""
    if parse_strength(options.strength) == 0 or not plan.slices:
        return IdentityBackend()
    return open_engine(
        options.weights,
        device=options.device,
        backend=options.backend,
        precision=options.precision,
    )


def _target_noise(plan: Plan, engine: Backend, options: RunOptions) -> float | None:
    """Say what noise is to be left; None where the strength is given, or nothing is computed."""
    if parse_strength(options.strength) is not None or not plan.slices:
        return None
    own = engine.weights.target_noise_hu
    noise = own if options.target_noise is None else options.target_noise
    if noise is None:
        raise ConfigError(
            f"the strength is auto, and the weights {engine.weights.name} do not say what noise to "
            "leave",
            remedy="Give --target-noise in HU, or a strength",
        )
    return noise


def _recipe(engine: Backend, options: RunOptions) -> Recipe:
    seen = _seen_range(engine, options)
    return Recipe(
        weights=engine.weights.name,
        encoder=engine.weights.encoder,
        sha256=engine.weights.sha256,
        strength=_strength(options),
        backend=engine.name,
        backend_version=engine.version,
        device_class=engine.device_class,
        hu_low=seen.low,
        hu_high=seen.high,
        output=options.output,
        batch=_batch(engine, options),
        wallclock=options.wallclock,
    )


def _seen_range(engine: Backend, options: RunOptions) -> HURange:
    """Choose what the network sees: what is asked for, even where its weights say otherwise."""
    trained = trained_range(engine.weights)
    if options.window is None:
        return trained
    asked = HURange(*map(float, options.window))  # 1 and 1.0 would be two series
    if engine.weights.hu_range is not None and asked != trained:
        logger.warning(
            "%s was trained on HU %g to %g, and sees %g to %g, since --window says so",
            engine.weights.name,
            trained.low,
            trained.high,
            asked.low,
            asked.high,
        )
    return asked


def _batch(engine: Backend, options: RunOptions) -> int:
    """Say how many slices are computed at once: a GPU is not busy with one."""
    if options.batch_size == "auto":
        return CUDA_BATCH if engine.device_class.startswith("cuda") else 1
    return int(options.batch_size)


def _task(plan: Plan, recipe: Recipe, noise: float | None) -> str:
    """Say what is done to which series: what a run has in common with one that it goes on with."""
    sources = sorted({job.scan.source_uid for job in plan.jobs})
    return json.dumps([recipe.canonical(), noise, sources])


def _denoise(plan: Plan, setting: Setting, progress: Progress) -> list[Outcome]:
    def report(before: int, slices: int) -> None:
        progress(before + slices, plan.slices)

    outcomes = []
    done = 0
    report(done, 0)
    for job in plan.jobs:
        outcomes.append(denoise_series(job, setting, partial(report, done)))
        done += len(job.scan.instances)
        report(done, 0)
    for volume in plan.volumes:
        outcomes.append(denoise_volume(volume, setting, partial(report, done)))
        done += volume.slices
        report(done, 0)
    return outcomes


def _strength(options: RunOptions) -> float:
    """Give the strength; 1 stands for one that each series chooses."""
    strength = parse_strength(options.strength)
    return 1.0 if strength is None else strength


def _always(_: str) -> bool:
    """Say yes."""
    return True


def _silence(*_: object) -> None:
    """Report nothing to nobody."""


def _manifest(
    plan: Plan, setting: Setting, options: RunOptions, outcomes: list[Outcome]
) -> Manifest:
    weights = setting.engine.weights
    series = [one.record for one in outcomes]
    used = [record for one in outcomes for record in one.inputs]
    return Manifest(
        versions=tool_versions(),
        weights={"name": weights.name, "sha256": weights.sha256},
        options={
            **asdict(options),
            "weights": str(options.weights),
            "window": (setting.recipe.hu_low, setting.recipe.hu_high),
        },
        series=(*series, *unused_series(plan.unused, {one.source_uid for one in series})),
        inputs=all_inputs(used, plan.unused, setting.source),
        earlier=earlier_results(setting.target, series),
    )
