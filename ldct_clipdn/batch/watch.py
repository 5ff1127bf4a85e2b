"""Watches one series or volume while it is denoised: measures it, and keeps one slice to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.batch.resume import limited_before
from ldct_clipdn.ct.flags import Expected
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.ct.quality import QualityMeter
from ldct_clipdn.io.dicom_read import rescale
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.scan import pixel_spacing
from ldct_clipdn.io.stored_values import from_stored

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from ldct_clipdn.batch.series import Setting
    from ldct_clipdn.ct.quality import QualityRecord
    from ldct_clipdn.io.scan import Instance, Scan, Slice
    from ldct_clipdn.io.uids import Recipe
    from ldct_clipdn.io.volume import Volume

__all__ = [
    "Example",
    "Measured",
    "Pair",
    "SeriesWatch",
    "Watched",
    "lowest_hu",
    "watch_scan",
    "written_hu",
]


Pair = tuple["NDArray[np.float32]", "NDArray[np.float32]"]
"""A slice before and after, [H, W] in HU, padding as air."""


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
        What a person should know of the source, and which other result of it there is, one line
        each.
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


@dataclass(frozen=True)
class Measured:
    """A result that is measured, and shown where someone wants to see it.

    Parameters
    ----------
    source
        What it is made of.
    uid
        SeriesInstanceUID of the result; of a volume, its file's name.
    slices
        How many the source has, with those that were lost.
    notes
        What a person should know of the source, and which other result of it there is, one line
        each.
    unusual
        What about it lies outside of what the weights were trained for, one line each.
    """

    source: Scan | Volume
    uid: str
    slices: int
    notes: tuple[str, ...]
    unusual: tuple[str, ...]

    def quality(self, watch: SeriesWatch, setting: Setting) -> QualityRecord:
        """Put together what was measured.

        Parameters
        ----------
        watch
            Has seen all slices.
        setting
            Of the run, with the strength of this result.

        Returns
        -------
        QualityRecord
            Of the whole result.
        """
        expected = Expected(
            slices=self.slices,
            strength=setting.recipe.strength,
            target_hu=setting.target_noise,
            noise_hu=setting.engine.weights.trained_noise_hu,
            unusual=self.unusual,
        )
        return watch.finish(expected)

    def show(self, watch: SeriesWatch, quality: QualityRecord, setting: Setting) -> None:
        """Show the result, once it is there.

        Parameters
        ----------
        watch
            Has seen all slices.
        quality
            What was measured.
        setting
            Of the run, with the strength of this result.
        """
        if watch.example:
            setting.show(
                Watched(self.source, self.uid, setting.recipe, quality, watch.example, self.notes)
            )

    def look_again(
        self,
        watch: SeriesWatch,
        pairs: Iterable[Pair],
        kept: Mapping[str, object] | None,
        setting: Setting,
    ) -> Mapping[str, object]:
        """Measure again what an earlier run finished, where that is lost or not yet shown.

        Parameters
        ----------
        watch
            Has seen nothing.
        pairs
            Slices as read and as written, one after the other; as for `SeriesWatch.add`.
        kept
            What was measured when it was written, where that is known.
        setting
            Of the run, with the strength of this result.

        Returns
        -------
        dict
            What was measured then, else what is measured now.
        """
        if kept and setting.is_shown(self.uid):
            return kept
        for before, after in pairs:
            watch.add(before, after)
        quality = replace(self.quality(watch, setting), limited=limited_before(kept))
        self.show(watch, quality, setting)
        return kept or quality.to_dict()


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
