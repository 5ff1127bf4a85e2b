"""Whether the body goes on outside the field: square ones, and round ones with padded corners."""

from __future__ import annotations

import numpy as np
import pytest

from ldct_clipdn.ct.field import body_is_cut

SIZE = 256
PADDINGS = (-1024.0, -2000.0)


def _slice(shift: int, *, padding: float | None = None, air: float = -1000.0) -> np.ndarray:
    """An oval body in air with noise, moved to the right; with a table under it."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    body = ((x - shift) / 100) ** 2 + (y / 70) ** 2 < 1
    hu = np.where(body, 40.0, air) + np.random.default_rng(0).normal(0, 10, body.shape)
    hu[np.abs(y - 90) < 2] = 100  # the table's shell, from side to side
    if padding is not None:
        hu[np.hypot(x, y) > SIZE / 2] = padding
    return hu.astype(np.float32)


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_round_field_cuts_the_body_though_the_matrix_does_not(padding: float) -> None:
    # 100 + 40 pixels reach beyond the circle of 128, whose corners are padded
    assert body_is_cut(_slice(40, padding=padding))
    assert body_is_cut(_slice(-40, padding=padding))
    assert not body_is_cut(_slice(20, padding=padding))
    assert not body_is_cut(_slice(-20, padding=padding))


def test_a_square_field_is_looked_at_along_its_border() -> None:
    # between circle and border there is image, so that the body may lie there
    assert not body_is_cut(_slice(20))
    assert body_is_cut(_slice(40))


def test_air_at_the_lowest_value_makes_no_padding_of_the_body() -> None:
    whole = _slice(0, air=-1100).clip(-1024)
    assert not body_is_cut(whole)
    assert body_is_cut(_slice(40, air=-1100).clip(-1024))


def test_nothing_but_body_and_nothing_but_padding() -> None:
    assert body_is_cut(np.full((9, 7), 40, dtype=np.float32))
    assert not body_is_cut(np.full((9, 7), -1024, dtype=np.float32))
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    assert body_is_cut(np.where(np.hypot(x, y) < SIZE / 2, 40, -2000).astype(np.float32))
    assert not body_is_cut(np.zeros((1, 1), dtype=np.float32) - 1000)
