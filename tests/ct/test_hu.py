"""HU, the unit scale, display windows, and the blend outside the range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ldct_clipdn.ct.hu import WINDOWS, HURange, Window, blend_weight
from ldct_clipdn.errors import ConfigError

FULL = HURange()
HU = arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-1024, 3072, width=32))


def test_the_default_is_the_published_range() -> None:
    assert (FULL.low, FULL.high, FULL.width) == (-1024, 3072, 4096)
    # (HU + 1024) / 4096, as the published data were prepared
    assert FULL.to_unit(np.array([-1024.0, 0.0, 1024.0, 3072.0])).tolist() == [0, 0.25, 0.5, 1]
    assert 5 / 255 * FULL.width == pytest.approx(80.3, abs=0.02)


@given(HU)
def test_float32_comes_back_within_a_thousandth_hu(hu: np.ndarray) -> None:
    unit = FULL.to_unit(hu)
    assert unit.dtype == np.float32
    assert ((unit >= 0) & (unit <= 1)).all()
    np.testing.assert_allclose(FULL.from_unit(unit), hu, rtol=0, atol=1e-3)


@given(HU, st.floats(-2000, 0), st.floats(1, 4000))
def test_any_range_is_undone(hu: np.ndarray, low: float, width: float) -> None:
    one = HURange(low, low + width)
    tolerance = 1e-6 * (5000 + abs(low) + 4096 + width)
    np.testing.assert_allclose(one.from_unit(one.to_unit(hu)), hu, rtol=0, atol=tolerance)


def test_arrays_and_tensors_give_the_same_and_keep_their_kind() -> None:
    hu = np.array([[-3000.0, 40.0], [100.0, 9000.0]], dtype=np.float32)
    tensor = torch.from_numpy(hu)
    for method in (FULL.to_unit, FULL.from_unit, FULL.clip):
        ours, theirs = method(hu), method(tensor)
        assert isinstance(theirs, torch.Tensor)
        assert theirs.dtype == torch.float32
        np.testing.assert_array_equal(ours, theirs.numpy())


def test_nothing_is_clipped_unless_asked_for() -> None:
    hu = np.array([-3024.0, 5000.0])
    assert FULL.to_unit(hu).tolist() == [-2000 / 4096, 6024 / 4096]
    assert FULL.from_unit(FULL.to_unit(hu)).tolist() == hu.tolist()
    assert FULL.clip(hu).tolist() == [-1024, 3072]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (1, 0), (float("nan"), 1), (0, float("inf")), (float("-inf"), 0)]
)
def test_ranges_that_are_none(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="empty or not finite"):
        HURange(low, high)
    with pytest.raises(ConfigError, match="empty or not finite"):
        Window(low, high)


def test_windows_are_the_usual_ones() -> None:
    by_centre = {name: (one.level, one.width) for name, one in WINDOWS.items()}
    assert by_centre == {
        "abdomen": (40, 400),  # [-160, 240], that of the paper's figures
        "lung": (-600, 1500),
        "bone": (450, 2000),
        "brain": (40, 80),
    }
    assert (WINDOWS["abdomen"].low, WINDOWS["abdomen"].high) == (-160, 240)


def test_the_blend_is_1_inside_and_fades_to_0_outside() -> None:
    at = {
        -2000.0: 0, -1424.0: 0, -1374.0: 0.5, -1324.0: 1, -1024.0: 1, 0.0: 1,
        3072.0: 1, 3172.0: 0.5, 3272.0: 0, 30000.0: 0,
    }  # fmt: skip
    weight = blend_weight(np.array(list(at), dtype=np.float32), FULL)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, list(at.values()))


@given(arrays.arrays(np.float32, 20, elements=st.floats(-5000, 20000, width=32)))
def test_the_blend_is_a_share_and_continuous(hu: np.ndarray) -> None:
    weight = blend_weight(hu, FULL)
    assert ((weight >= 0) & (weight <= 1)).all()
    near = blend_weight(hu + np.float32(0.5), FULL)
    assert np.abs(near - weight).max() <= 0.5 / 100 + 1e-5
