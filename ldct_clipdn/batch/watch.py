"""Watches one series or volume while it is denoised: measures it, and keeps one slice to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.ct.flags import Expected
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.ct.quality import QualityMeter
from ldct_clipdn.io.dicom_read import rescale
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.scan import pixel_spacing
from ldct_clipdn.io.stored import from_stored

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from ldct_clipdn.ct.quality import QualityRecord
    from ldct_clipdn.io.scan import Instance, Scan, Slice
    from ldct_clipdn.io.uids import Recipe
    from ldct_clipdn.io.volume import Volume

__all__ = ["Example", "SeriesWatch", "Watched", "lowest_hu", "watch_scan", "written_hu"]


@dataclass(frozen=True)
class Example:
    """One slice of a series, before and after.

    Parameters
    ----------
    before, after
        float32 [H, W] in HU, padding as air.
    index
        Which slice, from 0.
    """

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    index: int


@dataclass(frozen=True)
class Watched:
    """A series or volume that was denoised, for those who show it.

    Parameters
    ----------
    source
        What it was made of.
    uid
        SeriesInstanceUID of the result; of a volume, its file's name.
    recipe
        What was done.
    quality
        What was measured.
    example
        One slice of it.
    notes
        What a person should know of the source, one line each.
    """

    source: Scan | Volume
    uid: str
    recipe: Recipe
    quality: QualityRecord
    example: Example
    notes: tuple[str, ...] = ()


class SeriesWatch:
    """Takes each slice of a series as it passes.

    Parameters
    ----------
    spacing_mm
        Distance of rows and of columns in mm; None where it is not known.
    slices
        How many will come.
    floor_hu
        The lowest value that can be stored, in HU.
    """

    def __init__(
        self, spacing_mm: tuple[float, float] | None, slices: int, *, floor_hu: float = AIR_HU
    ) -> None:
        self._middle = slices // 2
        self._seen = 0
        self._meter = QualityMeter(spacing_mm, slices, floor_hu=floor_hu)
        self.example: Example | None = None

    def add(
        self, before: NDArray[np.float32], after: NDArray[np.float32], limited: int = 0
    ) -> None:
        """Measure one slice.

        Parameters
        ----------
        before, after
            As read and as written, float32 [H, W] in HU; padding as air.
        limited
            Pixels whose change was limited.
        """
        self._meter.add(before, after, limited=limited)
        if self._seen == self._middle:
            self.example = Example(before, after, self._seen)
        self._seen += 1

    def finish(self, expected: Expected) -> QualityRecord:
        """Put the measurements together.

        Parameters
        ----------
        expected
            What was known before.

        Returns
        -------
        QualityRecord
            Of the whole series.
        """
        return self._meter.finish(expected)


def watch_scan(scan: Scan) -> SeriesWatch:
    """Begin to watch a DICOM series.

    Parameters
    ----------
    scan
        The series.

    Returns
    -------
    SeriesWatch
        That has seen no slice yet.
    """
    first = scan.instances[0]
    spacing = pixel_spacing(first.header)
    return SeriesWatch(spacing, len(scan.instances), floor_hu=lowest_hu(first))


def written_hu(before: Slice, stored: NDArray[np.int32], header: Dataset) -> NDArray[np.float32]:
    """Give a derived image as it is measured and shown.

    Parameters
    ----------
    before
        The source image.
    stored
        Of the derived image: int32 [H, W].
    header
        Of the source image.

    Returns
    -------
    numpy.ndarray
        float32 [H, W] in HU; padding, which is written back as it was, as air.
    """
    return np.where(before.padding, before.hu, from_stored(stored, header))


def lowest_hu(instance: Instance) -> float:
    """Give the lowest HU that an image can store, and -1024 where it could store less.

    Parameters
    ----------
    instance
        The image.

    Returns
    -------
    float
        In HU.
    """
    slope, intercept = rescale(instance.header, instance.path)
    return max(pixel_layout(instance.header).low * slope + intercept, AIR_HU)
