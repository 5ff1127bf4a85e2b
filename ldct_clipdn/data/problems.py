"""What is wrong with a data set: each kind of trouble named, counted, and with its remedy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ldct_clipdn.core.words import counted
from ldct_clipdn.data.names import dose_word, mayo_patient
from ldct_clipdn.errors import DataError

if TYPE_CHECKING:
    from ldct_clipdn.data.doses import DosePairs
    from ldct_clipdn.data.slices import CTSlice, FoundSlices

__all__ = ["Problem", "doubtful", "find_problems", "require_sound", "unreadable"]

NAMES_SHOWN: Final = 3

ProblemKind = Literal[
    "unreadable",
    "doubtful values",
    "missing pair",
    "unequal counts",
    "matrix sizes",
    "empty folder",
]


@dataclass(frozen=True)
class Problem:
    """One kind of trouble.

    Parameters
    ----------
    kind
        What it is.
    reason
        What is wrong, in one sentence without a full stop.
    remedy
        What to do.
    paths
        Files or folders it concerns.
    fatal
        Whether no training can go on with it.
    """

    kind: ProblemKind
    reason: str
    remedy: str
    paths: tuple[Path, ...]
    fatal: bool = False

    def line(self, root: Path) -> str:
        """Say it in one line.

        Parameters
        ----------
        root
            Folder that paths are shown below.

        Returns
        -------
        str
            Reason, first names, remedy.
        """
        return f"{self.reason} ({self.names(root)}). {self.remedy}"

    def names(self, root: Path) -> str:
        """Name the first few files or folders.

        Parameters
        ----------
        root
            Folder that paths are shown below.

        Returns
        -------
        str
            With how many more there are.
        """
        shown = [str(_below(path, root)) for path in self.paths[:NAMES_SHOWN]]
        more = len(self.paths) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


def find_problems(found: FoundSlices, pairs: DosePairs) -> tuple[Problem, ...]:
    """List what is wrong with a data set, by headers alone.

    Parameters
    ----------
    found
        What lies in the folder.
    pairs
        What of it could be paired.

    Returns
    -------
    tuple of Problem
        Empty where all is well.
    """
    return (
        *unreadable({one.path: one.reason for one in found.failed}),
        *_missing_pairs(pairs),
        *_matrix_sizes(found.slices),
        *_empty_folders(found),
    )


def unreadable(reasons: Mapping[Path, str]) -> list[Problem]:
    """Describe files that cannot be read, one problem per reason.

    Parameters
    ----------
    reasons
        Why, for each file.

    Returns
    -------
    list of Problem
        Sorted by reason.
    """
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in reasons.items():
        by_reason[reason].append(path)
    return [
        Problem(
            "unreadable",
            f"{counted(len(paths), 'file')} cannot be read: {reason}",
            "Fetch again or remove",
            tuple(paths),
        )
        for reason, paths in sorted(by_reason.items())
    ]


def doubtful(doubts: Mapping[Path, str]) -> list[Problem]:
    """Describe files whose values seem to be no HU.

    Parameters
    ----------
    doubts
        Why, for each file.

    Returns
    -------
    list of Problem
        One for all of them; none where there are none.
    """
    if not doubts:
        return []
    paths = tuple(doubts)
    return [
        Problem(
            "doubtful values",
            f"{counted(len(paths), 'file')} may hold no HU: {doubts[paths[0]]}",
            "Rescale them to HU where they are not",
            paths,
        )
    ]


def require_sound(problems: Iterable[Problem], root: Path, *, strict: bool) -> None:
    """Stop at a problem that no training can go on with.

    Parameters
    ----------
    problems
        What was found.
    root
        The data set.
    strict
        Stop at any.

    Raises
    ------
    DataError
        With the first such problem.
    """
    for one in problems:
        if one.fatal or strict:
            raise DataError(
                one.line(root).removesuffix(f". {one.remedy}"), path=root, remedy=one.remedy
            )


def _missing_pairs(pairs: DosePairs) -> list[Problem]:
    groups: dict[tuple[bool, str, str, str], list[CTSlice]] = defaultdict(list)
    for one, reason in pairs.unpaired:
        groups[one.kind == "prepared", one.patient, one.kernel, reason].append(one)
    problems = []
    for (prepared, patient, kernel, reason), slices in sorted(groups.items()):
        whose = " ".join(word for word in (patient, kernel) if word)
        problems.append(
            Problem(
                "unequal counts" if prepared else "missing pair",
                f"{whose}: {counted(len(slices), 'slice')} cannot be paired: {reason}",
                "Add the missing files or remove these",
                tuple(one.path for one in slices),
                fatal=prepared,
            )
        )
    return problems


def _matrix_sizes(slices: Sequence[CTSlice]) -> list[Problem]:
    """Name the slices that are not of the usual size."""
    counts = Counter(one.shape for one in slices)
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    odd = [one for one in slices if one.shape != usual]
    sizes = ", ".join(f"{n} of {rows} x {columns}" for (rows, columns), n in counts.most_common())
    return [
        Problem(
            "matrix sizes",
            f"matrix sizes are mixed: {sizes}",
            "Training crops and takes them all; remove what does not belong",
            tuple(dict.fromkeys(one.path for one in odd)),
        )
    ]


def _empty_folders(found: FoundSlices) -> list[Problem]:
    """Name folders that should hold a patient or a dose and hold no slice."""
    if not found.root.is_dir():
        return []
    used = {folder for one in found.slices for folder in one.path.parents}
    empty = [
        folder
        for folder in sorted(found.root.rglob("*/"))
        if folder.is_dir() and folder not in used and _should_hold_slices(folder)
    ]
    if not empty:
        return []
    return [
        Problem(
            "empty folder",
            f"{counted(len(empty), 'folder')} without any CT slice",
            "Fetch the images or remove the folders",
            tuple(empty),
        )
    ]


def _should_hold_slices(folder: Path) -> bool:
    named = mayo_patient(folder.name) or dose_word(folder.name)
    return bool(named) or not any(folder.iterdir())


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path != root and path.is_relative_to(root) else path
