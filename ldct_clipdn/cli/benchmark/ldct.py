"""`ldct-clipdn benchmark ldct DIR`: Table 3."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.cli.benchmark.pictures import print_table, progress_bar, sayer
from ldct_clipdn.cli.options import add_command, at_least, print_json

if TYPE_CHECKING:
    from ldct_clipdn.bench.cases import Case
    from ldct_clipdn.bench.columns import Column

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Table 3 of the paper: real pairs of low and normal dose (the 2016 challenge
and whatever else the training understands), a line per patient and kernel, by the paper's ruler
(4096 HU) and by its test script's, which takes 3096 for 3072. The printed figures, of 1 mm slices,
stand beside L506.

With --matrix: scanner x kernel x thickness x dose. Every series of the folders, at real low dose
and at simulated doses, against classic filters (at one strength, chosen on the folders of --choose,
and at their best on the very slices: oracle), the given networks, and the default weights."""

DOSES: Final = (0.5, 0.25, 0.1)

CHOOSING_DOSE: Final = 0.25

MOST_SLICES: Final = 16
"""Of a series, unless --limit says otherwise: memory must not grow with it."""

TABLE_OPTIONS: Final = ("method", "strips")

MATRIX_OPTIONS: Final = ("dose", "choose", "trained_on", "development", "held_out")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the table.

    Parameters
    ----------
    subparsers
        Where the table is added.
    """
    parser = add_command(subparsers, "ldct", run, "low-dose CT", DESCRIPTION)
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="data with both doses; with --matrix any",
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a denoiser of this package, or with --matrix whatever the bundle trained; may be "
        "given more than once",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="METHOD",
        help="noisy or tv:STRENGTH; not with --matrix",
    )
    parser.add_argument("--patient", action="append", default=[], metavar="NAME", help="only these")
    parser.add_argument(
        "--limit", type=at_least(1), metavar="N", help="only N slices of each series"
    )
    parser.add_argument(
        "--strips",
        type=at_least(0),
        default=0,
        metavar="N",
        help="draw comparison strips of N slices of each series, in the window [-160, 240] HU; "
        "not with --matrix",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--resume", action="store_true", help="go on with what is in the folder")
    _add_matrix_options(parser)


def _add_matrix_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the matrix")
    group.add_argument("--matrix", action="store_true", help="scanner, kernel, thickness, dose")
    group.add_argument(
        "--dose",
        type=float,
        action="append",
        metavar="D",
        help=f"simulate this share; may be given more than once; {DOSES} unless given",
    )
    group.add_argument(
        "--choose",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="where each filter's one strength is chosen, a slice of each series at a quarter of "
        "the dose; there are no such columns unless given",
    )
    group.add_argument(
        "--trained-on",
        action="append",
        default=[],
        metavar="PATTERN",
        help="patients, folders or files that the default weights were trained on, as a shell's "
        "pattern: marked in the table",
    )
    group.add_argument(
        "--development",
        action="append",
        default=[],
        metavar="PATTERN",
        help="the same of those by which weights, strength or recipe were chosen: marked, and in "
        "no mean over patients",
    )
    group.add_argument("--held-out", action="store_true", help="leave out what was trained on")


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

    Raises
    ------
    ConfigError
        When an option is given that the table has not, or nothing is left to measure.
    """
    _refuse_ignored(args)
    if args.matrix:
        return _run_matrix(args)
    from ldct_clipdn.bench.experiment import RunSettings
    from ldct_clipdn.bench.ldct import make_ct_method, run_ldct
    from ldct_clipdn.errors import ConfigError
    from ldct_clipdn.inference.engine import pick_device

    if len(args.folders) > 1:
        raise ConfigError("Table 3 is made of one folder", remedy="Give one, or add --matrix")
    device = pick_device(args.device)
    names = [*args.method, *(f"weights:{one}" for one in args.weights)] or ["noisy"]
    with progress_bar(args, unit=" slices") as progress:
        table = run_ldct(
            args.folders[0],
            [make_ct_method(name, device) for name in names],
            args.out,
            RunSettings(device, strips=args.strips),
            patients=args.patient,
            limit=args.limit,
            resume=args.resume,
            progress=progress,
        )
    print_table(table, args)
    return 0


def _refuse_ignored(args: argparse.Namespace) -> None:
    from ldct_clipdn.errors import ConfigError

    ignored = TABLE_OPTIONS if args.matrix else MATRIX_OPTIONS
    for option in (f"--{name.replace('_', '-')}" for name in ignored if getattr(args, name)):
        if args.matrix:
            raise ConfigError(f"{option} does nothing with --matrix", remedy=f"Leave out {option}")
        raise ConfigError(f"{option} does nothing without --matrix", remedy="Add --matrix")


def _run_matrix(args: argparse.Namespace) -> int:
    from ldct_clipdn.bench.cases import find_cases
    from ldct_clipdn.bench.columns import INPUT_COLUMN, network_column, oracle_columns
    from ldct_clipdn.bench.experiment import device_name
    from ldct_clipdn.bench.matrix import run_matrix
    from ldct_clipdn.bench.matrix_outputs import write_outputs
    from ldct_clipdn.inference.engine import pick_device

    device = pick_device(args.device)
    networks = [network_column(one, device) for one in (*args.weights, "default")]
    limit = MOST_SLICES if args.limit is None else args.limit
    doses = args.dose or DOSES
    cases = _kept(args, find_cases(args.folders, doses, limit, args.trained_on, args.development))
    with progress_bar(args, unit=" cells") as progress:
        ran = run_matrix(
            cases,
            [INPUT_COLUMN, *oracle_columns(), *_chosen(args), *networks],
            args.out,
            judged=networks[-1].name,
            device=device_name(device),
            chosen_on=args.choose,
            resume=args.resume,
            progress=progress,
        )
    text = write_outputs(ran, networks[-1].name, args.out)
    if args.json:
        print_json({"folder": args.out, "left_out": ran.left_out, "rows": len(ran.rows)})
    else:
        print(text)
    return 0


def _kept(args: argparse.Namespace, cases: Sequence[Case]) -> list[Case]:
    """Keep what --patient and --held-out leave."""
    from ldct_clipdn.bench.cases import SEEN
    from ldct_clipdn.errors import ConfigError

    if unknown := set(args.patient) - {case.patient for case in cases}:
        raise ConfigError(
            f"there is no patient {min(unknown)!r}", path=args.folders[0], remedy="Mend --patient"
        )
    return [
        case
        for case in cases
        if (not args.patient or case.patient in args.patient)
        and not (args.held_out and case.training == SEEN)
    ]


def _chosen(args: argparse.Namespace) -> list[Column]:
    """Make the columns of filters at one strength, which is chosen once per output folder."""
    from ldct_clipdn.bench.cases import find_cases
    from ldct_clipdn.bench.columns import chosen_columns, known_strengths

    if not args.choose:
        return []

    cases = find_cases(args.choose, (CHOOSING_DOSE,), 1)
    return chosen_columns(known_strengths(cases, args.out, sayer(args)))
