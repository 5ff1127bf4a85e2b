"""Folders of pictures and of pairs, as the paper's sets come."""

from __future__ import annotations

import logging
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from natural_images import folder
from PIL import Image

from ldct_clipdn.data.natural import (
    centre_crop,
    find_images,
    find_picture_pairs,
    picture_size,
    read_rgb,
    set_name,
)
from ldct_clipdn.errors import DataError, DecodeError


def save(path, value=0, size=(5, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("CBSD68", 68), ("Kodak24", 24)])
def test_known_sets_are_whole(name, count, caplog):
    found = find_images(folder(f"natural/{name}"))
    assert (found.name, len(found.paths)) == (name, count)
    assert not caplog.records


@pytest.mark.parametrize(
    ("given", "expected"),
    [("McM", "McMaster"), ("Kodak", "Kodak24"), ("SIDD_test_PNG", "SIDD Val"), ("mine", "mine"),
     ("Rain drop (S)", "Rain drop (S)")],
)  # fmt: skip
def test_folders_are_known_by_name(tmp_path, given, expected):
    assert set_name(tmp_path / given) == expected


def test_images_of_one_folder(tmp_path, caplog):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "below/c.png"):
        save(tmp_path / "Kodak24" / name)
    (tmp_path / "Kodak24" / "notes.txt").write_text("x")
    with caplog.at_level(logging.WARNING):
        found = find_images(tmp_path / "Kodak24")
    assert [path.name for path in found.paths] == ["a.jpg", "b.PNG"]
    assert "2 pictures, not 24" in caplog.text
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no picture here"):
        find_images(tmp_path / "empty")


@pytest.mark.parametrize(
    ("noisy", "clean"),
    [
        ("CC/5dmark3_iso3200_1_real.png", "CC/5dmark3_iso3200_1_mean.png"),
        ("PolyU/Canon5D2_bag_Real.JPG", "PolyU/Canon5D2_bag_mean.JPG"),
        ("SIDD_test_PNG/noisy/0001_2.png", "SIDD_test_PNG/GT/0001_2.png"),
        ("Rain100L/rain-001.png", "Rain100L/norain-001.png"),
        ("Rain100L/rainy/rain-001.png", "Rain100L/norain-001.png"),
        ("Rain100L/test/input/1.png", "Rain100L/test/target/1.png"),
    ],
)
def test_pairs_as_the_sets_name_them(tmp_path, noisy, clean):
    save(tmp_path / noisy, 1)
    save(tmp_path / clean, 2)
    root = tmp_path / noisy.split("/")[0]
    (pair,) = find_picture_pairs(root).pairs
    assert (pair.noisy, pair.clean) == (tmp_path / noisy, tmp_path / clean)


def test_pictures_of_others_are_left_out(tmp_path):
    for name in ("a_real", "a_mean", "a_ours", "b_real", "b_mean"):
        save(tmp_path / f"CC/{name}.png")
    assert [pair.name for pair in find_picture_pairs(tmp_path / "CC").pairs] == ["a", "b"]


def test_a_half_alone_is_named(tmp_path):
    for name in ("a_real", "a_mean", "b_real"):
        save(tmp_path / f"CC/{name}.png")
    with pytest.raises(DataError, match=r"1 picture without the other half, such as .*b_real\.png"):
        find_picture_pairs(tmp_path / "CC")
    with pytest.raises(DataError, match="no such folder"):
        find_picture_pairs(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pair of a noisy and a clean"):
        find_picture_pairs(tmp_path / "empty")


def test_two_of_one_name_are_refused(tmp_path):
    for name in ("noisy/a.png", "input/a.png", "GT/a.png"):
        save(tmp_path / name)
    with pytest.raises(DataError, match="named alike"):
        find_picture_pairs(tmp_path)


def test_pixels_come_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
        read = read_rgb(tmp_path / name)
        assert read.dtype == torch.uint8
        assert torch.equal(read, torch.from_numpy(pixels).permute(2, 0, 1))
    save(tmp_path / "grey.png", 7, mode="L")
    assert read_rgb(tmp_path / "grey.png").shape == (3, 4, 5)


def test_damaged_and_deep_files_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(DecodeError, match=r"a\.png: the picture cannot be read"):
        read_rgb(tmp_path / "a.png")
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DecodeError, match="more than 8 bits"):
        read_rgb(tmp_path / "deep.png")


def deep_png(path, channels):
    """Write PNG of 16 bits per sample, which Pillow reads and cannot write."""
    colour = {2: 4, 3: 2, 4: 6}[channels]
    row = b"\0" + bytes(range(2 * channels * 4))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 4, 3, 16, colour, 0, 0, 0),
        b"IDAT": zlib.compress(3 * row),
        b"IEND": b"",
    }
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks.items()
        )
    )


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_deep_colour_is_refused_and_not_cut_to_8_bits(tmp_path, channels):
    deep_png(tmp_path / "deep.png", channels)
    with Image.open(tmp_path / "deep.png") as file:
        assert file.mode in ("RGB", "RGBA")  # nothing of Pillow's mode says it
    with pytest.raises(DecodeError, match=r"deep\.png: the picture has more than 8 bits"):
        read_rgb(tmp_path / "deep.png")


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_deep_tiff_is_refused(tmp_path, planes):
    pixels = np.full((3, 4, 5) if planes == "separate" else (4, 5, 3), 40000, np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", pixels, photometric="rgb", planarconfig=planes)
    with pytest.raises(DecodeError, match="more than 8 bits"):
        read_rgb(tmp_path / "deep.tif")


def test_a_picture_too_large_for_pillow_is_an_error_of_ours(tmp_path, monkeypatch):
    save(tmp_path / "a.png", size=(30, 20))
    assert picture_size(tmp_path / "a.png") == (20, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (read_rgb, picture_size):
        with pytest.raises(DecodeError, match=r"a\.png: the picture is too large"):
            read(tmp_path / "a.png")


def test_centre_crop_is_ffdnets():
    # as cszn/FFDNet has it: rows 6..505 and columns 134..633 of a landscape original
    y, x = torch.meshgrid(torch.arange(512), torch.arange(768), indexing="ij")
    crop = centre_crop(torch.stack([y, x]), 500)
    assert crop[:, 0, 0].tolist() == [6, 134]
    assert crop[:, -1, -1].tolist() == [505, 633]
    assert centre_crop(torch.zeros(3, 5, 700), 500).shape == (3, 5, 500)
