"""How every figure of a benchmark is set up and saved."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.bench.results import result_file
from ldct_clipdn.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["new_figure", "save", "save_maps", "save_small"]


def save(figure: Figure, path: Path) -> None:
    """Save a picture as it was drawn; grey where nothing in it has a colour.

    Parameters
    ----------
    figure
        What was drawn.
    path
        PNG; its folder is made.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    drawn = _drawn(figure)
    red, green, blue = drawn.split()
    is_grey = red.tobytes() == green.tobytes() == blue.tobytes()
    _write(red if is_grey else drawn, path)


def save_small(figure: Figure, path: Path, colours: int) -> None:
    """Save charts and greys in few colours: noise, and soft edges of letters, make large files.

    Not for maps in colour: fewer colours change those of map and colour bar, each in another way;
    `save_maps` is for these.

    Parameters
    ----------
    figure
        What was drawn.
    path
        PNG; its folder is made.
    colours
        How many.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    from PIL.Image import Dither

    _write(_drawn(figure).quantize(colours, dither=Dither.NONE), path)


def save_maps(figure: Figure, path: Path, colours: Sequence[Colormap]) -> None:
    """Save maps in colour with a palette of just the colours they are drawn in, which stay exact.

    What else is drawn, such as the soft edges of letters, takes the nearest of these.

    Parameters
    ----------
    figure
        What was drawn; images in it not interpolated, which would mix colours.
    path
        PNG; its folder is made.
    colours
        256 at most, all together; grey among them, for letters.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    from PIL import Image

    palette = np.concatenate([one(np.arange(one.N), bytes=True)[:, :3] for one in colours])
    drawn = np.asarray(_drawn(figure))
    found, place = np.unique(drawn.reshape(-1, 3), axis=0, return_inverse=True)
    distance = ((found[:, None].astype(int) - palette) ** 2).sum(-1)
    picture = Image.fromarray(distance.argmin(1).astype(np.uint8)[place].reshape(drawn.shape[:2]))
    picture.putpalette(palette.tobytes())
    _write(picture, path)


def _drawn(figure: Figure) -> Image:
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    return Image.open(drawn).convert("RGB")


def _write(picture: Image, path: Path) -> None:
    with result_file(path) as partial:
        picture.save(partial, format="PNG", optimize=True)
