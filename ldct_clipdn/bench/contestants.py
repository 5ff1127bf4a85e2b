"""Who is measured where the truth is known: the input, two classic filters, a denoiser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ldct_clipdn.bench.classic import CLASSIC
from ldct_clipdn.ct.residual import limit_change
from ldct_clipdn.inference.denoise import denoise_slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.inference.backends import Backend

    Volume = NDArray[np.float32]

__all__ = ["INPUT", "Contestant", "contestants", "denoise_as_shipped"]

INPUT: Final = "input"

STRENGTHS: Final = {"TV": 1.12, "NLM": 1.0}
"""In units of the noise; each filter's best on the fair error over quarter doses simulated from
ct/train (`benchmark ldct --matrix` chose them)."""

BATCH: Final = 2**18
"""Pixels that are denoised at a time."""


class Contestant(NamedTuple):
    """One way of denoising.

    Parameters
    ----------
    name
        For tables.
    denoise
        float32 [Z, H, W] in HU and the standard deviation of its noise in HU, to the same shape.
    """

    name: str
    denoise: Callable[[Volume, float], Volume]


def contestants(engine: Backend) -> list[Contestant]:
    """List the input, classic filters at fixed strengths, and a denoiser at strength 1.

    Parameters
    ----------
    engine
        The denoiser's.

    Returns
    -------
    list of Contestant
        The denoiser last.
    """
    filters = [
        Contestant(
            one.name,
            lambda hu, noise, one=one: np.stack(  # type: ignore[misc]
                [one.apply(plane, noise, STRENGTHS[one.name]) for plane in hu]
            ),
        )
        for one in CLASSIC
        if one.name in STRENGTHS
    ]
    name = Path(engine.weights.name).stem
    return [
        Contestant(INPUT, lambda hu, _: hu),
        *filters,
        Contestant(name, lambda hu, _: denoise_as_shipped(hu, engine)),
    ]


def denoise_as_shipped(hu: Volume, engine: Backend) -> Volume:
    """Do what `ldct-clipdn denoise --strength 1` does, a few slices at a time.

    Parameters
    ----------
    hu
        float32 [Z, H, W] in HU.
    engine
        The denoiser's.

    Returns
    -------
    numpy.ndarray
        float32 [Z, H, W] in HU, changes limited.
    """
    count = max(BATCH // hu[0].size, 1)
    parts = [denoise_slices(hu[k : k + count], engine) for k in range(0, len(hu), count)]
    result = np.concatenate(parts)
    return np.stack([limit_change(old, new)[0] for old, new in zip(hu, result, strict=True)])
