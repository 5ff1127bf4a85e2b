"""Tables 2 and 7: pairs of pictures, noisy or rainy and clean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

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

__all__ = ["PairTable", "run_photographs"]

PairTable = Literal["real", "derain"]

_TITLES: Final[dict[PairTable, tuple[int, str]]] = {
    "real": (2, "Real sRGB noise (Table 2)"),
    "derain": (7, "Deraining (Table 7)"),
}


def run_photographs(
    table: PairTable,
    sets: Sequence[TestSet],
    methods: Sequence[Method],
    folder: Path,
    settings: RunSettings,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Measure methods on pairs and write the table.

    The result is rounded to 8 bits before it is scored, as the published script does. For deraining
    nothing of that kind is published (PROTOCOL.md 7.1): it is measured the same way.

    Parameters
    ----------
    table
        `real` or `derain`.
    sets
        Sets of pairs.
    methods
        Columns.
    folder
        Gets `scores.csv`, `run.json`, `table.md`, `table.csv`, `strips/`.
    settings
        Device, batch size, strips.
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
    number, title = _TITLES[table]
    results = open_experiment(folder, sets, methods, settings, resume=resume)
    run_experiment(sets, [None], methods, results, settings, progress)
    made = make_table(
        title,
        results,
        published_scores(number),
        {method.name: method.counterpart for method in methods},
    )
    write_table(made, folder)
    return made
