"""Which volumes (NIfTI, NRRD, MetaImage) of a run are denoised, and where their results go."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.batch.failure import explain_failure
from ldct_clipdn.batch.manifest import relative_name
from ldct_clipdn.batch.unusual import UNUSUAL
from ldct_clipdn.core.words import counted, printable
from ldct_clipdn.errors import NotCTError, ReadError
from ldct_clipdn.io.scan import Unused
from ldct_clipdn.io.volume_write import denoised_name
from ldct_clipdn.io.volumes import (
    DETACHED,
    data_files,
    is_volume,
    open_volume,
    overheard_nibabel,
    stem_and_suffix,
)

if TYPE_CHECKING:
    from ldct_clipdn.io.volume import Volume

__all__ = ["VolumeJob", "plan_volumes", "without_volumes"]

OWN: Final = "_denoised"

NO_AIR: Final = "no-air"
"""The name in `io.accept.ADMISSIBLE` that takes what seems to hold no HU."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VolumeJob:
    """One volume that is to be denoised.

    Parameters
    ----------
    volume
        Its header read.
    files
        What it consists of: its file first, then those of detached pixels.
    source
        Its name, relative to the input folder, with `/`.
    doubt
        Why its values seem to be no HU, where it was asked for in spite of that; else empty.
    holes
        Voxels that are NaN or infinite.
    mended
        What nibabel changed in its header to read it, one line each.
    """

    volume: Volume
    files: tuple[Path, ...]
    source: str
    doubt: str = ""
    holes: int = 0
    mended: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name the result.

        Returns
        -------
        str
            A file in the output folder, in the folder that its source has in the input, with `/`.
        """
        return (PurePosixPath(self.source).parent / denoised_name(self.volume.path)).as_posix()

    @property
    def slices(self) -> int:
        """Count the slices.

        Returns
        -------
        int
            Of the volume.
        """
        return self.volume.shape[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what a person should know of the volume.

        Returns
        -------
        tuple of str
            One line each.
        """
        doubt = f"{UNUSUAL}{self.doubt}" if self.doubt else ""
        holes = f"NaN or infinite: {counted(self.holes, 'voxel')}, air to the network, left as read"
        mended = (f"header mended to be read: {one}" for one in self.mended)
        return tuple(filter(None, (doubt, holes if self.holes else "", *mended)))


def plan_volumes(
    unused: Sequence[Unused], source: Path, admit: Set[str] = frozenset()
) -> tuple[tuple[VolumeJob, ...], tuple[Unused, ...]]:
    """Find the volumes among the files that are no DICOM; reads their pixels, one at a time.

    Parameters
    ----------
    unused
        As `find_series` gives them.
    source
        The input: a folder, or a file.
    admit
        With `own` in it, earlier results are taken too; with `no-air`, values that seem to be no
        HU, as of label maps, MR, or CT that was cropped to the inside of the body.

    Returns
    -------
    tuple of VolumeJob
        What will be denoised.
    tuple of Unused
        All other files.
    """
    jobs: dict[tuple[str, bool | str], VolumeJob] = {}
    others: dict[Path, Unused] = {one.path: one for one in unused}
    for path in [one.path for one in unused if is_volume(one.path) and one.path.is_file()]:
        name = relative_name(path, source)
        job = _look_at(path, name, admit)
        place = _place(PurePosixPath(name))
        if isinstance(job, VolumeJob) and place in jobs:
            reason = (
                f"its result would take the place of that of {jobs[place].source}, whose name "
                "differs in case or suffix alone. Rename one of them"
            )
            job = Unused(path, "failed", reason)
        if isinstance(job, Unused):
            others[path] = job
        else:
            jobs[place] = job
            del others[path]
            for file in others.keys() & set(job.files[1:]):
                others[file] = Unused(file, "skipped", f"holds the pixels of {path.name}")
    for job in jobs.values():
        for note in job.notes:
            logger.debug("%s", printable(f"volume {job.source}: {note}"))
    return tuple(jobs.values()), tuple(others.values())


def without_volumes(unused: Sequence[Unused], reason: str) -> tuple[Unused, ...]:
    """Pass over the volumes among the files that are no DICOM, and say why.

    Parameters
    ----------
    unused
        As `find_series` gives them.
    reason
        Why volumes are not taken.

    Returns
    -------
    tuple of Unused
        The same files.
    """
    return tuple(replace(one, reason=reason) if is_volume(one.path) else one for one in unused)


def _place(name: PurePosixPath) -> tuple[str, bool | str]:
    """Name what no two results may share.

    Folder and file name but for case and the coding of accents, which macOS takes for the same; and
    of headers with detached pixels the stem, since the pixels of all have one suffix.
    """
    stem, suffix = stem_and_suffix(Path(name))
    place = (name.parent / stem).as_posix()
    return unicodedata.normalize("NFC", place).casefold(), suffix in DETACHED or suffix


def _look_at(path: Path, name: str, admit: Set[str]) -> VolumeJob | Unused:
    if stem_and_suffix(path)[0].endswith(OWN) and "own" not in admit:
        return Unused(path, "skipped", "our own result, by its name")
    try:
        with overheard_nibabel() as told:
            seen = open_volume(path)
            doubt = seen.doubt()
        if doubt and NO_AIR not in admit:
            return Unused(path, "skipped", f"{doubt}; --accept {NO_AIR} takes it")
        unread = replace(seen)  # so that no pixels stay in memory
        mended = tuple(dict.fromkeys(told))
        return VolumeJob(unread, data_files(path), name, doubt, _holes(seen), mended)
    except ReadError as error:
        outcome: Final = "skipped" if isinstance(error, NotCTError) else "failed"
        return Unused(path, outcome, explain_failure(error, path)[1])


def _holes(volume: Volume) -> int:
    return int((~np.isfinite(volume.stored)).sum()) if volume.dtype.kind == "f" else 0
