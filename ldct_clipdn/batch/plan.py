"""What a run will do, before it does it."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from errno import EACCES, ENOTDIR
from os import W_OK, X_OK, access, strerror
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.batch.hold import unusable
from ldct_clipdn.batch.manifest import relative_name
from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.core.words import printable
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.io.attributes import text
from ldct_clipdn.io.scan import Found, Scan, Unused, study_and_number

if TYPE_CHECKING:
    from ldct_clipdn.batch.volume_plan import VolumeJob

__all__ = [
    "Job",
    "Plan",
    "check_folders",
    "check_source",
    "check_target",
    "plan_run",
]

NUMBER_OFFSET: Final = 10_000
"""Derived series are numbered this far above their source."""

LARGEST_IS: Final = 2**31 - 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One scan that is to be denoised.

    Parameters
    ----------
    scan
        The source.
    number
        SeriesNumber of the derived series, not used otherwise in the study as far as it was found.
    """

    scan: Scan
    number: int

    @property
    def source_number(self) -> int:
        """Read the SeriesNumber of the source.

        Returns
        -------
        int
            0 where there is none.
        """
        return study_and_number(self.scan.instances[0].header)[1]

    @property
    def kernel(self) -> str:
        """Read the ConvolutionKernel of the source.

        Returns
        -------
        str
            Empty where there is none.
        """
        return text(self.scan.instances[0].header, "ConvolutionKernel")

    def to_dict(self) -> dict[str, object]:
        """Turn the job into what JSON can hold.

        Returns
        -------
        dict
            What identifies the series, and what a person should know of it.
        """
        return {
            "source_uid": self.scan.source_uid,
            "part": self.scan.split_key,
            "number": self.source_number,
            "description": text(self.scan.instances[0].header, "SeriesDescription"),
            "kernel": self.kernel,
            "slices": len(self.scan.instances),
            "lost": self.scan.lost,
            "derived_number": self.number,
            "notes": list(self.scan.notes),
        }


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Parameters
    ----------
    jobs
        One per derived series.
    unused
        Every file that will not be denoised, and why not.
    volumes
        Volumes that will be denoised.
    """

    jobs: tuple[Job, ...]
    unused: tuple[Unused, ...]
    volumes: tuple[VolumeJob, ...] = ()

    @property
    def slices(self) -> int:
        """Count the images that are to be denoised.

        Returns
        -------
        int
            Over all series and volumes.
        """
        slices = sum(len(job.scan.instances) for job in self.jobs)
        return slices + sum(volume.slices for volume in self.volumes)

    def to_dict(self, source: Path) -> dict[str, object]:
        """Turn the plan into what JSON can hold.

        Parameters
        ----------
        source
            The input, to which names are relative.

        Returns
        -------
        dict
            `series` and `volumes` that will be denoised, and `unused` files.
        """
        return {
            "series": [job.to_dict() for job in self.jobs],
            "volumes": [
                {
                    "path": relative_name(one.volume.path, source),
                    "slices": one.slices,
                    "result": one.name,
                    "notes": list(one.notes),
                }
                for one in self.volumes
            ],
            "unused": [
                {
                    "path": relative_name(one.path, source),
                    "outcome": one.outcome,
                    "reason": one.reason,
                    "series_uid": one.series_uid,
                }
                for one in self.unused
            ],
        }


def plan_run(found: Found) -> Plan:
    """Plan what will happen to everything that was found.

    Parameters
    ----------
    found
        As `find_series` gives it.

    Returns
    -------
    Plan
        Jobs in a fixed order.
    """
    scans = sorted(found.scans, key=lambda scan: (scan.source_uid, scan.split_key))
    for scan in scans:
        for note in scan.notes:
            logger.debug("%s", printable(f"series {scan.source_uid}: {note}"))
    sources = [study_and_number(scan.instances[0].header) for scan in scans]
    used: dict[str, set[int]] = defaultdict(set)
    for study, number in (*sources, *filter(None, (one.taken for one in found.unused))):
        used[study].add(number)
    numbers = [_free_number(number, used[study]) for study, number in sources]
    return Plan(tuple(map(Job, scans, numbers)), found.unused)


def check_folders(source: Path, target: Path) -> None:
    """Refuse an input that is not there, and an output that is no folder or would become input.

    Parameters
    ----------
    source
        File or folder that is read.
    target
        Folder that is written.

    Raises
    ------
    ConfigError
        When the source does not exist, or the target is it, lies in it, or cannot be made.
    """
    check_source(source)
    check_target(target)
    inner, outer = target.resolve(), source.resolve()
    if inner == outer or outer in inner.parents:
        raise ConfigError(
            "the output folder lies in the input",
            path=target,
            remedy="Give an output folder elsewhere",
        )


def check_source(source: Path) -> None:
    """Refuse an input that is not there.

    Parameters
    ----------
    source
        File or folder.

    Raises
    ------
    ConfigError
        When there is none, or its name cannot be looked up.
    """
    try:
        is_there = source.exists()
    except OSError as error:  # a name that is too long, a folder that must not be searched
        raise ConfigError(
            f"it cannot be read: {system_words(error)}", path=source, remedy="Check the name"
        ) from error
    if not is_there:
        raise ConfigError("there is no such file or folder", path=source, remedy="Check the name")


def check_target(target: Path) -> None:
    """Refuse an output folder that cannot be one.

    Parameters
    ----------
    target
        Folder; need not exist.

    Raises
    ------
    ConfigError
        When it is a file, or cannot be made or written.
    """
    try:
        _check_writable(target.resolve())
    except OSError as error:
        raise unusable(target, error) from error


def _check_writable(target: Path) -> None:
    there = next(one for one in (target, *target.parents) if one.exists())
    if not there.is_dir():
        raise NotADirectoryError(ENOTDIR, strerror(ENOTDIR))
    if not access(there, W_OK | X_OK):
        raise PermissionError(EACCES, strerror(EACCES))


def _free_number(source: int, used: set[int]) -> int:
    """Take the next free number above the source's, and mark it as used."""
    start = source + NUMBER_OFFSET
    wanted = start if 0 < start < LARGEST_IS - NUMBER_OFFSET else NUMBER_OFFSET
    while wanted in used:
        wanted += 1
    used.add(wanted)
    return wanted
