"""Puts a run's weights into the package, in half precision, and their SHA-256 into the table.

    python scripts/ship_weights.py RUN/last.pt scratch-w32 [--mix EARLIER.pt --share 0.2]

The mean HU of a network wanders by about 1 HU while it trains. Mixing in an earlier state of the
same run centres it; the share is the one without a mean change on training slices.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weights import load_denoiser, save_denoiser

ASSETS = Path(__file__).parents[1] / "ldct_clipdn" / "assets"

NOTES = {
    # what is usual in normal dose: the median of the training slices
    "target_noise_hu": 12.0,
    # total noise of the training inputs
    "trained_noise_hu": [2.5, 110.0],
    "made_by": "bundles/ldct_clip_denoising, configs train.json and scratch.json; docs/weights.md",
}


def main() -> None:
    """Write the weights and their entry."""
    args = parse()
    name = args.name
    model = load_denoiser(args.checkpoint)
    if args.mix is not None:
        earlier = load_denoiser(args.mix).state_dict()
        model.load_state_dict(
            {
                key: torch.lerp(value, earlier[key], args.share)
                if value.is_floating_point()
                else value
                for key, value in model.state_dict().items()
            }
        )
    model = model.half()
    path = ASSETS / f"{name}.safetensors"
    path.unlink(missing_ok=True)
    save_denoiser(model, path, NOTES)
    table = ASSETS / "known_weights.json"
    known = json.loads(table.read_text(encoding="utf-8"))
    known[path.name] = {
        "sha256": file_sha256(path),
        "kind": "denoiser",
        "encoder": model.config.encoder,
        "what": "the default weights: trained from scratch on simulated low dose, no CLIP",
    }
    table.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {known[path.name]['sha256']}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkpoint", type=Path, help="a run's last.pt")
    parser.add_argument("name", help="of the weights")
    parser.add_argument("--mix", type=Path, metavar="FILE", help="an earlier state of the run")
    parser.add_argument("--share", type=float, default=0.2, metavar="S", help="its share")
    return parser.parse_args()


if __name__ == "__main__":
    main()
