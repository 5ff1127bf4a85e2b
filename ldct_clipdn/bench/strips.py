"""Comparison strips as in the paper's Figures 5 to 8 and 14 to 16."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ldct_clipdn.bench.figure import new_figure, save
from ldct_clipdn.bench.methods import Prepared
from ldct_clipdn.core.benchmark import Picture, denoise_pictures, score_picture
from ldct_clipdn.core.metrics import Ruler
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.ct.hu import WINDOWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    HU = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

__all__ = ["Panel", "ct_panels", "denoised_panels", "write_strip"]

WINDOW: Final = WINDOWS["abdomen"]
"""What the paper shows CT in (Figure 7)."""

STRIP_PX: Final = 1600
"""Widest strip: what a screen shows."""

ROW_PANELS: Final = 5
"""Of more there are several rows, as long as each other where that can be."""

TITLE_PX: Final = 200
GAP_PX: Final = 8
LINE_PX: Final = 20
BLOCK_PX: Final = 8


class Panel(NamedTuple):
    """One picture of a strip.

    Parameters
    ----------
    title
        Above it.
    image
        [3, H, W] or, grey, [1, H, W], in [0, 1], on the CPU.
    scores
        PSNR in dB and SSIM; None for what the others are compared with.
    """

    title: str
    image: Tensor
    scores: tuple[float, float] | None


def denoised_panels(
    picture: Picture,
    noise: Noise | None,
    methods: Mapping[str, Callable[[], Prepared]],
    device: torch.device,
) -> list[Panel]:
    """Denoise one picture with every method.

    Parameters
    ----------
    picture
        The picture.
    noise
        Its noise; None takes its noisy photograph.
    methods
        By name, made ready when called.
    device
        Where.

    Returns
    -------
    list of Panel
        Noisy, each method, clean.
    """
    panels: list[Panel] = []
    clean = picture.clean.float() / 255
    for name, prepare in methods.items():
        (result,) = denoise_pictures(prepare().denoise, [picture], noise, device=device)
        noisy, denoised = result.noisy[0].clamp(0, 1).cpu(), result.denoised[0].cpu()
        if not panels:
            panels.append(Panel("noisy", noisy, score_picture(noisy, clean)))
        if name != "noisy":
            panels.append(Panel(name, denoised, score_picture(denoised, clean)))
    return [*panels, Panel("clean", clean, None)]


def ct_panels(
    low_dose: HU, reference: HU, methods: Mapping[str, Callable[[HU], HU]], ruler: Ruler
) -> list[Panel]:
    """Denoise one slice with every method; shown in the window [-160, 240] HU.

    Parameters
    ----------
    low_dose
        [H, W] in HU.
    reference
        The same slice at normal dose.
    methods
        By name; `noisy` is the slice itself and is shown once.
    ruler
        Of the scores.

    Returns
    -------
    list of Panel
        Low dose, each method, normal dose.
    """
    shown = {"low dose": low_dose}
    shown |= {name: denoise(low_dose) for name, denoise in methods.items() if name != "noisy"}
    panels = []
    for name, hu in shown.items():
        scores = ruler.score(hu, reference)
        panels.append(Panel(name, _windowed(hu), (scores.psnr, scores.ssim)))
    return [*panels, Panel("normal dose", _windowed(reference), None)]


def write_strip(panels: Sequence[Panel], path: Path, title: str) -> None:
    """Draw panels side by side, in rows of five at most, with their scores under them.

    Every pixel of a picture is one of the strip, or k x k where pictures are small. Pictures that
    would make the strip too wide are shrunk, and under each stands a detail at twice its size: the
    same place in all, where the picture that the others are compared with has most fine structure.

    Parameters
    ----------
    panels
        From left to right, row by row; all of one size; the last is what the others are compared
        with.
    path
        PNG.
    title
        Above the strip.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    reference = panels[-1].image
    rows = math.ceil(len(panels) / ROW_PANELS)
    in_row = math.ceil(len(panels) / rows)
    height, width = _shown_size(reference, in_row)
    place = _finest(reference, height // 2, width // 2) if width < reference.shape[-1] else None
    columns = [_column(panel.image, (height, width), place) for panel in panels]
    across, tall = max(width, TITLE_PX) + GAP_PX, len(columns[0])
    down = tall + 2 * LINE_PX + GAP_PX
    canvas = np.full((LINE_PX + down * rows, GAP_PX + across * in_row, 3), 255, dtype=np.uint8)
    texts = [(GAP_PX, 0, title if place is None else f"{title}; below: details, twice as large")]
    for k, (panel, column) in enumerate(zip(panels, columns, strict=True)):
        left, line = GAP_PX + k % in_row * across, LINE_PX + k // in_row * down
        top = line + LINE_PX
        canvas[top : top + tall, left : left + width] = column
        texts += [(left, line, panel.title), (left, top + tall, _caption(panel))]
    figure = new_figure(canvas.shape[1] / 100, canvas.shape[0] / 100, layout=None)
    figure.figimage(canvas)
    for x, y, text in texts:
        middle = y + LINE_PX / 2
        figure.text(
            x / canvas.shape[1], 1 - middle / canvas.shape[0], text, fontsize=9, va="center"
        )
    save(figure, path)


def _shown_size(image: Tensor, panels: int) -> tuple[int, int]:
    """Give the height and width at which a row shows each of so many pictures."""
    scale = (STRIP_PX // panels - GAP_PX) / max(image.shape[-2:])
    scale = math.floor(scale) if scale >= 1 else scale
    height, width = (max(round(scale * side), 2) for side in image.shape[-2:])
    return height, width


def _finest(image: Tensor, height: int, width: int) -> tuple[int, int]:
    """Find the first row and column of the region with most fine structure.

    That is the mean over its blocks of 8 x 8 of their standard deviations; their variances would
    seek the one highest edge.
    """
    grey = image.mean(0, keepdim=True)
    mean, square = (avg_pool2d(one, BLOCK_PX) for one in (grey, grey**2))
    structure = (square - mean**2).clamp(min=0).sqrt()
    blocks = (max(height // BLOCK_PX, 1), max(width // BLOCK_PX, 1))
    by_place = avg_pool2d(structure, blocks, stride=1)[0]
    row, column = (BLOCK_PX * k for k in divmod(int(by_place.argmax()), by_place.shape[1]))
    return min(row, image.shape[-2] - height), min(column, image.shape[-1] - width)


def _column(image: Tensor, size: tuple[int, int], place: tuple[int, int] | None) -> Pixels:
    """Show a picture at this size; where it is shrunk, with the detail from this place under it."""
    if place is None:
        return _pixels(interpolate(image[None], size, mode="nearest")[0])
    (row, column), (height, width) = place, (side // 2 for side in size)
    whole = _pixels(interpolate(image[None], size, mode="bilinear", antialias=True)[0])
    scale = size[1] / image.shape[-1]
    _frame(whole, *(round(scale * k) for k in (row, column, row + height, column + width)))
    detail = np.full((2 * height + GAP_PX, size[1], 3), 255, dtype=np.uint8)
    cut = _pixels(image[:, row : row + height, column : column + width])
    detail[GAP_PX:, : 2 * width] = cut.repeat(2, 0).repeat(2, 1)
    return np.concatenate([whole, detail])


def _pixels(image: Tensor) -> Pixels:
    """Give 8-bit colours [H, W, 3]."""
    return (image * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy().copy()


def _frame(image: Pixels, top: int, left: int, bottom: int, right: int) -> None:
    """Draw a white line within a black one, seen on any picture."""
    for colour in (0, 255):
        box = image[top:bottom, left:right]
        inner = box[1:-1, 1:-1].copy()
        box[:] = colour
        box[1:-1, 1:-1] = inner
        top, left, bottom, right = top + 1, left + 1, bottom - 1, right - 1


def _windowed(hu: HU) -> Tensor:
    return torch.from_numpy(WINDOW.to_unit(WINDOW.clip(hu)))[None]


def _caption(panel: Panel) -> str:
    return "PSNR/SSIM" if panel.scores is None else f"{panel.scores[0]:.2f}/{panel.scores[1]:.3f}"
