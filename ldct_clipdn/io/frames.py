"""Enhanced CT: one file with many frames, each seen as a single CT image (PS3.3 A.38.1)."""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage

from ldct_clipdn.errors import DecodeError
from ldct_clipdn.io.attributes import items, number, text, texts
from ldct_clipdn.io.codecs import transfer_syntax
from ldct_clipdn.io.files import changed, open_file
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.scan import Instance

if TYPE_CHECKING:
    from io import BufferedReader

__all__ = ["PER_FRAME", "SHARED", "frame_count", "is_multiframe", "read_frame", "split_frames"]

SHARED: Final = "SharedFunctionalGroupsSequence"
PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"

FLATTENED: Final = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence",
    "CTReconstructionSequence",
)
"""Functional groups whose attributes single-frame CT has at the top."""

LEFT_OUT: Final = {
    tag_for_keyword(keyword)
    for keyword in (SHARED, PER_FRAME, "NumberOfFrames", "DimensionIndexSequence")
}


def is_multiframe(header: Dataset) -> bool:
    """Say whether a file is an Enhanced CT image.

    Parameters
    ----------
    header
        Its header.

    Returns
    -------
    bool
        By its class alone.
    """
    return text(header, "SOPClassUID") == EnhancedCTImageStorage


def frame_count(header: Dataset) -> int:
    """Count the frames of an Enhanced CT image.

    Parameters
    ----------
    header
        Its header.

    Returns
    -------
    int
        0 where the header contradicts itself.
    """
    said = int(number(header, "NumberOfFrames") or 0)
    return said if said == len(items(header, PER_FRAME)) else 0


def split_frames(path: Path, header: Dataset) -> tuple[Instance, ...]:
    """See each frame of an Enhanced CT image as a CT image of its own.

    Parameters
    ----------
    path
        The file.
    header
        Its header.

    Returns
    -------
    tuple of Instance
        In the order of the frames; each header has at the top what its functional groups say.
    """
    common = Dataset()
    common.file_meta = header.file_meta
    _copy(header, common)
    common.add_new("SOPClassUID", "UI", CTImageStorage)
    _flatten(items(header, SHARED)[:1], common)
    found = []
    for index, group in enumerate(items(header, PER_FRAME)):
        flat = Dataset()
        flat.file_meta = header.file_meta
        _copy(common, flat)
        _flatten([group], flat)
        found.append(Instance(path, flat, frame=index, whole=header))
    return tuple(found)


def read_frame(instance: Instance) -> Dataset:
    """Read the pixels of one frame, and no others.

    Parameters
    ----------
    instance
        As `split_frames` makes it.

    Returns
    -------
    pydicom.Dataset
        The instance's header with PixelData, like a single-frame file.

    Raises
    ------
    OSError
        When the file cannot be read.
    DecodeError
        When the frame is not there.
    """
    if instance.frame is None or instance.whole is None:
        raise ValueError(f"{instance.path} is no frame of a file")
    ds = Dataset()
    ds.file_meta = instance.header.file_meta
    _copy(instance.header, ds)
    pixels = _place(instance.path, changed(instance.path))
    if transfer_syntax(ds).is_encapsulated:
        frame = pixels.encapsulated(instance.frame, instance.whole)
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    else:
        layout = pixel_layout(ds)
        ds.PixelData = pixels.native(instance.frame, 2 * layout.rows * layout.columns)
        ds["PixelData"].VR = "OW"
    return ds


def _copy(source: Dataset, target: Dataset) -> None:
    """Take over elements as they are, parsed or not: they are shared, so never changed.

    Private ones are left out: no one reads them here, and pydicom parses them when they are set.
    """
    for tag in sorted(source.keys()):
        if int(tag) not in LEFT_OUT and not tag.is_private:
            target[tag] = source.get_item(tag)


def _flatten(groups: list[Dataset], target: Dataset) -> None:
    for group in groups:
        for keyword in FLATTENED:
            for item in items(group, keyword)[:1]:
                _copy(item, target)
                if "FrameType" in item:
                    target.add_new("ImageType", "CS", texts(item, "FrameType"))


class _Place(NamedTuple):
    """Where the pixels of a file begin: on disk, or in what had to be unpacked to memory."""

    path: Path
    start: int
    content: bytes | None

    def open(self) -> BufferedReader | BytesIO:
        file = open_file(self.path) if self.content is None else BytesIO(self.content)
        file.seek(self.start)
        return file

    def native(self, index: int, size: int) -> bytes:
        with self.open() as file:
            file.seek(index * size, os.SEEK_CUR)
            return file.read(size)

    def encapsulated(self, index: int, header: Dataset) -> bytes:
        tables = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
        offsets = tuple(header[name].value for name in tables if name in header)
        with self.open() as file:
            return get_frame(
                file,
                index,
                number_of_frames=frame_count(header),
                extended_offsets=(offsets[0], offsets[1]) if len(offsets) == 2 else None,
            )


@lru_cache(maxsize=1)
def _place(path: Path, _changed: int) -> _Place:
    """Find where the pixels begin, once for all frames of a file."""
    with open_file(path) as file:
        ds = dcmread(file, stop_before_pixels=True)
        syntax = transfer_syntax(ds)
        if syntax == DeflatedExplicitVRLittleEndian:
            file.seek(0)
            return _Place(path, 0, dcmread(file).get("PixelData") or b"")
        head = file.read(8 if syntax.is_implicit_VR else 12)
        order = "<" if syntax.is_little_endian else ">"
        if len(head) < 8 or struct.unpack_from(f"{order}HH", head) != (0x7FE0, 0x0010):
            raise DecodeError("there is no pixel data", path=path)
        return _Place(path, file.tell(), file.getvalue() if isinstance(file, BytesIO) else None)
