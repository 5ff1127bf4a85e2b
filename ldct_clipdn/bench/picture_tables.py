"""Tables 1, 2, 7 and 9: synthetic noise on clean pictures; pairs, noisy or rainy and clean.

The result on a pair is rounded to 8 bits before it is scored, as the published script does. For
deraining nothing of that kind is published: it is measured the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ldct_clipdn.bench.experiment import PictureTable, Progress, RunSettings, run_table
from ldct_clipdn.bench.methods import Method
from ldct_clipdn.bench.sets import TestSet
from ldct_clipdn.bench.tables import Table
from ldct_clipdn.core.noise import PAPER_NOISES, Noise

__all__ = ["DERAIN", "REAL", "SYNTHETIC", "run_synthetic"]

SYNTHETIC: Final = PictureTable("Synthetic noise (Tables 1 and 9)", (1, 9), PAPER_NOISES)

REAL: Final = PictureTable("Real sRGB noise (Table 2)", (2,), (None,))

DERAIN: Final = PictureTable("Deraining (Table 7)", (7,), (None,), input_name="rainy")


def run_synthetic(
    sets: Sequence[TestSet],
    methods: Sequence[Method],
    folder: Path,
    settings: RunSettings,
    *,
    noises: Sequence[Noise] = PAPER_NOISES,
    resume: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Measure methods under synthetic noise and write the table: `run_table` of `SYNTHETIC`.

    Parameters
    ----------
    sets
        Test sets of clean pictures.
    methods, folder, settings
        As for `run_table`.
    noises
        Rows; the paper's fifteen unless told.
    resume, progress
        As for `run_table`.

    Returns
    -------
    Table
        Everything measured in the folder, with the paper's figures beside.
    """
    return run_table(
        SYNTHETIC, sets, methods, folder, settings,
        conditions=noises, resume=resume, progress=progress,
    )  # fmt: skip
