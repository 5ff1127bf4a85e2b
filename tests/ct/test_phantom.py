"""The made-up abdomen: what a radiologist would expect in it, in HU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.errors import ConfigError

SEEDS = (0, 1, 2, 3)


def share(hu: np.ndarray, low: float, high: float) -> float:
    return float(((hu >= low) & (hu < high)).mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_tissues_are_there_in_plausible_amounts(seed: int) -> None:
    hu = abdomen_phantom(5, 128, seed)
    assert hu.shape == (5, 128, 128)
    assert hu.dtype == np.float32
    assert np.isfinite(hu).all()
    assert hu.min() >= -1024
    assert hu.max() < 1500
    body = share(hu, -200, 3000)
    assert 0.25 < body < 0.75
    assert 0.15 < share(hu, -140, -70) / body < 0.65, "fat"
    assert share(hu, 40, 75) / body > 0.05, "muscle and bowel"
    assert share(hu, 80, 145) / body > 0.08, "liver and spleen"
    assert share(hu, 300, 1500) / body > 0.005, "bone"


def test_size_in_mm_does_not_depend_on_the_matrix() -> None:
    areas = []
    for size in (64, 256):
        _, row, column = spacing_mm(size)
        areas.append((abdomen_phantom(1, size, 1) > -200).sum() * row * column)
    assert areas[0] == pytest.approx(areas[1], rel=0.03)
    width_cm = np.sqrt(areas[1]) / 10
    assert 18 < width_cm < 36


def test_slices_are_three_mm_apart_whatever_their_number() -> None:
    three, five = abdomen_phantom(3, 64, 2), abdomen_phantom(5, 64, 2)
    assert spacing_mm(64)[0] == 3.0
    np.testing.assert_array_equal(five[1:4], three)


def test_anatomy_changes_along_z_and_with_the_seed() -> None:
    hu = abdomen_phantom(9, 96, 0)
    neighbours = np.abs(np.diff(hu, axis=0)).mean()
    ends = np.abs(hu[0] - hu[-1]).mean()
    assert 1 < neighbours < ends
    other = abdomen_phantom(9, 96, 1)
    assert np.abs(hu - other).mean() > ends


def test_same_seed_same_patient() -> None:
    np.testing.assert_array_equal(abdomen_phantom(2, 48, 7), abdomen_phantom(2, 48, 7))


def test_edges_are_smooth() -> None:
    """A step from air to bone takes more than one pixel: no aliased edge."""
    hu = abdomen_phantom(1, 512, 0)[0]
    air_to_skin = np.diff(hu[:, 256][:256])
    assert np.abs(air_to_skin).max() < 1030
    assert len(np.unique(hu)) > 50_000


def test_soft_tissue_is_nearly_free_of_noise() -> None:
    """What varies inside an organ is grain, far below the noise of a scan."""
    hu = abdomen_phantom(1, 512, 3)[0]
    blocks = hu.reshape(32, 16, 32, 16).swapaxes(1, 2).reshape(-1, 256)
    soft = blocks[(blocks.min(1) > 60) & (blocks.max(1) < 160)]
    assert len(soft) > 20
    assert np.percentile(soft.std(1), 10) < 4


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**32))
def test_any_size_works(size: int, slices: int, seed: int) -> None:
    hu = abdomen_phantom(slices, size, seed)
    assert hu.shape == (slices, size, size)
    assert np.isfinite(hu).all()


@pytest.mark.parametrize(("slices", "size", "seed"), [(0, 64, 0), (1, 0, 0), (1, 64, -1)])
def test_impossible_phantoms_are_refused(slices: int, size: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="no phantom has"):
        abdomen_phantom(slices, size, seed)
