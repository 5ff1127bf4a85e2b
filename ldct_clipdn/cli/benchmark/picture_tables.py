"""`ldct-clipdn benchmark synthetic|real|derain SET ...`: Tables 1, 2, 7 and 9."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final, Literal

from ldct_clipdn.cli.benchmark.pictures import (
    add_noise_option,
    add_picture_options,
    methods_of,
    noises_of,
    print_table,
    progress_bar,
    settings_of,
)
from ldct_clipdn.cli.options import add_command

__all__ = ["add_parser", "run_pairs", "run_synthetic"]

PairTable = Literal["real", "derain"]

SYNTHETIC: Final = """Tables 1 and 9 of the paper: noise is added by the draws of the published
script, each method denoises, PSNR and SSIM are as published. SET is a folder of clean pictures;
CBSD68, McMaster (McM), Kodak24 (Kodak) and Urban100 are known by name and get the printed figures
beside. tv and nlm are adjusted on --validation for each noise, so they know it; networks do not."""

PAIRS: Final = """SET is a folder of pairs whose names differ in noisy/clean, noisy/GT, real/mean,
input/target or rain/norain alone, in the file or the folder names."""

PAIR_TABLES: Final[dict[PairTable, tuple[str, str]]] = {
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
    """Add the tables.

    Parameters
    ----------
    subparsers
        Where the tables are added.
    """
    parser = add_command(subparsers, "synthetic", run_synthetic, "synthetic noise", SYNTHETIC)
    add_picture_options(parser)
    add_noise_option(parser)
    for name, (summary, description) in PAIR_TABLES.items():
        parser = add_command(subparsers, name, partial(run_pairs, name), summary, description)
        add_picture_options(parser)


def run_synthetic(args: argparse.Namespace) -> int:
    """Measure, write and print the table of synthetic noise.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0.
    """
    from ldct_clipdn.bench.picture_tables import run_synthetic
    from ldct_clipdn.bench.sets import image_set
    from ldct_clipdn.core.noise import PAPER_NOISES

    settings = settings_of(args)
    sets = [image_set(folder, args.crop, args.limit) for folder in args.sets]
    methods = methods_of(args, settings.device, sets)
    noises = noises_of(args.noise, PAPER_NOISES)
    with progress_bar(args) as progress:
        table = run_synthetic(
            sets, methods, args.out, settings,
            noises=noises, resume=args.resume, progress=progress,
        )  # fmt: skip
    print_table(table, args)
    return 0


def run_pairs(name: PairTable, args: argparse.Namespace) -> int:
    """Measure, write and print a table of pairs.

    Parameters
    ----------
    name
        Which one.
    args
        As parsed.

    Returns
    -------
    int
        0.
    """
    from ldct_clipdn.bench.experiment import run_table
    from ldct_clipdn.bench.picture_tables import DERAIN, REAL
    from ldct_clipdn.bench.sets import pair_set

    settings = settings_of(args)
    sets = [pair_set(folder, args.crop, args.limit) for folder in args.sets]
    methods = methods_of(args, settings.device, sets, pairs=True)
    table = REAL if name == "real" else DERAIN
    with progress_bar(args) as progress:
        made = run_table(
            table, sets, methods, args.out, settings, resume=args.resume, progress=progress
        )
    print_table(made, args)
    return 0
