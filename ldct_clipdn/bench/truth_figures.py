"""Pictures of the proof where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.bench.contestants import INPUT
from ldct_clipdn.bench.contrast import CurveRow, DiscRow
from ldct_clipdn.bench.draws import DrawMaps, DrawsOf, maps_file, read_maps
from ldct_clipdn.bench.figure import new_figure, save_maps, save_small
from ldct_clipdn.bench.known_truth import PhantomRow
from ldct_clipdn.bench.results import read_rows
from ldct_clipdn.ct.hu import WINDOWS

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

__all__ = ["CURVES_FILE", "draw_discs", "draw_edges", "draw_maps", "draw_phantoms", "draw_truth"]

CURVES_FILE: Final = "edge_curves.csv"

COLOURS: Final = ("#888888", "#1b9e77", "#7570b3", "#d95f02")
"""By contestant, the denoiser last."""

CHART_COLOURS: Final = 64
"""Of lines, bars and the edges of letters."""

MAP_COLOURS: Final = {"gray": 95, "RdBu_r": 81, "magma": 80}
"""Together what a palette holds; that around zero has a middle."""

BIAS_HU: Final = (-30.0, 30.0)
SPREAD_HU: Final = (0.0, 20.0)
"""From one end of the colours to the other."""


def draw_truth(results: Mapping[str, Sequence[Any]], folder: Path) -> None:
    """Draw the figures of some parts, as far as the folder keeps what they show.

    Parameters
    ----------
    results
        Rows by part; of what is not in it nothing is drawn: another process may be at it.
    folder
        Output folder: has curves and maps, which are no rows, and gets the figures.

    Raises
    ------
    ConfigError
        When matplotlib is not installed, or curves are damaged.
    WriteError
        When a figure cannot be written.
    """
    if phantoms := results.get("phantom"):
        draw_phantoms(phantoms, folder / "phantom.png")
    if discs := results.get("discs"):
        draw_discs(discs, folder / "discs.png")
    if "edges" in results and (curves := read_rows(folder / CURVES_FILE, CurveRow)):
        draw_edges(curves, folder / "edges.png")
    kept = {maps_file(folder, row.slice_name) for row in results.get("draws", ())}
    for path in sorted(filter(Path.exists, kept)):  # results of earlier versions have none
        draw_maps(*read_maps(path), path.with_suffix(".png"))


def draw_phantoms(rows: Sequence[PhantomRow], path: Path) -> None:
    """Draw each contestant's gain over the input, series by series.

    Parameters
    ----------
    rows
        As `measure_phantoms` gives them.
    path
        PNG.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    phantoms = list(dict.fromkeys(row.phantom for row in rows))
    methods = [name for name in dict.fromkeys(row.method for row in rows) if name != INPUT]
    figure = new_figure(4.2 * len(phantoms), 3.6)
    axes = figure.subplots(1, len(phantoms), sharey=True, squeeze=False)[0]
    for axis, phantom in zip(axes, phantoms, strict=True):
        series: dict[str, dict[str, float]] = {}
        for row in (row for row in rows if row.phantom == phantom):
            label = f"{row.simulator}, {row.kernel}, {row.dose:g}"
            series.setdefault(label, {})[row.method] = row.psnr_db
        for k, (name, colour) in enumerate(zip(methods, COLOURS[1:], strict=False)):
            gains = [found[name] - found[INPUT] for found in series.values()]
            axis.bar(np.arange(len(series)) + 0.27 * (k - 1), gains, 0.25, color=colour, label=name)
        axis.set_xticks(range(len(series)), list(series), fontsize=7, rotation=40, ha="right")
        axis.set_title(phantom, fontsize=9)
    axes[0].set_ylabel("PSNR over the input, dB")
    axes[0].legend(fontsize=7)
    save_small(figure, path, CHART_COLOURS)


def draw_discs(rows: Sequence[DiscRow], path: Path) -> None:
    """Draw AUC before against after, and contrast recovery against d'.

    Parameters
    ----------
    rows
        As `measure_discs` gives them.
    path
        PNG.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    figure = new_figure(8.4, 3.8)
    left, right = figure.subplots(1, 2)
    methods = list(dict.fromkeys(row.method for row in rows))
    before = [row.auc for row in rows if row.method == methods[0]]
    for name, colour in zip(methods[1:], COLOURS[1:], strict=False):
        own = [row for row in rows if row.method == name]
        left.plot(before, [row.auc for row in own], "o", ms=4, color=colour, label=name)
        right.semilogx(
            [row.npw for row in own], [row.recovery for row in own], "o", ms=4, color=colour
        )
    left.plot([0.4, 1], [0.4, 1], color="black", lw=0.7)
    left.plot([0.4, 1], [0.38, 0.98], ":", color="black", lw=0.7)
    left.set(xlabel="AUC before", ylabel="AUC after", title="Hotelling observer")
    left.legend(fontsize=7)
    right.axhspan(0.9, 1.1, color="0.9")
    right.axvline(5, color="black", lw=0.7, ls=":")
    right.set(xlabel="d' in the input (NPW)", ylabel="contrast kept", title="Contrast of discs")
    save_small(figure, path, CHART_COLOURS)


def draw_edges(points: Sequence[CurveRow], path: Path) -> None:
    """Draw task transfer functions: a panel per dose and contrast.

    Parameters
    ----------
    points
        As `measure_edges` gives them.
    path
        PNG.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    curves: dict[tuple[float, float], dict[str, list[tuple[float, float]]]] = {}
    for one in points:
        panel = curves.setdefault((one.dose, one.contrast_hu), {})
        panel.setdefault(one.method, []).append((one.frequency_per_mm, one.transfer))
    doses, contrasts = (list(dict.fromkeys(place)) for place in zip(*curves, strict=True))
    figure = new_figure(2.5 * len(contrasts), 2.3 * len(doses))
    panels = figure.subplots(len(doses), len(contrasts), sharex=True, sharey=True, squeeze=False)
    for axes, ((dose, contrast), by_method) in zip(panels.ravel(), curves.items(), strict=True):
        for (name, curve), colour in zip(by_method.items(), COLOURS, strict=False):
            axes.plot(*zip(*curve, strict=True), color=colour, lw=1.2, label=name)
        axes.axhline(0.5, color="black", lw=0.5, ls=":")
        axes.set(ylim=(0, 1.25), xlim=(0, None))
        axes.set_title(f"{contrast:g} HU, dose {dose:g}", fontsize=8)
        axes.tick_params(labelsize=7)
    panels[0, 0].legend(fontsize=6)
    figure.supxlabel("1/mm", fontsize=8)
    figure.supylabel("task transfer", fontsize=8)
    save_small(figure, path, CHART_COLOURS)


def draw_maps(one: DrawsOf, maps: DrawMaps, path: Path) -> None:
    """Draw the truth, mean minus truth, and the noise that is left, on the same scales always.

    Parameters
    ----------
    one
        The slice.
    maps
        The denoiser's.
    path
        PNG.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    window = WINDOWS["abdomen"]
    rows, columns = (slice(*_extent(one.truth, axis)) for axis in (1, 0))
    height, width = one.truth[rows, columns].shape
    figure = new_figure(12.0, 3.2 * height / width + 0.6, "compressed")
    colours = _map_colours()
    shown = (
        ("truth", one.truth, "gray", (window.low, window.high), "both"),
        (f"mean of {maps.draws} minus truth", maps.bias, "RdBu_r", BIAS_HU, "both"),
        ("standard deviation", maps.spread, "magma", SPREAD_HU, "max"),
    )
    for axes, (title, image, name, (low, high), beyond) in zip(
        figure.subplots(1, len(shown)), shown, strict=True
    ):
        drawn = axes.imshow(
            image[rows, columns],
            cmap=colours[name],
            vmin=low,
            vmax=high,
            interpolation="nearest",  # averaged, errors of either sign would cancel
        )
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
        bar = figure.colorbar(drawn, ax=axes, shrink=0.8, extend=beyond, label="HU")
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"{one.name}, input noise {one.noise_hu:.0f} HU", fontsize=9)
    save_maps(figure, path, [*colours.values()])


def _map_colours() -> dict[str, Colormap]:
    from matplotlib import colormaps

    return {name: colormaps[name].resampled(count) for name, count in MAP_COLOURS.items()}


def _extent(image: Any, axis: int) -> tuple[int, int]:
    """Give first and last row or column that is no air."""
    there = np.flatnonzero((image > -500).any(axis=axis))
    return (int(there[0]), int(there[-1]) + 1) if there.size else (0, image.shape[1 - axis])
