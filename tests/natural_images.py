"""Natural images for tests: the project's development sets where they lie beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


def folder(name: str) -> Path:
    """Give the folder of a development set, or skip the test."""
    root = Path(os.environ.get("LDCT_CLIPDN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    found = root / name
    if not found.is_dir():
        pytest.skip(f"{found} is absent: set LDCT_CLIPDN_DATA to the folder of development data")
    return found


def read_rgb(path: Path) -> np.ndarray:
    """Read an image as float32 [H, W, 3] in [0, 1]."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float32) / 255


def made_up(seed: int, height: int, width: int) -> np.ndarray:
    """Make a smooth 8-bit picture with edges, float32 [H, W, 3] in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 24
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(0.2, 2, (3, 3))]
    picture = 0.5 + 0.35 * np.stack(waves, axis=-1)
    picture[height // 4 : height // 2, width // 4 : width // 2] *= 0.5
    return (np.round(picture * 255) / 255).astype(np.float32)


def save_pictures(folder: Path, count: int, height: int = 32, width: int = 40) -> Path:
    """Write clean pictures."""
    from PIL import Image

    folder.mkdir(parents=True)
    for k in range(count):
        pixels = np.round(made_up(k, height, width) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"p{k}.png")
    return folder


def save_pairs(folder: Path, count: int, *, first: int = 0) -> Path:
    """Write pairs named as those of CC; which pictures they show begins with `first`."""
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(count):
        clean = made_up(first + k, 32, 40)
        noisy = (clean + rng.normal(0, 0.1, clean.shape)).clip(0, 1)
        for name, pixels in (("mean", clean), ("real", noisy)):
            Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(
                folder / f"{k}_{name}.png"
            )
    return folder
