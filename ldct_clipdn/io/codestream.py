"""What a compressed frame says of itself, read before any decoder allocates or guesses.

Headers and code streams can disagree about size, sign and depth; decoders then give garbage
without an error (data/quirks/README.md, "silent wrong results").
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ldct_clipdn.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.io.pixel_layout import PixelLayout

__all__ = ["StreamHead", "check_head", "check_sign", "read_head"]

JPEG_2000_START: Final = b"\xff\x4f\xff\x51"
LATEST_START: Final = 1024
"""JPEG 2000 files put boxes before the code stream, DICOM should not."""

JPEG_START: Final = b"\xff\xd8"
FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})


class StreamHead(NamedTuple):
    """What a JPEG, JPEG-LS, JPEG 2000 or HTJ2K code stream says of its image."""

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool


def read_head(frame: bytes) -> StreamHead:
    """Read the head of a code stream.

    Parameters
    ----------
    frame
        One compressed frame.

    Returns
    -------
    StreamHead
        JPEG and JPEG-LS know no sign: theirs is never signed.

    Raises
    ------
    DecodeError
        When it is no such code stream; without a path.
    """
    try:
        start = frame.find(JPEG_2000_START, 0, LATEST_START)
        if start >= 0:
            return _jpeg_2000_head(frame, start + len(JPEG_2000_START))
        if frame.startswith(JPEG_START):
            return _jpeg_head(frame)
    except (struct.error, IndexError) as error:
        raise DecodeError("the compressed frame is cut off") from error
    raise DecodeError("the compressed frame is no JPEG code stream")


def check_head(head: StreamHead, layout: PixelLayout) -> None:
    """Refuse a code stream whose image is another than the header's.

    Parameters
    ----------
    head
        Of the code stream.
    layout
        Of the header.

    Raises
    ------
    DecodeError
        When size or number of samples differ; without a path.
    """
    if (head.rows, head.columns, head.samples) != (layout.rows, layout.columns, 1):
        raise DecodeError(
            f"the compressed frame holds {head.rows} x {head.columns} x {head.samples} values, "
            f"the header says {layout.rows} x {layout.columns}"
        )


def check_sign(stored: NDArray[np.generic], head: StreamHead, layout: PixelLayout) -> None:
    """Refuse values whose sign cannot be known.

    A stream without sign under a signed header is sound where both have the same bits: its bits
    are meant. Any other disagreement matters only where a value has the stream's highest bit.

    Parameters
    ----------
    stored
        Decoded values of any shape.
    head
        Of the code stream.
    layout
        Of the header.

    Raises
    ------
    DecodeError
        When header and stream give such values different signs; without a path.
    """
    if head.signed == layout.signed or (layout.signed and head.bits == layout.bits):
        return
    if ((stored.astype(np.int64) >> (head.bits - 1)) & 1).any():
        raise DecodeError(
            f"the sign of pixels is unknown: {layout.bits} bits "
            f"{'with' if layout.signed else 'without'} sign in the header, {head.bits} bits "
            f"{'with' if head.signed else 'without'} sign in the compressed frame"
        )


def _jpeg_2000_head(frame: bytes, at: int) -> StreamHead:
    """Read the SIZ marker segment (ISO/IEC 15444-1, A.5.1)."""
    right, bottom, left, top = struct.unpack_from(">4I", frame, at + 4)
    (samples,) = struct.unpack_from(">H", frame, at + 36)
    depth = frame[at + 38]
    return StreamHead(bottom - top, right - left, samples, (depth & 0x7F) + 1, bool(depth & 0x80))


def _jpeg_head(frame: bytes) -> StreamHead:
    """Read the frame header (ISO/IEC 10918-1, B.2.2; 14495-1, C.2.2)."""
    at = len(JPEG_START)
    while frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in FRAME_MARKERS:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return StreamHead(rows, columns, samples, bits, signed=False)
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in BARE_MARKERS:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    raise DecodeError("the compressed frame is damaged")
