"""Pixel data to stored values: what a header must say first, and decoding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom import dcmread
from pydicom.encaps import generate_fragments
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from ldct_clipdn.errors import DecodeError
from ldct_clipdn.io.attributes import VALUE_ERRORS, number, text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = [
    "PixelLayout",
    "compression_ratio",
    "decode_stored",
    "lossy_method",
    "pixel_layout",
    "transfer_syntax",
]

LOSSY_METHODS: Final = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
    HTJ2K: "ISO_15444_15",
}
"""LossyImageCompressionMethod of each transfer syntax that may lose something (DICOM.md A.7.6)."""

PERHAPS_LOSSLESS: Final = (JPEGLSNearLossless, JPEG2000, HTJ2K)
"""Lossy syntaxes that may hold lossless data: a header that says so is believed."""

MAX_PIXELS: Final = 2**26
"""No CT slice has more; a header that says so must not make us allocate them."""

DECODER_ERRORS: Final = (*VALUE_ERRORS, RuntimeError, MemoryError)


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


def transfer_syntax(header: Dataset) -> UID:
    """Read the transfer syntax of a file.

    Parameters
    ----------
    header
        A data set that was read from a file.

    Returns
    -------
    pydicom.uid.UID
        Empty where the file does not say.
    """
    meta = getattr(header, "file_meta", None)
    return UID("" if meta is None else text(meta, "TransferSyntaxUID"))


def lossy_method(header: Dataset) -> str:
    """Say by which method the file's own transfer syntax lost something.

    Parameters
    ----------
    header
        A data set that was read from a file.

    Returns
    -------
    str
        Term for LossyImageCompressionMethod; empty where nothing was lost.
    """
    syntax = transfer_syntax(header)
    if syntax in PERHAPS_LOSSLESS and text(header, "LossyImageCompression") == "00":
        return ""
    return LOSSY_METHODS.get(syntax, "")


def compression_ratio(path: Path, layout: PixelLayout) -> float:
    """Measure how far the pixels of a file were compressed.

    Parameters
    ----------
    path
        A file with compressed pixels.
    layout
        Of its pixels.

    Returns
    -------
    float
        Bytes before over bytes after.
    """
    ds = dcmread(path, specific_tags=["PixelData"])
    compressed = sum(len(fragment) for fragment in generate_fragments(ds.PixelData))
    return 2 * layout.rows * layout.columns / max(1, compressed)


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


def decode_stored(ds: Dataset, path: Path) -> NDArray[np.int32]:
    """Decode the pixels of one CT image.

    Parameters
    ----------
    ds
        The whole data set, pixel data included.
    path
        Its file, for errors.

    Returns
    -------
    numpy.ndarray
        Stored values before rescale, sign and BitsStored applied: int32 [H, W].

    Raises
    ------
    DecodeError
        When pixels are missing, too few, or cannot be decoded.
    """
    try:
        layout = pixel_layout(ds)
        stored = _decode(ds, layout).astype(np.int32)
    except DecodeError as error:
        raise DecodeError(error.reason, path=path, remedy=error.remedy) from error
    except DECODER_ERRORS as error:
        raise DecodeError(
            f"the pixels ({transfer_syntax(ds).name}) cannot be decoded: {_first_line(error)}",
            path=path,
            remedy="Fetch the file again, or convert it to Explicit VR Little Endian",
        ) from error
    if stored.shape != (layout.rows, layout.columns):
        raise DecodeError(f"the pixels decode to shape {stored.shape}", path=path)
    if stored.min() < layout.low or stored.max() > layout.high:
        raise DecodeError(f"decoded values exceed {layout.bits} bits", path=path)
    return stored


def _decode(ds: Dataset, layout: PixelLayout) -> NDArray[np.generic]:
    """Decode by pydicom, after the checks that no decoder makes (data/quirks/README.md)."""
    pixels = ds.get("PixelData")
    if not pixels:
        raise DecodeError("there is no pixel data")
    encapsulated = transfer_syntax(ds).is_encapsulated
    needed = 2 * layout.rows * layout.columns
    if not encapsulated and len(pixels) < needed:
        raise DecodeError(
            f"the pixel data are shorter than Rows x Columns ({len(pixels)} of {needed} bytes)",
            remedy="Fetch the file again",
        )
    if layout.high_bit == layout.bits - 1:
        return pixel_array(ds, raw=True)
    if encapsulated:
        raise DecodeError("HighBit is not BitsStored - 1 in a compressed file")
    return _shifted(np.frombuffer(pixels[:needed], _word_type(ds)), layout)


def _shifted(words: NDArray[np.uint16], layout: PixelLayout) -> NDArray[np.int32]:
    """Take values that do not begin at bit 0 out of their words: decoders ignore HighBit."""
    values = (words.astype(np.int32) >> (layout.high_bit + 1 - layout.bits)) & (
        (1 << layout.bits) - 1
    )
    if layout.signed:
        values -= (values > layout.high) * (1 << layout.bits)
    return values.reshape(layout.rows, layout.columns)


def _word_type(ds: Dataset) -> str:
    return "<u2" if transfer_syntax(ds).is_little_endian else ">u2"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
