"""Pixel data to stored values: what a header must say first, and decoding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom import dcmread
from pydicom.encaps import generate_fragments, get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ldct_clipdn.errors import DecodeError
from ldct_clipdn.io.attributes import VALUE_ERRORS, text
from ldct_clipdn.io.codestream import check_head, check_sign, read_head
from ldct_clipdn.io.files import open_file
from ldct_clipdn.io.jpeg12 import decode_jpeg12
from ldct_clipdn.io.pixel_layout import PixelLayout, pixel_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = [
    "check_decoder",
    "compression_ratio",
    "decode_stored",
    "lossy_method",
    "transfer_syntax",
]

LOSSY_METHODS: Final = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
    HTJ2K: "ISO_15444_15",
}
"""LossyImageCompressionMethod of each syntax that may lose something (PS3.3 C.7.6.1.1.5)."""

PERHAPS_LOSSLESS: Final = (JPEGLSNearLossless, JPEG2000, HTJ2K)
"""Lossy syntaxes that may hold lossless data: a header that says so is believed."""

NATIVE: Final = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)

ENCAPSULATED_UNCOMPRESSED: Final = UID("1.2.840.10008.1.2.1.98")

DECODERS: Final = {
    RLELossless: "pydicom",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
    HTJ2K: "pylibjpeg",
}
"""One decoder for each syntax, so that a file gives the same values wherever it is read.

For these syntaxes `pylibjpeg` decodes by OpenJPEG; its GPL part, were it installed, is never asked.
"""

DECODER_ERRORS: Final = (*VALUE_ERRORS, RuntimeError, MemoryError)


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


def check_decoder(header: Dataset) -> None:
    """Refuse a file whose pixels nothing here can decode.

    Parameters
    ----------
    header
        A data set that was read from a file.

    Raises
    ------
    DecodeError
        When its transfer syntax has no decoder; without a path.
    """
    syntax = transfer_syntax(header)
    if syntax not in (*NATIVE, *DECODERS, ENCAPSULATED_UNCOMPRESSED, JPEGExtended12Bit):
        raise DecodeError(
            f"the transfer syntax {syntax.name} is not supported",
            remedy="Convert the file to Explicit VR Little Endian",
        )


def compression_ratio(path: Path, layout: PixelLayout, frames: int = 1) -> float:
    """Measure how far the pixels of a file were compressed.

    Parameters
    ----------
    path
        A file with compressed pixels.
    layout
        Of its pixels.
    frames
        How many images it holds.

    Returns
    -------
    float
        Bytes before over bytes after.
    """
    with open_file(path) as file:
        ds = dcmread(file, specific_tags=["PixelData"])
    compressed = sum(len(fragment) for fragment in generate_fragments(ds.PixelData))
    return 2 * frames * layout.rows * layout.columns / max(1, compressed)


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
            f"the pixels ({transfer_syntax(ds).name}) cannot be decoded: {_last_line(error)}",
            path=path,
            remedy="Fetch the file again, or convert it to Explicit VR Little Endian",
        ) from error
    if stored.shape != (layout.rows, layout.columns):
        raise DecodeError(f"the pixels decode to shape {stored.shape}", path=path)
    if stored.min() < layout.low or stored.max() > layout.high:
        raise DecodeError(f"decoded values exceed {layout.bits} bits", path=path)
    return stored


def _decode(ds: Dataset, layout: PixelLayout) -> NDArray[np.generic]:
    """Decode one frame, after the checks that no decoder makes (data/quirks/README.md)."""
    pixels = ds.get("PixelData")
    if not pixels:
        raise DecodeError("there is no pixel data")
    check_decoder(ds)
    syntax = transfer_syntax(ds)
    if syntax.is_encapsulated:
        frame = get_frame(pixels, 0, number_of_frames=1)
        if syntax != ENCAPSULATED_UNCOMPRESSED:
            return _decompressed(ds, frame, layout)
        pixels = frame
    needed = 2 * layout.rows * layout.columns
    if len(pixels) < needed:
        raise DecodeError(
            f"the pixel data are shorter than Rows x Columns ({len(pixels)} of {needed} bytes)",
            remedy="Fetch the file again",
        )
    if layout.high_bit == layout.bits - 1 and not syntax.is_encapsulated:
        return pixel_array(ds, raw=True)
    return _unpacked(np.frombuffer(pixels[:needed], _word_type(ds)), layout)


def _decompressed(ds: Dataset, frame: bytes, layout: PixelLayout) -> NDArray[np.generic]:
    """Decode a compressed frame by the one decoder that its syntax has here."""
    if layout.high_bit != layout.bits - 1:
        raise DecodeError("HighBit is not BitsStored - 1 in a compressed file")
    syntax = transfer_syntax(ds)
    decoder = DECODERS.get(syntax, "")
    if syntax == RLELossless:
        return pixel_array(ds, raw=True, decoding_plugin=decoder)
    head = read_head(frame)
    check_head(head, layout)
    if syntax == JPEGExtended12Bit:
        stored = decode_jpeg12(frame, layout)
    else:
        stored = pixel_array(ds, raw=True, decoding_plugin=decoder)
    check_sign(stored, head, layout)
    return stored


def _unpacked(words: NDArray[np.uint16], layout: PixelLayout) -> NDArray[np.int32]:
    """Take values out of their words by HighBit, which decoders ignore."""
    values = (words.astype(np.int32) >> (layout.high_bit + 1 - layout.bits)) & (
        (1 << layout.bits) - 1
    )
    if layout.signed:
        values -= (values > layout.high) * (1 << layout.bits)
    return values.reshape(layout.rows, layout.columns)


def _word_type(ds: Dataset) -> str:
    return "<u2" if transfer_syntax(ds).is_little_endian else ">u2"


def _last_line(error: BaseException) -> str:
    """Take the decoder's own words, which pydicom puts after its own."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip(".:")
