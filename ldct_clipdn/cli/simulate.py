"""`ldct-clipdn simulate IN OUT --dose 0.25`: low-dose series from normal-dose ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from ldct_clipdn.cli.options import add_command, at_least, print_json
from ldct_clipdn.errors import ConfigError

__all__ = ["add_parser", "run"]

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOTHING: Final = 3

DESCRIPTION: Final = """Simulate for every CT series in IN what a share of its dose would have
given: noise of the series' own spectrum is added, the anatomy stays. Writes new series, marked as
simulated, to OUT/<series UID>/<image UID>.dcm. For research and testing only."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    parser = add_command(subparsers, "simulate", run, "simulate low dose", DESCRIPTION)
    parser.add_argument("source", metavar="IN", type=Path, help="DICOM file or folder")
    parser.add_argument("target", metavar="OUT", type=Path, help="output folder, outside IN")
    parser.add_argument(
        "--dose", type=float, required=True, metavar="D", help="share of the dose, above 0 to 1"
    )
    parser.add_argument(
        "--kernel",
        default="auto",
        help="auto (as the series' noise shows), ram-lak, shepp-logan, hann, soft, standard, sharp",
    )
    parser.add_argument(
        "--photons",
        default="auto",
        metavar="N",
        help="quanta per unattenuated ray at full dose; auto reads the series' noise",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="another seed, other noise")


def run(args: argparse.Namespace) -> int:
    """Simulate, and print what was done.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0 all series were simulated, 1 one failed, 2 wrong usage, 3 nothing to simulate.
    """
    from ldct_clipdn.batch.simulate import simulate_study
    from ldct_clipdn.io.simulated import SimulationRecipe

    try:
        recipe = SimulationRecipe(args.dose, args.kernel, _photons(args.photons), args.seed)
        records = simulate_study(args.source, args.target, recipe)
    except ConfigError as error:
        if args.debug:
            raise
        print(f"ldct-clipdn simulate: {error}", file=sys.stderr)
        return EXIT_USAGE
    if args.json:
        print_json({"series": [one.to_dict() for one in records]})
    for one in [] if args.json else records:
        where = args.target / one.simulated_uid if one.simulated_uid else f"failed: {one.reason}"
        slices = f"{one.slices:>5} slice{'s' if one.slices > 1 else ' '}"
        print(f"..{one.source_uid[-10:]}  {slices}  {where}")
    if not records:
        print("There is no CT series to simulate.", file=sys.stderr)
        return EXIT_NOTHING
    return EXIT_FAILED if any(one.reason for one in records) else 0


def _photons(words: str) -> str | float:
    if words == "auto":
        return words
    try:
        photons = float(words)
    except ValueError:
        photons = 0.0
    if not photons > 0:
        raise ConfigError(f"--photons {words} is no positive number", remedy="Give auto, or 1e5")
    return photons
