"""Puts together the training data of the default weights (docs/weights.md), as links and DICOM.

    python scripts/scratch_data.py ../shared/data/ct/train runs/scratch-w32/data

Real slices: the sources of `data/ct/train` whose terms allow shipping what was learnt and whose
noise is low. Beside them what has no noise at all: the phantom, and pictures that come with
scikit-image, as grey in two HU ranges.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from skimage import color, io, transform

from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.io.dicom_new import write_new

SOURCES = (
    "tcga_lung_mixed",
    "abdomen_kits00072_siemens_b30s",
    "chest_lidc0314_philips_d",
    "head_gehispeed_ge_stdplus",
    "abdomen_lidc0001_ge_standard",
    "abdomen_stage2crc005_siemens_b30f",
    "body_acrinflt001_ge_soft",
)
"""88 slices of 46 patients."""

PICTURES = ("astronaut", "brick", "camera", "chelsea", "coffee", "gravel", "rocket.jpg")
"""Public domain or CC0 by scikit-image's data/README.txt, with detail at every scale."""

PICTURE_HU = ((-160.0, 240.0), (-1000.0, 400.0))
SIZE = 512
PHANTOMS = 8


def main(source: Path, target: Path) -> None:
    """Link the real slices and write the others.

    Parameters
    ----------
    source
        `data/ct/train`.
    target
        A new folder.
    """
    target.mkdir(parents=True)
    for name in SOURCES:
        (target / name).symlink_to((source / name).resolve())
    for seed in range(PHANTOMS):
        hu = abdomen_phantom(9, SIZE, seed=seed)[::5]
        _write(hu, target / f"phantom{seed}", spacing_mm(SIZE))
    for name in PICTURES:
        grey = _grey(name)
        hu = np.stack([low + (high - low) * grey for low, high in PICTURE_HU])
        _write(hu, target / f"picture_{Path(name).stem}", (1.0, 1.0, 1.0))


def _write(hu: NDArray[np.floating], folder: Path, spacing: tuple[float, float, float]) -> None:
    write_new(
        hu,
        folder,
        spacing_mm=spacing,
        patient_id=folder.name,
        series_description="Training without noise",
    )


def _grey(name: str) -> NDArray[np.float64]:
    """Read a picture as a grey square of 512 pixels, 0 to 1."""
    folder = Path(skimage.__file__).parent / "data"
    image = io.imread(folder / (name if "." in name else f"{name}.png"))
    grey = color.rgb2gray(image[..., :3]) if image.ndim == 3 else image / 255
    side = min(grey.shape)
    square = grey[:side, :side]
    return transform.resize(square, (SIZE, SIZE), anti_aliasing=True)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
