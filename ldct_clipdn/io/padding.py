"""Which pixels are padding and no image (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.io.attributes import VALUE_ERRORS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["AIR_HU", "is_in_range", "padding_mask", "padding_range", "padding_word"]

AIR_HU = -1024.0
"""What padding is to the network; also the lowest HU that scanners give air."""


def padding_range(header: Dataset, *, signed: bool) -> tuple[int, int] | None:
    """Read which stored values mean padding.

    Parameters
    ----------
    header
        The image's header.
    signed
        Whether its pixels are; a value with the other VR is taken by its bits, as GE means it.

    Returns
    -------
    tuple of int or None
        Lowest and highest value; None where the header names none.
    """
    value = padding_word(header, "PixelPaddingValue", signed=signed)
    if value is None:
        return None
    limit = padding_word(header, "PixelPaddingRangeLimit", signed=signed)
    limit = value if limit is None else limit
    return min(value, limit), max(value, limit)


def padding_word(header: Dataset, keyword: str, *, signed: bool) -> int | None:
    """Read a 16-bit attribute by its bits: its VR (US or SS) is often the wrong one.

    Parameters
    ----------
    header
        The image's header.
    keyword
        PixelPaddingValue or PixelPaddingRangeLimit.
    signed
        Whether the image's pixels are.

    Returns
    -------
    int or None
        The value as a pixel would hold it; None where there is none.
    """
    try:
        value = header.get(keyword)
        if isinstance(value, bytes):
            value = int.from_bytes(value[:2], "little") if value else None
        if value is None:
            return None
        word = int(value) % 65536
    except VALUE_ERRORS:
        return None
    return word - 65536 if signed and word > 32767 else word


def padding_mask(
    stored: NDArray[np.int32], limits: tuple[int, int] | None, *, slope: float, intercept: float
) -> NDArray[np.bool_]:
    """Find the padding of one image.

    Parameters
    ----------
    stored
        Stored values, int32 [H, W].
    limits
        As `padding_range` gives them.
    slope, intercept
        Rescale to HU.

    Returns
    -------
    numpy.ndarray
        True where a pixel is padding: bool [H, W]. Where air may have the padding value too,
        only regions that reach the border.
    """
    if limits is None:
        return np.zeros(stored.shape, dtype=bool)
    mask = is_in_range(stored, limits)
    may_be_air = limits[1] * slope + intercept >= AIR_HU or limits[0] == 0
    return _touching_border(mask) if may_be_air and mask.any() else mask


def is_in_range(stored: NDArray[np.int32], limits: tuple[int, int]) -> NDArray[np.bool_]:
    """Say which values lie in a range.

    Parameters
    ----------
    stored
        Stored values of any shape.
    limits
        Lowest and highest value, both inside.

    Returns
    -------
    numpy.ndarray
        bool, same shape.
    """
    return (stored >= limits[0]) & (stored <= limits[1])


def _touching_border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the 4-connected regions that reach the border."""
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    kept = sitk.BinaryGrindPeak(image)  # type: ignore[no-untyped-call]
    return sitk.GetArrayFromImage(kept).astype(bool)
