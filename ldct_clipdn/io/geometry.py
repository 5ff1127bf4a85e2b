"""Where the slices of a series lie, and what a person should know about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.io.attributes import number, numbers
from ldct_clipdn.io.scan import pixel_spacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from ldct_clipdn.io.scan import Instance

__all__ = ["SAME_MM", "along_normal", "describe", "orientations", "sort_slices"]

SAME_MM: Final = 0.01
"""Slices closer than this lie at one position."""

UNEVEN: Final = 0.02
"""Steps that differ by less than this share of the usual step are even; headers are rounded."""

SAME_COSINE: Final = 0.002
"""Direction cosines closer than this are one direction, written with other digits."""

GAP: Final = 1.5
"""A step this many times the usual one leaves room for a slice."""

TILT_DEGREES: Final = 0.5


def orientations(instances: Sequence[Instance]) -> list[str]:
    """Tell images of different orientation apart.

    Parameters
    ----------
    instances
        Images of one series.

    Returns
    -------
    list of str
        For each image, the direction cosines of the first image that lies like it.
    """
    known: list[list[float]] = []
    labels = []
    for one in instances:
        cosines = numbers(one.header, "ImageOrientationPatient")
        like = (each for each in known if len(each) == len(cosines) and _alike(each, cosines))
        label = next(like, None)
        if label is None:
            label = cosines
            known.append(cosines)
        labels.append(" ".join(f"{value:g}" for value in label) or "none")
    return labels


def along_normal(header: Dataset) -> float | None:
    """Project an image's position on its slice normal.

    Parameters
    ----------
    header
        The image's header.

    Returns
    -------
    float or None
        In mm; None where position or orientation is missing or no direction.
    """
    normal, position = _normal(header), numbers(header, "ImagePositionPatient")
    return float(np.dot(normal, position)) if normal is not None and len(position) == 3 else None


def sort_slices(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Sort images by position along the slice normal.

    Parameters
    ----------
    instances
        Images of one orientation.

    Returns
    -------
    tuple of Instance
        Sorted; by InstanceNumber where a position is missing, then by SOPInstanceUID and path.
    """
    placed = all(along_normal(one.header) is not None for one in instances)

    def key(one: Instance) -> tuple[float, float, str, str]:
        place = (along_normal(one.header) or 0.0) if placed else 0.0
        return (place, number(one.header, "InstanceNumber") or 0.0, one.sop_uid, str(one.path))

    return tuple(sorted(instances, key=key))


def describe(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Say what is odd about the positions of a sorted series.

    Parameters
    ----------
    instances
        As `sort_slices` gives them.

    Returns
    -------
    tuple of str
        One line for duplicate positions, gaps, uneven steps, tilt and pixels of unknown or
        different size each; empty where all is even.
    """
    notes = [*_places(instances), *_pixel_sizes(instances)]
    return tuple(note for note in notes if note)


def _places(instances: Sequence[Instance]) -> list[str]:
    places = [along_normal(one.header) for one in instances]
    if any(place is None for place in places):
        return [f"{_what_is_missing(instances)}: sorted by {_order(instances)}"]
    steps = np.diff(np.array(places, dtype=float))
    return [_duplicates(steps), *_spacing(steps[steps >= SAME_MM]), _tilt(instances)]


def _order(instances: Sequence[Instance]) -> str:
    """Say what the order of images rests on that have no place."""
    if all(number(one.header, "InstanceNumber") is not None for one in instances):
        return "InstanceNumber"
    return "InstanceNumber as far as there is one, then by UID: the order may be wrong"


def _what_is_missing(instances: Sequence[Instance]) -> str:
    """Say why images cannot be placed."""
    headers = [one.header for one in instances]
    if any(len(numbers(each, "ImagePositionPatient")) != 3 for each in headers):
        return "positions are missing"
    if any(not numbers(each, "ImageOrientationPatient") for each in headers):
        return "the orientation is missing"
    return "the orientation is no direction"


def _pixel_sizes(instances: Sequence[Instance]) -> list[str]:
    known = [size for one in instances if (size := pixel_spacing(one.header))]
    notes = []
    if unknown := len(instances) - len(known):
        notes.append(
            f"the pixel size (PixelSpacing) of {unknown} of {len(instances)} images is not known"
        )
    sizes = dict.fromkeys(f"{rows:.4g} x {columns:.4g} mm" for rows, columns in sorted(known))
    if len(sizes) > 1:
        least, *_, largest = sizes
        notes.append(
            f"pixels are of {len(sizes)} sizes, {least} to {largest}: measured by the first"
        )
    return notes


def _alike(one: Sequence[float], other: Sequence[float]) -> bool:
    return bool(np.allclose(one, other, rtol=0, atol=SAME_COSINE))


def _duplicates(steps: NDArray[np.float64]) -> str:
    count = int((steps < SAME_MM).sum())
    return f"{count} of {len(steps) + 1} slices lie where another one lies" if count else ""


def _spacing(steps: NDArray[np.float64]) -> list[str]:
    """Describe the steps between slices that lie apart."""
    if len(steps) < 2:
        return []
    usual = float(np.percentile(steps, 50, method="lower"))
    gaps = steps[steps > GAP * usual]
    if len(gaps):
        return [
            f"{len(gaps)} gap(s), the largest {gaps.max():.2f} mm where slices are usually "
            f"{usual:.2f} mm apart"
        ]
    if steps.max() - steps.min() > UNEVEN * usual:
        return [f"uneven spacing, {steps.min():.2f} to {steps.max():.2f} mm"]
    return []


def _tilt(instances: Sequence[Instance]) -> str:
    """Compare the slice normal with the direction in which the slices are stacked."""
    first, last = instances[0].header, instances[-1].header
    normal = _normal(first)
    start, end = (np.array(numbers(each, "ImagePositionPatient")) for each in (first, last))
    stack = end - start
    if normal is None or np.linalg.norm(stack) < SAME_MM:
        return ""
    cosine = abs(float(np.dot(stack, normal))) / float(np.linalg.norm(stack))
    degrees = float(np.degrees(np.arccos(min(1.0, cosine))))
    return f"slices are tilted by {degrees:.1f} degrees" if degrees > TILT_DEGREES else ""


def _normal(header: Dataset) -> NDArray[np.float64] | None:
    cosines = numbers(header, "ImageOrientationPatient")
    if len(cosines) != 6:
        return None
    normal = np.cross(cosines[:3], cosines[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0.1 else None
