"""What the tables share: options of those over sets of pictures, methods, progress, printing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ldct_clipdn.cli.options import at_least, print_json

if TYPE_CHECKING:
    import torch

    from ldct_clipdn.bench.experiment import Progress, RunSettings
    from ldct_clipdn.bench.methods import Method
    from ldct_clipdn.bench.sets import TestSet
    from ldct_clipdn.bench.tables import Table
    from ldct_clipdn.core.noise import Noise

__all__ = [
    "add_noise_option",
    "add_picture_options",
    "add_run_options",
    "methods_of",
    "noises_of",
    "print_table",
    "progress_bar",
    "sayer",
    "settings_of",
]


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every table in which methods are compared on sets of pictures.

    Parameters
    ----------
    parser
        The table's parser.
    """
    add_run_options(parser)
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a denoiser of this package; may be given more than once",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="METHOD",
        help="noisy, tv, nlm, tv:STRENGTH, nlm:STRENGTH, dncnn:[NAME=]FILE, "
        "restormer:[NAME=]FILE or python:MODULE:NAME; may be given more than once",
    )
    parser.add_argument(
        "--validation", type=Path, metavar="DIR", help="pictures on which tv and nlm are adjusted"
    )


def add_run_options(parser: argparse.ArgumentParser, *, sets: Literal["+", "*"] = "+") -> None:
    """Add the options that say on what, where and how a table is computed.

    Parameters
    ----------
    parser
        The table's parser.
    sets
        How many sets must be given, as argparse has it.
    """
    parser.add_argument("sets", metavar="SET", nargs=sets, type=Path, help="folder of a test set")
    parser.add_argument(
        "--out", required=sets == "+", type=Path, metavar="DIR", help="output folder"
    )
    some = at_least(1)
    parser.add_argument("--crop", type=some, metavar="N", help="keep N x N pixels of the middle")
    parser.add_argument(
        "--limit", type=some, metavar="N", help="only a set's first N pictures, by name"
    )
    parser.add_argument(
        "--strips",
        type=at_least(0),
        default=0,
        metavar="N",
        help="draw comparison strips of the first N pictures of each set under each noise",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--batch-size", type=some, default=8, metavar="N", help="pictures of one size at once"
    )
    parser.add_argument("--resume", action="store_true", help="go on with what is in DIR")


def add_noise_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses noises.

    Parameters
    ----------
    parser
        The table's parser.
    """
    parser.add_argument(
        "--noise",
        action="append",
        metavar="KIND[:LEVEL][,HOW]",
        help="gaussian, spatial_gaussian, poisson, speckle or salt_pepper, at one level or at the "
        "paper's three; HOW is what is not as published, after commas: gaussian (the law of "
        "speckle), clip or unclipped, 8bit; may be given more than once; all of the table's "
        "unless given",
    )


def noises_of(names: list[str] | None, otherwise: Sequence[Noise]) -> list[Noise]:
    """Read which noises are meant.

    Parameters
    ----------
    names
        Kinds, or kinds with levels, and how (as `Noise.parse` has it); None for none given.
    otherwise
        Taken where none is given.

    Returns
    -------
    list of Noise
        A kind alone gives the paper's three levels.

    Raises
    ------
    ConfigError
        When one names no noise.
    """
    from ldct_clipdn.core.noise import PAPER_NOISES, Noise

    if names is None:
        return list(otherwise)
    chosen: list[Noise] = []
    for name in names:
        kind, comma, how = name.partition(",")
        labels = [noise.label for noise in PAPER_NOISES if noise.kind == kind] or [kind]
        chosen += [Noise.parse(label + comma + how) for label in labels]
    return chosen


def settings_of(args: argparse.Namespace) -> RunSettings:
    """Read how the table is computed.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    RunSettings
        Device, batch size, strips.

    Raises
    ------
    BackendError
        When there is no such device.
    """
    from ldct_clipdn.bench.experiment import RunSettings
    from ldct_clipdn.inference.engine import pick_device

    return RunSettings(pick_device(args.device), args.batch_size, args.strips)


def methods_of(
    args: argparse.Namespace, device: torch.device, sets: Sequence[TestSet], *, pairs: bool = False
) -> list[Method]:
    """Make the table's columns.

    Parameters
    ----------
    args
        As parsed.
    device
        Where networks go.
    sets
        What will be measured.
    pairs
        Whether the validation folder holds pairs.

    Returns
    -------
    list of Method
        Methods, then weights; the noisy picture where nothing is named.

    Raises
    ------
    ConfigError
        When a method is unknown, or a validation picture is a test picture.
    WeightsError
        When a weights file cannot be used.
    """
    from ldct_clipdn.bench.methods import make_method
    from ldct_clipdn.bench.sets import read_validation

    validation = read_validation(args.validation, sets, pairs=pairs)
    names = [*args.method, *(f"weights:{one}" for one in args.weights)] or ["noisy"]
    return [make_method(name, device, validation) for name in names]


@contextmanager
def progress_bar(args: argparse.Namespace, unit: str = " pictures") -> Iterator[Progress]:
    """Show how far it is, on a terminal.

    Parameters
    ----------
    args
        As parsed.
    unit
        What is counted.

    Yields
    ------
    Progress
        To be told of every picture.
    """
    from tqdm import tqdm

    shown = not args.quiet and sys.stderr.isatty()
    with tqdm(unit=unit, disable=not shown, leave=False) as bar:

        def progress(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.set_description(what, refresh=False)
            bar.update(done - bar.n)

        yield progress


def sayer(args: argparse.Namespace) -> Callable[[str], None]:
    """Give what is told of every step, in words for the terminal.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    callable
        Prints a line beside the results; nothing with --quiet.
    """

    def say(line: str) -> None:
        if not args.quiet:
            print(line, file=sys.stderr)

    return say


def print_table(table: Table, args: argparse.Namespace) -> None:
    """Print a table, for people or for machines.

    Parameters
    ----------
    table
        The table.
    args
        As parsed.
    """
    if not args.json:
        print(table.to_markdown())
        print(f"Rows per picture: {args.out / 'scores.csv'}")
        return
    cells: list[dict[str, Any]] = [
        {"noise": place[0], "set": place[1], "method": method, **cell._asdict()}
        for place in table.places
        for method, cell in table.measured[place].items()
    ]
    print_json({"folder": args.out, "cells": cells})
