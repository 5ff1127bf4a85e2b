"""`ldct-clipdn data check DIR`: what a data set holds, and what is wrong with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.batch.exit_codes import ExitCode
from ldct_clipdn.cli.options import add_command, print_json
from ldct_clipdn.cli.progress import progress_bar
from ldct_clipdn.core.words import counted

if TYPE_CHECKING:
    from ldct_clipdn.data.survey import Group, Survey

__all__ = ["add_parser", "run"]

HEADINGS: Final = ("patient", "kernel", "thickness", "matrix", "normal", "low", "pairs")

LONGEST_NAME: Final = 28

DESCRIPTION: Final = """Say what CT slices lie in DIR: patients, doses, kernels, thickness and
pairs, what is missing or unreadable, and what to do. Understood are the 2016 AAPM challenge, TCIA's
LDCT-and-Projection-data, slices prepared as L506_0_target.npy and L506_0_input.npy, and any folder
of CT DICOM, NIfTI, NRRD, MHA or MHD, which counts as normal dose. Exit code 0: can be trained on;
1: something is wrong that training stops at; 3: no CT slice."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    group = subparsers.add_parser("data", help="look at a data set")
    commands = group.add_subparsers(dest="data_command", metavar="COMMAND", required=True)
    summary = "what a data set holds and what is wrong with it"
    parser = add_command(commands, "check", run, summary, DESCRIPTION)
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of CT images")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 1 whatever is wrong, as strict training does",
    )
    parser.add_argument(
        "--headers-only",
        action="store_true",
        help="do not read the pixels: quicker, but damaged ones go unnoticed",
    )


def run(args: argparse.Namespace) -> int:
    """Look at a folder, and print what is there.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0 can be trained on, 1 cannot, 3 there is no CT slice.

    Raises
    ------
    ConfigError
        When there is no such folder.
    """
    from ldct_clipdn.batch.plan import check_source
    from ldct_clipdn.data.survey import survey_folder

    check_source(args.folder)
    shown = not args.quiet and sys.stderr.isatty()
    with progress_bar("reading", "files", shown=shown) as progress:
        survey = survey_folder(args.folder, pixels=not args.headers_only, progress=progress)
    if args.json:
        print_json(survey.to_dict())
    else:
        _print_survey(survey)
    if not survey.groups:
        return ExitCode.NOTHING
    unfit = any(one.fatal or args.strict for one in survey.problems)
    return ExitCode.FAILED if unfit or not survey.count("normal") else 0


def _print_survey(survey: Survey) -> None:
    print(survey.root)
    if survey.groups:
        _print_table(survey.groups)
    print(_summary(survey))
    for problem in survey.problems:
        print(f"{'error' if problem.fatal else 'warning'}: {problem.reason}")
        print(f"    {problem.names(survey.root)}\n    {problem.remedy}")
    for reason, count in survey.skipped.items():
        print(f"skipped: {counted(count, 'file')}: {reason}")


def _print_table(groups: tuple[Group, ...]) -> None:
    rows = [HEADINGS, *(_row(one) for one in groups)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        texts = [cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)]
        counts = [cell.rjust(width) for cell, width in zip(row[4:], widths[4:], strict=True)]
        print("  ".join((*texts, *counts)))


def _row(one: Group) -> tuple[str, ...]:
    thickness = "-" if one.thickness_mm is None else f"{one.thickness_mm:g} mm"
    counts = (str(count) if count else "-" for count in (one.normal, one.low, one.pairs))
    return _short(one.patient), one.kernel or "-", thickness, f"{one.rows} x {one.columns}", *counts


def _short(name: str) -> str:
    """Keep both ends of a long name."""
    return name if len(name) <= LONGEST_NAME else f"{name[:12]}..{name[-10:]}"


def _summary(survey: Survey) -> str:
    if not survey.groups:
        return "No CT slice."
    there = (
        f"{counted(survey.count('normal'), 'slice')} at normal dose, "
        f"{survey.count('low')} at low dose, {counted(survey.count('pairs'), 'pair')}; "
        f"{counted(len(survey.patients), 'patient')}."
    )
    if not survey.count("normal"):
        return f"{there}\nNothing to train on: add the normal dose."
    held_out = ", ".join(survey.held_out)
    split = f"holds out {held_out}" if held_out else "validates on nothing, with one patient alone"
    return f"{there}\nTraining on this folder {split}, unless validation_dir is given."
