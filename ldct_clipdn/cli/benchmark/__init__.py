"""`ldct-clipdn benchmark TABLE`: one module per table."""

from __future__ import annotations

import argparse
import importlib

__all__ = ["add_parser"]

TABLES = ("picture_tables", "ldct", "fair", "truth", "efficiency", "ablation")
"""One module of this folder per table or family of tables; each offers `add_parser(subparsers)`."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its tables.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    group = subparsers.add_parser("benchmark", help="the tables of the paper, measured")
    tables = group.add_subparsers(dest="table", metavar="TABLE", required=True)
    for name in TABLES:
        importlib.import_module(f"ldct_clipdn.cli.benchmark.{name}").add_parser(tables)
