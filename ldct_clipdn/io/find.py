"""What lies in a file or folder, by series: what can be denoised, and why the rest cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from ldct_clipdn.errors import ConfigError, ReadError
from ldct_clipdn.io.accept import ADMISSIBLE, admitted, judge
from ldct_clipdn.io.attributes import number, numbers, quiet_pydicom, text
from ldct_clipdn.io.codecs import lossy_method
from ldct_clipdn.io.dicom_read import START, read_header, read_slice, starts_like_dicom
from ldct_clipdn.io.files import list_files, read_start
from ldct_clipdn.io.frames import is_multiframe, split_frames
from ldct_clipdn.io.geometry import SAME_MM, along_normal, describe, orientations, sort_slices
from ldct_clipdn.io.media import list_media
from ldct_clipdn.io.scan import Found, Instance, Scan, Unused
from ldct_clipdn.io.uids import file_digest, identity

__all__ = ["find_series"]

DICOM_SUFFIXES: Final = (".dcm", ".ima")
"""A file that is named like this and is no DICOM has failed; any other name is skipped."""


def find_series(source: Path, *, admit: Set[str] = frozenset()) -> Found:
    """Look what can be denoised; reads headers only, unless two files bear the same UID.

    Parameters
    ----------
    source
        A file, a DICOMDIR, a zip archive, or a folder with any of these and folders in it.
    admit
        Names in `accept.ADMISSIBLE` of images that are taken although they are skipped by default.

    Returns
    -------
    Found
        Series, split where they hold what does not belong together, each sorted along its slice
        normal; and every other file with the reason.

    Raises
    ------
    ReadError
        When there is no such file or folder.
    ConfigError
        When `admit` holds an unknown name.
    """
    source = Path(source)
    if unknown := sorted(admit - ADMISSIBLE.keys()):
        raise ConfigError(
            f"{unknown[0]!r} cannot be asked for", remedy=f"Give one of {', '.join(ADMISSIBLE)}"
        )
    if not source.exists():
        raise ReadError("there is no such file or folder", path=source, remedy="Check the name")
    unused: list[Unused] = []
    series: dict[str, list[Instance]] = defaultdict(list)
    scans: list[Scan] = []
    with quiet_pydicom():
        for path in list_media(source) or list_files(source):
            found = path if isinstance(path, Unused) else _look_at(path, admit)
            if isinstance(found, Unused):
                unused.append(found)
            else:
                series[text(found.header, "SeriesInstanceUID")].append(found)
        for uid, instances in sorted(series.items()):
            kept, rejected = _without_duplicates(uid, instances)
            unused += rejected
            lost = sum(one.outcome == "failed" and one.series_uid == uid for one in unused)
            scans += _scans(uid, kept, lost, admit)
    return Found(tuple(scans), tuple(sorted(unused, key=lambda one: str(one.path))))


def _look_at(path: Path, admit: Set[str]) -> Instance | Unused:
    """Read one file's header and judge it."""
    try:
        start = read_start(path, START)
        if not starts_like_dicom(start) and path.suffix.lower() not in DICOM_SUFFIXES:
            return Unused(path, "skipped", "not a DICOM file")
        header = read_header(path)
    except OSError as error:
        return Unused(path, "failed", f"it cannot be read: {error.strerror or error}")
    except ReadError as error:
        return Unused(path, "failed", error.reason)
    verdict = judge(header, admit)
    if verdict is None:
        return Instance(path, header)
    return Unused(path, verdict.outcome, verdict.reason, text(header, "SeriesInstanceUID"))


def _without_duplicates(
    uid: str, instances: Sequence[Instance]
) -> tuple[list[Instance], list[Unused]]:
    """Drop copies of an image; where two images bear one UID, nothing of the series can be used."""
    first: dict[str, Instance] = {}
    copies: list[Unused] = []
    for one in instances:
        known = first.setdefault(identity(one), one)
        if known is one:
            continue
        if not _same_image(known, one):
            reason = (
                f"{known.path.name} and {one.path.name} bear the same SOPInstanceUID and differ: "
                "which one is true cannot be known"
            )
            return [], [Unused(each.path, "failed", reason, uid) for each in instances]
        copies.append(Unused(one.path, "skipped", f"a copy of {known.path.name}", uid))
    return list(first.values()), copies


def _same_image(one: Instance, other: Instance) -> bool:
    if file_digest(one.path) == file_digest(other.path):
        return True
    if is_multiframe(one.header):
        return False
    try:
        slices = read_slice(one), read_slice(other)
    except ReadError:
        return False
    places = [numbers(each.header, "ImagePositionPatient") for each in (one, other)]
    return places[0] == places[1] and np.array_equal(slices[0].hu, slices[1].hu)


def _scans(uid: str, instances: Sequence[Instance], lost: int, admit: Set[str]) -> list[Scan]:
    """Make one scan of each part of a series, and of each Enhanced CT image."""
    objects = [one for one in instances if is_multiframe(one.header)]
    parts = _split([one for one in instances if not is_multiframe(one.header)])
    alone = len(objects) + len(parts) == 1
    scans = [
        _multiframe_scan(uid, one, "" if alone else one.sop_uid, lost, admit) for one in objects
    ]
    for key, part in sorted(parts.items()):
        split = (f"one of {len(parts)} parts of its series: {key}",) if len(parts) > 1 else ()
        ordered = sort_slices(part)
        notes = (*split, *describe(ordered), *_pixel_notes(ordered), *_odd(ordered, admit))
        scans.append(Scan(uid, key, ordered, notes, lost))
    return scans


def _multiframe_scan(uid: str, instance: Instance, key: str, lost: int, admit: Set[str]) -> Scan:
    frames = split_frames(instance.path, instance.header)
    ordered = sort_slices(frames)
    notes = (*describe(ordered), *_pixel_notes(ordered), *_odd(ordered, admit))
    return Scan(uid, key, frames, notes, lost)


def _split(instances: Sequence[Instance]) -> dict[str, list[Instance]]:
    """Part what one series should not hold together; the keys name only what differs."""
    headers = [one.header for one in instances]
    traits: dict[str, list[str]] = {
        "orientation": orientations(instances),
        "matrix": [f"{text(one, 'Rows')} x {text(one, 'Columns')}" for one in headers],
        "kernel": [text(one, "ConvolutionKernel") or "none" for one in headers],
        "rescale type": [text(one, "RescaleType").upper() or "HU" for one in headers],
    }
    if _acquisitions_overlap(instances):
        traits["acquisition"] = [text(one, "AcquisitionNumber") or "none" for one in headers]
    differing = {name: values for name, values in traits.items() if len(set(values)) > 1}
    parts: dict[str, list[Instance]] = defaultdict(list)
    for index, one in enumerate(instances):
        parts[", ".join(f"{name} {values[index]}" for name, values in differing.items())].append(
            one
        )
    return parts


def _acquisitions_overlap(instances: Sequence[Instance]) -> bool:
    """Say whether two acquisitions cover the same place: repeats, such as contrast phases.

    A scanner that moves the table step by step gives each step its own AcquisitionNumber: these
    lie side by side and belong together.
    """
    places: dict[str, list[float]] = defaultdict(list)
    for one in instances:
        place = along_normal(one.header)
        if place is not None:
            places[text(one.header, "AcquisitionNumber")].append(place)
    ranges = sorted((min(each), max(each)) for each in places.values())
    return any(after[0] < before[1] + SAME_MM for before, after in pairwise(ranges))


def _odd(instances: Sequence[Instance], admit: Set[str]) -> list[str]:
    """Say what was asked for although no network was trained on it."""
    reasons = sorted({reason for one in instances for reason in admitted(one.header, admit)})
    return [f"OUT_OF_DISTRIBUTION: {', '.join(reasons)}"] if reasons else []


def _pixel_notes(instances: Sequence[Instance]) -> list[str]:
    headers = [one.header for one in instances]
    notes = []
    if any(text(one, "LossyImageCompression") == "01" or lossy_method(one) for one in headers):
        notes.append("the source was compressed with loss")
    if len(headers) == 1 and number(headers[0], "GantryDetectorTilt"):
        notes.append("the header names a gantry tilt")
    return notes
