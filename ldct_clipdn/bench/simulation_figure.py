"""Real and simulated noise side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ldct_clipdn.bench.figure import new_figure, save_small

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["NoisePair", "draw_noise"]

LIMIT_HU: Final = 100.0
"""Black and white: enough for quarter dose and a sharp kernel."""

GREYS: Final = 32
COLOURS: Final = 64
"""The greys, and those of letters' edges."""


class NoisePair(NamedTuple):
    """Noise of one slice.

    Parameters
    ----------
    name
        For the title.
    real, simulated
        [H, W] in HU, low dose minus full dose.
    body
        Bool [H, W]: what lies outside is cut off.
    soft
        Bool [H, W]: where the noise that titles name is measured.
    """

    name: str
    real: Plane
    simulated: Plane
    body: NDArray[np.bool_]
    soft: NDArray[np.bool_]


def draw_noise(pairs: Sequence[NoisePair], path: Path) -> None:
    """Draw a row per slice, real noise left and simulated right, all in one grey scale.

    Parameters
    ----------
    pairs
        The slices.
    path
        PNG.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    figure = new_figure(11.0, 3.9 * len(pairs))
    panels = figure.subplots(len(pairs), 2, squeeze=False)
    images = [
        _show(axes, one, noise, what)
        for one, both in zip(pairs, panels, strict=True)
        for axes, noise, what in zip(
            both, (one.real, one.simulated), ("real", "simulated"), strict=True
        )
    ]
    bar = figure.colorbar(images[0], ax=panels, fraction=0.025, pad=0.01, extend="both")
    bar.set_label("low dose minus full dose, HU", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    save_small(figure, path, COLOURS)


def _show(axes: Axes, one: NoisePair, noise: Plane, what: str) -> AxesImage:
    from matplotlib import colormaps

    rows, columns = (np.flatnonzero(one.body.any(axis=axis)) for axis in (1, 0))
    body = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    axes.set_title(
        f"{one.name}, {what}: SD {noise[one.soft].std():.0f} HU in soft tissue", fontsize=9
    )
    axes.set(xticks=[], yticks=[])
    return axes.imshow(
        noise[body],
        cmap=colormaps["gray"].resampled(GREYS),
        vmin=-LIMIT_HU,
        vmax=LIMIT_HU,
        interpolation="nearest",
    )
