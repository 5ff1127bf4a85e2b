"""Code streams that disagree with their header are refused, whatever a decoder would make of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_series
from openjpeg.utils import encode_array
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from ldct_clipdn.errors import DecodeError
from ldct_clipdn.io.codestream import StreamHead, read_head
from ldct_clipdn.io.dicom_read import read_header, read_slice
from ldct_clipdn.io.scan import Instance

ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"


def read(path: Path) -> np.ndarray:
    return read_slice(Instance(path, read_header(path))).stored


def frame_of(path: Path) -> bytes:
    return get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize(("bits", "signed"), [(12, False), (16, True)])
def test_heads_say_what_was_encoded(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    (path,) = make_series(
        tmp_path, slices=1, rows=40, columns=64, bits_stored=bits, signed=signed,
        intercept="0" if signed else "-1024", transfer_syntax=syntax,
    )  # fmt: skip
    with_sign = signed and syntax == JPEG2000Lossless
    assert read_head(frame_of(path)) == StreamHead(40, 64, 1, bits, with_sign)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\0",
        b"\xff\xd8\xff\xe0\0\4",
        b"\xff\x4f\xff\x51\0",
        b"rubbish",
        b"\xff\xd8\xff\xff\xff",
    ],
)
def test_no_code_stream(content: bytes) -> None:
    with pytest.raises(DecodeError, match="compressed frame"):
        read_head(content)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("change", [{"Rows": 16}, {"Columns": 64}, {"Rows": 4096, "Columns": 4096}])
def test_another_size_is_refused(tmp_path: Path, syntax: str, change: dict[str, object]) -> None:
    (path,) = make_series(tmp_path, slices=1, transfer_syntax=syntax)
    edit(path, **change)
    with pytest.raises(DecodeError, match="holds 32 x 32 x 1 values"):
        read(path)


def put_stream(path: Path, values: np.ndarray, *, signed: bool, bits: int, **header: int) -> None:
    words = values.astype("i2" if signed else "u2")
    stream = encode_array(words, bits_stored=bits, photometric_interpretation=2)
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.PixelData = encapsulate([bytes(stream)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    for keyword, value in header.items():
        setattr(ds, keyword, value)
    ds.save_as(path)


@pytest.mark.parametrize(
    ("signed", "bits", "low", "header_signed", "header_bits", "sound"),
    [
        (False, 13, 0, True, 13, True),  # the quirk: bits are meant
        (False, 16, 0, True, 16, True),
        (False, 12, 0, True, 16, False),  # 4000 may be 4000, or -96 of 12 bits
        (True, 16, -1000, False, 16, False),  # below 0 where nothing can be
        (True, 12, -1000, False, 16, False),
        (True, 16, 0, False, 16, True),  # nothing below 0, so both agree
        (True, 13, -1000, True, 16, True),
        (False, 12, 0, False, 16, True),
        (False, 16, 0, False, 12, True),
    ],
)
def test_signs(
    tmp_path: Path, signed: bool, bits: int, low: int, header_signed: bool, header_bits: int,
    sound: bool,
) -> None:  # fmt: skip
    (path,) = make_series(tmp_path, slices=1, rows=64, columns=64, intercept="-1024")
    high = 2**bits - 1 if not signed and header_signed else 2000
    values = np.linspace(low, high, 64 * 64).astype(int).reshape(64, 64)
    put_stream(
        path, values, signed=signed, bits=bits, PixelRepresentation=int(header_signed),
        BitsStored=header_bits, HighBit=header_bits - 1,
    )  # fmt: skip
    if not sound:
        with pytest.raises(DecodeError, match="the sign of pixels is unknown"):
            read(path)
        return
    wrapped = values - (values >= 2 ** (header_bits - 1)) * 2**header_bits
    expected = wrapped if header_signed and not signed else values
    try:
        assert (read(path) == expected).all()
    except DecodeError as error:  # 16 bits from end to end are no plausible HU
        assert "no CT" in error.reason  # noqa: PT017


@pytest.mark.parametrize("bits", [12, 16])
def test_encapsulated_uncompressed(tmp_path: Path, bits: int) -> None:
    (path,) = make_series(tmp_path, slices=1, bits_stored=bits)
    expected = read(path)
    ds = pydicom.dcmread(path)
    ds.PixelData = encapsulate([ds.PixelData[:1000] + ds.PixelData[1000:]], fragments_per_frame=2)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = ENCAPSULATED_UNCOMPRESSED
    ds.save_as(path)
    assert (read(path) == expected).all()


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55", "1.2.840.10008.1.2.4.100"]
)
def test_a_syntax_without_a_decoder_is_refused(tmp_path: Path, syntax: str) -> None:
    (path,) = make_series(tmp_path, slices=1, transfer_syntax=RLELossless)
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path)
    with pytest.raises(DecodeError, match="is not supported"):
        read(path)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_frame_cut_off_is_an_error(tmp_path: Path, syntax: str) -> None:
    (path,) = make_series(tmp_path, slices=1, rows=64, columns=64, transfer_syntax=syntax)
    ds = pydicom.dcmread(path)
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    for size in (len(frame) // 2, 20, 2):
        ds.PixelData = encapsulate([frame[:size]])
        ds.save_as(path)
        with pytest.raises(DecodeError):
            read(path)


def test_garbage_is_no_ct(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (32, 32))
    (path,) = make_series(tmp_path, slices=1, bits_stored=16, intercept="-1024")
    edit(path, PixelData=noise.astype("<u2").tobytes())
    with pytest.raises(DecodeError, match="so they are no CT"):
        read(path)


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="dcmcjpeg (dcmtk) is not installed")
def test_jpeg_of_12_bits(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path / "plain", slices=1, rows=64, columns=48)
    lossy = tmp_path / "lossy.dcm"
    command = ["dcmcjpeg", "+ee", "+q", "100", path, lossy]
    subprocess.run(command, check=True, capture_output=True)
    assert pydicom.dcmread(lossy).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.51"
    hu = [read_slice(Instance(one, read_header(one))).hu for one in (path, lossy)]
    assert np.abs(hu[0] - hu[1]).max() <= 8
    ds = pydicom.dcmread(lossy)
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    for damaged in (frame[:40], frame[:200].replace(b"\xff\xc4", b"\xff\xc5")):
        ds.PixelData = encapsulate([damaged])
        ds.save_as(lossy)
        with pytest.raises(DecodeError):
            read(lossy)
