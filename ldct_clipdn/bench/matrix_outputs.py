"""What a run of the matrix leaves beside its rows: tables, heat map, gallery of the worst tiles."""

from __future__ import annotations

from pathlib import Path

from ldct_clipdn.bench.matrix import WORST, MatrixRun
from ldct_clipdn.bench.matrix_figure import draw_matrix
from ldct_clipdn.bench.matrix_summary import summarise
from ldct_clipdn.bench.matrix_tables import write_matrix
from ldct_clipdn.bench.worst import draw_worst, read_worst

__all__ = ["write_outputs"]


def write_outputs(ran: MatrixRun, judged: str, folder: Path) -> str:
    """Write tables and figures: `matrix_*.csv`, `matrix.md`, `matrix.png`, `matrix_worst.png`.

    Parameters
    ----------
    ran
        What was measured.
    judged
        The method of the gallery, of the aims, and of every patient's gain.
    folder
        Where to.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    WriteError
        When the folder cannot be written.
    """
    text = write_matrix(ran.rows, folder, ran.left_out, judged)
    draw_matrix(summarise(ran.rows), folder / "matrix.png")
    tiles, limit, count = read_worst(folder / WORST, {(row.series, row.dose) for row in ran.rows})
    if tiles:
        title = (
            f"{judged}: worst of {count} tiles (32 x 32) by squared difference to F*, over the "
            f"input's. Worst 1 %: from x{limit:.2f}"
        )
        draw_worst(tiles, folder / "matrix_worst.png", title)
    return text
