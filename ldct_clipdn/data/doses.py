"""Which low-dose slice shows the same place as which normal-dose slice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ldct_clipdn.io.geometry import SAME_MM

if TYPE_CHECKING:
    from ldct_clipdn.data.slices import CTSlice

__all__ = ["DosePair", "DosePairs", "Unpaired", "match_doses"]


class DosePair(NamedTuple):
    """One place at both doses."""

    normal: CTSlice
    low: CTSlice


class Unpaired(NamedTuple):
    """A slice without its other dose, and why."""

    slice: CTSlice
    reason: str


@dataclass(frozen=True)
class DosePairs:
    """What could be paired.

    Parameters
    ----------
    pairs
        By patient, kernel, thickness and place.
    unpaired
        Slices that have no partner, of patients and kernels with some low dose.
    """

    pairs: tuple[DosePair, ...]
    unpaired: tuple[Unpaired, ...]


def match_doses(slices: Sequence[CTSlice]) -> DosePairs:
    """Pair the doses by position, per patient, kernel and thickness, never across.

    Study, series and PatientID are no help: in Mayo's files they differ between doses or are the
    same for everybody. Prepared slices are paired by their number.

    Parameters
    ----------
    slices
        Of any patients and doses.

    Returns
    -------
    DosePairs
        A patient and kernel at normal dose only is no loss and not listed.
    """
    groups: dict[tuple[str, str, str, float | None], list[CTSlice]] = defaultdict(list)
    for one in slices:
        groups[one.kind, one.patient, one.kernel, one.thickness_mm].append(one)
    pairs: list[DosePair] = []
    unpaired: list[Unpaired] = []
    for group in groups.values():
        if any(one.dose == "low" for one in group):
            for there in _by_place(group):
                made = _match(there)
                if isinstance(made, DosePair):
                    pairs.append(made)
                else:
                    unpaired += made
    return DosePairs(tuple(pairs), tuple(unpaired))


def _by_place(group: Sequence[CTSlice]) -> Iterator[list[CTSlice]]:
    """Part slices into those that lie at one place; without a place each is on its own."""
    there: list[CTSlice] = []
    for one in sorted(group, key=lambda one: (one.place is None, one.place or 0.0)):
        if there and not _same_place(there[-1], one):
            yield there
            there = []
        there.append(one)
    if there:
        yield there


def _same_place(one: CTSlice, other: CTSlice) -> bool:
    if one.place is None or other.place is None:
        return False
    return abs(one.place - other.place) < SAME_MM


def _match(there: Sequence[CTSlice]) -> DosePair | list[Unpaired]:
    """Pair the slices of one place, or say why they are no pair."""
    normal = [one for one in there if one.dose == "normal"]
    low = [one for one in there if one.dose == "low"]
    if len(normal) == len(low) == 1 and _alike(normal[0], low[0]):
        return DosePair(normal[0], low[0])
    if there[0].place is None:
        reason = "the position is unknown"
    elif not low:
        reason = "the low dose is missing"
    elif not normal:
        reason = "the normal dose is missing"
    elif len(there) > 2:
        reason = f"{len(normal)} slices of normal and {len(low)} of low dose lie at one place"
    else:
        reason = "normal and low dose differ in matrix size, or in the frame of their file"
    return [Unpaired(one, reason) for one in there]


def _alike(normal: CTSlice, low: CTSlice) -> bool:
    return (normal.shape, normal.frame) == (low.shape, low.frame)
