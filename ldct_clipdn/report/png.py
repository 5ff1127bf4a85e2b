"""Grey pictures as PNG, without a picture library: a page must need nothing but the package."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.ct.hu import HURange

__all__ = ["data_uri", "encode_png", "to_grey"]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
UP_FILTER: Final = 2
"""Each row as its difference from the row above, which packs best here."""


def to_grey(hu: NDArray[np.floating], window: HURange) -> NDArray[np.uint8]:
    """Show HU as grey levels.

    Parameters
    ----------
    hu
        Array of any shape, in HU.
    window
        HU shown as black and as white.

    Returns
    -------
    numpy.ndarray
        uint8, same shape.
    """
    unit = (hu.astype(np.float32) - window.low) / window.width
    grey: NDArray[np.uint8] = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    return grey


def encode_png(grey: NDArray[np.uint8]) -> bytes:
    """Write a grey picture as PNG.

    Parameters
    ----------
    grey
        uint8 [H, W].

    Returns
    -------
    bytes
        The file.
    """
    height, width = grey.shape
    rows = np.diff(grey, axis=0, prepend=np.zeros((1, width), dtype=np.uint8))
    filtered = np.insert(rows, 0, UP_FILTER, axis=1).astype(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(filtered.tobytes(), 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(name, content) for name, content in parts)


def data_uri(hu: NDArray[np.floating], window: HURange) -> str:
    """Show a slice as a picture that a page can hold inside.

    Parameters
    ----------
    hu
        [H, W] in HU.
    window
        HU shown as black and as white.

    Returns
    -------
    str
        A `data:` address.
    """
    content = base64.b64encode(encode_png(to_grey(hu, window))).decode()
    return f"data:image/png;base64,{content}"


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
