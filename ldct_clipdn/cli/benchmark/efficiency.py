"""`ldct-clipdn benchmark efficiency`: Table 6."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.cli.benchmark.pictures import progress_bar
from ldct_clipdn.cli.options import add_command, at_least, print_json

if TYPE_CHECKING:
    from ldct_clipdn.bench.efficiency import Efficiency

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Table 6 of the paper: parameters, multiply-adds, time and peak memory for
one image of 3 x 512 x 512 on this device, for every network of this package at its published size,
with the printed figures beside. No weights are needed: they are random."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the table.

    Parameters
    ----------
    subparsers
        Where the table is added.
    """
    parser = add_command(subparsers, "efficiency", run, "cost of the networks", DESCRIPTION)
    parser.add_argument("--network", action="append", metavar="NAME", help="only this one")
    parser.add_argument(
        "--side", type=at_least(32), default=512, metavar="N", help="image of N x N pixels"
    )
    parser.add_argument(
        "--repeats", type=at_least(1), default=10, metavar="N", help="runs whose median is taken"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the table too: FILE as .md, as .csv, and with how it was measured as .json",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print the table.

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
        When there is no network of a given name.
    """
    from ldct_clipdn.batch.manifest import tool_versions
    from ldct_clipdn.bench.efficiency import (
        efficiency_table,
        known_networks,
        measure_efficiency,
    )
    from ldct_clipdn.bench.experiment import device_name
    from ldct_clipdn.bench.results import make_folder
    from ldct_clipdn.errors import ConfigError
    from ldct_clipdn.inference.engine import pick_device

    device = pick_device(args.device)
    networks = known_networks()
    chosen = args.network or list(networks)
    if unknown := [name for name in chosen if name not in networks]:
        raise ConfigError(
            f"no network is named {unknown[0]!r}", remedy=f"Give one of: {'; '.join(networks)}"
        )
    if args.out is not None:
        make_folder(args.out.parent)
    size = {"side": args.side, "repeats": args.repeats}
    rows = []
    with progress_bar(args, unit=" networks") as progress:
        for done, name in enumerate(chosen, start=1):
            progress(done - 1, len(chosen), name)
            rows.append(measure_efficiency(name, networks.pop(name), device, **size))
    table = efficiency_table(rows, device_name(device), **size)
    about = {"device": device_name(device), "versions": tool_versions(), "seed": 0, **size}
    record = {**about, "networks": [asdict(row) for row in rows]}
    if args.out is not None:
        _write(args.out, table, rows, record)
    if args.json:
        print_json(record)
    else:
        print(table)
    return 0


def _write(
    path: Path, table: str, rows: Sequence[Efficiency], record: Mapping[str, object]
) -> None:
    from ldct_clipdn.bench.efficiency import beside_the_paper
    from ldct_clipdn.bench.results import write_rows, write_text

    write_text(path.with_suffix(".md"), table)
    write_rows(path.with_suffix(".csv"), beside_the_paper(rows))
    write_text(path.with_suffix(".json"), json.dumps(record, indent=2) + "\n")
