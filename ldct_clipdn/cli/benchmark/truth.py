"""`ldct-clipdn benchmark truth`: a denoiser where the truth is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ldct_clipdn.bench.truth_parts import PARTS
from ldct_clipdn.cli.benchmark.pictures import sayer
from ldct_clipdn.cli.options import add_command, at_least, print_json

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Where the truth is known: error to the truth of phantoms by two
independent simulators; faint discs before and after, by model observers; transfer of edges; mean
and spread over many draws of the noise; what is done to normal dose. Total variation and non-local
means stand beside, at fixed strengths in units of the noise. OUT gets a CSV per part, figures, and
report.md; a part that is there is not measured again, figures and report are made anew of it."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the table.

    Parameters
    ----------
    subparsers
        Where the table is added.
    """
    parser = add_command(subparsers, "truth", run, "where the truth is known", DESCRIPTION)
    parser.add_argument("out", metavar="OUT", type=Path, help="output folder")
    parser.add_argument("--weights", default="default", help="weights: a name or a file")
    parser.add_argument("--backend", default="auto", help="auto, or identity to try the measures")
    parser.add_argument(
        "--part", action="append", default=[], choices=PARTS, help="only this part; all if none"
    )
    parser.add_argument(
        "--draws", type=at_least(20), default=100, help="images with and without each disc (100)"
    )
    parser.add_argument(
        "--slice-draws", type=at_least(2), default=50, help="draws of the noise on a slice (50)"
    )
    parser.add_argument(
        "--ct", type=Path, action="append", default=[], metavar="DIR", help="CT of normal dose"
    )
    parser.add_argument("--seed", type=at_least(0), default=1, help="start of the generators (1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace) -> int:
    """Measure, write and print.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0.
    """
    from ldct_clipdn.bench.truth import TruthOptions, run_truth
    from ldct_clipdn.inference.engine import open_engine

    engine = open_engine(args.weights, device=args.device, backend=args.backend)
    options = TruthOptions(
        tuple(args.part) or PARTS, args.draws, args.slice_draws, tuple(args.ct), args.seed
    )

    results = run_truth(engine, args.out, options, sayer(args))
    if args.json:
        print_json(results)
    else:
        print((args.out / "report.md").read_text(encoding="utf-8"))
    return 0
