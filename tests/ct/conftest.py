from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]


def _series(folder: Path) -> np.ndarray:
    slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda ds: ds.InstanceNumber)
    return np.stack([ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept for ds in slices])


@pytest.fixture(scope="session")
def l192() -> Pairs:
    """Full and quarter dose [Z, H, W] in HU of a real patient, by kernel."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("LDCT_CLIPDN_DATA", default)) / "ct" / "val" / "mayo_L192"
    if not folder.is_dir():
        pytest.skip(f"no data at {folder} (LDCT_CLIPDN_DATA)")
    return {
        kernel: (_series(folder / f"full_3mm{tail}"), _series(folder / f"quarter_3mm{tail}"))
        for kernel, tail in (("B30f", ""), ("D45f", "_sharp"))
    }
