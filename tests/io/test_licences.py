"""No decoder under the GPL is asked for, installed, or ever called."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from pydicom.pixels import get_decoder

from ldct_clipdn.io.codecs import DECODERS
from ldct_clipdn.io.output import COMPRESSIONS

FORBIDDEN = {"pylibjpeg-libjpeg"}
GPL_EXTRAS = re.compile(r"(pydicom\[[^\]]*gpl|pylibjpeg\[[^\]]*(libjpeg|all))", re.IGNORECASE)
GPL = re.compile(r"\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)
DECODER_PACKAGES = {
    "pydicom", "python-gdcm", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls",
    "pillow", "imagecodecs",
}  # fmt: skip


def name_of(raw: str) -> str:
    return re.sub(r"[-_.]+", "-", raw).lower()


def test_no_gpl_plugin_is_installed() -> None:
    installed = {name_of(one.metadata["Name"]) for one in distributions()}
    assert not installed & FORBIDDEN
    assert {"pydicom", "python-gdcm", "pylibjpeg-openjpeg", "pyjpegls"} <= installed


def test_no_installed_decoder_says_that_it_is_gpl() -> None:
    for one in distributions():
        if name_of(one.metadata["Name"]) in DECODER_PACKAGES:
            licence = [one.metadata.get(key) or "" for key in ("License", "License-Expression")]
            classifiers = one.metadata.get_all("Classifier") or []
            named = [*licence, *(each for each in classifiers if each.startswith("License"))]
            assert not GPL.search(" ".join(named)), one.metadata["Name"]


def test_no_requirement_asks_for_one() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    assert not [one for one in wanted if GPL_EXTRAS.search(one)]
    assert not {name_of(re.split(r"[\[<>=~! ]", one)[0]) for one in wanted} & FORBIDDEN
    assert any(one.startswith("pydicom[pixeldata]") for one in wanted)


def test_every_decoder_of_the_table_is_there() -> None:
    for syntax, plugin in DECODERS.items():
        assert plugin in get_decoder(syntax).available_plugins, syntax.name


def test_the_plugin_that_may_be_gpl_decodes_only_by_openjpeg() -> None:
    """`pylibjpeg` stands for OpenJPEG or for the GPL libjpeg, by what is to be decoded."""
    by_pylibjpeg = {syntax for syntax, plugin in DECODERS.items() if plugin == "pylibjpeg"}
    assert all("JPEG 2000" in one.name for one in by_pylibjpeg)
    assert len(by_pylibjpeg) == 5


@pytest.mark.parametrize("name", sorted(set(COMPRESSIONS) - {"none"}))
def test_every_encoder_is_there(name: str) -> None:
    from pydicom.pixels import get_encoder

    syntax, plugin = COMPRESSIONS[name]
    assert plugin in get_encoder(syntax).available_plugins
