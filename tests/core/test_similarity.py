"""Similarities on cases worked out by hand, and what must leave them unchanged."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.core.similarity import centred_cosine, cosine, linear_cka
from ldct_clipdn.errors import DataError


def column(*values: float) -> torch.Tensor:
    """Make one channel of positions side by side."""
    return torch.tensor(values).view(1, 1, -1)


def test_cosine_by_hand():
    assert cosine(column(1, 0), column(1, 1)) == pytest.approx(1 / math.sqrt(2))
    assert cosine(column(1, 2), column(-2, 1)) == pytest.approx(0)
    assert cosine(column(3, 4), column(-6, -8)) == pytest.approx(-1)
    assert cosine(column(0, 0), column(1, 1)) == 0


def test_centred_cosine_by_hand():
    # 1 2 3 and 1 3 2 less their means: -1 0 1 and -1 1 0; their product 1, lengths root 2
    assert centred_cosine(column(1, 2, 3), column(1, 3, 2)) == pytest.approx(0.5)
    # each channel has its own mean
    a = torch.cat([column(0, 1), column(10, 11)])
    b = torch.cat([column(5, 6), column(-3, -4)])
    assert centred_cosine(a, b) == pytest.approx(0)
    assert centred_cosine(column(2, 2), column(1, 3)) == 0


def test_a_shared_mean_fools_plain_cosine_alone():
    noise = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    a, b = noise + 10
    assert cosine(a, b) > 0.98
    assert abs(centred_cosine(a, b)) < 0.05
    assert linear_cka(a, b) < 0.1


def test_linear_cka_by_hand():
    # one channel each: the squared correlation. 1 2 3 and 1 3 2 have correlation 1/2
    assert linear_cka(column(1, 2, 3), column(1, 3, 2)) == pytest.approx(0.25)
    # X = (u, v) orthonormal and centred, Y = u alone: |Y'X|^2 = 1, |X'X| = root 2, |Y'Y| = 1
    u, v = column(1, -1, 0, 0), column(0, 0, 1, -1)
    assert linear_cka(torch.cat([u, v]), u) == pytest.approx(1 / math.sqrt(2))
    assert linear_cka(column(5, 5), column(1, 2)) == 0


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_cka_ignores_rotation_scale_and_offset(seed, scale, offset):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 5, 6, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    y = torch.tensordot(rotation, x, dims=1) * scale + offset
    assert linear_cka(x, y) == pytest.approx(1)
    z = torch.randn(3, 5, 6, generator=generator, dtype=torch.float64)
    assert linear_cka(x, z) == pytest.approx(linear_cka(y, z))
    assert linear_cka(x, z) == pytest.approx(linear_cka(z, x))
    assert 0 <= linear_cka(x, z) <= 1


def test_other_shapes_are_refused():
    for measure in (cosine, centred_cosine, linear_cka):
        with pytest.raises(DataError, match="cannot be compared"):
            measure(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3))
        with pytest.raises(DataError, match="cannot be compared"):
            measure(torch.zeros(2, 2), torch.zeros(2, 2))
