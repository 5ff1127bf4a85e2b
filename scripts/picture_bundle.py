"""Makes the configs of bundles/image_clip_denoising from those of the CT bundle.

    scripts/picture_bundle.py

Programs take `train.json` or `inference.json` alone, from a bundle that lies anywhere, so each has
to be whole. What differs from the CT bundle stands in `differences/`, laid over that bundle's
configs; run this after a change to either. A test holds what it makes equal to what is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

BUNDLES: Final = Path(__file__).resolve().parents[1] / "bundles"
CT: Final = BUNDLES / "ldct_clip_denoising" / "configs"
PICTURES: Final = BUNDLES / "image_clip_denoising"

OF_CT_ALONE: Final = {
    "train.json": ("test_patients", "cache_dir", "validation_slices", "strict", "hu_range"),
    "inference.json": ("hu_range",),
}
"""Settings that would do nothing here, by file."""

SHARED: Final = ("as_published.json", "multi_gpu_train.json", "logging.conf")


def main() -> None:
    """Write them all."""
    for name, text in contents().items():
        (PICTURES / "configs" / name).write_text(text, encoding="utf-8")


def contents() -> dict[str, str]:
    """Give the text of every file that is made, by name."""
    made = {name: joined(name) for name in OF_CT_ALONE}
    return made | {name: (CT / name).read_text(encoding="utf-8") for name in SHARED}


def joined(name: str) -> str:
    """Lay the differences over a config, as MONAI does, and leave out what is of CT alone."""
    from monai.bundle import ConfigParser

    both = [str(CT / name), str(PICTURES / "differences" / name)]
    config = ConfigParser.load_config_files(both)
    kept = {key: value for key, value in config.items() if key not in OF_CT_ALONE[name]}
    return json.dumps(kept, indent=4) + "\n"


if __name__ == "__main__":
    main()
