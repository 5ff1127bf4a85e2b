"""Puts a run's weights into the package, in half precision, and their SHA-256 into the table.

python scripts/ship_weights.py runs/scratch-w32/run/last.pt scratch-w32
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weights import load_denoiser, save_denoiser

ASSETS = Path(__file__).parents[1] / "ldct_clipdn" / "assets"

NOTES = {
    # what is usual in normal dose: the median of the training slices
    "target_noise_hu": 12.0,
    # total noise of the training inputs
    "trained_noise_hu": [5.0, 110.0],
    "made_by": "bundles/ldct_clip_denoising, configs train.json and scratch.json; docs/weights.md",
}


def main(checkpoint: Path, name: str) -> None:
    """Write the weights and their entry.

    Parameters
    ----------
    checkpoint
        A run's `last.pt`.
    name
        Of the weights.
    """
    model = load_denoiser(checkpoint).half()
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
