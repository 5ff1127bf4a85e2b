"""What no validator notices in the pixels of a derived image (docs/conformance.md, 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.errors import ReadError
from ldct_clipdn.io.attributes import numbers, text, texts
from ldct_clipdn.io.codecs import decode_stored, lossy_method, transfer_syntax
from ldct_clipdn.io.output import DEFAULT_OUTPUT, OutputOptions
from ldct_clipdn.io.padding import is_in_range, padding_range
from ldct_clipdn.io.pixel_layout import PixelLayout, pixel_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from ldct_clipdn.io.scan import Slice

__all__ = ["EXTREMES", "FRAME_CHECKS", "PIXEL_CHECKS", "Pair", "written_words"]

EXTREMES: Final = ("SmallestImagePixelValue", "LargestImagePixelValue")

WRAPPED: Final = 1 << 15
"""No denoiser changes a stored value so far: 16-bit words that were wrapped change so."""


@dataclass(frozen=True)
class Pair:
    """A derived image beside its source.

    Parameters
    ----------
    source
        Header of the source.
    before
        Pixels of the source.
    derived
        The derived data set.
    words
        Its pixels as they lie in the file; None where their number is not Rows x Columns.
    layout
        How the source stores its pixels.
    output
        How the derived image should be written.
    """

    source: Dataset
    before: Slice
    derived: Dataset
    words: NDArray[np.int32] | None
    layout: PixelLayout
    output: OutputOptions = DEFAULT_OUTPUT


def written_words(
    derived: Dataset, layout: PixelLayout, before: Slice, path: Path
) -> NDArray[np.int32] | None:
    """Read the pixels of a derived image as they lie in its file.

    Parameters
    ----------
    derived
        As it was read from its file.
    layout
        How the source stores its pixels.
    before
        Pixels of the source.
    path
        The file, for errors.

    Returns
    -------
    numpy.ndarray or None
        int32 [H, W]; None where their number is not Rows x Columns.
    """
    if transfer_syntax(derived).is_compressed:
        try:
            return decode_stored(derived, path)
        except ReadError:
            return None
    pixels = derived.get("PixelData") or b""
    if len(pixels) != 2 * before.stored.size:
        return None
    words = np.frombuffer(pixels, "<i2" if layout.signed else "<u2").astype(np.int32)
    return words.reshape(before.stored.shape)


def _check_layout(pair: Pair) -> Iterator[str]:
    try:
        layout = pixel_layout(pair.derived)
    except ReadError as error:
        yield error.reason
        return
    if layout.high_bit != layout.bits - 1:
        yield "HighBit is not BitsStored - 1"
    if (layout.rows, layout.columns) != pair.before.stored.shape or pair.words is None:
        yield "Rows, Columns and pixel data do not fit the source"


def _check_words(pair: Pair) -> Iterator[str]:
    if pair.words is None:
        return
    if pair.words.min() < pair.layout.low or pair.words.max() > pair.layout.high:
        yield f"pixels exceed {pair.layout.bits} bits"
    if np.abs(pair.words - pair.before.stored).max() >= WRAPPED:
        yield "pixels were wrapped around"


def _check_padding(pair: Pair) -> Iterator[str]:
    limits = padding_range(pair.source, signed=pair.layout.signed)
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        yield from _wrong_vr(pair, keyword)
    if padding_range(pair.derived, signed=pair.layout.signed) != limits:
        yield "the padding value is not the source's"
    if pair.words is None or limits is None:
        return
    changed = pair.words != pair.before.stored
    if (changed & pair.before.padding).any():
        yield "padding was changed"
    if (changed & is_in_range(pair.words, limits)).any():
        yield "pixels have become padding"


def _check_extremes(pair: Pair) -> Iterator[str]:
    if pair.words is None:
        return
    for keyword, value in zip(EXTREMES, (pair.words.min(), pair.words.max()), strict=True):
        yield from _wrong_vr(pair, keyword)
        if keyword in pair.derived and numbers(pair.derived, keyword) != [float(value)]:
            yield f"{keyword} is not that of the pixels"


def _wrong_vr(pair: Pair, keyword: str) -> Iterator[str]:
    vr = "SS" if pair.layout.signed else "US"
    if (keyword in pair.derived) != (keyword in pair.source):
        yield f"{keyword} was added or lost"
    elif keyword in pair.derived and vr != pair.derived.get_item(keyword).VR:
        yield f"{keyword} is not of VR {vr}"


def _check_loss(pair: Pair) -> Iterator[str]:
    lists = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
    known, found = ([texts(ds, name) for name in lists] for ds in (pair.source, pair.derived))
    flag = text(pair.source, "LossyImageCompression")
    if not lossy_method(pair.source) or (flag == "01" and known[1]):
        if text(pair.derived, "LossyImageCompression") != flag:
            yield "LossyImageCompression is not the source's"
        if found != known:
            yield "ratio or method of the source's loss was changed"
        return
    if text(pair.derived, "LossyImageCompression") != "01":
        yield "LossyImageCompression is not 01 although the transfer syntax loses something"
    if not all(found) or len(found[0]) != len(found[1]):
        yield "ratio or method of the loss is missing"


FRAME_CHECKS: Final[tuple[Callable[[Pair], Iterator[str]], ...]] = (
    _check_layout,
    _check_words,
    _check_padding,
    _check_loss,
)
"""What holds for each frame of an image."""

PIXEL_CHECKS: Final = (*FRAME_CHECKS, _check_extremes)
