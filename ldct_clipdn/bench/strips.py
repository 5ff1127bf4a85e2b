"""Comparison strips as in the paper's Figures 5 to 8 and 14 to 16."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor

from ldct_clipdn.bench.methods import Prepared
from ldct_clipdn.core.benchmark import Picture, denoise_pictures, score_picture
from ldct_clipdn.core.metrics import Ruler
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.ct.hu import WINDOWS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    HU = NDArray[np.float32]

__all__ = ["Panel", "ct_panels", "denoised_panels", "write_strip"]

WINDOW: Final = WINDOWS["abdomen"]
"""What the paper shows CT in (Figure 7)."""


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
    """Draw panels side by side with their scores under them.

    Parameters
    ----------
    panels
        From left to right.
    path
        PNG.
    title
        Above the strip.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = panels[0].image.shape[-2:]
    inches = 2.4
    figure = Figure(
        figsize=(inches * len(panels), inches * height / width + 0.8), layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        pixels = panel.image.permute(1, 2, 0).numpy()
        axes.imshow(pixels, interpolation="nearest", cmap="gray", vmin=0, vmax=1)
        axes.set_title(panel.title, fontsize=9)
        axes.set_xlabel(_caption(panel), fontsize=8)
        axes.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _windowed(hu: HU) -> Tensor:
    return torch.from_numpy(WINDOW.to_unit(WINDOW.clip(hu)))[None]


def _caption(panel: Panel) -> str:
    return "PSNR/SSIM" if panel.scores is None else f"{panel.scores[0]:.2f}/{panel.scores[1]:.3f}"
