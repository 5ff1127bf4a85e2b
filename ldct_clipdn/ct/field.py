"""Where the reconstructed field ends, and whether the body goes on beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.ct.hu import AIR_HU

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["body_is_cut"]

BODY_HU: Final = -300.0
"""A pixel at the field's end that is above this is no air."""

END_SHARE: Final = 0.02
"""More of the field's end than this, and the body is cut; of a round field, in one run along its
rim: tables cross it too. On the normal-dose series at hand a table's shell took 1.6 % at most, and
bodies that are cut 2.8 % and more."""

PADDED: Final = 0.99
"""Share of padding in the corners that makes the field a round one; annotations stay below."""

RIM_PX: Final = 2.0
"""Pixels between the circle and where the rim is read: its last ones may hold padding in part."""


def body_is_cut(plane: Plane) -> bool:
    """Say whether the body goes on outside the field of view.

    The field is the circle that touches the matrix' sides, where all beyond it is padding; else the
    matrix.

    Parameters
    ----------
    plane
        [H, W] in HU; padding at -1024 or below.

    Returns
    -------
    bool
        By what lies along the end of the field.
    """
    if _is_round(plane):
        return _longest_run(_rim(plane) > BODY_HU) > END_SHARE
    border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    return bool(np.mean(border > BODY_HU) > END_SHARE)


def _is_round(plane: Plane) -> bool:
    rows, columns = plane.shape
    y, x = np.ogrid[:rows, :columns]
    from_centre = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2)
    # a pixel more than the circle: its edge may be blurred
    beyond = plane[from_centre > min(rows, columns) / 2 + 1]
    return bool(np.mean(beyond <= AIR_HU) >= PADDED) if beyond.size else False


def _rim(plane: Plane) -> Plane:
    """Read the pixels along the circle, one for each pixel of its length."""
    rows, columns = plane.shape
    radius = min(rows, columns) / 2 - RIM_PX
    angle = np.linspace(0, 2 * np.pi, round(2 * np.pi * radius), endpoint=False)
    y = (rows - 1) / 2 + radius * np.sin(angle)
    x = (columns - 1) / 2 + radius * np.cos(angle)
    rim: Plane = plane[y.round().astype(int), x.round().astype(int)]
    return rim


def _longest_run(marks: NDArray[np.bool_]) -> float:
    """Give the longest run of marks around a circle, as a share of it."""
    gaps = np.flatnonzero(~marks)
    if not gaps.size:
        return 1.0
    runs = np.diff(gaps, append=gaps[0] + marks.size) - 1
    return float(runs.max()) / marks.size
