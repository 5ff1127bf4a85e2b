"""Tables 1 and 9: synthetic noise on sets of clean pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ldct_clipdn.bench.experiment import (
    Progress,
    RunSettings,
    TestSet,
    open_experiment,
    run_experiment,
)
from ldct_clipdn.bench.methods import Method
from ldct_clipdn.bench.published import published_scores
from ldct_clipdn.bench.tables import Table, make_table, write_table
from ldct_clipdn.core.noise import PAPER_NOISES, Noise

__all__ = ["run_synthetic"]

TABLES: Final = (1, 9)


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
    """Measure methods under synthetic noise and write the table.

    Parameters
    ----------
    sets
        Test sets of clean pictures.
    methods
        Columns.
    folder
        Gets `scores.csv` (one row per picture), `run.json`, `table.md`, `table.csv`, `strips/`.
    settings
        Device, batch size, strips.
    noises
        Rows; the paper's fifteen unless told.
    resume
        Go on with what is in the folder.
    progress
        Told of every picture.

    Returns
    -------
    Table
        Everything measured in the folder, with the paper's figures beside.

    Raises
    ------
    ConfigError
        When the folder holds results and `resume` is false, or results of other settings.
    """
    results = open_experiment(folder, sets, methods, settings, resume=resume)
    run_experiment(sets, noises, methods, results, settings, progress)
    table = make_table(
        "Synthetic noise (Tables 1 and 9)",
        results,
        published_scores(*TABLES),
        {method.name: method.counterpart for method in methods},
    )
    write_table(table, folder)
    return table
