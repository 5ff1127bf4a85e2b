r"""Trains the reduced natural-image experiment: every model for the same time, then one table.

    scripts/natural_trainings.py SET ... --minutes 10 --train DIR --validate DIR --imagenet FILE \
      --out DIR [--only NAME ...] [--limit N] [--crop N]

The encoder random and frozen, ImageNet-supervised and frozen, the same fine-tuned, random and
trained from scratch; DnCNN; a narrow Restormer. Gaussian noise of sigma 15, BatchNorm as published,
begun by passing the image through. Each model's iterations are those that fit the minutes of CPU
time, as measured in a few steps before. A second start goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from equal_time import EqualTime, Model

VARIANTS = ("random_frozen", "imagenet", "imagenet_finetune", "random")

PEERS = ("dncnn", "restormer")

REDUCED: dict[str, object] = {
    "crop_size": 64,
    "batch_size": 4,
    "num_workers": 0,
    "validation_pictures": 4,
}


def main() -> None:
    """Train every model, then measure all that are done."""
    args = parse()
    settings = {**REDUCED, "dataset_dir": args.train, "validation_dir": args.validate}
    trainings = EqualTime("image_clip_denoising", settings, args.out, args.minutes, args.device)
    for name in args.only:
        trainings.train(name, model_named(name, args.imagenet))
    measure(trainings, args)


def parse() -> argparse.Namespace:
    """Read the command line."""
    names = (*VARIANTS, *PEERS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", nargs="+", type=Path, help="test sets")
    parser.add_argument("--minutes", type=float, required=True, help="CPU time of each model")
    parser.add_argument("--train", type=Path, required=True, help="folder of clean pictures")
    parser.add_argument("--validate", type=Path, required=True, help="folder of other pictures")
    parser.add_argument("--imagenet", type=Path, required=True, help="ImageNet-RN50v2 weights")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="train these")
    parser.add_argument("--limit", type=int, help="measure the first so many of each set")
    parser.add_argument("--crop", type=int, help="measure so many pixels square of the middle")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def model_named(name: str, imagenet: Path) -> Model:
    """Give what the bundle is told to train a model."""
    if name in PEERS:
        overlay = f"{name}.json"
        settings: dict[str, object] = {"network_def#width": 16} if name == "restormer" else {}
    else:
        weights = imagenet if name.startswith("imagenet") else "none"
        overlay = "ablation.json"
        settings = {"variant": name, "encoder_weights": weights, "start": "identity"}
    return Model(("train.json", overlay, "as_published.json"), settings)


def measure(trainings: EqualTime, args: argparse.Namespace) -> None:
    """Put all models that are done, TV and NLM into one table of all noises."""
    done = {
        name: trainings.run_dir(name) / "last.pt"
        for name in (*VARIANTS, *PEERS)
        if trainings.is_done(name)
    }
    weights = [f"--weights={name}={path}" for name, path in done.items() if name in VARIANTS]
    peers = [f"--method={name}:{path}" for name, path in done.items() if name in PEERS]
    classic = ["--method=noisy", "--method=tv", "--method=nlm", f"--validation={args.validate}"]
    out = [f"--out={args.out / 'table'}", "--resume", "--strips=1", f"--device={args.device}"]
    out += [f"--{key}={n}" for key in ("limit", "crop") if (n := getattr(args, key)) is not None]
    command = [sys.executable, "-m", "ldct_clipdn", "benchmark", "synthetic", *map(str, args.sets)]
    subprocess.run([*command, *weights, *peers, *classic, *out], check=True)
    if done:
        print(trainings.times(done))


if __name__ == "__main__":
    main()
