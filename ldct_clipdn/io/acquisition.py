"""How a series was taken, as far as its noise depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldct_clipdn.io.attributes import number

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["tube_currents"]


def tube_currents(headers: Sequence[Dataset]) -> tuple[float, ...] | None:
    """Read the tube current of every image.

    Parameters
    ----------
    headers
        Of the images.

    Returns
    -------
    tuple of float or None
        In mA; None unless every header has one above 0.
    """
    currents = tuple(number(one, "XRayTubeCurrent") or 0.0 for one in headers)
    return currents if currents and min(currents) > 0 else None
