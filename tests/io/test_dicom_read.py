from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import body_hu, edit, make_series, outside_circle
from deriving import SYNTAXES
from pydicom.data import get_testdata_file
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ldct_clipdn.errors import DecodeError, ReadError
from ldct_clipdn.io.dicom_read import is_dicom, read_header, read_slice
from ldct_clipdn.io.padding import AIR_HU, padding_mask
from ldct_clipdn.io.scan import Instance, Slice


def read(path: Path) -> Slice:
    return read_slice(Instance(path, read_header(path)))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("signed", "bits"), [(False, 12), (False, 16), (True, 16), (True, 13)])
def test_every_lossless_syntax_gives_the_same_values(
    tmp_path: Path, syntax: str, signed: bool, bits: int
) -> None:
    hu = np.stack([body_hu(36, 40, seed=1)])
    intercept = "-3" if signed else "-1100"
    (path,) = make_series(
        tmp_path, slices=1, hu=hu, signed=signed, bits_stored=bits, intercept=intercept,
        transfer_syntax=syntax,
    )  # fmt: skip
    found = read(path)
    expected = np.rint(hu[0].astype(np.float64) - float(intercept))
    assert (found.stored == expected).all()
    assert found.stored.dtype == np.int32
    assert found.hu.dtype == np.float32
    assert np.abs(found.hu - hu[0]).max() <= 0.5
    assert not found.padding.any()


@pytest.mark.parametrize("slope", ["1", "0.25", "1.0002441", "-1", "001.000000E+00"])
def test_rescale_is_that_of_the_slice(tmp_path: Path, slope: str) -> None:
    intercepts = ["3000", "3001"] if slope == "-1" else ["-1024", "-01.000000E+03"]
    paths = make_series(
        tmp_path, slices=2, slope=slope, intercept=intercepts, bits_stored=16,
        hu=np.full((2, 4, 4), 77.0),
    )  # fmt: skip
    for path in paths:
        assert np.abs(read(path).hu - 77).max() <= abs(float(slope)) / 2 + 1e-3


def test_the_header_is_read_without_pixels() -> None:
    header = read_header(Path(get_testdata_file("CT_small.dcm")))
    assert header.Rows == 128
    assert "PixelData" not in header
    assert header.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_pydicoms_own_ct_reads_as_pydicom_reads_it() -> None:
    path = Path(get_testdata_file("CT_small.dcm"))
    ds = pydicom.dcmread(path)
    found = read(path)
    assert (found.stored == ds.pixel_array).all()
    assert np.allclose(found.hu, ds.pixel_array * 1.0 - 1024)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_file_without_preamble_is_read(tmp_path: Path, syntax: str) -> None:
    (path,) = make_series(tmp_path, slices=1, transfer_syntax=syntax)
    expected = read(path).stored
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\x08\x00\x05\x00") :])
    assert is_dicom(path)
    assert (read(path).stored == expected).all()


def test_values_above_bits_stored_are_masked(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path, slices=1)
    expected = read(path).stored
    ds = pydicom.dcmread(path)
    words = np.frombuffer(ds.PixelData, "<u2") | 0xA000
    edit(path, PixelData=words.tobytes())
    assert (read(path).stored == expected).all()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_left_aligned_words_are_shifted(tmp_path: Path, signed: bool, syntax: str) -> None:
    hu = np.array([[[-1000.0, 40.0], [1000.0, -5.0]]])
    (path,) = make_series(
        tmp_path, hu=hu, slices=1, signed=signed, intercept="0" if signed else "-1024",
        transfer_syntax=syntax,
    )  # fmt: skip
    expected = read(path).stored
    order = "<u2" if syntax == ExplicitVRLittleEndian else ">u2"
    words = np.frombuffer(pydicom.dcmread(path).PixelData, order) << 4
    edit(path, PixelData=words.astype(order).tobytes(), HighBit=15)
    found = read(path)
    assert (found.stored == expected).all()
    assert np.abs(found.hu - hu[0]).max() == 0


@pytest.mark.filterwarnings("ignore:The VR for .* is ambiguous")
@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"PixelData": None}, DecodeError, "there is no pixel data"),
        ({"PixelData": b""}, DecodeError, "there is no pixel data"),
        ({"PixelData": b"\0" * 2046}, DecodeError, "shorter than Rows x Columns (2046 of 2048"),
        ({"Rows": 64}, DecodeError, "shorter than Rows x Columns (2048 of 4096"),
        ({"RescaleIntercept": None}, ReadError, "HU are unknown"),
        ({"RescaleSlope": "1000000"}, DecodeError, "half of the pixels lie"),
        ({"BitsAllocated": 32}, DecodeError, "pixels of 32 bits"),
        ({"PixelRepresentation": None}, DecodeError, "no PixelRepresentation"),
    ],
)
def test_what_cannot_be_decoded_is_an_error(
    tmp_path: Path, change: dict[str, object], error: type[ReadError], reason: str
) -> None:
    (path,) = make_series(tmp_path, slices=1)
    edit(path, **change)
    with pytest.raises(error) as caught:
        read(path)
    assert reason in caught.value.reason
    assert caught.value.path == path


def test_compressed_files_with_a_shifted_word_are_refused(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path, slices=1, transfer_syntax=RLELossless)
    edit(path, HighBit=15)
    with pytest.raises(DecodeError, match="HighBit is not BitsStored - 1"):
        read(path)


def test_a_damaged_code_stream_is_an_error(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path, slices=1, transfer_syntax=JPEGLSLossless)
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xd8\xff")
    content[start + 60 : start + 100] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x00\x05\x00", b"\0" * 128 + b"DICM?"])
def test_what_is_no_dicom_is_a_read_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ReadError):
        read_slice(Instance(path, pydicom.Dataset()))


def test_a_file_that_vanished(tmp_path: Path) -> None:
    assert not is_dicom(tmp_path / "gone")
    with pytest.raises(ReadError, match="No such file"):
        read_header(tmp_path / "gone")


@pytest.mark.parametrize("vr", ["SS", "US"])
def test_padding_value_with_either_vr(tmp_path: Path, vr: str) -> None:
    (path,) = make_series(tmp_path, slices=1, signed=True, bits_stored=16, padding=-2000)
    ds = pydicom.dcmread(path)
    del ds.PixelPaddingValue
    ds.add_new("PixelPaddingValue", vr, -2000 if vr == "SS" else 63536)
    ds.save_as(path)
    found = read(path)
    assert (found.padding == outside_circle(32, 32)).all()
    assert (found.hu[found.padding] == AIR_HU).all()
    assert (found.stored[found.padding] == -2000).all()


def test_padding_range(tmp_path: Path) -> None:
    hu = np.full((1, 8, 8), 50.0)
    hu[0, 0, :4] = [-3024, -3020, -3014, -3013]  # stored -2000, -1996, -1990, -1989
    for first, last in ((-2000, -1990), (-1990, -2000)):
        (path,) = make_series(
            tmp_path, slices=1, hu=hu, signed=True, bits_stored=16,
            extra={"PixelPaddingValue": first, "PixelPaddingRangeLimit": last},
        )  # fmt: skip
        assert read(path).padding[0].tolist() == [True] * 3 + [False] * 5
        assert read(path).padding.sum() == 3


def test_where_air_has_the_padding_value_only_the_rim_is_padding() -> None:
    stored = np.full((9, 9), 5, np.int32)
    stored[:2, :3] = 0
    stored[2, 3] = 0  # touches the rim region by a corner only
    stored[5, 5] = 0
    stored[8, 8] = 0
    found = padding_mask(stored, (0, 0), slope=1, intercept=-1024)
    assert sorted(zip(*np.nonzero(found), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (8, 8),
    ]  # fmt: skip
    # unsigned words can hold nothing below 0, so air ends there whatever HU it would be
    assert (padding_mask(stored, (0, 0), slope=1, intercept=-8192) == found).all()
    assert padding_mask(stored - 2000, (-2000, -2000), slope=1, intercept=-1024).sum() == 9
    assert not padding_mask(stored, None, slope=1, intercept=0).any()
    assert not padding_mask(stored, (77, 77), slope=1, intercept=0).any()


def test_a_huge_matrix_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path, slices=1, transfer_syntax=JPEG2000Lossless)
    content = path.read_bytes().replace(
        struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 32),
        struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 65535),
    ).replace(
        struct.pack("<HH2sHH", 0x28, 0x11, b"US", 2, 32),
        struct.pack("<HH2sHH", 0x28, 0x11, b"US", 2, 65535),
    )  # fmt: skip
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="65535 x 65535 pixels are no CT slice"):
        read(path)
