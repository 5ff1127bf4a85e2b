r"""Trains the reduced natural-image experiment: every model for the same time, then one table.

    scripts/natural_trainings.py --minutes 10 --train DIR --validate DIR --imagenet FILE \
      --out DIR SET ...

The encoder random and frozen, ImageNet-supervised and frozen, the same fine-tuned, random and
trained from scratch; DnCNN; a narrow Restormer. Gaussian noise of sigma 15, BatchNorm as published,
begun by passing the image through. Each model's iterations are those that fit the minutes, as
measured in a few steps before. A second start goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "bundles" / "image_clip_denoising" / "configs"

VARIANTS = ("random_frozen", "imagenet", "imagenet_finetune", "random")

MODELS: dict[str, tuple[list[str], dict[str, object]]] = {
    **{name: (["ablation.json"], {"variant": name}) for name in VARIANTS},
    "dncnn": (["dncnn.json"], {}),
    "restormer": (["restormer.json"], {"network_def#width": 16}),
}

REDUCED: dict[str, object] = {
    "start": "identity",
    "crop_size": 64,
    "batch_size": 4,
    "num_workers": 0,
    "validation_slices": 4,
}

TIMED_STEPS = (2, 6)


def main() -> None:
    """Train every model, then measure all of them."""
    args = parse()
    for name in MODELS:
        run_dir = args.out / "runs" / name
        if not (run_dir / "done").exists():
            train(name, run_dir, args)
            (run_dir / "done").touch()
    measure(args)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", nargs="+", type=Path, help="test sets")
    parser.add_argument("--minutes", type=float, required=True, help="training time of each model")
    parser.add_argument("--train", type=Path, required=True, help="folder of clean pictures")
    parser.add_argument("--validate", type=Path, required=True, help="folder of other pictures")
    parser.add_argument("--imagenet", type=Path, required=True, help="ImageNet-RN50v2 weights")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def train(name: str, run_dir: Path, args: argparse.Namespace) -> None:
    """Train one model for the given minutes, or go on with it."""
    plan = run_dir.with_suffix(".json")
    if not plan.exists():
        iterations = max(20, int(args.minutes * 60 / seconds_per_step(name, args)))
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(json.dumps({"max_iterations": iterations}), encoding="utf-8")
    iterations = json.loads(plan.read_text(encoding="utf-8"))["max_iterations"]
    run_training(name, run_dir, iterations, args)


def seconds_per_step(name: str, args: argparse.Namespace) -> float:
    """Time a few steps, without the start of the process."""
    seconds = []
    for steps in TIMED_STEPS:
        start = time.monotonic()
        run_training(name, args.out / "timing" / f"{name}_{steps}_{int(start)}", steps, args)
        seconds.append(time.monotonic() - start)
    return max((seconds[1] - seconds[0]) / (TIMED_STEPS[1] - TIMED_STEPS[0]), 1e-3)


def run_training(name: str, run_dir: Path, iterations: int, args: argparse.Namespace) -> None:
    """Run the bundle in a process of its own."""
    overlays, settings = MODELS[name]
    files = [
        str(CONFIGS / one) for one in ("base.json", "train.json", *overlays, "as_published.json")
    ]
    given: dict[str, object] = {
        **REDUCED,
        **settings,
        "encoder_weights": args.imagenet if name.startswith("imagenet") else "none",
        "dataset_dir": args.train,
        "validation_dir": args.validate,
        "max_iterations": iterations,
        "validation_interval": max(iterations // 4, 2),
        "device": args.device,
        "run_dir": run_dir,
        "resume": (run_dir / "last.pt").exists(),
    }
    options = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(files)]
    subprocess.run([*command, *options], check=True)


def measure(args: argparse.Namespace) -> None:
    """Put all models, TV and NLM into one table of all noises."""
    runs = args.out / "runs"
    weights = [f"--weights={name}={runs / name / 'last.pt'}" for name in VARIANTS]
    peers = [f"--method={name}:{runs / name / 'last.pt'}" for name in ("dncnn", "restormer")]
    classic = ["--method=noisy", "--method=tv", "--method=nlm", f"--validation={args.train}"]
    out = [f"--out={args.out / 'table'}", "--resume", "--strips=1", f"--device={args.device}"]
    command = [sys.executable, "-m", "ldct_clipdn", "benchmark", "synthetic", *map(str, args.sets)]
    subprocess.run([*command, *weights, *peers, *classic, *out], check=True)


if __name__ == "__main__":
    main()
