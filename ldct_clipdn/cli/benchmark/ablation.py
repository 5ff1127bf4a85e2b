"""`ldct-clipdn benchmark ablation SET ... --runs DIR`: Tables 4, 5, 8, 10 and Figure 8."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.cli.benchmark.pictures import (
    add_noise_option,
    add_run_options,
    noises_of,
    print_table,
    progress_bar,
    settings_of,
)
from ldct_clipdn.cli.options import add_command, print_json

if TYPE_CHECKING:
    from ldct_clipdn.bench.ablation import Variant

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Tables 4, 5, 8, 10 and Figure 8 of the paper: variants of the denoiser, each
trained by the bundle image_clip_denoising into DIR/VARIANT and measured from its last.pt, with the
printed figures beside. --list names the variants and how to train one."""

CONFIGS: Final = "BUNDLE/configs"

HOW_TO_TRAIN: Final = f"""
BUNDLE is bundles/image_clip_denoising; train one variant by

python -m monai.bundle run training \\
  --config_file "['{CONFIGS}/train.json','{CONFIGS}/ablation.json']" \\
  --variant VARIANT --encoder_weights TAG_OR_FILE --dataset_dir DIR --run_dir RUNS/VARIANT

`as_published.json` as a third file lets BatchNorm adapt, as the published code does."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the table.

    Parameters
    ----------
    subparsers
        Where the table is added.
    """
    parser = add_command(subparsers, "ablation", run, "variants of the denoiser", DESCRIPTION)
    parser.add_argument("--list", action="store_true", help="name the variants and stop")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder of the trained variants")
    add_run_options(parser, sets="*")
    add_noise_option(parser)


def run(args: argparse.Namespace) -> int:
    """Name the variants; or measure, write and print the table.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0.

    Raises
    ------
    ConfigError
        When folders are missing.
    """
    from ldct_clipdn.bench.ablation import ABLATION_NOISES, VARIANTS, run_ablation
    from ldct_clipdn.bench.sets import image_set
    from ldct_clipdn.errors import ConfigError

    if args.list:
        _print_variants(VARIANTS, as_json=args.json)
        return 0
    if not args.sets or args.runs is None or args.out is None:
        raise ConfigError("SET, --runs and --out are needed", remedy="Give them, or --list")
    settings = settings_of(args)
    with progress_bar(args) as progress:
        table = run_ablation(
            args.runs,
            [image_set(folder, args.crop, args.limit) for folder in args.sets],
            args.out,
            settings,
            noises=noises_of(args.noise, ABLATION_NOISES),
            resume=args.resume,
            progress=progress,
        )
    print_table(table, args)
    return 0


def _print_variants(variants: Mapping[str, Variant], *, as_json: bool) -> None:
    about = {name: (one.what, one.weights or "none") for name, one in variants.items()}
    if as_json:
        print_json({name: {"what": what, "weights": used} for name, (what, used) in about.items()})
        return
    for name, (what, weights) in about.items():
        print(f"{name:<18} {what}; encoder weights: {weights}")
    print(HOW_TO_TRAIN)
