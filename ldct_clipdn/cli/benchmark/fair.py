"""`ldct-clipdn benchmark fair DIR`: a denoiser against the best classic filter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ldct_clipdn.cli.benchmark.pictures import sayer
from ldct_clipdn.cli.options import add_command, print_json

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Real pairs of low and normal dose, and low doses simulated from every series
of normal dose, judged by the fair error: an error to the truth that does not reward handing noise
back. Beside the denoiser stand classic filters at their best strength on these very slices, and
the truth. The table goes to OUT/fair.csv."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the table.

    Parameters
    ----------
    subparsers
        Where the table is added.
    """
    parser = add_command(subparsers, "fair", run, "real and simulated low dose", DESCRIPTION)
    parser.add_argument("dataset", metavar="DIR", type=Path, help="CT series")
    parser.add_argument("--weights", default="default", help="weights: a name or a file")
    parser.add_argument(
        "--dose", type=float, action="append", default=[], metavar="D", help="simulate this share"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only N slices of each series")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")


def run(args: argparse.Namespace) -> int:
    """Measure, write and print the table.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0.
    """
    from ldct_clipdn.bench.columns import network_column
    from ldct_clipdn.bench.proof import proof_table, run_proof
    from ldct_clipdn.inference.engine import pick_device

    rows = run_proof(
        args.dataset,
        network_column(args.weights, pick_device(args.device)),
        args.out,
        doses=args.dose,
        limit=args.limit,
        say=sayer(args),
    )
    if args.json:
        print_json({"rows": [vars(row) for row in rows]})
    else:
        print(proof_table(rows))
    return 0
