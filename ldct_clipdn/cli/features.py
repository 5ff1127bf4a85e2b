"""`ldct-clipdn features PICTURE ...`: how much an encoder's features change under noise."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.cli.options import add_command, at_least, print_json

if TYPE_CHECKING:
    import torch

    from ldct_clipdn.bench.features import FeatureNet

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Figures 1, 2, 3, 9, 10, 11 and 13 of the paper: similarity of the
features of clean and noisy pictures (cosine, centred cosine, linear CKA) for each encoder and, as a
control, for the same network with random weights; with --tsne also their layout in two dimensions.
Plain cosine is high for a random network too: read it beside the control. PNG and CSV."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    parser = add_command(subparsers, "features", run, "features under noise", DESCRIPTION)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", type=Path, help="clean picture")
    parser.add_argument(
        "--encoder",
        action="append",
        required=True,
        metavar="NAME=WEIGHTS",
        help="such as RN50=openai, ImageNet-RN50v2=FILE, RN50=random or restormer=FILE; may be "
        "given more than once",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    parser.add_argument(
        "--noise", choices=("gaussian", "poisson"), default="gaussian", help="kind of noise"
    )
    parser.add_argument("--tsne", action="store_true", help="draw t-SNE of F1 to F4 too")
    parser.add_argument(
        "--copies", type=at_least(2), default=20, metavar="N", help="for t-SNE, noisy copies"
    )
    parser.add_argument(
        "--crop", type=at_least(32), metavar="N", help="keep N x N pixels of the middle"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of noise and control")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace) -> int:
    """Measure, write and draw.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0.
    """
    from ldct_clipdn.bench import feature_figures, features
    from ldct_clipdn.bench.results import file_stem, make_folder
    from ldct_clipdn.bench.sets import read_pictures
    from ldct_clipdn.inference.engine import pick_device

    device = pick_device(args.device)
    nets = features.open_encoders(args.encoder, device, args.seed)
    pictures = read_pictures(args.pictures, args.crop)
    levels = features.GAUSSIAN_LEVELS if args.noise == "gaussian" else features.POISSON_LEVELS
    make_folder(args.out)
    found = features.measure_similarity(nets, pictures, levels, device=device, seed=args.seed)
    table, figure = (args.out / f"similarity_{args.noise}.{ending}" for ending in ("csv", "png"))
    features.write_similarity(found, table)
    title = f"Clean against noisy features, {args.noise} noise"
    feature_figures.draw_similarity(found, figure, title)
    written = [table, figure, _write_record(args, nets, device)]
    for net in nets if args.tsne else []:
        points = features.embed_features(
            net, pictures, (levels[0], levels[-1]), device=device, copies=args.copies,
            seed=args.seed,
        )  # fmt: skip
        stem = f"tsne_{args.noise}_{file_stem(net.name)}"
        table, figure = (args.out / f"{stem}.{ending}" for ending in ("csv", "png"))
        names = [picture.name for picture in pictures]
        features.write_embedding(points, names, table)
        feature_figures.draw_embedding(points, names, figure, f"t-SNE of features, {net.name}")
        written += [table, figure]
    if args.json:
        print_json({"files": written, "encoders": {net.name: net.source for net in nets}})
    else:
        print("\n".join(str(path) for path in written))
    return 0


def _write_record(
    args: argparse.Namespace, nets: Sequence[FeatureNet], device: torch.device
) -> Path:
    """Write down how the points were measured."""
    from ldct_clipdn.batch.manifest import tool_versions
    from ldct_clipdn.bench.experiment import device_name
    from ldct_clipdn.bench.record import files_sha256
    from ldct_clipdn.bench.results import write_text

    path: Path = args.out / f"similarity_{args.noise}.json"
    record = {
        "encoders": {net.name: net.source for net in nets},
        "pictures": {str(picture): files_sha256([picture]) for picture in args.pictures},
        "crop": args.crop,
        "copies": args.copies if args.tsne else None,
        "seed": args.seed,
        "versions": tool_versions(),
        "device": device_name(device),
    }
    write_text(path, json.dumps(record, indent=2) + "\n")
    return path
