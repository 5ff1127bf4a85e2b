"""What every reader makes and every writer takes: instances, scans, and one slice's pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from ldct_clipdn.io.attributes import number, numbers, text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = [
    "Found",
    "Instance",
    "Kept",
    "Result",
    "Scan",
    "Slice",
    "Unused",
    "pixel_spacing",
    "study_and_number",
]

SMALLEST_MM: Final = 1e-3
LARGEST_MM: Final = 1e2
"""Pixels of micro-CT are larger, those of a scout smaller; a header can hold 0, or 1e-300."""


@dataclass(frozen=True)
class Instance:
    """One CT image, its header read and its pixels not: a file, or a frame of a file.

    Parameters
    ----------
    path
        The file.
    header
        Everything before the pixel data; read-only by convention.
    frame
        Which frame of an Enhanced CT image, from 0; None for a file with one image.
    whole
        Header of the Enhanced CT image, where this is a frame.
    """

    path: Path
    header: Dataset = field(repr=False, compare=False)
    frame: int | None = None
    whole: Dataset | None = field(default=None, repr=False, compare=False)

    @property
    def sop_uid(self) -> str:
        """Read the SOPInstanceUID.

        Returns
        -------
        str
            Empty where the file has none.
        """
        return text(self.header, "SOPInstanceUID")


@dataclass(frozen=True)
class Slice:
    """The pixels of one instance.

    Parameters
    ----------
    stored
        Stored values, sign and BitsStored applied, before rescale: int32 [H, W].
    padding
        True where the pixel is padding and no image: bool [H, W].
    hu
        Rescaled values in HU, padding as air (-1024): float32 [H, W].
    """

    stored: NDArray[np.int32]
    padding: NDArray[np.bool_]
    hu: NDArray[np.float32]


class Result(NamedTuple):
    """One image on its way out: where it comes from, what it was, its new HU, pixels limited."""

    instance: Instance
    before: Slice
    hu: NDArray[np.float32]
    limited: int = 0


class Kept(NamedTuple):
    """One image that an earlier run finished: stored values int32 [H, W], pixels limited."""

    stored: NDArray[np.int32]
    limited: int


@dataclass(frozen=True)
class Scan:
    """One series, or one part of a series that had to be split: what is denoised as a whole.

    Parameters
    ----------
    source_uid
        SeriesInstanceUID of the source; where it has none, one made of its images.
    split_key
        What tells this part from the other parts of the same series; empty where it was not split.
    instances
        Its images, sorted by position along the slice normal.
    notes
        What a person should know (gaps, duplicates, tilt, uneven spacing), one line each.
    lost
        Number of images that belong here and cannot be used.
    """

    source_uid: str
    split_key: str
    instances: tuple[Instance, ...]
    notes: tuple[str, ...] = ()
    lost: int = 0

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Read the pixel spacing of the first image.

        Returns
        -------
        tuple of float
            Distance of rows and of columns in mm; (1, 1) where the header has none that can be.
        """
        return pixel_spacing(self.instances[0].header) or (1.0, 1.0)


def pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    """Read the pixel spacing of an image.

    Parameters
    ----------
    header
        Of the image.

    Returns
    -------
    tuple of float or None
        Distance of rows and of columns in mm; None where the header has none, or one of no CT.
    """
    spacing = numbers(header, "PixelSpacing")
    is_possible = all(SMALLEST_MM <= one <= LARGEST_MM for one in spacing)
    return (spacing[0], spacing[1]) if len(spacing) == 2 and is_possible else None


def study_and_number(header: Dataset) -> tuple[str, int]:
    """Read which SeriesNumber an image takes, and in which study.

    Parameters
    ----------
    header
        Of the image.

    Returns
    -------
    str
        StudyInstanceUID; empty where there is none.
    int
        SeriesNumber; 0 where there is none.
    """
    return text(header, "StudyInstanceUID"), int(number(header, "SeriesNumber") or 0)


@dataclass(frozen=True)
class Unused:
    """A file that will not be denoised, and why.

    Parameters
    ----------
    path
        The file.
    outcome
        `skipped`: sound, but no CT slice in HU. `failed`: it says it is CT and cannot be used.
    reason
        Why, in one sentence.
    series_uid
        SeriesInstanceUID; empty where the file has none.
    header
        Header of what failed; None where it could not be read, or was skipped.
    taken
        `study_and_number`, which no derived series may bear; None where no header could be read.
    sop_uid
        SOPInstanceUID; empty where it is not known.
    """

    path: Path
    outcome: Literal["skipped", "failed"]
    reason: str
    series_uid: str = ""
    header: Dataset | None = field(default=None, repr=False, compare=False)
    taken: tuple[str, int] | None = field(default=None, compare=False)
    sop_uid: str = field(default="", compare=False)


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    Parameters
    ----------
    scans
        What can be denoised.
    unused
        Every other file, with its reason.
    """

    scans: tuple[Scan, ...]
    unused: tuple[Unused, ...]

    def __iter__(self) -> Iterator[Scan]:
        return iter(self.scans)
