"""Pictures of CT slices side by side, for reports and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ldct_clipdn.core.metrics import psnr
from ldct_clipdn.core.whole_file import system_words, whole_file
from ldct_clipdn.ct.hu import WINDOWS, HURange
from ldct_clipdn.errors import ConfigError, DataError, WriteError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    HUImage = NDArray[np.floating]

__all__ = ["draw_comparison", "new_figure"]

PANEL_INCHES: Final = 3.6
DOTS_PER_INCH: Final = 150

DIFFERENCE_PERCENTILE: Final = 99.5
"""Share of the absolute differences within the colour scale: single pixels must not set it."""


def draw_comparison(
    path: str | Path,
    images: Mapping[str, HUImage],
    window: HURange | None = None,
    *,
    reference: HUImage | None = None,
) -> Path:
    """Draw slices side by side, and the difference of the last and the first.

    Parameters
    ----------
    path
        The picture; its ending names the format, such as `.png`.
    images
        Slices by caption, each [H, W] in HU, all of one shape; usually before and after.
    window
        HU shown as black and as white; None is the abdomen window of the paper's figures.
    reference
        What the slices should be, [H, W] in HU. It gets a panel of its own, and each caption the
        PSNR against it over the network's range, [-1024, 3072] HU. Where there is one image only,
        the difference is taken to the reference.

    Returns
    -------
    pathlib.Path
        The picture.

    Raises
    ------
    ConfigError
        When matplotlib is not installed or cannot write such a file.
    DataError
        When there is no image, or they differ in shape.
    WriteError
        When the picture cannot be written.
    """
    path, window = Path(path), window or WINDOWS["abdomen"]
    shape = _common_shape([*images.values(), *([] if reference is None else [reference])])
    panels = dict(images) if reference is None else {**images, "reference": reference}
    compared = _compared(list(panels), len(images))
    figure = _new_panels(len(panels) + (compared is not None), shape)
    for axes, (name, hu) in zip(figure.axes, panels.items(), strict=False):
        axes.imshow(hu, cmap="gray", vmin=window.low, vmax=window.high)
        score = "" if reference is None or hu is reference else f"\n{_psnr_text(hu, reference)}"
        axes.set_xlabel(f"{name}{score}")
    if compared:
        minuend, subtrahend = compared
        change = np.subtract(panels[minuend], panels[subtrahend], dtype=np.float64)
        _draw_difference(figure, change, f"{minuend} \N{MINUS SIGN} {subtrahend}")
    figure.suptitle(_title(window, with_psnr=reference is not None))
    _save(figure, path)
    return path


def new_figure(
    width: float, height: float, layout: Literal["constrained", "compressed"] | None = "constrained"
) -> Figure:
    """Set up an empty figure, which needs no screen.

    Parameters
    ----------
    width, height
        In inches of 100 pixels.
    layout
        How matplotlib places what is drawn; None leaves it where it is put.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ConfigError
        When matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "figures need matplotlib, which is not installed here",
            remedy="pip install 'ldct_clipdn[figures]'",
        ) from error
    return Figure(figsize=(width, height), dpi=100, layout=layout)


def _compared(names: list[str], images: int) -> tuple[str, str] | None:
    """Name the two panels whose difference is drawn: of several images the last and the first."""
    if images > 1:
        return names[images - 1], names[0]
    return (names[0], names[1]) if len(names) > 1 else None


def _common_shape(images: list[HUImage]) -> tuple[int, int]:
    shapes = sorted({np.shape(one) for one in images})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise DataError(
            f"slices of shape {', '.join(map(str, shapes)) or 'nothing'} cannot be drawn "
            "side by side",
            remedy="Give slices [H, W] of one shape",
        )
    return shapes[0][0], shapes[0][1]


def _new_panels(panels: int, shape: tuple[int, int]) -> Figure:
    height = PANEL_INCHES * min(max(shape[0] / shape[1], 0.3), 3)
    figure = new_figure(PANEL_INCHES * panels, height + 0.8, "compressed")
    for axes in figure.subplots(1, panels, squeeze=False)[0]:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def _psnr_text(hu: HUImage, reference: HUImage) -> str:
    full = HURange()
    first, second = (np.clip(one, full.low, full.high) for one in (hu, reference))
    value = psnr(first, second, full.width)
    return f"PSNR {value:.2f} dB" if np.isfinite(value) else "equals the reference"


def _draw_difference(figure: Figure, change: NDArray[np.float64], caption: str) -> None:
    axes: Axes = figure.axes[-1]
    limit = max(1.0, float(np.percentile(np.abs(change), DIFFERENCE_PERCENTILE)))
    drawn: Any = axes.imshow(change, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_xlabel(caption)
    figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02, extend="both", label="HU")


def _title(window: HURange, *, with_psnr: bool) -> str:
    limits = (window.low, window.high)
    known = (name for name, one in WINDOWS.items() if (one.low, one.high) == limits)
    name = next(known, "").capitalize()
    title = f"{name} window".strip().capitalize() + f" [{window.low:g}, {window.high:g}] HU"
    full = HURange()
    return title + (f"; PSNR over [{full.low:g}, {full.high:g}] HU" if with_psnr else "")


def _save(figure: Figure, path: Path) -> None:
    kind = path.suffix.lstrip(".").lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise ConfigError(
            f"a picture cannot be written as {path.suffix or 'a file without ending'}",
            path=path,
            remedy="Give a name that ends in .png",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            figure.savefig(partial, format=kind, dpi=DOTS_PER_INCH, bbox_inches="tight")
    except OSError as error:
        raise WriteError(
            f"the picture cannot be written: {system_words(error)}",
            path=path,
            remedy="Check folder, rights and free space",
        ) from error
