"""How strongly to denoise: by name, by number, or so that a known noise is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Final

from scipy.optimize import brentq

from ldct_clipdn.errors import ConfigError

__all__ = ["AUTO", "STRENGTHS", "auto_strength", "parse_strength"]

AUTO: Final = "auto"

STRENGTHS: Final = {"low": 0.4, "medium": 0.7, "high": 1.0}
"""Share of the network's change by name."""

DIGITS: Final = 3
"""A strength is part of a derived image's name; more digits would be false precision."""


def auto_strength(noise_left: Callable[[float], float], target_hu: float) -> float:
    """Choose the strength that leaves a known noise.

    Where the network took all noise away this would be 1 - target / noise. It leaves some, which is
    correlated with what it takes, so the strength is found on what is left (Brent's method).

    Parameters
    ----------
    noise_left
        Noise in HU that a strength leaves; that of 0 is the noise of the series. NaN where it
        cannot be read: above 0, because nothing is left of it.
    target_hu
        Noise that is to be left, in HU.

    Returns
    -------
    float
        0 to 1, three digits; 0 where the series is at the target already, 1 where the network
        leaves more at any strength (flag NOISE_OFF_TARGET).

    Raises
    ------
    ConfigError
        When the target is no positive number, or the noise of the series is unknown.
    """
    if not (math.isfinite(target_hu) and target_hu > 0):
        raise ConfigError(
            f"a target noise of {target_hu} HU cannot be reached", remedy="Give HU above 0"
        )
    if math.isnan(noise_left(0.0)):
        raise ConfigError(
            "its noise cannot be read, by which a strength is chosen: there is too little soft "
            "tissue, or no noise in it; give a strength, 0 to 1"
        )

    @cache
    def excess(strength: float) -> float:
        noise = noise_left(strength)
        return (0.0 if math.isnan(noise) else noise) - target_hu

    if excess(0.0) <= 0:
        return 0.0
    if excess(1.0) >= 0:
        return 1.0
    return round(float(brentq(excess, 0.0, 1.0, xtol=10.0**-DIGITS)), DIGITS)


def parse_strength(strength: float | str) -> float | None:
    """Read a strength as a user writes it.

    Parameters
    ----------
    strength
        `auto`, one of `STRENGTHS`, or a number from 0 to 1.

    Returns
    -------
    float or None
        0 to 1; None for `auto`, which depends on the series.

    Raises
    ------
    ConfigError
        When it is none of these.
    """
    if strength == AUTO:
        return None
    if strength in STRENGTHS:
        return STRENGTHS[str(strength)]
    try:
        number = float(strength)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ConfigError(
            f"the strength {strength} is not in 0 to 1",
            remedy=f"Give {', '.join(STRENGTHS)}, auto, or a number from 0 to 1",
        )
    return number
