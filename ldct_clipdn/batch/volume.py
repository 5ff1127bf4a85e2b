"""Denoises one NIfTI, NRRD or MetaImage file: HU in, HU out, beside the DICOM series of a run."""

from __future__ import annotations

import hashlib
import logging
import shutil
import unicodedata
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ldct_clipdn.batch.ahead import ahead
from ldct_clipdn.batch.kept import chosen_strength, limited_before
from ldct_clipdn.batch.manifest import (
    InputRecord,
    SeriesRecord,
    read_json,
    relative_name,
    write_json,
)
from ldct_clipdn.batch.series import Outcome, Setting, explain_failure
from ldct_clipdn.batch.stream import limited_slices
from ldct_clipdn.batch.trial import tried_recipe
from ldct_clipdn.batch.unusual import UNUSUAL
from ldct_clipdn.batch.watch import SeriesWatch, Watched
from ldct_clipdn.ct.flags import Expected
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.errors import ReadError, WriteError
from ldct_clipdn.io.scan import Unused
from ldct_clipdn.io.uids import file_digest
from ldct_clipdn.io.volume_write import denoised_name, write_volume_like
from ldct_clipdn.io.volumes import DETACHED, data_files, is_volume, open_volume, stem_and_suffix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.ct.quality_record import QualityRecord
    from ldct_clipdn.inference.backends import Backend
    from ldct_clipdn.io.uids import Recipe
    from ldct_clipdn.io.volumes import Volume

__all__ = ["VolumeJob", "denoise_volume", "plan_volumes"]

OWN: Final = "_denoised"

NO_AIR: Final = "no-air"
"""The name in `io.accept.ADMISSIBLE` that takes what seems to hold no HU."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VolumeJob:
    """One volume that is to be denoised.

    Parameters
    ----------
    volume
        Its header read.
    files
        What it consists of: its file first, then those of detached pixels.
    doubt
        Why its values seem to be no HU, where it was asked for in spite of that; else empty.
    """

    volume: Volume
    files: tuple[Path, ...]
    doubt: str = ""

    @property
    def name(self) -> str:
        """Name the result.

        Returns
        -------
        str
            A file name in the output folder.
        """
        return denoised_name(self.volume.path)

    @property
    def slices(self) -> int:
        """Count the slices.

        Returns
        -------
        int
            Of the volume.
        """
        return self.volume.shape[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what a person should know of the volume.

        Returns
        -------
        tuple of str
            One line each.
        """
        return (f"{UNUSUAL}{self.doubt}",) if self.doubt else ()


def plan_volumes(
    unused: Sequence[Unused], admit: Set[str] = frozenset()
) -> tuple[tuple[VolumeJob, ...], tuple[Unused, ...]]:
    """Find the volumes among the files that are no DICOM; reads their pixels, one at a time.

    Parameters
    ----------
    unused
        As `find_series` gives them.
    admit
        With `own` in it, earlier results are taken too; with `no-air`, values that seem to be no
        HU, as of label maps, MR, or CT that was cropped to the inside of the body.

    Returns
    -------
    tuple of VolumeJob
        What will be denoised.
    tuple of Unused
        All other files.
    """
    jobs: dict[tuple[str, bool | str], VolumeJob] = {}
    others: dict[Path, Unused] = {one.path: one for one in unused}
    for path in [one.path for one in unused if is_volume(one.path) and one.path.is_file()]:
        job = _look_at(path, admit)
        place = _place(path)
        if isinstance(job, VolumeJob) and place in jobs:
            reason = (
                f"its result would have the name of that of {jobs[place].volume.path.name}, in "
                "another folder or but for case: denoise them apart"
            )
            job = Unused(path, "failed", reason)
        if isinstance(job, Unused):
            others[path] = job
        else:
            jobs[place] = job
            del others[path]
            for file in others.keys() & set(job.files[1:]):
                others[file] = Unused(file, "skipped", f"holds the pixels of {path.name}")
    return tuple(jobs.values()), tuple(others.values())


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
        quality = _denoise(job, setting, report)
    except Exception as error:  # what goes wrong with one volume stops nothing else
        level, reason = explain_failure(error)
        logger.log(level, "%s failed", job.volume.path.name, exc_info=True)
        name = ""
    record = SeriesRecord(
        source_uid=relative_name(job.volume.path, setting.source),
        derived_uid=name,
        slices=job.slices,
        status="failed" if reason else "denoised",
        seconds=round(perf_counter() - start, 3),
        quality=quality,
        notes=job.notes,
    )
    outcome: Final = "failed" if reason else "denoised"
    return Outcome(record, (InputRecord(record.source_uid, outcome, reason),))


def _place(path: Path) -> tuple[str, bool | str]:
    """Name what no two results may share.

    File names but for case and the coding of accents, which macOS takes for the same; and of
    headers with detached pixels the stem, since the pixels of all have one suffix.
    """
    stem, suffix = stem_and_suffix(path)
    return unicodedata.normalize("NFC", stem).casefold(), suffix in DETACHED or suffix


def _look_at(path: Path, admit: Set[str]) -> VolumeJob | Unused:
    if stem_and_suffix(path)[0].endswith(OWN) and "own" not in admit:
        return Unused(path, "skipped", "our own result, by its name")
    try:
        doubt = open_volume(path).doubt()  # of its own, so that no pixels stay in memory
        if doubt and NO_AIR not in admit:
            return Unused(path, "skipped", f"{doubt}; --accept {NO_AIR} takes it")
        return VolumeJob(open_volume(path), data_files(path), doubt)
    except ReadError as error:
        return Unused(path, "failed", error.reason)


def _denoise(
    job: VolumeJob, setting: Setting, report: Callable[[int], None]
) -> Mapping[str, object]:
    """Give what was measured on it, now or when it was written."""
    volume, final = job.volume, setting.target / job.name
    note = setting.target / f".{job.name}.json"
    kept, source = read_json(note), _digest(job.files)
    known = _kept_recipe(kept, setting) if kept.get("source") == source else None
    recipe = known or tried_recipe(setting, job.slices, lambda place: _as_air(volume.frame(place)))
    setting = replace(setting, recipe=recipe)
    made_of = {"recipe": recipe.canonical(), "source": source}
    is_ours = final.exists() and kept | made_of == kept
    if is_ours and kept.get("result") == _digest(data_files(final)):
        return _look_again(job, open_volume(final), setting, kept)
    if final.exists() or _is_taken(final):
        raise WriteError(
            "there is another result under this name", path=final, remedy="Move it away"
        )
    watch = SeriesWatch(volume.spacing_mm, job.slices)
    hidden = setting.target / f".{job.name}.partial"
    try:
        with closing(ahead(_compute(volume, setting.engine, recipe))) as planes:
            write_volume_like(volume, _watched(volume, planes, watch, report), hidden / job.name)
        quality = watch.finish(_expected(job, setting))
        files = data_files(hidden / job.name)
        write_json(note, {**made_of, "result": _digest(files), "quality": quality.to_dict()})
        for file in reversed(files):  # the header last: it makes the rest visible
            file.replace(setting.target / file.name)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    _show(job, setting, watch, quality)
    return quality.to_dict()


def _is_taken(final: Path) -> bool:
    """Say whether another header lies there whose pixels this result would overwrite."""
    stem, suffix = stem_and_suffix(final)
    headers = (final.with_name(f"{stem}{one}") for one in DETACHED if suffix in DETACHED)
    return any(one.exists() for one in headers)


def _look_again(
    job: VolumeJob, result: Volume, setting: Setting, kept: Mapping[str, object]
) -> Mapping[str, object]:
    """Give what was measured on a finished volume; measure again what is not yet shown."""
    quality = kept.get("quality")
    known = quality if isinstance(quality, dict) else None
    if known and setting.is_shown(job.name):
        return known
    watch = SeriesWatch(job.volume.spacing_mm, job.slices)
    for before, after in zip(job.volume.frames(), result.frames(), strict=True):
        watch.add(_as_air(before), _as_air(after))
    record = replace(watch.finish(_expected(job, setting)), limited=limited_before(known))
    _show(job, setting, watch, record)
    return known or record.to_dict()


def _expected(job: VolumeJob, setting: Setting) -> Expected:
    return Expected(
        slices=job.slices,
        strength=setting.recipe.strength,
        target_hu=setting.target_noise,
        noise_hu=setting.engine.weights.trained_noise_hu,
        unusual=(job.doubt,) if job.doubt else (),
    )


def _show(job: VolumeJob, setting: Setting, watch: SeriesWatch, quality: QualityRecord) -> None:
    if watch.example:
        setting.show(Watched(job.volume, job.name, setting.recipe, quality, watch.example))


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
