"""`ldct-clipdn simulate IN OUT --dose 0.25`: low-dose series from normal-dose ones."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.cli.listing import (
    SERIES_HEADING,
    kernel_name,
    print_below,
    print_unused,
    series_start,
)
from ldct_clipdn.cli.options import add_command, at_least, print_json
from ldct_clipdn.core.words import printable

if TYPE_CHECKING:
    from ldct_clipdn.batch.simulate import Simulation

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Simulate for every CT series in IN what a share of its dose would have
given: noise of the series' own spectrum is added, the anatomy stays. Writes new series, marked as
simulated, to OUT/<series UID>/<image UID>.dcm. A run that was cut off, or is begun again, keeps the
series that are finished with the same settings. For research and testing only."""


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
        "--dose",
        type=float,
        required=True,
        metavar="D",
        help="share of the dose, above 0 and below 1",
    )
    parser.add_argument(
        "--kernel",
        default="auto",
        help="auto (as the series' noise shows), ram-lak, shepp-logan, hann, soft, standard, "
        "sharp, or CUTOFF,STEEPNESS (in 1/mm, and 1) as an earlier run told",
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
        0 all series were simulated, 1 a file or series failed, 3 nothing to simulate.

    Raises
    ------
    ConfigError
        When the run cannot begin.
    """
    from ldct_clipdn.batch.simulate import simulate_study
    from ldct_clipdn.io.simulated_write import SimulationRecipe

    recipe = SimulationRecipe(args.dose, args.kernel, _photons(args.photons), args.seed)
    simulation = simulate_study(args.source, args.target, recipe)
    if args.json:
        print_json(simulation.to_dict())
    else:
        _print_summary(simulation, args.target)
    return simulation.exit_code


def _print_summary(simulation: Simulation, target: Path) -> None:
    if simulation.series:
        print(f"{SERIES_HEADING}{'status':<11}kernel")
    for one in simulation.series:
        start = series_start(one.source_uid, one.number, one.slices)
        print(printable(f"{start}{one.status:<11}{kernel_name(one.source_kernel)}"))
        where = str(target / one.simulated_uid) if one.simulated_uid else one.reason
        print_below((where, *((str(one.noise),) if one.noise else ()), *one.notes))
    print_unused(simulation.inputs)
    if not simulation.series:
        print("There is no CT series to simulate.")


def _photons(words: str) -> str | float:
    """Read a number, or leave the word."""
    try:
        return float(words)
    except ValueError:
        return words
