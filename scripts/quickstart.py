"""Trains a denoiser for some minutes, denoises a CT series with it, and shows what came out.

Every step but the making of the noisy test series is a command that a user would type; each is
printed before it runs. `quickstart.sh` installs what this needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from ldct_clipdn.core.weights import ENCODER_VARIABLE
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.io.dicom_new import write_new

SIGMA = 5.0
"""The paper's noise on CT, on the 0..255 scale of the HU range: 80.3 HU."""

ITERATIONS = 300
TEST_SLICES = 2
TRAINING_PHANTOMS = 3
SIZE = 512

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "bundles" / "ldct_clip_denoising"


def main() -> int:
    """Run all steps.

    Returns
    -------
    int
        The exit code of the step that failed; 0 when all went well.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", nargs="?", type=Path, help="normal-dose CT, any layout")
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--out", type=Path, default=ROOT / "quickstart-out")
    args = parser.parse_args()
    out = args.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        dataset, test_patient = _prepare(args.data_dir, out)
        _train(dataset, test_patient, out, args.iterations)
        _denoise_and_show(out)
    except subprocess.CalledProcessError as error:
        print(f"quickstart: the step above ended with exit code {error.returncode}", file=sys.stderr)
        return error.returncode
    return 0


def _prepare(data_dir: Path | None, out: Path) -> tuple[Path, str]:
    """Find or make training data, and write one clean and one noisy series that training never sees."""
    if data_dir is None:
        print("No DATA_DIR: a made-up abdomen serves as data.")
        dataset, patient = out / "data", "TEST"
        for seed in range(1, TRAINING_PHANTOMS + 1):
            _write(abdomen_phantom(4, SIZE, seed), dataset / f"patient-{seed}", f"TRAIN-{seed}")
        clean, spacing = abdomen_phantom(TEST_SLICES, SIZE, seed=0), spacing_mm(SIZE)
    else:
        dataset = data_dir
        clean, spacing, patient = _real_slices(data_dir)
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    _write(clean, out / "clean", "TEST", spacing)
    _write(clean + SIGMA / 255 * HURange().width * noise, out / "noisy", "TEST", spacing, number=2)
    return dataset, patient
