"""What was changed: limits, structure in it, flicker."""

from __future__ import annotations

import numpy as np
import pytest
from coloured import B30F, coloured_noise
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.ct.residual import FlickerMeter, limit_change, structure_correlation
from ldct_clipdn.ct.tissue import body_mask, smooth

SIZE = 256


@pytest.fixture(scope="module")
def slice_() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise-free slice, noise twice as strong on one side, body."""
    clean = abdomen_phantom(1, SIZE, 3)[0]
    strength = np.linspace(0.6, 1.4, SIZE, dtype=np.float32)[None]
    noise = coloured_noise(B30F, SIZE, 25.0, 7) * strength
    return clean, noise, body_mask(smooth(clean + noise))


@given(seed=st.integers(0, 9999), size=st.floats(0, 500), times=st.floats(0.5, 8))
@settings(max_examples=25, deadline=None)
def test_limited_changes_are_never_larger_nor_turned_round(
    seed: int, size: float, times: float
) -> None:
    rng = np.random.default_rng(seed)
    before = rng.normal(0, 10, (40, 50)).astype(np.float32)
    after = before + rng.normal(0, size, (40, 50)).astype(np.float32)
    limited, where = limit_change(before, after, times=times)
    assert limited.dtype == np.float32
    change, kept = after - before, limited - before
    assert (np.abs(kept) <= np.abs(change) + 1e-4).all()
    assert (kept * change >= 0).all()
    np.testing.assert_array_equal(limited[~where], after[~where])
    assert (np.abs(kept) <= times * (10 * 1.6 + 2)).all()


def test_removing_the_noise_is_not_limited(slice_: tuple[np.ndarray, ...]) -> None:
    clean, noise, _ = slice_
    limited, where = limit_change(clean + noise, clean)
    assert where.sum() <= 1
    np.testing.assert_array_equal(limited[~where], clean[~where])


def test_an_invented_spot_is_limited_to_five_times_the_noise() -> None:
    before = np.random.default_rng(4).normal(50, 20, (64, 64)).astype(np.float32)
    after = before.copy()
    after[30:34, 30:34] += 400
    limited, where = limit_change(before, after)
    assert where.sum() == 16
    assert limited[31, 31] - before[31, 31] == pytest.approx(5 * 20, rel=0.25)


def test_clipped_air_may_change_by_ten_hu_at_most() -> None:
    before = np.full((20, 20), -1024, np.float32)
    limited, where = limit_change(before, before + 60)
    assert where.all()
    np.testing.assert_allclose(limited, -1014)


def test_no_change_keeps_every_bit() -> None:
    before = np.random.default_rng(1).normal(-1000, 3, (30, 30)).astype(np.float32)
    limited, where = limit_change(before, before.copy())
    np.testing.assert_array_equal(limited, before)
    assert not where.any()


def test_pure_noise_holds_no_structure(slice_: tuple[np.ndarray, ...]) -> None:
    clean, noise, body = slice_
    assert abs(structure_correlation(clean + noise, -noise, body)) < 0.03


def test_pure_noise_seems_structured_without_its_local_strength() -> None:
    """Why the change is divided by its own local strength: noise is stronger where edges are."""
    clean = abdomen_phantom(1, SIZE, 3)[0]
    smoothed = smooth(clean)
    busy = ndimage.gaussian_filter(np.hypot(*np.gradient(smoothed)), 12)
    noise = coloured_noise(B30F, SIZE, 20.0, 7) * (1 + busy / busy.mean())
    body = body_mask(smoothed)
    plain = np.corrcoef(np.hypot(*np.gradient(smoothed))[body], np.abs(noise)[body])[0, 1]
    assert plain > 0.12
    assert abs(structure_correlation(clean + noise, -noise, body)) < 0.04


@pytest.mark.parametrize("blur", [0.7, 1.0, 2.0])
def test_a_blur_removes_structure(slice_: tuple[np.ndarray, ...], blur: float) -> None:
    clean, noise, body = slice_
    hu = clean + noise
    assert structure_correlation(hu, ndimage.gaussian_filter(hu, blur) - hu, body) > 0.06


def test_no_change_and_a_shift_hold_no_structure(slice_: tuple[np.ndarray, ...]) -> None:
    clean, noise, body = slice_
    for change in (np.zeros_like(clean), np.full_like(clean, 3)):
        assert structure_correlation(clean + noise, change, body) == 0
    assert structure_correlation(clean, noise, np.zeros_like(body)) is None


def test_flicker_is_the_standard_deviation_along_z() -> None:
    offsets = np.array([1.0, -2.0, 4.0, 0.5])
    meter = FlickerMeter((0.9, 0.7))
    hu = np.full((100, 90), 40, dtype=np.float32)
    for offset in offsets:
        meter.add(hu, np.full_like(hu, offset))
    assert meter.level() == pytest.approx(offsets.std(ddof=1))


def test_a_steady_change_does_not_flicker_and_air_does_not_count() -> None:
    meter = FlickerMeter((1.0, 1.0))
    hu = np.full((64, 64), 40, dtype=np.float32)
    hu[:32] = -1000
    steady = np.random.default_rng(0).normal(0, 5, hu.shape).astype(np.float32)
    for z in range(5):
        change = steady.copy()
        change[:32] += 10 * z
        meter.add(hu, change)
    assert meter.level() == pytest.approx(0, abs=1e-4)


def test_two_slices_are_too_few_for_flicker() -> None:
    meter = FlickerMeter((1.0, 1.0))
    assert meter.level() is None
    for _ in range(2):
        meter.add(np.zeros((32, 32), np.float32), np.ones((32, 32), np.float32))
    assert meter.level() is None
