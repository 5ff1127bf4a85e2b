"""Sources of many kinds, and series derived from them, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
from builders import make_series
from numpy.typing import NDArray
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.dicom_write import write_derived
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Result, Scan
from ldct_clipdn.io.uids import Recipe

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
    JPEGLSLossless,
]
"""Lossless transfer syntaxes that `builders` can write."""

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]

RECIPE = Recipe(
    weights="scratch-w32.safetensors",
    encoder="tiny, random frozen encoder",
    sha256="ab" * 32,
    strength=1.0,
    backend="identity",
    backend_version="1",
    device_class="none",
    hu_low=-1024.0,
    hu_high=3072.0,
)
TIME = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MIXED_TYPE = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
LONG_NAME = "A description of exactly sixty-four characters, as long as may be"[:64]

# as arguments of `make_series`
KINDS: dict[str, dict[str, object]] = {
    "signed GE with padding": {
        "signed": True,
        "bits_stored": 16,
        "padding": -2000,
        "private": True,
    },
    "unsigned 12-bit Siemens": {"image_type": MIXED_TYPE, "private": True},
    "implicit VR": {"transfer_syntax": "1.2.840.10008.1.2"},
    "JPEG-LS lossy": {"transfer_syntax": "1.2.840.10008.1.2.4.81"},
    "no SeriesDescription": {"series_description": None},
    "64 characters": {"series_description": LONG_NAME},
}


def soften(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stand in for a denoiser: every value moves, by up to some tens of HU."""
    return (hu * 0.97 + 3).astype(np.float32)


def same(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return hu


def results(scan: Scan, change: Change = soften) -> Iterable[Result]:
    for instance in scan.instances:
        before = read_slice(instance)
        yield Result(instance, before, change(before.hu))


class Workshop:
    """Makes sources and derives series of them, in one temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "in"
        self.target = folder / "out"
        self.target.mkdir()

    def make(self, kind: str = "unsigned 12-bit Siemens", **changes: object) -> Scan:
        paths = make_series(self.source, **{**KINDS[kind], **changes})  # type: ignore[arg-type]
        if kind == "signed GE with padding":
            for path in paths:
                _write_padding_as_us(path)
        (scan,) = find_series(self.source).scans
        return scan

    def derive(
        self, scan: Scan, change: Change = soften, recipe: Recipe = RECIPE, number: int = 10002
    ) -> dict[int, pydicom.Dataset]:
        """Write the derived series and read it, by InstanceNumber."""
        folder = write_derived(
            scan, results(scan, change), self.target, recipe, time=TIME, number=number
        )
        derived = {}
        for path in folder.iterdir():
            ds = pydicom.dcmread(path)
            derived[int(ds.InstanceNumber)] = ds
        return derived

    def recipe(self, **changes: object) -> Recipe:
        return replace(RECIPE, **changes)  # type: ignore[arg-type]


def _write_padding_as_us(path: Path) -> None:
    """As GE does: the bits of -2000 with the VR of unsigned values."""
    ds = pydicom.dcmread(path)
    del ds.PixelPaddingValue
    ds.add_new("PixelPaddingValue", "US", 63536)
    ds.save_as(path)
