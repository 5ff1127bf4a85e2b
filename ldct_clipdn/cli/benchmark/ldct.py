"""`ldct-clipdn benchmark ldct DIR`: Table 3."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ldct_clipdn.cli.benchmark.pictures import print_table, progress_bar
from ldct_clipdn.cli.options import add_command

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Table 3 of the paper: real pairs of low and normal dose (the 2016 challenge
and whatever else the training understands), a line per patient and kernel, by the paper's ruler
(4096 HU) and by its test script's, which takes 3096 for 3072. The printed figures, of 1 mm slices,
stand beside L506."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the table.

    Parameters
    ----------
    subparsers
        Where the table is added.
    """
    parser = add_command(subparsers, "ldct", run, "low-dose CT", DESCRIPTION)
    parser.add_argument("dataset", metavar="DIR", type=Path, help="data with both doses")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a denoiser of this package; may be given more than once",
    )
    parser.add_argument(
        "--method", action="append", default=[], metavar="METHOD", help="noisy or tv:STRENGTH"
    )
    parser.add_argument("--patient", action="append", default=[], metavar="NAME", help="only these")
    parser.add_argument("--limit", type=int, metavar="N", help="only N pairs of each patient")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--resume", action="store_true", help="go on with what is in the folder")


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
    from ldct_clipdn.bench.ldct import make_ct_method, run_ldct
    from ldct_clipdn.inference.engine import pick_device

    device = pick_device(args.device)
    names = [*args.method, *(f"weights:{one}" for one in args.weights)] or ["noisy"]
    with progress_bar(args, unit=" slices") as progress:
        table = run_ldct(
            args.dataset,
            [make_ct_method(name, device) for name in names],
            args.out,
            device=device,
            patients=args.patient,
            limit=args.limit,
            resume=args.resume,
            progress=progress,
        )
    print_table(table, args)
    return 0
