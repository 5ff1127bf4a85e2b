"""Tries the network on a few slices of a series, to choose the strength that leaves the noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.batch.stream import seen_range
from ldct_clipdn.ct.noise_meter import NoiseMeter
from ldct_clipdn.ct.quality import MEASURED
from ldct_clipdn.ct.residual import limit_change
from ldct_clipdn.ct.strength import auto_strength
from ldct_clipdn.inference.denoise import denoise_slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.batch.series import Setting
    from ldct_clipdn.ct.hu import HURange
    from ldct_clipdn.inference.backends import Backend
    from ldct_clipdn.io.uids import Recipe

__all__ = ["tried_recipe", "try_strength"]

TRIED: Final = 12
"""Slices that are denoised to choose the strength: what it costs, however long a series is."""


def tried_recipe(
    setting: Setting, slices: int, read: Callable[[int], NDArray[np.float32]]
) -> Recipe:
    """Give the recipe of a series with the strength that it needs, where one is to be chosen.

    Parameters
    ----------
    setting
        Of the run.
    slices, read
        As for `try_strength`.

    Returns
    -------
    Recipe
        That of the run where the strength was given.

    Raises
    ------
    ConfigError
        When no strength can be chosen.
    """
    if setting.target_noise is None:
        return setting.recipe
    strength = try_strength(
        slices, read, setting.engine, setting.target_noise, seen_range(setting.recipe)
    )
    return replace(setting.recipe, strength=strength)


def try_strength(
    slices: int,
    read: Callable[[int], NDArray[np.float32]],
    engine: Backend,
    target_hu: float,
    hu_range: HURange | None = None,
) -> float:
    """Choose the strength of a series by what the network leaves on a few of its slices.

    The noise of the series is read where its quality will be; what share of it a strength leaves is
    tried on at most 12 of these slices, evenly spaced, since noise changes along the patient.

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
    hu_range
        What the network sees as 0 to 1; None is the published range.

    Returns
    -------
    float
        0 to 1, as `ct.strength.auto_strength` chooses it.

    Raises
    ------
    ConfigError
        When the target is no positive number, or there is too little soft tissue.
    """
    meter = NoiseMeter()
    places = range(0, slices, math.ceil(slices / MEASURED))
    levels = [meter.add(read(place)) for place in places]
    legible = [place for place, level in zip(places, levels, strict=True) if math.isfinite(level)]
    tried = _evenly(legible) if legible else list(places)
    return auto_strength(_Trial(meter.level, tried, read, engine, hu_range).noise, target_hu)


def _evenly(places: list[int]) -> list[int]:
    steps = np.linspace(0, len(places) - 1, min(len(places), TRIED))
    return [places[index] for index in np.unique(steps.round().astype(int))]


class _Trial:
    """Some slices of a series, denoised once and blended at any strength."""

    def __init__(
        self,
        level: float,
        places: list[int],
        read: Callable[[int], NDArray[np.float32]],
        engine: Backend,
        hu_range: HURange | None,
    ) -> None:
        self._level = level
        self._places = places
        self._read = read
        self._engine = engine
        self._range = hu_range

    def noise(self, strength: float) -> float:
        """Read the noise of the series in HU that a strength leaves; NaN where there is none."""
        if strength == 0:
            return self._level
        return self._level * self._noise_tried(strength) / self._tried_before

    def _noise_tried(self, strength: float) -> float:
        share = np.float32(strength)
        meter = NoiseMeter()
        for before, change in self._slices:
            meter.add(limit_change(before, before + share * change)[0])
        return meter.level

    @cached_property
    def _tried_before(self) -> float:
        return self._noise_tried(0)

    @cached_property
    def _slices(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Slices before, and the network's change of each."""
        before = [self._read(place) for place in self._places]
        return [(one, self._denoised(one) - one) for one in before]

    def _denoised(self, hu: NDArray[np.float32]) -> NDArray[np.float32]:
        new: NDArray[np.float32] = denoise_slices(hu[None], self._engine, hu_range=self._range)[0]
        return new
