"""`ldct-clipdn benchmark real|derain SET ...`: Tables 2 and 7."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Final

from ldct_clipdn.cli.benchmark.pictures import (
    add_picture_options,
    methods_of,
    print_table,
    progress_bar,
    settings_of,
)
from ldct_clipdn.cli.options import add_command

if TYPE_CHECKING:
    from ldct_clipdn.bench.photographs import PairTable

__all__ = ["add_parser", "run"]

PAIRS: Final = """SET is a folder of pairs whose names differ in noisy/clean, noisy/GT, real/mean,
input/target or rain/norain alone, in the file or the folder names."""

TABLES: Final[dict[PairTable, tuple[str, str]]] = {
    "real": (
        "real sRGB noise",
        f"""Table 2 of the paper: noisy photographs and their clean references, as the SIDD
        validation set, PolyU and CC hold them. {PAIRS}""",
    ),
    "derain": (
        "deraining",
        f"""Table 7 of the paper: rainy pictures and clean ones. How the paper measured is not
        published; here it is as for real noise. {PAIRS}""",
    ),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both tables.

    Parameters
    ----------
    subparsers
        Where the tables are added.
    """
    for table, (summary, description) in TABLES.items():
        parser = add_command(subparsers, table, partial(run, table), summary, description)
        add_picture_options(parser)


def run(table: PairTable, args: argparse.Namespace) -> int:
    """Measure, write and print a table.

    Parameters
    ----------
    table
        Which one.
    args
        As parsed.

    Returns
    -------
    int
        0.
    """
    from ldct_clipdn.bench.experiment import pair_set
    from ldct_clipdn.bench.photographs import run_photographs

    settings = settings_of(args)
    sets = [pair_set(folder, args.crop, args.limit) for folder in args.sets]
    with progress_bar(args) as progress:
        made = run_photographs(
            table,
            sets,
            methods_of(args, settings.device, sets, pairs=True),
            args.out,
            settings,
            resume=args.resume,
            progress=progress,
        )
    print_table(made, args)
    return 0
