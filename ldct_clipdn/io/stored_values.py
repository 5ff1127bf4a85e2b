"""New HU to stored values, in the rescale and bits of the source (docs/conformance.md, 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.dicom_read import rescale
from ldct_clipdn.io.padding import is_in_range, padding_range
from ldct_clipdn.io.pixel_layout import pixel_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from ldct_clipdn.io.scan import Slice

__all__ = ["from_stored", "to_stored"]


def to_stored(before: Slice, hu: NDArray[np.float32], header: Dataset) -> NDArray[np.int32]:
    """Turn new HU into stored values, in the source's rescale and bits.

    The change is rounded, not the value, so that a pixel whose HU did not change keeps its stored
    value whatever the slope. Padding stays as it was, and no other pixel becomes padding.

    Parameters
    ----------
    before
        The source's pixels.
    hu
        New values: float32 [H, W] in HU.
    header
        The source's header.

    Returns
    -------
    numpy.ndarray
        int32 [H, W], within BitsStored.

    Raises
    ------
    WriteError
        When the shape differs or a value is not finite; without a path.
    """
    if hu.shape != before.hu.shape or not np.isfinite(hu).all():
        raise WriteError("the new HU are of another shape, or not finite")
    layout = pixel_layout(header)
    slope, _ = rescale(header)
    steps = np.rint((hu.astype(np.float64) - before.hu) / slope)
    stored = np.clip(before.stored + steps, layout.low, layout.high).astype(np.int32)
    stored[before.padding] = before.stored[before.padding]
    limits = padding_range(header, signed=layout.signed)
    if limits is not None:
        new_padding = is_in_range(stored, limits) & (stored != before.stored)
        stored[new_padding] = limits[1] + 1 if limits[1] < layout.high else limits[0] - 1
    return stored


def from_stored(stored: NDArray[np.int32], header: Dataset) -> NDArray[np.float32]:
    """Turn stored values into HU, as whoever opens the file will see them.

    Parameters
    ----------
    stored
        int32 [H, W].
    header
        Of the source, whose rescale the derived image has.

    Returns
    -------
    numpy.ndarray
        float32 [H, W] in HU; padding as if it were none.
    """
    slope, intercept = rescale(header)
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)
