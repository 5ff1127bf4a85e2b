"""What lies in a file or folder, by series: what can be denoised, and why the rest cannot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import ConfigError, ReadError
from ldct_clipdn.io.accept import ADMISSIBLE, admitted, judge
from ldct_clipdn.io.attributes import number, numbers, quiet_pydicom, text
from ldct_clipdn.io.codecs import lossy_method
from ldct_clipdn.io.dicom_read import START, read_header, read_slice, starts_like_dicom
from ldct_clipdn.io.files import is_archive, list_files, read_start
from ldct_clipdn.io.frames import is_multiframe, split_frames
from ldct_clipdn.io.geometry import SAME_MM, along_normal, describe, orientations, sort_slices
from ldct_clipdn.io.media import DIRECTORY_NAME, list_media, missing_images
from ldct_clipdn.io.nameless import describe_missing, name_series, series_key
from ldct_clipdn.io.scan import Found, Instance, Scan, Unused, study_and_number
from ldct_clipdn.io.uids import PATIENT_PART, file_digest, identity
from ldct_clipdn.io.volumes import is_half_of_pair, is_volume

__all__ = ["find_series"]

APPLE_DOUBLE: Final = b"\x00\x05\x16\x07"
"""How the files `._NAME` begin that macOS puts beside others on disks it does not know."""

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
    groups: dict[str, list[Instance]] = defaultdict(list)
    scans: list[Scan] = []
    directories: list[Path] = []
    with quiet_pydicom():
        media = list_media(source)
        for path in media or list_files(source):
            if isinstance(path, Path) and path.name.upper() == DIRECTORY_NAME:
                directories.append(path)
            found = path if isinstance(path, Unused) else _look_at(path, admit)
            if isinstance(found, Unused):
                unused.append(found)
            else:
                groups[series_key(found.path, found.header)].append(found)
        if media is None:
            unused += _missing(directories, groups, unused)
        lost: dict[str, list[Unused]] = defaultdict(list)
        for one in unused:
            if one.outcome == "failed":
                lost[_key(one)].append(one)
        for key, instances in sorted(groups.items()):
            kept, rejected = _without_duplicates(source, instances)
            unused += rejected
            scans += _scans(kept, lost[key], admit)
    return Found(tuple(scans), tuple(sorted(unused, key=lambda one: str(one.path))))


def _missing(
    directories: Sequence[Path],
    groups: Mapping[str, Sequence[Instance]],
    unused: Sequence[Unused],
) -> list[Unused]:
    """List the images that directories in a folder name and that lie nowhere in it.

    A series of which no image came was left out on purpose, as far as can be known: skipped.
    """
    instances = [one for each in groups.values() for one in each]
    there = {one.sop_uid for one in instances} | {one.sop_uid for one in unused} - {""}
    series = {text(one.header, "SeriesInstanceUID") for one in instances}
    series |= {one.series_uid for one in unused if one.outcome == "failed"}
    return [
        one if one.series_uid in series else replace(one, outcome="skipped")
        for path in directories
        for one in missing_images(path)
        if one.sop_uid not in there
    ]


def _key(one: Unused) -> str:
    known = one.header is not None and series_key(one.path, one.header)
    return known or one.series_uid


def _look_at(path: Path, admit: Set[str]) -> Instance | Unused:
    """Read one file's header and judge it."""
    try:
        start = read_start(path, START)
        if path.name.startswith("._") and start.startswith(APPLE_DOUBLE):
            return Unused(path, "skipped", "what macOS notes on a file (AppleDouble)")
        if not starts_like_dicom(start) and path.suffix.lower() not in DICOM_SUFFIXES:
            return Unused(path, "skipped", _what_else(path, start))
        header = read_header(path)
    except OSError as error:
        return Unused(path, "failed", f"it cannot be read: {system_words(error)}")
    except ReadError as error:
        return Unused(path, "failed", error.reason)
    verdict = judge(header, admit)
    if verdict is None:
        return Instance(path, header)
    return _unused(Instance(path, header), verdict.outcome, verdict.reason)


def _what_else(path: Path, start: bytes) -> str:
    """Say what is no DICOM file, and what to do where it could be read elsewhere."""
    if not path.exists():  # so it lies in an archive
        if is_volume(path):
            return "a volume in an archive is not read: unpack the archive"
        if is_archive(path, start):
            return "an archive in an archive is not read: unpack the outer one"
    if is_half_of_pair(path):
        return "half of a NIfTI or Analyze pair (.hdr, .img) is not read: convert it to .nii"
    return "not a DICOM file"


def _without_duplicates(
    source: Path, instances: Sequence[Instance]
) -> tuple[list[Instance], list[Unused]]:
    """Drop copies of an image; where two images bear one UID, nothing of the series can be used."""
    first: dict[str, Instance] = {}
    copies: list[Unused] = []
    for one in instances:
        known = first.setdefault(identity(one), one)
        if known is one:
            continue
        name = _name(known.path, source)
        if not _same_image(known, one):
            reason = (
                f"{name} and {_name(one.path, source)} bear the same SOPInstanceUID and differ: "
                "which one is true cannot be known"
            )
            return [], [_unused(each, "failed", reason) for each in instances]
        copies.append(_unused(one, "skipped", f"a copy of {name}"))
    return list(first.values()), copies


def _unused(one: Instance, outcome: Literal["skipped", "failed"], reason: str) -> Unused:
    header = one.header if one.whole is None else one.whole
    kept = header if outcome == "failed" else None  # one that was skipped may be large
    series, taken = text(header, "SeriesInstanceUID"), study_and_number(header)
    return Unused(one.path, outcome, reason, series, kept, taken, one.sop_uid)


def _name(path: Path, source: Path) -> str:
    """Name a file so that it is found among others of its name."""
    return path.relative_to(source if source.is_dir() else source.parent).as_posix()


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


def _scans(instances: Sequence[Instance], lost: Sequence[Unused], admit: Set[str]) -> list[Scan]:
    """Make one scan of each part of a series, and of each Enhanced CT image.

    What failed is lost to its own part; to every one where its header does not tell which.
    """
    objects = [one for one in instances if is_multiframe(one.header)]
    failed = [Instance(one.path, one.header) for one in lost if one.header is not None]
    parts, misses = _split(*map(_single_frames, (instances, failed)))
    everywhere = len(lost) - misses.total()
    if not instances:
        return []
    nameless = len(instances) > 1 and not text(instances[0].header, "SeriesInstanceUID")
    if nameless and (objects or any(_overlap(part) for part in parts.values())):
        return [scan for one in instances for scan in _scans([one], (), admit)]
    uid, missing = name_series(instances), describe_missing(instances)
    alone = len(objects) + len(parts) == 1
    scans = [
        _multiframe_scan(uid, one, "" if alone else one.sop_uid, everywhere, admit)
        for one in objects
    ]
    for key, part in sorted(parts.items()):
        split = (f"one of {len(parts)} parts of its series: {key}",) if len(parts) > 1 else ()
        ordered = sort_slices(part)
        notes = (*split, *describe(ordered), *_pixel_notes(ordered), *_odd(ordered, admit))
        scans.append(Scan(uid, key, ordered, notes, misses[key] + everywhere))
    return [replace(one, notes=(*missing, *one.notes)) for one in scans]


def _single_frames(instances: Sequence[Instance]) -> list[Instance]:
    return [one for one in instances if not is_multiframe(one.header)]


def _overlap(instances: Sequence[Instance]) -> bool:
    """Say whether images lie where others do: without a UID they may be of two patients."""
    places = [along_normal(one.header) for one in instances]
    known = sorted(one for one in places if one is not None)
    return len(known) < len(places) or any(b - a < SAME_MM for a, b in pairwise(known))


def _multiframe_scan(uid: str, instance: Instance, key: str, lost: int, admit: Set[str]) -> Scan:
    frames = split_frames(instance.path, instance.header)
    ordered = sort_slices(frames)
    notes = (*describe(ordered), *_pixel_notes(ordered), *_odd(ordered, admit))
    return Scan(uid, key, frames, notes, lost)


def _split(
    instances: Sequence[Instance], failed: Sequence[Instance]
) -> tuple[dict[str, list[Instance]], Counter[str]]:
    """Part what one series should not hold together, and count what failed of each part."""
    traits = _traits([*instances, *failed])
    if not _acquisitions_overlap(instances):
        del traits["acquisition"]
    count = len(instances)
    differing = {name: all_ for name, all_ in traits.items() if len(set(all_[:count])) > 1}
    keys = [
        ", ".join(f"{name} {values[index]}" for name, values in differing.items())
        for index in range(count + len(failed))
    ]
    parts: dict[str, list[Instance]] = defaultdict(list)
    for key, one in zip(keys, instances, strict=False):  # those of what failed come last
        parts[key].append(one)
    return parts, Counter(key for key in keys[count:] if key in parts)


def _traits(instances: Sequence[Instance]) -> dict[str, list[str]]:
    """Name what images of one series have alike; the name of no patient, since it is printed."""
    headers = [one.header for one in instances]
    return {
        PATIENT_PART.strip(): _numbered([text(one, "PatientID") for one in headers]),
        "study": _numbered([text(one, "StudyInstanceUID") for one in headers]),
        "orientation": orientations(instances),
        "matrix": [f"{text(one, 'Rows')} x {text(one, 'Columns')}" for one in headers],
        "kernel": [text(one, "ConvolutionKernel") or "none" for one in headers],
        "rescale type": [text(one, "RescaleType").upper() or "HU" for one in headers],
        "acquisition": [text(one, "AcquisitionNumber") or "none" for one in headers],
    }


def _numbered(values: Sequence[str]) -> list[str]:
    """Tell values apart without naming them; one that is empty is taken for the only other."""
    known = sorted({*values} - {""})
    if len(known) < 2:
        return [""] * len(values)
    return [str(known.index(one) + 1) if one else "none" for one in values]


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
