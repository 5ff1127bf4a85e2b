"""Denoises one NIfTI, NRRD or MetaImage file: HU in, HU out, beside the DICOM series of a run."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ldct_clipdn.batch.ahead import ahead
from ldct_clipdn.batch.failure import explain_failure
from ldct_clipdn.batch.manifest import InputRecord, SeriesRecord, read_json, write_json
from ldct_clipdn.batch.resume import chosen_strength
from ldct_clipdn.batch.series import Outcome, Setting
from ldct_clipdn.batch.stream import limited_slices
from ldct_clipdn.batch.trial import tried_recipe
from ldct_clipdn.batch.watch import Measured, Pair, SeriesWatch
from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.uids import file_digest
from ldct_clipdn.io.volume_write import write_volume_like
from ldct_clipdn.io.volumes import (
    DETACHED,
    data_files,
    open_volume,
    overheard_nibabel,
    stem_and_suffix,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.batch.volume_plan import VolumeJob
    from ldct_clipdn.inference.backends import Backend
    from ldct_clipdn.io.uids import Recipe
    from ldct_clipdn.io.volume import Volume

__all__ = ["denoise_volume"]

ELSEWHERE: Final = "Give another output folder, or move away what is there"

logger = logging.getLogger(__name__)


def denoise_volume(job: VolumeJob, setting: Setting, report: Callable[[int], None]) -> Outcome:
    """Denoise one volume; what goes wrong with it stops nothing else.

    Parameters
    ----------
    job
        The volume.
    setting
        What it shares with the others.
    report
        Called with the number of slices that are done.

    Returns
    -------
    Outcome
        `failed` where nothing was written.
    """
    start = perf_counter()
    name, reason, quality = job.name, "", None
    try:
        with overheard_nibabel():  # what it says is in the notes already
            quality = _denoise(job, setting, report)
    except Exception as error:  # what goes wrong with one volume stops nothing else
        level, reason = explain_failure(error, job.volume.path)
        logger.log(level, "%s failed", job.source, exc_info=True)
        name = ""
    outcome: Final = "failed" if reason else "denoised"
    record = SeriesRecord(
        source_uid=job.source,
        derived_uid=name,
        slices=job.slices,
        status=outcome,
        seconds=round(perf_counter() - start, 3),
        quality=quality,
        notes=job.notes,
        kind="volume",
    )
    return Outcome(record, (InputRecord(record.source_uid, outcome, reason),))


def _denoise(
    job: VolumeJob, setting: Setting, report: Callable[[int], None]
) -> Mapping[str, object]:
    """Give what was measured on it, now or when it was written."""
    volume, final = job.volume, setting.target / job.name
    kept, source = read_json(_note(final)), _digest(job.files)
    known = _kept_recipe(kept, setting) if kept.get("source") == source else None
    recipe = known or tried_recipe(setting, job.slices, lambda place: _as_air(volume.frame(place)))
    setting = replace(setting, recipe=recipe)
    made_of = {"recipe": recipe.canonical(), "source": source}
    watch = SeriesWatch(volume.spacing_mm, job.slices)
    unusual = (job.doubt,) if job.doubt else ()
    measured = Measured(volume, job.name, job.slices, job.notes, unusual)
    if _is_done(final, kept, made_of):
        before, pairs = kept.get("quality"), _pairs(volume, open_volume(final))
        known_quality = before if isinstance(before, dict) else None
        return measured.look_again(watch, pairs, known_quality, setting)
    if final.exists() or _is_taken(final):
        reason = _obstacle(final, kept, made_of)
        raise WriteError(reason, path=setting.target, remedy=ELSEWHERE)
    _make_folder(final.parent)
    hidden = setting.target / f".{final.name}.partial"
    try:
        with closing(ahead(_compute(volume, setting.engine, recipe))) as planes:
            write_volume_like(volume, _watched(volume, planes, watch, report), hidden / final.name)
        quality = measured.quality(watch, setting)
        _publish(hidden, final, {**made_of, "quality": quality.to_dict()})
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    measured.show(watch, quality, setting)
    return quality.to_dict()


def _note(final: Path) -> Path:
    """Name the file that says what a result was made of, and what was measured."""
    return final.with_name(f".{final.name}.json")


def _is_done(final: Path, kept: Mapping[str, object], made_of: Mapping[str, object]) -> bool:
    """Say whether an earlier run finished this result, and nothing has changed since."""
    is_ours = final.exists() and {**kept, **made_of} == kept
    return is_ours and kept.get("result") == _digest(data_files(final))


def _publish(hidden: Path, final: Path, note: Mapping[str, object]) -> None:
    """Move a finished result to its place, its note first."""
    files = data_files(hidden / final.name)
    write_json(_note(final), {**note, "result": _digest(files)})
    for file in reversed(files):  # the header last: it makes the rest visible
        file.replace(final.with_name(file.name))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"the folder for its result cannot be made: {system_words(error)}",
            path=folder,
            remedy=ELSEWHERE,
        ) from error


def _is_taken(final: Path) -> bool:
    """Say whether another header lies there whose pixels this result would overwrite."""
    stem, suffix = stem_and_suffix(final)
    headers = (final.with_name(f"{stem}{one}") for one in DETACHED if suffix in DETACHED)
    return any(one.exists() for one in headers)


def _obstacle(final: Path, kept: Mapping[str, object], made_of: Mapping[str, object]) -> str:
    """Say what lies in the place of a result; in words that fit to all volumes of a run."""
    if not final.exists():
        return "there is another header whose pixels have the name of its result's pixels"
    if not kept:
        return "there is a file of another origin in the place of its result"
    if kept.get("source") != made_of["source"]:
        return "its result is there already, made from another file"
    if kept.get("recipe") != made_of["recipe"]:
        names = ", ".join(_differences(str(kept.get("recipe")), str(made_of["recipe"])))
        return f"its result is there already, made with other settings ({names})"
    return "its result is there already, and was changed after it was written"


def _differences(one: str, other: str) -> list[str]:
    """Name the settings in which two recipes differ."""
    first, second = _settings(one), _settings(other)
    return sorted(key for key in first | second if first.get(key) != second.get(key))


def _settings(recipe: str) -> dict[str, Any]:
    try:
        return dict(json.loads(recipe))
    except (TypeError, ValueError):
        return {}


def _pairs(source: Volume, result: Volume) -> Iterator[Pair]:
    """Read what an earlier run finished, with its source."""
    for before, after in zip(source.frames(), result.frames(), strict=True):
        yield _as_air(before), _as_air(after)


class _Plane(NamedTuple):
    """One slice: HU with air where there is no number, new HU, pixels limited, HU as read."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    limited: int
    read: NDArray[np.float32]


def _compute(volume: Volume, engine: Backend, recipe: Recipe) -> Generator[_Plane, None, None]:
    for first in range(0, volume.shape[0], recipe.batch):
        last = min(first + recipe.batch, volume.shape[0])
        read = [volume.frame(index) for index in range(first, last)]
        before = [_as_air(one) for one in read]
        new = limited_slices(before, engine, recipe)
        for one, raw, (after, limited) in zip(before, read, new, strict=True):
            yield _Plane(one, after, int(limited.sum()), raw)


def _watched(
    volume: Volume,
    planes: Generator[_Plane, None, None],
    watch: SeriesWatch,
    report: Callable[[int], None],
) -> Generator[NDArray[np.float32], None, None]:
    """Measure what will be written, slice by slice; what is no number stays none."""
    for done, (before, after, limited, read) in enumerate(planes, start=1):
        stored = volume.to_stored(after, done - 1)
        seen = stored.astype(np.float64) * volume.slope + volume.intercept
        watch.add(before, np.where(np.isfinite(read), seen, before).astype(np.float32), limited)
        yield np.where(np.isfinite(read), after, read)
        report(done)


def _kept_recipe(kept: Mapping[str, object], setting: Setting) -> Recipe | None:
    """Give the recipe with the strength that an earlier run chose, if all else is the same."""
    if setting.target_noise is None:
        return None
    strength = chosen_strength(kept.get("quality"), setting.target_noise)
    if strength is None:
        return None
    recipe = replace(setting.recipe, strength=strength)
    return recipe if kept.get("recipe") == recipe.canonical() else None


def _as_air(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take what is no number as air."""
    return np.where(np.isfinite(hu), hu, np.float32(AIR_HU))


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()
