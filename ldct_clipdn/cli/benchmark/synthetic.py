"""`ldct-clipdn benchmark synthetic SET ...`: Tables 1 and 9."""

from __future__ import annotations

import argparse
from typing import Final

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

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Tables 1 and 9 of the paper: noise is added by the draws of the published
script, each method denoises, PSNR and SSIM are as published. SET is a folder of clean pictures;
CBSD68, McMaster (McM), Kodak24 (Kodak) and Urban100 are known by name and get the printed figures
beside. tv and nlm are adjusted on --validation for each noise, so they know it; networks do not."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the table.

    Parameters
    ----------
    subparsers
        Where the table is added.
    """
    parser = add_command(subparsers, "synthetic", run, "synthetic noise", DESCRIPTION)
    add_picture_options(parser)
    add_noise_option(parser)


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
    from ldct_clipdn.bench.experiment import image_set
    from ldct_clipdn.bench.synthetic import run_synthetic
    from ldct_clipdn.core.noise import PAPER_NOISES

    settings = settings_of(args)
    sets = [image_set(folder, args.crop, args.limit) for folder in args.sets]
    with progress_bar(args) as progress:
        table = run_synthetic(
            sets,
            methods_of(args, settings.device, sets),
            args.out,
            settings,
            noises=noises_of(args.noise, PAPER_NOISES),
            resume=args.resume,
            progress=progress,
        )
    print_table(table, args)
    return 0
