"""JPEG Extended of 12 bits, by GDCM itself: its plug-in for pydicom refuses what it can decode."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, JPEGExtended12Bit

from ldct_clipdn.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.io.pixel_layout import PixelLayout

__all__ = ["decode_jpeg12"]


def decode_jpeg12(frame: bytes, layout: PixelLayout) -> NDArray[np.uint16]:
    """Decode one frame of JPEG Extended.

    Parameters
    ----------
    frame
        The code stream.
    layout
        What the header says of it.

    Returns
    -------
    numpy.ndarray
        uint16 [H, W].

    Raises
    ------
    DecodeError
        When GDCM cannot; without a path.
    """
    import gdcm

    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.dcm"
        dcmwrite(path, _wrapped(frame, layout), enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        if not reader.Read():
            raise DecodeError("the compressed frame is damaged")
        # GDCM gives bytes as text, for reasons of its wrapper
        words = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    if len(words) != 2 * layout.rows * layout.columns:
        raise DecodeError(f"the compressed frame decodes to {len(words)} bytes")
    return np.frombuffer(words, "=u2").reshape(layout.rows, layout.columns)


def _wrapped(frame: bytes, layout: PixelLayout) -> Dataset:
    """Make the smallest file that GDCM reads, as it decodes files only."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID("2.25.1")
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = layout.rows, layout.columns
    # with 16 bits allocated GDCM would try its 8-bit decoder first, which complains on stderr
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 12, 12, 11
    ds.PixelRepresentation = 0
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    return ds
