"""Denoises one series: read, denoise, write, and say what became of each file."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from ldct_clipdn.batch.failure import explain_failure
from ldct_clipdn.batch.manifest import InputRecord, SeriesRecord, file_records
from ldct_clipdn.batch.readable import read_through
from ldct_clipdn.batch.resume import (
    keep_quality,
    kept_quality,
    kept_strengths,
    other_results,
)
from ldct_clipdn.batch.stream import denoised
from ldct_clipdn.batch.trial import tried_recipe
from ldct_clipdn.batch.unusual import find_unusual
from ldct_clipdn.batch.watch import Measured, Pair, Watched, watch_scan, written_hu
from ldct_clipdn.core.words import printable
from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.attributes import text
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.dicom_write import derived_series, describe_series
from ldct_clipdn.io.rehearse import rehearse
from ldct_clipdn.io.uids import Recipe, identity, pixel_digest, series_uid
from ldct_clipdn.io.written_before import find_written

if TYPE_CHECKING:
    from pydicom import Dataset

    from ldct_clipdn.batch.plan import Job
    from ldct_clipdn.inference.backends import Backend
    from ldct_clipdn.io.scan import Instance, Scan, Slice

__all__ = ["Outcome", "Setting", "denoise_series"]

NO_DATE: Final = "19000101"

LARGEST_OFFSET_H: Final = 14
"""No zone on earth is further from UTC; a header that says so is wrong."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What every series of one run shares.

    Parameters
    ----------
    source, target
        Input and output.
    engine
        Opened once.
    recipe
        What is done.
    time
        The one time of all clock attributes.
    target_noise
        Noise in HU that is to be left: the strength is chosen for each series, and that of the
        recipe does not count. None keeps that of the recipe.
    show
        Called with each series and volume that was denoised; must not raise.
    is_shown
        Says by its UID, or a volume's name, whether a result that an earlier run finished has been
        shown; where not, it is.
    """

    source: Path
    target: Path
    engine: Backend
    recipe: Recipe
    time: datetime
    target_noise: float | None
    show: Callable[[Watched], None]
    is_shown: Callable[[str], bool]


@dataclass(frozen=True)
class Outcome:
    """What became of one series.

    Parameters
    ----------
    record
        Of the series.
    inputs
        Of each of its files.
    """

    record: SeriesRecord
    inputs: tuple[InputRecord, ...]


def denoise_series(job: Job, setting: Setting, report: Callable[[int], None]) -> Outcome:
    """Denoise one series; what goes wrong with it stops no other.

    Parameters
    ----------
    job
        The series.
    setting
        What it shares with the others.
    report
        Called with the number of slices that are done.

    Returns
    -------
    Outcome
        `partial` where images could not be read, `failed` where nothing was written.
    """
    start = perf_counter()
    readable = _Readable(job.scan, {}, {})
    try:
        readable = _read_through(job, setting)
        done = _denoise(job, readable, setting, report)
    except Exception as error:  # what goes wrong with one series stops no other
        level, reason = explain_failure(error)
        logger.log(level, "series %s failed", job.scan.source_uid, exc_info=True)
        failures = {one.path: reason for one in readable.scan.instances}
        failed = _Done("", job.scan.notes)
        return _outcome(job, setting, failed, readable.failures | failures, start)
    return _outcome(job, setting, done, readable.failures, start)


@dataclass(frozen=True)
class _Done:
    """The derived series, what to know of it, and what was measured, now or when it was written."""

    uid: str
    notes: tuple[str, ...]
    quality: Mapping[str, object] | None = None


def _denoise(
    job: Job, readable: _Readable, setting: Setting, report: Callable[[int], None]
) -> _Done:
    scan = readable.scan
    if not scan.instances:
        raise ReadError("none of its images can be used")
    recipe = _series_recipe(scan, setting)
    setting = replace(setting, recipe=recipe)
    uid = series_uid(scan, recipe)
    logger.debug(
        "series %s: strength %g, result %s", printable(scan.source_uid), recipe.strength, uid
    )
    unusual = find_unusual(scan, setting.engine.weights.trained_noise_hu)
    notes = (*scan.notes, *other_results(setting.target, scan, uid))
    measured = Measured(scan, uid, len(scan.instances) + scan.lost, notes, unusual)
    watch = watch_scan(scan)
    written = find_written(setting.target / uid, readable.digests)
    if written:
        known = kept_quality(setting.target, uid)
        pairs = _pairs(scan, written)
        return _Done(uid, notes, measured.look_again(watch, pairs, known, setting))
    time = _series_time(scan.instances[0].header, setting)
    with (
        derived_series(scan, setting.target, recipe, time=time, number=job.number) as writer,
        closing(denoised(scan, writer, setting.engine, recipe)) as steps,
    ):
        for done, (result, kept) in enumerate(steps, start=1):
            stored, limited = kept or (writer.add(result), result.limited)
            instance, before = result.instance, result.before
            watch.add(before.hu, written_hu(before, stored, instance.header), limited)
            report(done)
        quality = measured.quality(watch, setting)
        keep_quality(setting.target, uid, quality.to_dict())
    measured.show(watch, quality, setting)
    return _Done(uid, notes, quality.to_dict())


def _pairs(scan: Scan, written: Mapping[str, Instance]) -> Iterator[Pair]:
    """Read what an earlier run finished, with its source."""
    for instance in scan.instances:
        before, after = read_slice(instance), read_slice(written[identity(instance)])
        yield before.hu, written_hu(before, after.stored, instance.header)


def _series_recipe(scan: Scan, setting: Setting) -> Recipe:
    """Choose the strength of this series, where it is to be chosen."""
    if setting.target_noise is None:
        return setting.recipe
    kept = kept_strengths(setting.target, scan.source_uid, setting.target_noise)
    for uid, strength in kept.items():
        recipe = replace(setting.recipe, strength=strength)
        if series_uid(scan, recipe) == uid:
            return recipe
    return tried_recipe(
        setting, len(scan.instances), lambda place: read_slice(scan.instances[place]).hu
    )


@dataclass(frozen=True)
class _Readable:
    """The images of a scan that can be read and written, with their digests; and the others."""

    scan: Scan
    digests: dict[str, str]
    failures: dict[Path, str]


def _read_through(job: Job, setting: Setting) -> _Readable:
    """Read every image once, so that a bad one is known before the first is written."""
    scan = job.scan
    time = _series_time(scan.instances[0].header, setting)
    series = describe_series(scan, setting.recipe, time=time, number=job.number)
    digests: dict[str, str] = {}

    def take(instance: Instance, before: Slice) -> None:
        rehearse(instance, before, series)
        digests[identity(instance)] = pixel_digest(before.stored)

    readable, failures = read_through(scan, take)
    return _Readable(readable, digests, failures)


def _outcome(
    job: Job, setting: Setting, done: _Done, failures: dict[Path, str], start: float
) -> Outcome:
    scan = job.scan
    lost = scan.lost + len(failures)
    record = SeriesRecord(
        source_uid=scan.source_uid,
        derived_uid=done.uid,
        slices=len(scan.instances) + scan.lost,
        status="failed" if not done.uid else "partial" if lost else "denoised",
        seconds=round(perf_counter() - start, 3),
        quality=done.quality,
        notes=done.notes,
        number=job.source_number,
        kernel=job.kernel,
    )
    return Outcome(record, file_records(scan, failures, setting.source, "denoised"))


def _series_time(header: Dataset, setting: Setting) -> datetime:
    """Take the run's time, in the zone that the header names."""
    if not setting.recipe.wallclock:
        return _study_time(header)
    zone = re.fullmatch(r"([+-])(\d\d)(\d\d)", text(header, "TimezoneOffsetFromUTC"))
    if not zone or int(zone[2]) > LARGEST_OFFSET_H:
        return setting.time
    minutes = int(zone[2]) * 60 + int(zone[3])
    offset = timedelta(minutes=-minutes if zone[1] == "-" else minutes)
    return setting.time.astimezone(timezone(offset))


def _study_time(header: Dataset) -> datetime:
    """Read when the study was, for data whose dates are shifted and must stay so."""
    day = re.fullmatch(r"\d{8}", text(header, "StudyDate"))
    time = re.match(r"\d{6}", text(header, "StudyTime"))
    stamp = f"{day[0] if day else NO_DATE}{time[0] if time else '000000'}+0000"
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S%z")
    except ValueError:
        return datetime.strptime(f"{NO_DATE}+0000", "%Y%m%d%z")
