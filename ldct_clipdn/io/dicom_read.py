"""DICOM CT files to headers and to HU."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ldct_clipdn.errors import DecodeError, ReadError
from ldct_clipdn.io.attributes import VALUE_ERRORS, number, quiet_pydicom, text
from ldct_clipdn.io.codecs import decode_stored
from ldct_clipdn.io.files import MAX_BYTES, open_file, read_start
from ldct_clipdn.io.frames import read_frame
from ldct_clipdn.io.padding import AIR_HU, padding_mask, padding_range
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.scan import Instance, Slice

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader, BytesIO

    from numpy.typing import NDArray
    from pydicom import Dataset
    from pydicom.tag import BaseTag

__all__ = ["is_dicom", "read_file", "read_header", "read_slice", "rescale", "starts_like_dicom"]

PARSE_ERRORS: Final = (*VALUE_ERRORS, InvalidDicomError, MemoryError, zlib.error)

PLAUSIBLE_HU: Final = 4096.0
"""Half of the pixels of any CT image lie nearer to water than this; of garbage, a few."""

START: Final = 132
"""Bytes of the preamble and of `DICM` after it."""

INFLATE_STEP: Final = 2**20

PIXELS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
MAX_ELEMENTS: Final = 100_000
"""No header has more at its top level."""


def is_dicom(path: Path) -> bool:
    """Say whether a file looks like DICOM: by its preamble, or by a first tag that fits.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        False also where the file cannot be opened.
    """
    try:
        start = read_start(path, START)
    except (OSError, ReadError):
        return False
    return starts_like_dicom(start)


def starts_like_dicom(start: bytes) -> bool:
    """Say whether bytes begin like a DICOM file.

    Parameters
    ----------
    start
        The first `START` bytes of a file, or all where it is shorter.

    Returns
    -------
    bool
        True for a preamble, and for a first tag that fits.
    """
    return start[128:] == b"DICM" or _is_bare_data_set(start)


def read_header(path: Path) -> Dataset:
    """Read a DICOM file up to its pixel data.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    pydicom.Dataset
        With `file_meta`, in which a transfer syntax is always set.

    Raises
    ------
    ReadError
        When it is no DICOM file or cannot be parsed.
    """
    return _read(path, pixels=False)


def read_file(path: Path) -> Dataset:
    """Read a whole DICOM file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    pydicom.Dataset
        As `read_header` gives it, with pixel data.

    Raises
    ------
    ReadError
        When it is no DICOM file or cannot be parsed.
    """
    return _read(path, pixels=True)


def read_slice(instance: Instance) -> Slice:
    """Read the pixels of one CT image.

    Parameters
    ----------
    instance
        The image.

    Returns
    -------
    Slice
        Stored values, padding mask, and HU with padding as air (-1024).

    Raises
    ------
    ReadError
        When the file cannot be read or its rescale to HU is unknown.
    DecodeError
        When its pixels cannot be decoded, or decode to what no CT image holds.
    """
    with quiet_pydicom():
        ds = _read_image(instance)
        slope, intercept = rescale(ds, instance.path)
        stored = decode_stored(ds, instance.path)
        limits = padding_range(ds, signed=pixel_layout(ds).signed)
    padding = padding_mask(stored, limits, slope=slope, intercept=intercept)
    hu = stored.astype(np.float64) * slope + intercept
    _check_plausible(hu[~padding], instance.path)
    hu[padding] = AIR_HU
    return Slice(stored=stored, padding=padding, hu=hu.astype(np.float32))


def _read_image(instance: Instance) -> Dataset:
    if instance.frame is None:
        return read_file(instance.path)
    try:
        return read_frame(instance)
    except PARSE_ERRORS as error:
        raise DecodeError(
            f"frame {instance.frame + 1} cannot be read: {str(error).strip()}",
            path=instance.path,
            remedy="Fetch the file again",
        ) from error


def rescale(header: Dataset, path: Path | None = None) -> tuple[float, float]:
    """Read the rescale to HU.

    Parameters
    ----------
    header
        The image's header.
    path
        Its file, for the error.

    Returns
    -------
    tuple of float
        Slope and intercept in HU.

    Raises
    ------
    ReadError
        When either is missing or no finite number, or the slope is 0.
    """
    slope, intercept = (_number(header, f"Rescale{one}", path) for one in ("Slope", "Intercept"))
    if slope == 0:
        raise ReadError("RescaleSlope is 0, so HU are unknown", path=path)
    return slope, intercept


def _number(header: Dataset, keyword: str, path: Path | None) -> float:
    value = number(header, keyword)
    if value is None:
        is_there = keyword in header and header.get_item(keyword).value
        raise ReadError(
            f"{keyword} is {'no finite number' if is_there else 'missing'}, so HU are unknown",
            path=path,
            remedy="Take the file from its original source",
        )
    return value


def _read(path: Path, *, pixels: bool) -> Dataset:
    try:
        start = read_start(path, START)
        if not start:
            raise ReadError("the file is empty", path=path, remedy="Fetch it again")
        bare = start[128:] != b"DICM"
        if bare and not _is_bare_data_set(start):
            raise ReadError("not a DICOM file", path=path, remedy="Remove it or give another")
        with quiet_pydicom(), open_file(path) as file:
            if not bare:
                _check_start(file, path)
            ds = read_partial(file, _stop_when(path, pixels=pixels), force=bare)
            _set_transfer_syntax(ds)
    except PARSE_ERRORS as error:
        raise ReadError(
            f"the file cannot be read as DICOM: {str(error).strip() or type(error).__name__}",
            path=path,
            remedy="Fetch it again",
        ) from error
    return ds


def _is_bare_data_set(start: bytes) -> bool:
    """Say whether bytes begin with a low tag of group 0002 or 0008, little endian."""
    return start[:1] in (b"\x02", b"\x08") and start[1:2] == b"\0" and start[3:4] == b"\0"


def _stop_when(path: Path, *, pixels: bool) -> Callable[[BaseTag, str | None, int], bool]:
    """Stop at the pixels, and at what is no header: pydicom reads zeros as elements for hours."""
    count = itertools.count()

    def stop(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if next(count) > MAX_ELEMENTS:
            raise ReadError("there is no end to its header", path=path, remedy="Fetch it again")
        return not pixels and int(tag) in PIXELS

    return stop


def _check_start(file: BufferedReader | BytesIO, path: Path) -> None:
    """Refuse a data set of zeros, and a deflated one that would fill the memory at once."""
    file.seek(START)
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    if text(meta, "TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        start = file.read(4)
        if start == bytes(4):
            raise ReadError("there are zeros where its header should be", path=path)
    else:
        inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        rest = file.read(INFLATE_STEP)
        while rest and size <= MAX_BYTES:
            size += len(inflate.decompress(rest, INFLATE_STEP))
            rest = inflate.unconsumed_tail or file.read(INFLATE_STEP)
        if size > MAX_BYTES:
            raise ReadError(f"it inflates to more than {MAX_BYTES} bytes", path=path)
    file.seek(0)


def _set_transfer_syntax(ds: Dataset) -> None:
    """Write down the encoding that pydicom guessed where the file does not say."""
    if "TransferSyntaxUID" not in ds.file_meta:
        implicit = ds.original_encoding[0]
        ds.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        )


def _check_plausible(hu: NDArray[np.float64], path: Path) -> None:
    usual = float(np.median(np.abs(hu))) if hu.size else 0.0
    if usual > PLAUSIBLE_HU:
        raise DecodeError(
            f"half of the pixels lie {usual:.0f} HU or more from water, so they are no CT",
            path=path,
        )
