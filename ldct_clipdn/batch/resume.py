"""What a run leaves for the next: its task and time while it lasts, and what it measured."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ldct_clipdn.batch.manifest import MANIFEST_FILE, SeriesRecord, read_json, write_json
from ldct_clipdn.core.words import printable
from ldct_clipdn.io.dicom_write import clear_unfinished
from ldct_clipdn.io.written_before import shares_images

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Scan

__all__ = [
    "RUN_FILE",
    "begin_run",
    "chosen_strength",
    "earlier_results",
    "end_run",
    "keep_quality",
    "kept_quality",
    "kept_strengths",
    "limited_before",
    "other_results",
]


RUN_FILE: Final = ".ldct-clipdn-run.json"
"""Lies in the output folder while a run lasts; one that is found there belongs to a run cut off."""

logger = logging.getLogger(__name__)


def begin_run(target: Path, task: str) -> datetime:
    """Fix the one time of all clock attributes of a run.

    Parameters
    ----------
    target
        Output folder.
    task
        What is done to which series, as text.

    Returns
    -------
    datetime
        Now, with the local zone; the earlier time where a run of the same task was cut off.

    Raises
    ------
    WriteError
        When the folder cannot be written.
    """
    earlier = _time_of(target, task)
    if earlier:
        return earlier
    clear_unfinished(target)  # its files bear another time
    time = datetime.now().astimezone().replace(microsecond=0)
    write_json(target / RUN_FILE, {"task": task, "time": time.isoformat()})
    return time


def end_run(target: Path) -> None:
    """Forget a run that has come to its end, and what earlier ones left unfinished.

    Parameters
    ----------
    target
        Output folder.
    """
    clear_unfinished(target)
    (target / RUN_FILE).unlink(missing_ok=True)


def _time_of(target: Path, task: str) -> datetime | None:
    """Read when a run of this task began that was cut off; None where there is none."""
    run = read_json(target / RUN_FILE)
    if run.get("task") != task:
        return None
    try:
        return datetime.fromisoformat(run["time"])
    except (KeyError, TypeError, ValueError):
        return None


def keep_quality(target: Path, uid: str, quality: Mapping[str, object]) -> None:
    """Note what was measured on a series in the file that lies there while a run lasts.

    Parameters
    ----------
    target
        Output folder.
    uid
        SeriesInstanceUID of the result.
    quality
        As JSON can hold it.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    run = read_json(target / RUN_FILE)
    write_json(target / RUN_FILE, {**run, "quality": {**_noted(target), uid: quality}})


def kept_quality(target: Path, uid: str) -> Mapping[str, object] | None:
    """Give what was measured on a series when it was written.

    Parameters
    ----------
    target
        Output folder.
    uid
        SeriesInstanceUID of the result.

    Returns
    -------
    dict or None
        From the run that was cut off, else from the manifest of an earlier one; None where neither
        knows.
    """
    noted = _noted(target).get(uid)
    if isinstance(noted, dict):
        return noted
    for one in _series(target):
        if one.get("derived_uid") == uid:
            quality = one.get("quality")
            return quality if isinstance(quality, dict) else None
    return None


def kept_strengths(target: Path, source_uid: str, target_hu: float) -> dict[str, float]:
    """Give what strengths an earlier run chose for a series, so that none is tried again.

    Parameters
    ----------
    target
        Output folder.
    source_uid
        SeriesInstanceUID of the source.
    target_hu
        Noise that is to be left, in HU.

    Returns
    -------
    dict
        Strength by SeriesInstanceUID of the result, which tells whether all else was the same, and
        whether it is of this source at all: what a run noted that was cut off may be of another.
    """
    own = [one for one in _series(target) if one.get("source_uid") == source_uid]
    known = {str(one.get("derived_uid")): one.get("quality") for one in own} | _noted(target)
    chosen = {uid: chosen_strength(quality, target_hu) for uid, quality in known.items()}
    return {uid: strength for uid, strength in chosen.items() if strength is not None}


def earlier_results(target: Path, now: Iterable[SeriesRecord]) -> tuple[dict[str, Any], ...]:
    """List what earlier runs wrote and this one did not, as far as it is still there.

    Parameters
    ----------
    target
        Output folder, in which the manifest of the run before still lies.
    now
        Records of this run.

    Returns
    -------
    tuple of dict
        Records, as their manifests had them.
    """
    made = {one.derived_uid for one in now}
    named = ((str(one.get("derived_uid") or ""), one) for one in _series(target))
    return tuple(one for uid, one in named if uid not in {"", *made} and (target / uid).exists())


def other_results(target: Path, scan: Scan, uid: str) -> tuple[str, ...]:
    """Note which other results of its images the output folder holds.

    Parameters
    ----------
    target
        Output folder, in which the manifest of the run before still lies.
    scan
        The source.
    uid
        SeriesInstanceUID of its result.

    Returns
    -------
    tuple of str
        A note for each: which one is to be kept, only a person can say.
    """
    made = {
        str(one.get("derived_uid") or "")
        for one in _series(target)
        if one.get("source_uid") == scan.source_uid
    }
    notes = tuple(
        f"an earlier run made {one} of the same images or some of them, still in the output folder"
        for one in sorted(made - {"", uid})
        if shares_images(target / one, scan)
    )
    for note in notes:
        logger.debug("%s", printable(f"series {scan.source_uid}: {note}"))
    return notes


def chosen_strength(quality: object, target_hu: float) -> float | None:
    """Give the strength that was chosen so that a noise is left.

    Parameters
    ----------
    quality
        As an earlier run noted it.
    target_hu
        Noise that is to be left, in HU.

    Returns
    -------
    float or None
        None where it does not say, or was for another noise.
    """
    expected = quality.get("expected") if isinstance(quality, dict) else None
    if not isinstance(expected, dict) or expected.get("target_hu") != target_hu:
        return None
    strength = expected.get("strength")
    return strength if isinstance(strength, float) else None


def _noted(target: Path) -> dict[str, Any]:
    """Read what a run that was cut off has measured, by SeriesInstanceUID of the result."""
    noted = read_json(target / RUN_FILE).get("quality")
    return noted if isinstance(noted, dict) else {}


def _series(target: Path) -> list[dict[str, Any]]:
    """Read the series of an earlier run's manifest, and of those before it."""
    manifest = read_json(target / MANIFEST_FILE)
    lists = (one for one in map(manifest.get, ("series", "earlier")) if isinstance(one, list))
    return [one for each in lists for one in each if isinstance(one, dict)]


def limited_before(quality: Mapping[str, object] | None) -> int | None:
    """Give how many pixels were limited: what the files themselves do not tell.

    Parameters
    ----------
    quality
        As `kept_quality` gives it.

    Returns
    -------
    int or None
        None where it is not known.
    """
    limited = quality.get("limited") if quality else None
    return limited if isinstance(limited, int) else None
