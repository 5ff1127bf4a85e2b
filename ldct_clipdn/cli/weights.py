"""`ldct-clipdn weights ...`: what weights there are, what a file is, import, fetch, export."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.cli.options import add_command, print_json

if TYPE_CHECKING:
    from ldct_clipdn.core.weight_import import WeightsReport

__all__ = ["add_parser"]

TRUST_HELP = """open a TorchScript archive of unknown SHA-256, which can run code"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its parts.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    parser = subparsers.add_parser(
        "weights",
        help="list, check, import, fetch, export weights",
        description="Weights of denoisers and of CLIP's image encoders.",
    )
    parts = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_command(parts, "list", run_list, "list known and imported weights")

    verify = add_command(parts, "verify", run_verify, "say what a file is, and whether it fits")
    verify.add_argument("file", metavar="FILE", help="a file, or the name of imported weights")
    verify.add_argument("--trust-torchscript", action="store_true", help=TRUST_HELP)

    importing = add_command(
        parts,
        "import",
        run_import,
        "check a file and keep it under a name",
        "Check FILE and copy it into the weights folder: its name then serves in --weights, and a "
        "file of CLIP (RN50.pt) serves wherever its tag (openai) is asked for.",
    )
    importing.add_argument("file", metavar="FILE", type=Path)
    importing.add_argument("--name", help="the name; default: the file's own, without ending")
    importing.add_argument("--trust-torchscript", action="store_true", help=TRUST_HELP)

    fetch = add_command(
        parts, "fetch", run_fetch, "fetch an encoder through open_clip (needs the internet)"
    )
    fetch.add_argument("tag", metavar="TAG", help="open_clip's tag, such as openai")
    fetch.add_argument(
        "--encoder", default="RN50", help="RN50 (default), RN101, RN50x4, RN50x16 or RN50x64"
    )

    export = add_command(
        parts,
        "export",
        run_export,
        "write a run's weights alone",
        "Write the weights of a run's best.pt or last.pt without what only training needs, and "
        "check the new file. .safetensors keeps the configuration; .pt is a bare state dict, as "
        "MONAI bundles have it, for networks whose encoder is a ResNet of CLIP's layout.",
    )
    export.add_argument("source", metavar="CHECKPOINT", type=Path)
    export.add_argument("target", metavar="FILE", type=Path)


def run_list(args: argparse.Namespace) -> int:
    """List the known weights and those that were imported.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0.
    """
    from ldct_clipdn.core.weight_files import known_weights
    from ldct_clipdn.core.weight_store import stored_files, stored_weights, weights_folder

    known = [
        {"name": name, **entry, "path": stored_weights(name)}
        for name, entry in known_weights().items()
    ]
    others = [path for path in stored_files() if path.name not in known_weights()]
    if args.json:
        print_json({"folder": weights_folder(), "known": known, "imported": others})
        return 0
    for one in known:
        place = f"here: {one['path']}" if one["path"] else f"tag {one['tag']}, not imported"
        print(f"{one['name']:<12} {one['kind']}, {one['what']} ({place})")
    for path in others:
        print(f"{path.stem:<12} {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    if not others:
        print(f"No other weights in {weights_folder()}.")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Say what a file is.

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
    WeightsError
        When it fits nothing.
    """
    from ldct_clipdn.core.weight_import import identify_weights

    _print(identify_weights(args.file, trust_torchscript=args.trust_torchscript), args)
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Keep a file in the weights folder.

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
    LdctError
        When it fits nothing, or cannot be kept under that name.
    """
    from ldct_clipdn.core.weight_import import import_weights

    report = import_weights(args.file, args.name, trust_torchscript=args.trust_torchscript)
    _print(report, args)
    if not args.json:
        option = "--weights" if report.kind == "denoiser" else "--encoder_weights"
        print(f"Use it with: {option} {report.path.stem}")
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    """Fetch an encoder's file, and check it.

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
    WeightsError
        When it cannot be had.
    """
    from ldct_clipdn.core.encoder import layout_of
    from ldct_clipdn.core.encoder_files import fetch_encoder
    from ldct_clipdn.core.weight_import import identify_weights

    layout_of(args.encoder)
    _print(identify_weights(fetch_encoder(args.encoder, args.tag)), args)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the weights of a checkpoint alone.

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
    LdctError
        When the checkpoint is no denoiser's, or the new file cannot be written.
    """
    from ldct_clipdn.core.weight_import import export_denoiser

    _print(export_denoiser(args.source, args.target), args)
    return 0


def _print(report: WeightsReport, args: argparse.Namespace) -> None:
    if args.json:
        print_json(asdict(report))
        return
    print(report.path)
    print(f"  fits: {report.kind}, {report.what}")
    print(f"  format: {report.form}")
    known = f" (known: {report.known_as})" if report.known_as else ""
    print(f"  SHA-256: {report.sha256}{known}")
