"""What all commands have in common: help at once, options, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import ldct_clipdn.cli as cli_package
from ldct_clipdn import __version__
from ldct_clipdn.cli import doctor
from ldct_clipdn.cli.main import COMMANDS, build_parser, main
from ldct_clipdn.errors import ConfigError, ReadError, WriteError

SHARED_MODULES = {"listing", "main", "options", "pages", "progress"}
SHARED = {"--help", "--json", "--quiet", "--verbose", "--debug"}


def leaves(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Walk all commands, also those within commands: name and long options."""
    parts = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    for part in parts:
        for key, one in part.choices.items():
            yield from leaves(one, f"{name} {key}".strip())
    if not parts:
        yield name, {option for one in parser._actions for option in one.option_strings}


ALL = dict(leaves(build_parser()))


def test_every_module_is_a_command_and_every_command_a_module() -> None:
    modules = {one.name for one in pkgutil.iter_modules(cli_package.__path__)}
    assert {one.replace("-", "_") for one in COMMANDS} == modules - SHARED_MODULES


@pytest.mark.parametrize("command", ALL)
def test_every_command_has_the_shared_options(command: str) -> None:
    assert ALL[command] >= SHARED


def test_help_of_every_command_is_there_at_once() -> None:
    """Without torch and all else that is slow to import."""
    slow = ("torch", "numpy", "pydicom", "monai", "matplotlib", "nibabel", "SimpleITK", "open_clip")
    script = f"""
import sys
from ldct_clipdn.cli.main import main
for command in {["", *ALL]!r}:
    try:
        main([*command.split(), "--help"])
    except SystemExit as stop:
        assert not stop.code
print([name for name in {slow!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "usage: ldct-clipdn weights export" in done.stdout


def test_as_a_module_and_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ldct_clipdn", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == __version__


@pytest.mark.parametrize(
    "argv", [[], ["unknown"], ["denoise"], ["weights"], ["evaluate", "-q", "-v"]]
)
def test_wrong_usage_is_2(cli: Callable, argv: list[str]) -> None:
    done = cli(*argv)
    assert done.code == 2
    assert done.err.startswith("usage: ldct-clipdn")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ReadError("torn\nin two", path="a file", remedy="Mend it"), 1),
        (WriteError("full"), 1),
        (ConfigError("odd"), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_are_one_line_and_a_code(
    cli: Callable, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(doctor, "_look", fail)
    done = cli("doctor")
    assert (done.code, done.out) == (code, "")
    expected = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    assert done.err == f"ldct-clipdn doctor: {expected}\n"
    with pytest.raises(type(error)):
        main(["doctor", "--debug"])


def test_a_bug_looks_like_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_look", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_nobody_reads_the_output_any_more() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ldct_clipdn", "weights", "list"],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("option", "level"), [("-q", logging.WARNING), ("-v", logging.DEBUG), ("--json", logging.INFO)]
)
def test_how_much_is_said(monkeypatch: pytest.MonkeyPatch, option: str, level: int) -> None:
    asked: list[int] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: asked.append(options["level"]))
    monkeypatch.setattr(doctor, "run", lambda _: 0)
    assert main(["doctor", option]) == 0
    assert asked == [level]


def test_libraries_are_heard_when_they_warn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(doctor, "run", lambda _: 0)
    assert main(["doctor", "-v"]) == 0
    for name in ("ldct_clipdn.io.find", "filelock"):
        logging.getLogger(name).debug("%s at work", name)
        logging.getLogger(name).warning("%s warns", name)
    told = ["ldct_clipdn.io.find at work", "ldct_clipdn.io.find warns", "filelock warns"]
    assert capsys.readouterr().err.splitlines() == told


def test_json_is_all_there_is_on_stdout(cli: Callable) -> None:
    for command in (["doctor"], ["weights", "list"]):
        assert json.loads(cli(*command, "--json").out)
