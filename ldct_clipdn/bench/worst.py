"""The worst tiles of a denoiser: where its error to the truth grew most, or shrank least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ldct_clipdn.bench.cases import Case
from ldct_clipdn.bench.fair import FairSet
from ldct_clipdn.bench.figure import new_figure, save_small
from ldct_clipdn.bench.matrix_summary import short
from ldct_clipdn.bench.results import result_file
from ldct_clipdn.ct.hu import HURange, Window
from ldct_clipdn.ct.tissue import body_mask, smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["WorstTile", "draw_worst", "keep_worst", "read_worst"]

TILE_PX: Final = 32

CONTEXT_PX: Final = 24
"""Pixels shown around a tile, to each side."""

BODY_SHARE: Final = 0.5
"""Share of a tile that must be body."""

DENSE_HU: Final = 2000.0
"""Above it lies metal, and the densest of bone and teeth."""

STARVED: Final = 1.5
"""Added noise of a tile, over the median of its slice, from which on its rays were few."""

SHARE: Final = 0.01

COLOURS: Final = 40

MOST_OWN_NOISE: Final = 0.5
"""Largest share a of the fair error: above it, a tile's ratio tells of the full dose's own noise,
which is uneven, and not of the denoiser."""

KEPT: Final = 12
"""Tiles of each kind that one case keeps pictures of."""

SHOWN: Final = 6
"""Tiles of each kind that are drawn."""

PER_SERIES: Final = 2
"""Of these, so many of one series: else the worst series would show nothing but itself."""

KINDS: Final = {
    "tissue": "Body with enough quanta, without metal",
    "starved": "Few quanta: noise over 1.5 times its slice's",
    "dense": "Metal, teeth, densest bone: over 2000 HU",
}

TILE_INCHES: Final = 1.3

FEWEST_COLUMNS: Final = 3
"""Of fewer tiles the rest is left blank, for the headings' sake."""

LETTERS_PER_INCH: Final = 16
TILE_LETTERS: Final = 24
"""In a line of the title, and above a tile."""


@dataclass(frozen=True)
class WorstTile:
    """One tile with its surroundings.

    Parameters
    ----------
    series, dose
        Where it is from.
    place
        Number of its slice, first row and first column.
    kind
        A key of `KINDS`.
    ratio
        Mean squared difference to F*, result over input; above 1 the result is worse.
    pictures
        Input, result and full dose, [3, 80, 80] in HU.
    """

    series: str
    dose: str
    place: tuple[int, int, int]
    kind: str
    ratio: float
    pictures: Volume


def keep_worst(folder: Path, case: Case, fair: FairSet, result: Volume) -> None:
    """Keep the ratios of a case's tiles, and pictures of the worst; not of half the dose.

    Parameters
    ----------
    folder
        Gets a file per case.
    case
        Which.
    fair
        Its doses.
    result
        [Z, H, W] in HU.

    Raises
    ------
    WriteError
        When the folder cannot be written.
    """
    if fair.shares.share > MOST_OWN_NOISE:
        return
    ratios, kinds, places = _tiles(fair, result)
    order = np.argsort(-ratios)
    kept = [k for kind in KINDS for k in order[kinds[order] == kind][:KEPT]]
    stack = np.stack([fair.quarter, result, fair.full])
    pictures = [_cut(stack, *places[k]) for k in kept]
    with result_file(_file(folder, case.series, case.dose)) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            series=case.series,
            dose=case.dose,
            ratios=ratios.astype(np.float32),
            kinds=kinds,
            kept=np.array(kept, dtype=np.int64),
            places=np.array(places, dtype=np.int64),
            pictures=np.array(pictures, dtype=np.float32).astype(np.int32),
        )


def read_worst(
    folder: Path, cases: Iterable[tuple[str, str]]
) -> tuple[list[WorstTile], float, int]:
    """Find the worst tiles of some cases.

    Parameters
    ----------
    folder
        As `keep_worst` filled it; what it holds of other cases is not read.
    cases
        Series and dose of each; one of which nothing was kept is passed over.

    Returns
    -------
    list of WorstTile
        Of each kind the worst, the worst first, each place at one dose only and few of a series;
        out of the worst 1 % of all tiles, and where none of a kind is among these, its worst.
    float
        Ratio from which on a tile is among the worst 1 %.
    int
        Number of all tiles.
    """
    ratios: list[NDArray[np.float32]] = []
    found: list[WorstTile] = []
    files = sorted(_file(folder, series, dose) for series, dose in cases)
    for path in filter(Path.exists, files):
        with np.load(path) as file:
            ratios.append(file["ratios"])
            found += _kept_tiles(file)
    if not ratios:
        return [], float("nan"), 0
    every = np.concatenate(ratios)
    limit = float(np.quantile(every, 1 - SHARE))
    return _pick(found, limit), limit, every.size


def draw_worst(tiles: list[WorstTile], path: Path, title: str) -> None:
    """Draw input, result and full dose of every tile, in a column of three.

    Parameters
    ----------
    tiles
        One at least.
    path
        PNG.
    title
        Above them.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    rows = [row for kind in KINDS if (row := [one for one in tiles if one.kind == kind])]
    columns = max(FEWEST_COLUMNS, *map(len, rows))
    width = TILE_INCHES * columns + 0.3
    text = fill(title, int(LETTERS_PER_INCH * width))
    heights = [0.15 * text.count("\n") + 0.2, *[3 * TILE_INCHES + 0.7] * len(rows)]
    figure = new_figure(width, sum(heights))
    title_part, *parts = figure.subfigures(
        len(heights), 1, squeeze=False, height_ratios=heights
    ).ravel()
    title_part.text(0.01, 0.9, text, fontsize=8, va="top")
    for part, row in zip(parts, rows, strict=True):
        part.suptitle(KINDS[row[0].kind], x=0.01, ha="left", fontsize=9, fontweight="bold")
        _draw_row(part.subplots(3, columns, squeeze=False), row)
    save_small(figure, path, COLOURS)


def _file(folder: Path, series: str, dose: str) -> Path:
    return folder / f"{series} {dose}.npz".replace("/", "_")


def _draw_row(axes: NDArray[Any], row: list[WorstTile]) -> None:
    for one in axes.ravel():
        one.set_axis_off()
    for k, tile in enumerate(row):
        _draw_tile(axes[:, k], tile)
    for one, name in zip(axes[:, 0], ("input", "denoised", "full dose"), strict=True):
        one.text(-0.06, 0.5, name, transform=one.transAxes, fontsize=7, rotation=90,
                 ha="right", va="center")  # fmt: skip


def _draw_tile(axes: Any, tile: WorstTile) -> None:
    window = _window(tile.pictures[2])
    for one, picture in zip(axes, tile.pictures, strict=True):
        _show(one, picture, window)
    series = fill(short(tile.series), TILE_LETTERS)
    axes[0].set_title(f"{series}\ndose {tile.dose}: x{tile.ratio:.2f}", fontsize=6)


def _show(axes: Axes, picture: Volume, window: HURange) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(picture, cmap="gray", vmin=window.low, vmax=window.high)
    corner = (CONTEXT_PX - 0.5, CONTEXT_PX - 0.5)
    axes.add_patch(
        Rectangle(corner, TILE_PX, TILE_PX, fill=False, edgecolor="#ffb000", linewidth=0.7)
    )


def _window(full: Volume) -> HURange:
    """Show what is there: the middle of the tile's HU, at least as wide as the abdomen window."""
    inner = full[CONTEXT_PX:-CONTEXT_PX, CONTEXT_PX:-CONTEXT_PX]
    low, high = np.percentile(inner, (1, 99))
    middle, half = (low + high) / 2, max((high - low) / 2, 200.0)
    return Window(float(middle - half), float(middle + half))


def _kept_tiles(file: Mapping[str, NDArray[Any]]) -> Iterator[WorstTile]:
    for k, pictures in zip(file["kept"], file["pictures"], strict=True):
        yield WorstTile(
            str(file["series"]),
            str(file["dose"]),
            tuple(file["places"][k].tolist()),
            str(file["kinds"][k]),
            float(file["ratios"][k]),
            pictures,
        )


def _pick(found: list[WorstTile], limit: float) -> list[WorstTile]:
    picked: list[WorstTile] = []
    for kind in KINDS:
        once: dict[tuple[str, tuple[int, int, int]], WorstTile] = {}
        for one in sorted(found, key=lambda one: -one.ratio):
            if one.kind == kind:
                once.setdefault((one.series, one.place), one)
        worst = [one for one in once.values() if one.ratio >= limit]
        picked += _few_of_each(worst or list(once.values()))[:SHOWN]
    return picked


def _few_of_each(tiles: list[WorstTile]) -> list[WorstTile]:
    """Keep the first of every series."""
    taken = Counter[str]()
    kept = []
    for one in tiles:
        taken[one.series] += 1
        if taken[one.series] <= PER_SERIES:
            kept.append(one)
    return kept


def _tiles(
    fair: FairSet, result: Volume
) -> tuple[NDArray[np.float64], NDArray[np.str_], list[tuple[int, int, int]]]:
    """Give ratio, kind and place of every tile of the body."""
    ratios: list[float] = []
    kinds: list[str] = []
    places: list[tuple[int, int, int]] = []
    for z, full in enumerate(fair.full):
        after, before = (_means((one[z] - fair.target[z]) ** 2) for one in (result, fair.quarter))
        added = fair.quarter[z] - full
        noise = np.sqrt(np.maximum(_means(added**2) - _means(added) ** 2, 0))
        body = _means(body_mask(smooth(full)).astype(np.float32)) >= BODY_SHARE
        if not body.any():
            continue
        starved = noise > STARVED * np.median(noise[body])
        dense = _means((full > DENSE_HU).astype(np.float32)) > 0
        for row, column in zip(*np.nonzero(body & (before > 0)), strict=True):
            ratios.append(float(after[row, column] / before[row, column]))
            named = "starved" if starved[row, column] else "tissue"
            kinds.append("dense" if dense[row, column] else named)
            places.append((z, int(row) * TILE_PX, int(column) * TILE_PX))
    return np.array(ratios), np.array(kinds, dtype=np.str_), places


def _means(image: Volume) -> NDArray[np.float32]:
    """Average over whole tiles."""
    blocks = torch.nn.functional.avg_pool2d(torch.from_numpy(image)[None], TILE_PX)
    return blocks[0].numpy()


def _cut(stack: NDArray[np.float32], z: int, row: int, column: int) -> Volume:
    """Cut a tile with its surroundings; beyond the image is air."""
    pad = ((0, 0), (CONTEXT_PX, CONTEXT_PX), (CONTEXT_PX, CONTEXT_PX))
    padded = np.pad(stack[:, z], pad, constant_values=-1024)
    side = TILE_PX + 2 * CONTEXT_PX
    return padded[:, row : row + side, column : column + side]
