r"""Trains the paper's question on CT, who generalises: every model for the same CPU time.

    python scripts/ct_trainings.py --minutes 8 --train DIR --validate DIR --imagenet FILE \
      --out DIR [--only [NAME ...]] [--test DIR ...]

Encoders (full width, one channel): random and frozen, ImageNet-supervised and frozen, the same
fine-tuned, random and trained from scratch; and DnCNN and RED-CNN. Each is trained on white noise
of sigma 5 alone by the paper's recipe (train.json, as_published.json: `ENCODER_white`), by the same
recipe on noise of many colours and strengths, so that nothing but the noise differs
(`ENCODER_coloured`), and by the default weights' own recipe (scratch.json), which differs in loss,
target, schedule and BatchNorm as well (`ENCODER_mixture`). All begin by
passing the image through and see 4 crops of 64 x 64 per iteration. A second start goes on where
the first stopped. At the end OUT/generalise.csv and the printed table say what each model that is
done is worth, beside the default weights and those of --weights: on the series under --test, at
real low dose, at a simulated quarter of the dose, and under white noise of sigma 5.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from equal_time import EqualTime, Model

IMAGENET: Final = {"network_def#encoder": "ImageNet-RN50v2"}

NETWORKS: Final[dict[str, dict[str, object]]] = {
    "dncnn": {"peer": "dncnn", "network_def#width": 64},
    "random_frozen": {"network_def#width": 64, "encoder_training": "frozen"},
    "imagenet_frozen": {**IMAGENET, "network_def#width": 64, "encoder_training": "frozen"},
    "imagenet_finetune": {**IMAGENET, "network_def#width": 64, "encoder_training": "finetune"},
    "random_scratch": {"network_def#width": 64, "encoder_training": "scratch"},
    "red_cnn": {"peer": "red_cnn", "network_def#width": 96},
}

REDUCED: Final[dict[str, object]] = {
    "test_patients": "none",
    "validation_slices": 0,
    "crop_size": 64,
    "batch_size": 4,
    "num_workers": 0,
    "network": "$@network_def.to(@device, memory_format=torch.channels_last)",
    "train#inferer": {
        "_target_": "ldct_clipdn.training.inferer.HalfInferer",
        "network": "@network",
    },
}
"""What is not the recipe's: short trainings of small crops, in bfloat16 for all."""

SHORT_MIXTURE: Final = {"fall": "$max(@max_iterations // 4, 1)", "average_decay": 0.98}
"""The rate falls over the last quarter, and the average forgets as quickly as the length asks."""

RECIPES: Final[dict[str, tuple[tuple[str, ...], dict[str, object]]]] = {
    "white": (("train.json", "as_published.json"), {}),
    "coloured": (("train.json", "as_published.json"), {"noise": "ct"}),
    "mixture": (("train.json", "scratch.json"), {**SHORT_MIXTURE}),
}

ENCODERS: Final = ("random_frozen", "imagenet_frozen", "imagenet_finetune", "random_scratch")

NAMES: Final = (
    "dncnn_mixture",
    *(f"{one}_{on}" for one in ENCODERS for on in ("white", "coloured")),
    *(f"{one}_mixture" for one in ENCODERS),
    *(f"dncnn_{on}" for on in ("white", "coloured")),
    *(f"red_cnn_{on}" for on in RECIPES),
)
"""In order of worth."""


def main() -> None:
    """Train every model for its time."""
    args = parse()
    settings = {
        **REDUCED,
        "dataset_dir": args.train,
        "validation_dir": args.validate,
        "cache_dir": args.out / "cache",
    }
    trainings = EqualTime(
        "ldct_clip_denoising", settings, args.out, args.minutes, args.device, checkpoints=10
    )
    for name in args.only:
        trainings.train(name, model_named(name, args.imagenet))
    if args.test:
        measure(trainings, args)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, required=True, help="CPU time of each model")
    parser.add_argument("--train", type=Path, required=True, help="folder of clean slices")
    parser.add_argument("--validate", type=Path, required=True, help="patients held out of it")
    parser.add_argument("--imagenet", type=Path, required=True, help="ImageNet-RN50v2 weights")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES, help="train these")
    parser.add_argument("--test", nargs="+", type=Path, default=[], help="series to judge by")
    parser.add_argument("--weights", nargs="+", default=[], help="others to judge, NAME=FILE")
    parser.add_argument("--limit", type=int, default=4, help="slices of each, evenly spread")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def model_named(name: str, imagenet: Path) -> Model:
    """Give what the bundle is told to train a model."""
    network, _, recipe = name.rpartition("_")
    configs, settings = RECIPES[recipe]
    of_network = NETWORKS[network]
    if "peer" in of_network:
        return Model((*configs, "peer.json"), {**settings, **of_network})
    weights = imagenet if network.startswith("imagenet") else "none"
    start = {"encoder_weights": weights, "start": "identity"}
    return Model(configs, {**settings, **of_network, **start})


def measure(trainings: EqualTime, args: argparse.Namespace) -> None:
    """Judge the models that are done, and the default weights."""
    import torch

    from ldct_clipdn.bench.cases import find_cases
    from ldct_clipdn.bench.columns import network_column
    from ldct_clipdn.bench.generalise import measure_generalisation, to_markdown

    device = torch.device(args.device)
    done = [name for name in NAMES if trainings.is_done(name)]
    trained = [f"{name}={trainings.run_dir(name) / 'last.pt'}" for name in done]
    networks = [network_column(one, device) for one in (*trained, *args.weights, "default")]
    cases = find_cases(args.test, (0.25,), args.limit)
    print(to_markdown(measure_generalisation(cases, networks, args.out / "generalise.csv", print)))
    if done:
        print(trainings.times(done))


if __name__ == "__main__":
    main()
