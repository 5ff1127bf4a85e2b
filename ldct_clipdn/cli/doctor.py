"""`ldct-clipdn doctor`: what is installed here, what it can do, and what is missing."""

from __future__ import annotations

import argparse
import platform
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import Any, Final

from ldct_clipdn.batch.exit_codes import ExitCode
from ldct_clipdn.cli.options import add_command, print_json

__all__ = ["add_parser", "run"]

PACKAGE: Final = "ldct_clipdn"

FOR_DEVELOPERS: Final = "test"

PACKAGE_OF: Final = {"gdcm": "python-gdcm", "pylibjpeg": "pylibjpeg-openjpeg"}
"""What to install for a decoder that is named otherwise."""

DESCRIPTION = """Say which versions are installed, on which devices and back-ends a network can run,
which DICOM compressions can be read, and which optional parts are there. Exits with 1 where
something is missing that every installation should have."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    add_command(subparsers, "doctor", run, "say what works here", DESCRIPTION)


def run(args: argparse.Namespace) -> int:
    """Look, and print what was found.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0; 1 where a required package is missing or a compression cannot be read.
    """
    findings = _look()
    if args.json:
        print_json(findings)
    else:
        print("\n".join(_report(findings)))
    missing = [name for name, found in findings["required"].items() if not found]
    broken = [name for name, codec in findings["codecs"].items() if not codec["decodes"]]
    return ExitCode.FAILED if missing or broken else 0


def _look() -> dict[str, Any]:
    from ldct_clipdn.core.weight_store import weights_folder
    from ldct_clipdn.inference.backends import BACKENDS

    extras = _requirements()
    required = extras.pop("")
    extras.pop(FOR_DEVELOPERS, None)
    return {
        "package": _version(PACKAGE),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "required": {name: _version(name) for name in required},
        "extras": {
            extra: {name: _version(name) for name in names} for extra, names in extras.items()
        },
        "devices": _devices(),
        "backends": list(BACKENDS),
        "codecs": _codecs(),
        "weights_folder": str(weights_folder()),
    }


def _requirements() -> dict[str, list[str]]:
    """Read from the installed package what it requires; by extra, required ones under ''."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in requires(PACKAGE) or ():
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        if name:
            found[extra[1] if extra else ""].append(name[0])
    return dict(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    import torch

    cpu = {"name": "cpu", "what": platform.processor() or platform.machine()}
    return [{**cpu, "threads": torch.get_num_threads()}] + [
        {
            "name": f"cuda:{index}",
            "what": torch.cuda.get_device_name(index),
            "memory_gib": round(torch.cuda.get_device_properties(index).total_memory / 2**30, 1),
        }
        for index in range(torch.cuda.device_count())
    ]


def _codecs() -> dict[str, dict[str, Any]]:
    """Say of each compression that is read whether the one decoder that reads it is here."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    from ldct_clipdn.io.codecs import DECODERS, ENCAPSULATED_UNCOMPRESSED

    by_pydicom = {
        syntax: _codec(syntax, plugin, plugin in get_decoder(syntax).available_plugins)
        for syntax, plugin in DECODERS.items()
    }
    own = {
        ENCAPSULATED_UNCOMPRESSED: _codec(ENCAPSULATED_UNCOMPRESSED, PACKAGE, True),
        JPEGExtended12Bit: _codec(JPEGExtended12Bit, "gdcm", find_spec("gdcm") is not None),
    }
    return {syntax.name: found for syntax, found in (own | by_pydicom).items()}


def _codec(syntax: str, decoder: str, is_here: bool) -> dict[str, Any]:
    missing = [] if is_here else [PACKAGE_OF.get(decoder, decoder)]
    return {"uid": str(syntax), "decoder": decoder, "decodes": is_here, "missing": missing}


def _report(findings: dict[str, Any]) -> Iterator[str]:
    yield f"ldct-clipdn {findings['package']}, Python {findings['python']}, {findings['platform']}"
    yield "required: " + _versions(findings["required"])
    for extra, packages in findings["extras"].items():
        missing = "" if all(packages.values()) else f"; pip install '{PACKAGE}[{extra}]'"
        yield f"optional, {extra}: {_versions(packages)}{missing}"
    for device in findings["devices"]:
        size = (
            f"{device['threads']} threads" if "threads" in device else f"{device['memory_gib']} GiB"
        )
        yield f"device {device['name']}: {device['what']}, {size}"
    if len(findings["devices"]) == 1:
        yield "no CUDA device: denoising runs on the CPU"
    yield f"back-ends: {', '.join(findings['backends'])}"
    yield f"weights folder: {findings['weights_folder']}"
    yield "DICOM compressions:"
    for name, codec in findings["codecs"].items():
        state = "ok" if codec["decodes"] else f"NOT readable: {'; '.join(codec['missing'])}"
        yield f"  {name.split(' (Process')[0]}, by {codec['decoder']}: {state}"


def _versions(packages: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {found or 'MISSING'}" for name, found in packages.items())
