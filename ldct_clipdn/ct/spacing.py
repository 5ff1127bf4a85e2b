"""Distances of pixels and slices, as callers give them."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np

__all__ = ["is_positive", "read_distances"]


def read_distances(given: object) -> tuple[float, ...]:
    """Take the pixel size alone, or the distances of rows and columns, with others before them.

    Parameters
    ----------
    given
        A number, or several.

    Returns
    -------
    tuple of float
        Two at least where it can be used; empty where it is no number or numbers.
    """
    try:
        numbers = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        return ()
    if numbers.ndim == 0:
        return (float(numbers),) * 2
    return tuple(map(float, numbers)) if numbers.ndim == 1 else ()


def is_positive(value: SupportsFloat | str | None) -> bool:
    """Say whether something is a finite number above 0.

    Parameters
    ----------
    value
        Anything that `float` may take.

    Returns
    -------
    bool
        False for what is no number.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and number > 0
