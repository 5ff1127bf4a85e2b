"""Comparison strips as in the paper's Figures 5 to 8 and 14 to 16."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ldct_clipdn.bench.methods import Prepared
from ldct_clipdn.core.benchmark import Picture, denoise_pictures, score_picture
from ldct_clipdn.core.noise import Noise

__all__ = ["Panel", "denoised_panels", "write_strip"]


class Panel(NamedTuple):
    """One picture of a strip.

    Parameters
    ----------
    title
        Above it.
    image
        [3, H, W] in [0, 1], on the CPU.
    scores
        PSNR in dB and SSIM; None for the clean picture.
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
        axes.imshow(panel.image.permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(panel.title, fontsize=9)
        axes.set_xlabel(_caption(panel), fontsize=8)
        axes.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _caption(panel: Panel) -> str:
    return "PSNR/SSIM" if panel.scores is None else f"{panel.scores[0]:.2f}/{panel.scores[1]:.3f}"
