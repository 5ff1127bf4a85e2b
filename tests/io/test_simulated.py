"""Simulated series, by the validator that no one here wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from builders import make_series

from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Result
from ldct_clipdn.io.simulated import SimulationRecipe, write_simulated

SYNTHETIC = "(0008,001c)"
"""SyntheticData, newer than the validator; the one message that DICOM.md lists."""


def test_valid_dicom(tmp_path: Path, dciodvfy: Callable[[Path], Counter[str]]) -> None:
    from datetime import UTC, datetime

    source, target = tmp_path / "in", tmp_path / "out"
    make_series(source, slices=1)
    target.mkdir()
    (scan,) = find_series(source)
    before = read_slice(scan.instances[0])
    noisy = before.hu + np.float32(7)
    folder = write_simulated(
        scan,
        [Result(scan.instances[0], before, noisy)],
        target,
        SimulationRecipe(0.25),
        time=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        number=9,
    )
    (written,) = folder.iterdir()
    new = dciodvfy(written) - dciodvfy(next(source.iterdir()))
    assert not [one for one in new if one.startswith("Error") and SYNTHETIC not in one], new
