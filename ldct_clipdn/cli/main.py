"""`ldct-clipdn`: finds the command, runs it, turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import ldct_clipdn
from ldct_clipdn.batch.exit_codes import ExitCode
from ldct_clipdn.errors import ConfigError, LdctError

__all__ = ["main"]

COMMANDS = (
    "denoise",
    "simulate",
    "evaluate",
    "data",
    "weights",
    "phantom",
    "doctor",
    "benchmark",
    "features",
)
"""One module of this folder per command; each offers `add_parser(subparsers)` and `run(args)`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; None takes those of the process.

    Returns
    -------
    int
        The exit code: 0 done, 1 failed, 2 could not begin, 3 nothing to do, 130 interrupted.
    """
    args = build_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file name may hold what no terminal can show
            stream.reconfigure(errors="backslashreplace")
    level = logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO
    told = logging.StreamHandler(sys.stderr)
    told.addFilter(_is_ours_or_a_warning)
    logging.basicConfig(level=level, format="%(message)s", handlers=[told])
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except LdctError as error:
        if args.debug:
            raise
        print(f"ldct-clipdn {args.command}: {error}", file=sys.stderr)
        return ExitCode.USAGE if isinstance(error, ConfigError) else ExitCode.FAILED
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except KeyboardInterrupt:
        if args.debug:
            raise
        print(f"ldct-clipdn {args.command}: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED


def _is_ours_or_a_warning(record: logging.LogRecord) -> bool:
    """Pass over what libraries say of their own work."""
    return record.name.startswith("ldct_clipdn") or record.levelno >= logging.WARNING


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; imports nothing heavy, so `--help` answers at once.

    Returns
    -------
    argparse.ArgumentParser
        The parser; each parsed result has `command` and `run`.
    """
    parser = argparse.ArgumentParser(
        prog="ldct-clipdn",
        description="Low-dose CT denoising. Research use only, not a medical device.",
        epilog="Exit codes: 0 all was done, 1 something failed, 2 it could not begin (usage, input "
        "that is not there, weights, device, output folder), 3 nothing to do, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=ldct_clipdn.__version__)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"ldct_clipdn.cli.{name}").add_parser(subparsers)
    return parser
