"""Watches one series while it is denoised: measures it, and keeps one slice to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.ct.flags import Expected
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.ct.quality import QualityMeter
from ldct_clipdn.io.dicom_read import rescale
from ldct_clipdn.io.layout import pixel_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.ct.quality import QualityRecord
    from ldct_clipdn.io.scan import Instance, Scan, Slice
    from ldct_clipdn.io.uids import Recipe

__all__ = ["Example", "SeriesWatch", "Watched"]


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
    """A series that was denoised, for those who show it.

    Parameters
    ----------
    scan
        The source.
    uid
        SeriesInstanceUID of the result.
    recipe
        What was done.
    quality
        What was measured.
    example
        One slice of it.
    """

    scan: Scan
    uid: str
    recipe: Recipe
    quality: QualityRecord
    example: Example


class SeriesWatch:
    """Takes each slice of a series as it passes.

    Parameters
    ----------
    scan
        The series.
    """

    def __init__(self, scan: Scan) -> None:
        self._middle = len(scan.instances) // 2
        self._seen = 0
        self._meter = QualityMeter(
            scan.spacing_mm, len(scan.instances), floor_hu=lowest_hu(scan.instances[0])
        )
        self.example: Example | None = None

    def add(self, before: Slice, after: NDArray[np.float32], limited: int = 0) -> None:
        """Measure one slice.

        Parameters
        ----------
        before
            As read.
        after
            Denoised, float32 [H, W] in HU.
        limited
            Pixels whose change was limited.
        """
        # padding is written back as it was, whatever was made of it
        shown = np.where(before.padding, before.hu, after)
        self._meter.add(before.hu, shown, limited=limited)
        if self._seen == self._middle:
            self.example = Example(before.hu, shown, self._seen)
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
