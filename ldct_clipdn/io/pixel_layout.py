"""How a header says that pixels are stored, checked before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ldct_clipdn.errors import DecodeError
from ldct_clipdn.io.attributes import number

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["PixelLayout", "pixel_layout"]

MAX_PIXELS: Final = 2**24
"""No CT slice has more; a header that says so must not make us allocate them."""


@dataclass(frozen=True)
class PixelLayout:
    """How the stored values of one image lie in their 16-bit words.

    Parameters
    ----------
    rows, columns
        Size.
    bits
        BitsStored, 1 to 16.
    high_bit
        Position of the highest bit, counted from 0.
    signed
        Whether values are two's complement.
    """

    rows: int
    columns: int
    bits: int
    high_bit: int
    signed: bool

    @property
    def low(self) -> int:
        """Lowest value that can be stored."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Highest value that can be stored."""
        return self.low + (1 << self.bits) - 1


def pixel_layout(header: Dataset) -> PixelLayout:
    """Read and check how the pixels of a CT image are stored.

    Parameters
    ----------
    header
        The image's header.

    Returns
    -------
    PixelLayout
        What the header says.

    Raises
    ------
    DecodeError
        When it says nothing, or something no CT slice can be; without a path.
    """
    names = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    found = {name: number(header, name) for name in names}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise DecodeError(f"the header has no {' and no '.join(missing)}")
    rows, columns, allocated, bits, high_bit, sign = (int(value or 0) for value in found.values())
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise DecodeError(f"{rows} x {columns} pixels are no CT slice")
    if allocated != 16:
        raise DecodeError(f"pixels of {allocated} bits are too coarse or too large for HU, need 16")
    if not (1 <= bits <= high_bit + 1 <= 16) or sign not in (0, 1):
        raise DecodeError(
            f"BitsStored {bits}, HighBit {high_bit}, PixelRepresentation {sign} do not fit together"
        )
    return PixelLayout(rows, columns, bits, high_bit, bool(sign))
