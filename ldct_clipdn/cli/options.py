"""Options that every command has, and the one way a command prints for machines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping

__all__ = ["add_command", "at_least", "low_high", "print_json"]


def add_command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str = "",
) -> argparse.ArgumentParser:
    """Add one command with the options that all commands share.

    Parameters
    ----------
    subparsers
        Where the command is added.
    name
        The command's name.
    run
        Called with the parsed arguments; returns the exit code.
    summary
        One line for the list of commands.
    description
        Text of the command's own help; the summary where empty.

    Returns
    -------
    argparse.ArgumentParser
        The command's parser, for its own arguments.
    """
    parser = subparsers.add_parser(name, help=summary, description=description or summary)
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="no progress and no remarks: results and warnings only",
    )
    noise.add_argument("-v", "--verbose", action="store_true", help="say more")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def at_least(least: int) -> Callable[[str], int]:
    """Make the type of an option that is a whole number.

    Parameters
    ----------
    least
        The smallest that is taken.

    Returns
    -------
    callable
        For `add_argument(type=...)`; refuses anything else in one line.
    """

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} up")
        return value

    return number


def low_high(text: str) -> tuple[float, float]:
    """Read two numbers, the lower first: the type of an option that is a window.

    Parameters
    ----------
    text
        `LOW,HIGH`.

    Returns
    -------
    tuple of float
        Both.

    Raises
    ------
    argparse.ArgumentTypeError
        When these are not two numbers.
    """
    try:
        low, high = (float(one) for one in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no window: give two numbers, such as --window=-1024,3072"
        ) from None
    return low, high


def print_json(result: Mapping[str, object]) -> None:
    """Print a result as JSON on stdout.

    Parameters
    ----------
    result
        What can be written as JSON; paths become strings.
    """
    print(json.dumps(result, indent=2, default=str))
