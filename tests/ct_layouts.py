"""Makes data sets as people have them: the 2016 challenge's, TCIA's, prepared slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from builders import body_hu, make_series

SIZE = 32
DOSE_CODES = {"full": "FD", "quarter": "QD"}


def make_mayo(
    folder: Path,
    patient: str,
    dose: str,
    *,
    places: Sequence[float] = (0.0, 2.0, 4.0),
    kernel: str = "B30f",
    thickness: str = "1",
    size: int = SIZE,
    names: str | None = None,
    named_patient: bool = True,
    seed: int = 0,
) -> list[Path]:
    """Write one series of the challenge: PatientID is `Anonymous`, the study is the dose's own."""
    code = DOSE_CODES[dose]
    sharp = "_SHARP" if kernel == "D45f" else ""
    noise = 20.0 if dose == "full" else 40.0
    whole = f"{patient}_{code}_{thickness}{sharp}"
    return make_series(
        folder,
        rows=size,
        columns=size,
        positions=list(places),
        kernel=kernel,
        thickness=thickness,
        patient_id="Anonymous",
        patient_name=whole if named_patient else "",
        study_uid=f"1.2.3.{patient[1:].lstrip('0')}.{len(code + sharp)}{ord(code[0])}",
        series_uid=f"1.2.4.{patient[1:].lstrip('0')}.{len(sharp)}.{ord(code[0])}",
        series_description=None,
        names=names or whole + "_1.CT.0001.{:04d}.2015.12.22.IMA",
        hu=lambda index: body_hu(size, size, seed=seed + index, noise=noise),
    )


def make_prepared(folder: Path, patient: str, numbers: Sequence[int], role: str) -> list[Path]:
    """Write slices prepared as the published scripts do it; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in numbers:
        path = folder / f"{patient}_{number}_{role}.npy"
        np.save(path, ((body_hu(SIZE, SIZE, seed=number) + 1024) / 4096).astype(np.float32))
        paths.append(path)
    return paths
