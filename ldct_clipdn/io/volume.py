"""One volume: slices in HU as DICOM shows them, geometry as the file has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.errors import ReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Volume", "hu_doubt"]

AIR_IS_BELOW_HU: Final = -200.0
"""A CT image with no value below this has no air in it, or no HU."""


@dataclass(frozen=True)
class Volume:
    """One volume, its header read and its pixels not before the first slice is asked for.

    Slices are numbered from the feet up; each is shown as DICOM shows an axial image: rows from
    front to back, columns from the patient's right to left. An oblique volume is cut along its own
    axes, those nearest to that.

    Parameters
    ----------
    path
        The file.
    stored_shape
        Voxels along the file's three axes.
    dtype
        Of the stored values.
    affine
        Voxel indices to millimetres, right to left, back to front and up (RAS): float64 [4, 4].
    slope, intercept
        From stored values to HU.
    load
        Gives the stored values, [I, J, K].
    """

    path: Path
    stored_shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64] = field(repr=False)
    slope: float
    intercept: float
    load: Callable[[], NDArray[Any]] = field(repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Count slices, rows and columns.

        Returns
        -------
        tuple of int
            In this order.
        """
        columns, rows, slices = (self.stored_shape[axis] for axis in self._axes)
        return slices, rows, columns

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Measure the pixels.

        Returns
        -------
        tuple of float
            Row and column spacing in mm.
        """
        columns, rows, _ = self._voxel_mm
        return rows, columns

    @property
    def step_mm(self) -> float:
        """Measure the step from slice to slice.

        Returns
        -------
        float
            In mm.
        """
        return self._voxel_mm[2]

    def frame(self, index: int) -> NDArray[np.float32]:
        """Read one slice.

        Parameters
        ----------
        index
            From 0, the slice nearest to the feet.

        Returns
        -------
        numpy.ndarray
            HU, float32 [H, W].

        Raises
        ------
        ReadError
            When the file's pixels cannot be read.
        """
        stored = self.oriented(self.stored)[:, :, index].T
        return (stored * np.float64(self.slope) + self.intercept).astype(np.float32)

    def to_stored(self, hu: NDArray[np.float32], index: int) -> NDArray[Any]:
        """Turn the new HU of a slice into stored values.

        Parameters
        ----------
        hu
            float32 [H, W].
        index
            Of the slice; where its HU are the same, its stored values stay, to the last bit.

        Returns
        -------
        numpy.ndarray
            Same shape, of the file's type: whole numbers rounded and limited to what it holds.
        """
        values = (hu.astype(np.float64) - self.intercept) / self.slope
        if self.dtype.kind != "f":
            limits = np.iinfo(self.dtype)
            values = np.rint(values).clip(limits.min, limits.max)
        before = self.oriented(self.stored)[:, :, index].T
        return np.where(hu == self.frame(index), before, values.astype(self.dtype))

    def frames(self) -> Iterator[NDArray[np.float32]]:
        """Read one slice after the other.

        Yields
        ------
        numpy.ndarray
            HU, float32 [H, W], from the feet up.
        """
        for index in range(self.shape[0]):
            yield self.frame(index)

    @cached_property
    def stored(self) -> NDArray[Any]:
        """Read the stored values.

        Returns
        -------
        numpy.ndarray
            [I, J, K], mapped into memory where the file allows it.
        """
        values = self.load()
        if values.shape != self.stored_shape:
            raise ReadError(
                f"its pixels are {values.shape}, not as its header says", path=self.path
            )
        return values

    def oriented(self, values: NDArray[Any]) -> NDArray[Any]:
        """View an array of the file's axes in the patient's.

        Parameters
        ----------
        values
            [I, J, K].

        Returns
        -------
        numpy.ndarray
            A view [W, H, Z]: to the left, to the back, up.
        """
        from nibabel.orientations import apply_orientation

        return np.asarray(apply_orientation(values, self._orientation))

    def doubt(self) -> str:
        """Say why the values seem to be no HU; reads the pixels.

        Returns
        -------
        str
            One sentence; empty where there is no doubt.
        """
        values = self.stored
        if self.dtype.kind == "f":
            values = values[np.isfinite(values)]
        if not values.size:
            return "none of its values is a number"
        ends = np.array([values.min(), values.max()], dtype=np.float64)
        low, high = sorted(ends * self.slope + self.intercept)
        return hu_doubt(low, high)

    @cached_property
    def _orientation(self) -> NDArray[np.float64]:
        from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

        axes = io_orientation(self.affine)
        if np.isnan(axes).any():
            raise ReadError("its header gives no direction to some axis", path=self.path)
        return np.asarray(ornt_transform(axes, axcodes2ornt(("L", "P", "S"))), dtype=np.float64)

    @property
    def _axes(self) -> list[int]:
        """File axes that run left, back and up."""
        return [int(axis) for axis in np.argsort(self._orientation[:, 0])]

    @property
    def _voxel_mm(self) -> tuple[float, float, float]:
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        left, back, up = (float(sizes[axis]) for axis in self._axes)
        return left, back, up


def hu_doubt(low: float, high: float) -> str:
    """Say why values seem to be no HU.

    Parameters
    ----------
    low, high
        Smallest and largest value of an image.

    Returns
    -------
    str
        One sentence; empty where there is no doubt.
    """
    if low < AIR_IS_BELOW_HU:
        return ""
    return f"values run from {low:g} to {high:g} and none is air (-1000 HU): perhaps no HU"
