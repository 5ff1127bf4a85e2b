"""The matrix as a heat map: gain by series and dose, and by method."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.bench.cases import DEVELOPMENT, HELD_OUT, SEEN
from ldct_clipdn.bench.figure import new_figure, save
from ldct_clipdn.bench.matrix_summary import Summary, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Gains = NDArray[np.float64]

__all__ = ["draw_matrix"]

LIMITS: Final = (0.7, 1.3)
"""Gains that have full colour."""

HEADINGS: Final = {
    HELD_OUT: "Held out",
    SEEN: "Trained on",
    DEVELOPMENT: "Development, in no mean",
}
"""In this order: what says most first."""

LEFT_INCHES: Final = 2.7
COLUMN_INCHES: Final = 0.48
ROW_INCHES: Final = 0.19
"""A dozen methods come to 900 pixels, the width of a page, and stay readable there."""

DOSE_POINTS: Final = 38
"""Room for doses, left of which stand the series."""


def draw_matrix(summaries: Sequence[Summary], path: Path) -> None:
    """Draw gains, a line per series and dose; the truth stands in the last column.

    Held-out series come first and those of the development last, each under a heading. A series is
    named by scanner, kernel and thickness, and by its patient only where these are not enough.

    Parameters
    ----------
    summaries
        Of all methods; the input, which gains nothing, is not drawn.
    path
        PNG.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    kinds = {one.method: one.kind for one in summaries if one.method != "input"}
    methods = list(kinds)
    parts = {
        heading: part
        for training, heading in HEADINGS.items()
        if (part := [one for one in summaries if one.training == training])
    }
    heights = [len({one.place for one in part}) for part in parts.values()]
    figure = new_figure(
        LEFT_INCHES + COLUMN_INCHES * (len(methods) + 1),
        2.1 + ROW_INCHES * sum(heights) + 0.25 * len(heights),
    )
    names = _names(summaries)
    panels = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    borders = [k for k in range(1, len(methods)) if kinds[methods[k - 1]] != kinds[methods[k]]]
    for axes, (heading, part) in zip(panels, parts.items(), strict=True):
        _draw_part(axes, part, methods, names)
        _head(axes, heading, DOSE_POINTS, fontsize=9, fontweight="bold")
        _head(axes, "dose", 3, fontsize=8)
        for border in (*borders, len(methods)):
            axes.axvline(border - 0.5, color="white", linewidth=3)
    panels[0].set_xticks(
        range(len(methods) + 1), [*methods, "truth"], rotation=40, ha="left", fontsize=8
    )
    bar = figure.colorbar(
        panels[0].images[0],
        ax=panels,
        location="bottom",
        fraction=0.02,
        aspect=40,
        pad=0.01,
        extend="both",
    )
    bar.set_label("gain over the best oracle filter", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save(figure, path)


def _draw_part(
    axes: Axes, part: Sequence[Summary], methods: Sequence[str], names: dict[str, str]
) -> None:
    places = list(dict.fromkeys(one.place for one in part))
    gains = _grid(part, places, methods)
    axes.imshow(gains, cmap="RdBu", vmin=LIMITS[0], vmax=LIMITS[1], aspect="auto")
    for row, column in zip(*np.nonzero(np.isfinite(gains)), strict=True):
        value = float(gains[row, column])
        is_dark = not LIMITS[0] + 0.12 < value < LIMITS[1] - 0.12
        axes.text(column, row, f"{value:z.2f}", ha="center", va="center", fontsize=7.5,
                  color="white" if is_dark else "black")  # fmt: skip
    axes.set_xticks([])
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(places)), [dose for _, dose in places], fontsize=8)
    rows = Counter(series for series, _ in places)
    ends = np.cumsum(list(rows.values()))
    axes.yaxis.remove_overlapping_locs = False
    axes.set_yticks(
        [end - (count + 1) / 2 for end, count in zip(ends, rows.values(), strict=True)],
        [
            names[series].replace("\n", " " if count == 1 else "\n")
            for series, count in rows.items()
        ],
        fontsize=8,
        minor=True,
    )
    axes.tick_params(which="both", length=0)
    axes.tick_params(axis="y", which="minor", pad=DOSE_POINTS)
    axes.spines[:].set_visible(False)
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="white", linewidth=3)


def _head(axes: Axes, text: str, left: float, **style: Any) -> None:
    """Write above the rows, so many points left of the cells."""
    axes.annotate(
        text, (0, 1), (-left, 3), "axes fraction", "offset points", ha="right", va="bottom", **style
    )


def _grid(
    part: Sequence[Summary], places: Sequence[tuple[str, str]], methods: Sequence[str]
) -> Gains:
    gains = np.full((len(places), len(methods) + 1), math.nan)
    for one in part:
        row = places.index(one.place)
        gains[row, -1] = one.truth_gain
        if one.method in methods:
            gains[row, methods.index(one.method)] = one.gain
    return gains


def _names(summaries: Iterable[Summary]) -> dict[str, str]:
    """Name every series; of one heading, no two are called the same."""
    first = {one.series: one for one in summaries}
    plain = {series: _name(one) for series, one in first.items()}
    known = Counter((one.training, plain[series]) for series, one in first.items())
    return {
        series: f"{short(one.patient)}: {plain[series]}"
        if known[one.training, plain[series]] > 1
        else plain[series]
        for series, one in first.items()
    }


def _name(one: Summary) -> str:
    taken = " ".join(
        filter(None, (one.kernel, f"{one.thickness_mm} mm" if one.thickness_mm else ""))
    )
    return f"{one.scanner or short(one.patient)}\n{taken}".rstrip()
