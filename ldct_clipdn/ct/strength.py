"""How strongly to denoise: by name, by number, or so that a known noise is left."""

from __future__ import annotations

import math
from typing import Final

from ldct_clipdn.errors import ConfigError

__all__ = ["AUTO", "STRENGTHS", "auto_strength", "parse_strength"]

AUTO: Final = "auto"

STRENGTHS: Final = {"low": 0.4, "medium": 0.7, "high": 1.0}
"""Share of the network's change by name."""

DIGITS: Final = 3
"""A strength is part of a derived image's name; more digits would be false precision."""


def auto_strength(noise_hu: float, target_hu: float) -> float:
    """Choose the strength that leaves a known noise: 1 - target / noise.

    Holds where the network takes away all noise; what it leaves comes on top, so the result is
    measured (flag NOISE_OFF_TARGET).

    Parameters
    ----------
    noise_hu
        Noise of the series in HU.
    target_hu
        Noise that is to be left, in HU.

    Returns
    -------
    float
        0 to 1, three digits; 0 where the series is at the target already.

    Raises
    ------
    ConfigError
        When the target is no positive number, or the noise is unknown.
    """
    if not (math.isfinite(target_hu) and target_hu > 0):
        raise ConfigError(
            f"a target noise of {target_hu} HU cannot be reached", remedy="Give HU above 0"
        )
    if not math.isfinite(noise_hu):
        raise ConfigError(
            "the noise cannot be measured: there is too little soft tissue",
            remedy="Give a strength, 0 to 1",
        )
    return round(max(1 - target_hu / noise_hu, 0.0), DIGITS)


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
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise ConfigError(
            f"the strength {strength} is not in 0 to 1",
            remedy=f"Give {', '.join(STRENGTHS)}, auto, or a number from 0 to 1",
        )
    return number
