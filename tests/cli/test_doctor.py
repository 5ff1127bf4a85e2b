"""What the doctor finds here, and what it says where something is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version

import pydicom.pixels.decoders
import pytest
import torch
from pydicom.uid import JPEGExtended12Bit

from ldct_clipdn.cli import doctor
from ldct_clipdn.io.codecs import DECODERS, ENCAPSULATED_UNCOMPRESSED


def test_what_is_here(cli: Callable, folder: object) -> None:
    done = cli("doctor", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["package"] == version("ldct_clipdn")
    assert found["required"]["torch"] == version("torch")
    assert set(found["extras"]) >= {"bundle", "clip", "figures", "bench"}
    assert "test" not in found["extras"]
    assert found["extras"]["bundle"]["monai"] == version("monai")
    assert found["devices"][0]["name"] == "cpu"
    assert len(found["devices"]) == 1 + torch.cuda.device_count()
    assert "torch" in found["backends"]
    uids = {codec["uid"] for codec in found["codecs"].values()}
    own = {str(ENCAPSULATED_UNCOMPRESSED), str(JPEGExtended12Bit)}
    assert uids == {*map(str, DECODERS), *own}  # what is not read is not listed
    assert all(codec["decodes"] for codec in found["codecs"].values())
    assert found["weights_folder"] == str(folder)


def test_the_report_names_it_all(cli: Callable) -> None:
    out = cli("doctor").out
    for word in ("Python 3.", "torch 2.", "device cpu", "back-ends: torch", "JPEG-LS Lossless"):
        assert word in out
    assert "MISSING" not in out


def test_a_missing_extra_is_no_failure_and_says_how_to_get_it(
    cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: None if name == "matplotlib" else real(name)
    )
    done = cli("doctor")
    assert done.code == 0
    assert "matplotlib MISSING; pip install 'ldct_clipdn[figures]'" in done.out


def test_a_missing_requirement_is_a_failure(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "nibabel" else real(name))
    assert cli("doctor").code == 1


def test_a_missing_codec_is_a_failure_and_named(
    cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = pydicom.pixels.decoders.JPEG2000LosslessDecoder
    assert "gdcm" in decoder.available_plugins  # another one, which is never asked
    left = {name: one for name, one in decoder._available.items() if name != "pylibjpeg"}
    monkeypatch.setattr(decoder, "_available", left)
    done = cli("doctor")
    assert done.code == 1
    line = "JPEG 2000 Image Compression (Lossless Only), by pylibjpeg: NOT readable: pylibjpeg-"
    assert line in done.out
