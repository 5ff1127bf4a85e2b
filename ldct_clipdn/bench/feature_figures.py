"""Feature figures as in the paper's Figures 1, 2, 3, 9, 10, 11 and 13."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldct_clipdn.bench.features import Similarity
from ldct_clipdn.bench.figure import new_figure, save
from ldct_clipdn.core.noise import PEAK, Noise
from ldct_clipdn.core.similarity import MEASURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_embedding", "draw_similarity"]


def draw_similarity(found: Sequence[Similarity], path: Path, title: str) -> None:
    """Draw similarity over F1 to F5: a row per encoder, a column per measure, a line per noise.

    Parameters
    ----------
    found
        What was measured; averaged over the pictures.
    path
        PNG.
    title
        Above the figure.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    encoders = list(dict.fromkeys(one.encoder for one in found))
    levels = sorted({one.feature for one in found})
    figure, grid = _grid(len(encoders), len(MEASURES), title)
    for encoder, row in zip(encoders, grid, strict=True):
        for measure, axes in zip(MEASURES, row, strict=True):
            chosen = [one for one in found if (one.encoder, one.measure) == (encoder, measure)]
            for noise, means in _curves(chosen).items():
                axes.plot(list(means), list(means.values()), marker="o", label=_level(noise))
            axes.set(ylim=(-0.05, 1.05), xticks=levels, xlim=(0.8, levels[-1] + 0.2))
            axes.set_xticklabels([f"F{k}" for k in levels])
            axes.set_title(f"{encoder}: {measure}", fontsize=9)
            axes.grid(alpha=0.3)
    grid[0][0].legend(fontsize=7)
    save(figure, path)


def draw_embedding(
    points: Mapping[tuple[str, int], Any], pictures: Sequence[str], path: Path, title: str
) -> None:
    """Draw `embed_features`: a row per noise, a column per feature, a colour per picture.

    Parameters
    ----------
    points
        By noise and feature.
    pictures
        Names, in the order of the points.
    path
        PNG.
    title
        Above the figure.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    noises = list(dict.fromkeys(noise for noise, _ in points))
    levels = sorted({level for _, level in points})
    figure, grid = _grid(len(noises), len(levels), title)
    for noise, row in zip(noises, grid, strict=True):
        for level, axes in zip(levels, row, strict=True):
            clouds = points[noise, level].reshape(len(pictures), -1, 2)
            for name, cloud in zip(pictures, clouds, strict=True):
                axes.scatter(cloud[:, 0], cloud[:, 1], s=8, label=name)
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"F{level}, {_level(noise)}", fontsize=9)
    grid[0][0].legend(fontsize=7)
    save(figure, path)


def _grid(rows: int, columns: int, title: str) -> tuple[Figure, Any]:
    figure = new_figure(3.4 * columns, 2.6 * rows + 0.4)
    figure.suptitle(title, fontsize=10)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _level(label: str) -> str:
    """Name a noise as the paper's figures do: Gaussian noise by sigma on the [0, 1] scale."""
    noise = Noise.parse(label)
    if noise.kind == "gaussian":
        return f"sigma {noise.level / PEAK:.3g}"
    return f"{noise.kind} {noise.level:g}"


def _curves(found: Sequence[Similarity]) -> dict[str, dict[int, float]]:
    """Average over the pictures: by noise, then by feature."""
    values: dict[str, dict[int, list[float]]] = {}
    for one in found:
        values.setdefault(one.noise, {}).setdefault(one.feature, []).append(one.value)
    return {
        noise: {feature: sum(some) / len(some) for feature, some in by_feature.items()}
        for noise, by_feature in values.items()
    }
