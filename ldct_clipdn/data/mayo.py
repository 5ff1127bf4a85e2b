"""Training and validation slices out of a data folder: found, split by patient, cached."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ldct_clipdn.core.words import counted
from ldct_clipdn.data.cache import Cache, Source, open_cache
from ldct_clipdn.data.doses import DosePair, match_doses
from ldct_clipdn.data.problems import doubtful, find_problems, require_sound, unreadable
from ldct_clipdn.data.slices import CTSlice, FoundSlices, find_slices, read_frames, source_files
from ldct_clipdn.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LOW_DOSE", "SYNTHETIC", "TrainingSets", "split_by_patient", "training_sets"]

TEST_PATIENT: Final = "L506"
"""The paper's; of a data set without it, other patients are held out."""

HELD_OUT: Final = 10
"""One patient in so many is held out where the data set has no test patient of that name."""

SYNTHETIC: Final = "synthetic"
LOW_DOSE: Final = "low_dose"
"""What a validation slice's `set` says: noise is added to it, or it has a real noisy half."""

Thing = TypeVar("Thing")
Item = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSets:
    """What a training reads.

    Parameters
    ----------
    training
        One dictionary per normal-dose slice: `image` (its file), `frame`, `patient`, `kernel`.
    validation
        The same with `set`: `synthetic` (normal dose, to which noise is added) or `low_dose` (a
        real pair, its `low_dose` file beside `image`).
    cache
        Where their pixels are.
    """

    training: list[Item]
    validation: list[Item]
    cache: Cache

    def __str__(self) -> str:
        kinds = Counter(one["set"] for one in self.validation)
        patients = sorted({one["patient"] for one in self.training})
        judged = sorted({one["patient"] for one in self.validation})
        return (
            f"training: {counted(len(self.training), 'slice')} of "
            f"{counted(len(patients), 'patient')}; validation: {kinds[SYNTHETIC]} with synthetic "
            f"noise, {counted(kinds[LOW_DOSE], 'real pair')}"
            f"{' of ' if judged else ''}{', '.join(judged)}"
        )

    def read(self, path: Path, frame: int = 0) -> NDArray[np.float32]:
        """Read one slice.

        Parameters
        ----------
        path
            An `image` or `low_dose`.
        frame
            Its `frame`.

        Returns
        -------
        numpy.ndarray
            HU, float32 [H, W], padding as air (-1024).
        """
        return self.cache.read(path, frame)


def training_sets(
    dataset_dir: Path | str | None,
    validation_dir: Path | str | None = None,
    test_patients: str | Sequence[str] = TEST_PATIENT,
    cache_dir: Path | str = "cache",
    validation_slices: int | None = None,
    *,
    strict: bool = False,
) -> TrainingSets:
    """Find, split and cache the slices of a training.

    Training takes normal dose only. Validation adds noise to the normal dose of other patients and
    takes their real pairs where there are some.

    Parameters
    ----------
    dataset_dir
        Folder to train on; see `find_slices` for what is understood.
    validation_dir
        Folder to validate on, all of it; None splits patients off `dataset_dir`.
    test_patients
        Patients to hold out of the training: names, or one text with commas.
    cache_dir
        Folder of the cache.
    validation_slices
        At most so many slices with synthetic noise, and so many real pairs, spread evenly over the
        patients; None takes all.
    strict
        Stop where a file is unreadable, a pair incomplete or a matrix size odd, instead of saying
        so and going on without.

    Returns
    -------
    TrainingSets
        Slices and their reader.

    Raises
    ------
    ConfigError
        When no folder is given.
    DataError
        When nothing is left to train on, prepared slices lack their other dose, or `strict` finds
        something.
    """
    if dataset_dir is None or not str(dataset_dir):
        raise ConfigError("no data to train on is given", remedy="Give --dataset_dir DIR")
    found = find_slices(dataset_dir)
    _check(found, strict=strict)
    if validation_dir is None:
        training, held_out = split_by_patient(found.slices, test_patients)
        if not held_out:
            why = "no patient is held out" if len(_patients(found)) > 1 else "one patient"
            log.warning("%s: %s: all of it trains, nothing validates", found.root, why)
    else:
        others = find_slices(validation_dir)
        _check(others, strict=strict)
        held_out = list(others.slices)
        training = _apart(found, held_out, _names(test_patients))
    sets = _cached(training, held_out, Path(cache_dir), validation_slices, strict=strict)
    log.info("%s", sets)
    return sets


def split_by_patient(
    slices: Sequence[CTSlice], test_patients: str | Sequence[str] = TEST_PATIENT
) -> tuple[list[CTSlice], list[CTSlice]]:
    """Hold patients out of the training, whole.

    Parameters
    ----------
    slices
        Of any patients and doses.
    test_patients
        Who; where the default is not among them, every tenth patient, one at least.

    Returns
    -------
    tuple of list of CTSlice
        To train on, and held out; of one patient alone, none is held out.

    Raises
    ------
    DataError
        When a test patient that is no default is not there, or none is left to train on.
    """
    patients = sorted({one.patient for one in slices})
    if len(patients) < 2:
        return list(slices), []
    names = _names(test_patients)
    absent = sorted(names - set(patients))
    if absent == [TEST_PATIENT]:
        names = (names & set(patients)) or set(patients[HELD_OUT - 1 :: HELD_OUT] or patients[-1:])
    elif absent:
        raise DataError(
            f"no patient is called {', '.join(absent)}",
            remedy=f"Set test_patients to some of {', '.join(patients)}",
        )
    training = [one for one in slices if one.patient not in names]
    if not training:
        raise DataError("all patients are held out", remedy="Set test_patients to fewer")
    return training, [one for one in slices if one.patient in names]


def _patients(found: FoundSlices) -> set[str]:
    return {one.patient for one in found.slices}


def _names(test_patients: str | Sequence[str]) -> set[str]:
    given = test_patients.split(",") if isinstance(test_patients, str) else test_patients
    return {str(name).strip() for name in given} - {"", "none"}


def _apart(found: FoundSlices, held_out: Iterable[CTSlice], names: set[str]) -> list[CTSlice]:
    """Take what shares no patient with the validation."""
    shared = _patients(found) & {one.patient for one in held_out}
    if shared:
        log.warning("%s: %s validate, so they do not train", found.root, ", ".join(sorted(shared)))
    training = [one for one in found.slices if one.patient not in shared | names]
    if not training:
        raise DataError(
            "every patient is held out for validation or test",
            path=found.root,
            remedy="Give another validation_dir, or test_patients none",
        )
    return training


def _check(found: FoundSlices, *, strict: bool) -> None:
    """Say what is wrong with a folder; stop where no training can go on."""
    if not any(one.dose == "normal" for one in found.slices):
        raise DataError(
            "no CT slice of normal dose",
            path=found.root,
            remedy=f"Look with `ldct-clipdn data check {found.root}`",
        )
    problems = find_problems(found, match_doses(found.slices))
    require_sound(problems, found.root, strict=strict)
    for one in problems:
        log.warning("%s: %s", found.root, one.line(found.root))


def _cached(
    training: Sequence[CTSlice],
    held_out: Sequence[CTSlice],
    cache_dir: Path,
    limit: int | None,
    *,
    strict: bool,
) -> TrainingSets:
    """Write and open the cache of what is used, and leave out what cannot be read."""
    clean = [one for one in training if one.dose == "normal"]
    synthetic = _spread([one for one in held_out if one.dose == "normal"], limit, _group)
    pairs = _spread(match_doses(held_out).pairs, limit, _pair_group)
    used = [*clean, *synthetic, *(one for pair in pairs for one in pair)]
    doubts: dict[Path, str] = {}
    cache = open_cache(cache_dir, _sources(used), lambda path: read_frames(path, doubts))
    problems = [*unreadable(cache.unreadable), *doubtful(doubts)]
    require_sound(problems, cache_dir, strict=strict)
    for one in problems:
        log.warning("%s", one.line(cache_dir))
    items = [_item(one) for one in clean if one.path in cache.names]
    if not items:
        raise DataError(
            "no slice to train on can be read", remedy="Look with `ldct-clipdn data check`"
        )
    return TrainingSets(
        items,
        [
            *({**_item(one), "set": SYNTHETIC} for one in synthetic if one.path in cache.names),
            *({**_pair_item(pair), "set": LOW_DOSE} for pair in pairs if _has(cache, pair)),
        ],
        cache,
    )


def _sources(slices: Iterable[CTSlice]) -> list[Source]:
    """List the files of slices; of a volume all slices are cached."""
    by_path = {one.path: one for one in slices}
    return [
        Source(path, (one.frames, *one.shape), source_files(path)) for path, one in by_path.items()
    ]


def _spread(
    things: Sequence[Thing], limit: int | None, key: Callable[[Thing], Hashable]
) -> list[Thing]:
    """Take so many things, as evenly as can be over the groups and within each."""
    if limit is None or limit >= len(things):
        return list(things)
    groups: dict[Hashable, list[Thing]] = defaultdict(list)
    for one in things:
        groups[key(one)].append(one)
    rounds = [(turn, group) for group, all_of in groups.items() for turn in range(len(all_of))]
    taken = Counter(group for _, group in sorted(rounds, key=lambda each: each[0])[:limit])
    return [
        groups[group][(2 * index + 1) * len(groups[group]) // (2 * count)]
        for group, count in taken.items()
        for index in range(count)
    ]


def _group(one: CTSlice) -> Hashable:
    return one.patient, one.kernel, one.thickness_mm


def _pair_group(pair: DosePair) -> Hashable:
    return _group(pair.normal)


def _item(one: CTSlice) -> Item:
    return {
        "image": str(one.path),
        "source": str(one.path),
        "frame": one.frame,
        "patient": one.patient,
        "kernel": one.kernel,
    }


def _pair_item(pair: DosePair) -> Item:
    return {**_item(pair.normal), "low_dose": str(pair.low.path)}


def _has(cache: Cache, pair: DosePair) -> bool:
    return all(one.path in cache.names for one in pair)
