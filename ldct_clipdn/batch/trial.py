"""Tries the network on a few slices of a series, to choose the strength that leaves the noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.ct.noise_meter import NoiseMeter
from ldct_clipdn.ct.residual import limit_change
from ldct_clipdn.ct.strength import auto_strength
from ldct_clipdn.inference.denoise import denoise_slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.inference.backends import Backend

__all__ = ["try_strength"]

TRIED: Final = 12
"""Slices that are denoised to choose the strength: what it costs, however long a series is."""


def try_strength(
    slices: int, read: Callable[[int], NDArray[np.float32]], engine: Backend, target_hu: float
) -> float:
    """Choose the strength of a series by what the network leaves on a few of its slices.

    Parameters
    ----------
    slices
        Of the series.
    read
        Gives a slice by its number: float32 [H, W] in HU, padding as air.
    engine
        The network; is not called where the series is at the target already.
    target_hu
        Noise that is to be left, in HU.

    Returns
    -------
    float
        0 to 1, as `ct.strength.auto_strength` chooses it, on at most 12 slices, evenly spaced.

    Raises
    ------
    ConfigError
        When the target is no positive number, or there is too little soft tissue.
    """
    places = np.unique(np.linspace(0, slices - 1, min(slices, TRIED)).round().astype(int))
    trial = _Trial([read(int(place)) for place in places], engine)
    return auto_strength(trial.noise, target_hu)


class _Trial:
    """Some slices, denoised once and blended at any strength."""

    def __init__(self, before: list[NDArray[np.float32]], engine: Backend) -> None:
        self._before = before
        self._engine = engine

    def noise(self, strength: float) -> float:
        """Read the noise in HU that a strength leaves; NaN where there is too little to read."""
        meter = NoiseMeter()
        for one in self._blended(strength) if strength else self._before:
            meter.add(one)
        return meter.level

    def _blended(self, strength: float) -> list[NDArray[np.float32]]:
        share = np.float32(strength)
        pairs = zip(self._before, self._changes, strict=True)
        return [limit_change(one, one + share * change)[0] for one, change in pairs]

    @cached_property
    def _changes(self) -> list[NDArray[np.float32]]:
        return [denoise_slices(one[None], self._engine)[0] - one for one in self._before]
