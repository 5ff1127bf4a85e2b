"""What a data set holds and what is wrong with it, for people to look at before they train."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from ldct_clipdn.data.doses import DosePairs, match_doses
from ldct_clipdn.data.mayo import split_by_patient
from ldct_clipdn.data.problems import Problem, doubtful, find_problems, unreadable
from ldct_clipdn.data.slices import CTSlice, FoundSlices, find_slices, read_frames
from ldct_clipdn.errors import ReadError

__all__ = ["Group", "Survey", "survey_folder"]

COUNTS: Final = ("normal", "low", "pairs")

Progress = Callable[[int, int], None]
"""Called with the files read so far and all files."""


@dataclass(frozen=True)
class Group:
    """Slices of one patient that belong together.

    Parameters
    ----------
    patient, kernel, thickness_mm
        As `data.names` reads them; kernel empty and thickness None where unknown.
    rows, columns
        Matrix size.
    normal, low
        Slices at normal and at low dose.
    pairs
        Places that both doses show.
    """

    patient: str
    kernel: str
    thickness_mm: float | None
    rows: int
    columns: int
    normal: int
    low: int
    pairs: int


@dataclass(frozen=True)
class Survey:
    """What lies in a folder.

    Parameters
    ----------
    root
        The folder.
    groups
        By patient, kernel, thickness and matrix size.
    problems
        What is wrong.
    skipped
        Files that are sound and no CT slice: how many, by reason.
    held_out
        Patients that a training on this folder alone would validate on.
    """

    root: Path
    groups: tuple[Group, ...]
    problems: tuple[Problem, ...]
    skipped: Mapping[str, int]
    held_out: tuple[str, ...]

    @property
    def patients(self) -> list[str]:
        """Name the patients.

        Returns
        -------
        list of str
            Sorted.
        """
        return sorted({one.patient for one in self.groups})

    def count(self, name: str) -> int:
        """Add up over the groups.

        Parameters
        ----------
        name
            `normal`, `low` or `pairs`.

        Returns
        -------
        int
            The sum.
        """
        return sum(getattr(one, name) for one in self.groups)

    def to_dict(self) -> dict[str, Any]:
        """Give all of it for JSON.

        Returns
        -------
        dict
            Paths as text.
        """
        return {
            "root": str(self.root),
            "patients": len(self.patients),
            **{name: self.count(name) for name in COUNTS},
            "groups": [asdict(one) for one in self.groups],
            "problems": [
                {**asdict(one), "paths": [str(path) for path in one.paths]} for one in self.problems
            ],
            "skipped": dict(self.skipped),
            "held_out": list(self.held_out),
        }


def survey_folder(root: Path, *, pixels: bool = True, progress: Progress | None = None) -> Survey:
    """Look what a data set holds and what is wrong with it.

    Parameters
    ----------
    root
        A folder, or one file; see `find_slices` for what is understood.
    pixels
        Read every file's pixels too: only so is a damaged one noticed.
    progress
        Told how far the reading is.

    Returns
    -------
    Survey
        Also where there is no CT slice at all.

    Raises
    ------
    DataError
        When there is no such folder.
    """
    found = find_slices(root)
    bad: list[Problem] = []
    if pixels:
        found, bad = _read_all(found, progress)
    pairs = match_doses(found.slices)
    problems = (*find_problems(found, pairs), *bad)
    skipped = Counter(one.reason for one in found.unused if one.outcome == "skipped")
    return Survey(
        root=found.root,
        groups=_groups(found, pairs),
        problems=problems,
        skipped=dict(skipped.most_common()),
        held_out=tuple(sorted({one.patient for one in split_by_patient(found.slices)[1]})),
    )


def _read_all(found: FoundSlices, progress: Progress | None) -> tuple[FoundSlices, list[Problem]]:
    """Read every file once; leave out those that cannot be read, and doubt those without air."""
    paths = list(dict.fromkeys(one.path for one in found.slices))
    failed: dict[Path, str] = {}
    doubts: dict[Path, str] = {}
    for done, path in enumerate(paths, start=1):
        try:
            for _ in read_frames(path, doubts):
                pass
        except ReadError as error:
            failed[path] = error.reason
        if progress is not None:
            progress(done, len(paths))
    sound = replace(found, slices=tuple(one for one in found.slices if one.path not in failed))
    return sound, [*unreadable(failed), *doubtful(doubts)]


def _groups(found: FoundSlices, pairs: DosePairs) -> tuple[Group, ...]:
    members: dict[tuple[str, str, float, tuple[int, int]], Counter[str]] = defaultdict(Counter)
    for one in found.slices:
        members[_key(one)][one.dose] += 1
    for pair in pairs.pairs:
        members[_key(pair.normal)]["pairs"] += 1
    return tuple(
        Group(patient, kernel, thickness or None, *shape, *(n[word] for word in COUNTS))
        for (patient, kernel, thickness, shape), n in sorted(members.items())
    )


def _key(one: CTSlice) -> tuple[str, str, float, tuple[int, int]]:
    return one.patient, one.kernel, one.thickness_mm or 0.0, one.shape
