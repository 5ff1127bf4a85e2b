"""The matrix as a heat map: gain by series and dose, and by method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.bench.cases import DEVELOPMENT, SEEN
from ldct_clipdn.bench.matrix_summary import Summary, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_matrix", "save_small"]

LIMITS: Final = (0.7, 1.3)
"""Gains that have full colour."""

DOTS_PER_INCH: Final = 100

COLOURS: Final = 192

MARKS: Final = {SEEN: " (trained on)", DEVELOPMENT: " (development)"}


def draw_matrix(summaries: Sequence[Summary], path: Path) -> None:
    """Draw gains, a line per series and dose; the truth stands in the last column.

    Parameters
    ----------
    summaries
        Of all methods; the input, which gains nothing, is not drawn.
    path
        PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places = list(dict.fromkeys(one.place for one in summaries))
    methods = list(dict.fromkeys(one.method for one in summaries if one.method != "input"))
    gains = _grid(summaries, places, methods)
    height, width = gains.shape
    figure = Figure(figsize=(3.6 + 0.62 * width, 1.5 + 0.2 * height), dpi=DOTS_PER_INCH)
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(gains, cmap="RdBu", vmin=LIMITS[0], vmax=LIMITS[1], aspect="auto")
    axes.set_xticks(range(width), [*methods, "truth"], rotation=40, ha="left", fontsize=7)
    axes.xaxis.tick_top()
    first = {place: one for one in reversed(summaries) for place in [one.place]}
    axes.set_yticks(range(height), [_label(first[place]) for place in places], fontsize=6.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, column in zip(*np.nonzero(np.isfinite(gains)), strict=True):
        value = float(gains[row, column])
        is_dark = not LIMITS[0] + 0.12 < value < LIMITS[1] - 0.12
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6,
                  color="white" if is_dark else "black")  # fmt: skip
    for row in range(1, height):
        if places[row][0] != places[row - 1][0]:
            axes.axhline(row - 0.5, color="white", linewidth=2)
    axes.axvline(width - 1.5, color="white", linewidth=2)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01, extend="both")
    bar.set_label("gain over the best oracle filter", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    save_small(figure, path)


def save_small(figure: Figure, path: Path, colours: int = COLOURS) -> None:
    """Save a picture in few colours: noise, and soft edges of letters, make large files.

    Parameters
    ----------
    figure
        What was drawn.
    path
        PNG; its folder is made.
    colours
        How many.
    """
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(drawn).convert("RGB")
    picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)


def _grid(
    summaries: Sequence[Summary], places: Sequence[tuple[str, str]], methods: Sequence[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    gains = np.full((len(places), len(methods) + 1), math.nan)
    for one in summaries:
        row = places.index(one.place)
        gains[row, -1] = one.truth_gain
        if one.method in methods:
            gains[row, methods.index(one.method)] = one.gain
    return gains


def _label(one: Summary) -> str:
    mark = MARKS.get(one.training, "")
    dose = one.dose if one.dose == "real" else f"{float(one.dose):.2g} sim."
    name = " ".join(filter(None, (one.scanner, one.kernel, f"{one.thickness_mm} mm")))
    return f"{short(one.patient)}: {name[:44]}{mark}, {dose}"
