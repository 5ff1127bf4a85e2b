"""A made body as real pairs of low and normal dose, as DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from builders import make_series
from coloured import B30F, coloured_noise

SIZE = 160


def body() -> np.ndarray:
    """Make soft tissue with an organ in air, float32 [SIZE, SIZE] in HU."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    hu = np.where((x / 75) ** 2 + (y / 65) ** 2 < 1, 50.0, -1000.0)
    hu[(x - 30) ** 2 + y**2 < 600] = 110
    return hu.astype(np.float32)


def save_series(folder: Path, images: list[np.ndarray]) -> Path:
    """Write a series."""
    make_series(
        folder,
        slices=len(images),
        rows=SIZE,
        columns=SIZE,
        hu=lambda k: images[k],
        seed=len(str(folder)),
    )
    return folder


def save_pair(root: Path) -> Path:
    """Write two slices of the body at normal dose (12 HU) and at low dose (24 HU)."""
    full = [body() + coloured_noise(B30F, SIZE, 12.0, seed=k) for k in range(2)]
    low = [one + coloured_noise(B30F, SIZE, 21.0, seed=9 + k) for k, one in enumerate(full)]
    for name, images in (("full_3mm", full), ("quarter_3mm", low)):
        save_series(root / name / "L001", images)
    return root
