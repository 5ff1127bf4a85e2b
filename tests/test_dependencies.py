"""docs/dependencies.md names what is installed with this package; every licence is permissive."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
PERMISSIVE = re.compile(
    r"\b(BSD|0BSD|MIT|Apache|MPL|Zlib|CC0|BSL|HPND|Python Software Foundation)\b", re.I
)
COPYLEFT = re.compile(r"\b([AL]?GPL|GNU\b.*General Public|non-?commercial)", re.I)
LONGEST_NAME = 100
"""A longer License field holds the text itself, with the licences of all that is bundled."""


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def wanted() -> list[str]:
    """List what a user gets: with every extra but that of developers, and pydicom's decoders."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra, more in project["optional-dependencies"].items():
        lines += more if extra != "test" else []
    lines += [one for one in requires("pydicom") or () if 'extra == "pixeldata"' in one]
    return sorted({name_of(one) for one in lines})


def licence_of(name: str) -> str:
    found = metadata(name)
    fields = [found.get("License-Expression") or "", found.get("License") or ""]
    named = [one for one in fields if len(one) < LONGEST_NAME]
    classes = [one for one in found.get_all("Classifier") or () if one.startswith("License")]
    return " ".join((*named, *classes)).strip()


def test_the_list_is_whole() -> None:
    names = wanted()
    assert {"torch", "pydicom", "monai", "open-clip-torch", "matplotlib", "einops"} <= set(names)
    assert {"pylibjpeg", "pyjpegls", "python-gdcm"} <= set(names)  # of pydicom's extra


@pytest.mark.parametrize("name", wanted())
def test_is_named_with_a_licence(name: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    named = [
        row for row in cells if name in {name_of(one) for one in re.findall(r"[\w-]+", row[0])}
    ]
    assert named, f"docs/dependencies.md does not name {name}"
    assert PERMISSIVE.search(named[0][1].replace("PSF", "Python Software Foundation"))


@pytest.mark.parametrize("name", wanted())
def test_the_installed_licence_is_permissive(name: str) -> None:
    licence = licence_of(name)
    assert PERMISSIVE.search(licence), licence
    assert not COPYLEFT.search(licence), licence


def test_a_licence_that_is_not_would_be_noticed() -> None:
    for licence in ("GPL-3.0-or-later", "LGPLv2", "GNU Affero General Public License v3"):
        assert COPYLEFT.search(licence)
    assert not PERMISSIVE.search("Free for non-commercial use")
