"""Noise that turns with the tube: found where it was put in, and nowhere else."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from ldct_clipdn.ct.kernel import kernel_window
from ldct_clipdn.ct.lowdose import simulate_low_dose
from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.ct.projection import back_project
from ldct_clipdn.ct.scan_noise import Rays, Scan
from ldct_clipdn.ct.turning import STEADY, Turning, log_variance, read_turning

SIZE = 448
PIXEL_MM = 0.8
RADIUS_PX = 190
APART_PX = 280
NOISE_HU = 25.0


def _water() -> np.ndarray:
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    inside = np.hypot(axis[None, :], axis[:, None]) < RADIUS_PX
    return np.where(inside, 40, -1000).astype(np.float32)


def _scan(plane: np.ndarray, turning: Turning, seed: int = 1) -> Scan:
    return Scan(plane[None], (PIXEL_MM, PIXEL_MM), np.ones(1), None, seed, "cpu", (turning,))


@cache
def _noise(turning: Turning, seed: int = 1) -> np.ndarray:
    noise = _scan(_water(), turning, seed).noise(0, Rays(1e5), kernel_window("standard"))
    return noise * np.float32(NOISE_HU / noise[_water() > 0].std())


def _right_over_left(noise: np.ndarray) -> float:
    middle = np.s_[SIZE // 2 - 60 : SIZE // 2 + 60]
    sides = (noise[middle, SIZE // 2 + sign * APART_PX // 2 - 20 :][:, :40] for sign in (1, -1))
    right, left = (one.std() for one in sides)
    return float(right / left)


def _found(plane: np.ndarray) -> Turning:
    scan = _scan(plane, STEADY)
    return read_turning(plane, scan.share_arriving(0), scan.beam)


@pytest.mark.parametrize("turning", [(0.6, 0.0), (-0.3, 0.5)])
def test_is_found_where_it_was_put_in(turning: Turning) -> None:
    along, across = np.array(turning), np.array([-turning[1], turning[0]])
    found, size = np.array(_found(_water() + _noise(turning))), np.hypot(*turning)
    # held near zero: a disc's noise comes mostly from rays through its middle
    assert 0.5 < along @ found / size**2 < 1.1
    assert abs(across @ found / size) < 0.1


def test_of_even_noise_nothing_turns() -> None:
    np.testing.assert_allclose(_found(_water() + _noise(STEADY)), STEADY, atol=0.1)


def test_noise_grows_towards_the_side_that_is_named() -> None:
    scan = _scan(_water(), (0.6, 0.0))
    angle = torch.tensor(scan.beam.angles)[:, None]
    more = log_variance((0.6, 0.0), angle, scan.beam.offsets() * PIXEL_MM)
    variance = back_project(more.exp() / scan.share_arriving(0), scan.beam, torch.ones(1))
    expected = [
        float(variance[SIZE // 2, SIZE // 2 + side]) for side in (APART_PX // 2, -APART_PX // 2)
    ]
    ratio = _right_over_left(_noise((0.6, 0.0)))
    assert ratio == pytest.approx((expected[0] / expected[1]) ** 0.5, rel=0.1)
    assert ratio > 1.1


def test_anatomy_in_some_tiles_hardly_counts() -> None:
    plane = _water() + _noise(STEADY)
    plane[120:160, 250:310] += 60 * (-1.0) ** (np.arange(120, 160) // 2)[:, None]
    np.testing.assert_allclose(_found(plane.astype(np.float32)), STEADY, atol=0.15)


def test_steps_inside_the_body_are_no_noise() -> None:
    plane = _water()
    inside = plane > 0
    inside[:, : SIZE // 2] = False
    stripes = np.arange(SIZE) // 20 % 2 == 0
    plane[inside & stripes] += 100
    np.testing.assert_allclose(_found(plane + _noise(STEADY)), STEADY, atol=0.15)


@pytest.mark.parametrize("hu", [0.0, 0.5, 2.0])
def test_anatomy_is_not_read_where_there_is_little_noise(hu: float) -> None:
    """The made abdomen has fine structure on one side: 1.6 and -1.2 without this."""
    plane = abdomen_phantom(9, 512, seed=102)[4]
    rng = np.random.default_rng(0)
    plane = (plane + rng.normal(0, hu, plane.shape)).astype(np.float32)
    scan = Scan(plane[None], (0.75, 0.75), np.ones(1), None, 1, "cpu")
    assert read_turning(plane, scan.share_arriving(0), scan.beam) == STEADY


def test_the_weaker_the_noise_the_less_it_turns() -> None:
    noise = _noise((0.6, 0.0))
    usual, weak = (np.hypot(*_found(_water() + share * noise)) for share in (1.0, 0.25))
    assert weak < 0.8 * usual


def test_all_of_a_ray_turns_alike() -> None:
    """Weights of a helix scale what is read, whatever noise it has: readout as quanta."""
    window = kernel_window("standard")
    quanta, readout = Rays(1e4), Rays(1e4, electronic=50.0, quantum=0.0)
    sides = [
        _right_over_left(_scan(_water(), (0.8, 0.0)).noise(0, rays, window))
        / _right_over_left(_scan(_water(), STEADY).noise(0, rays, window))
        for rays in (quanta, readout)
    ]
    assert sides[1] < sides[0] * 1.05


def test_behind_a_wall_of_metal_nothing_breaks() -> None:
    plane = _water() + _noise(STEADY)
    plane[120:320, 120:320] = 30_000
    assert np.isfinite(_found(plane)).all()


@pytest.mark.parametrize("plane", [_water(), np.full((SIZE, SIZE), -1000, dtype=np.float32)])
def test_nothing_turns_where_there_is_no_noise_or_no_tissue(plane: np.ndarray) -> None:
    assert _found(plane) == STEADY


def test_low_dose_has_its_noise_where_the_slice_has_it() -> None:
    plane = _water() + _noise((0.6, 0.0))
    settings = {"dose": 0.25, "spacing_mm": PIXEL_MM, "seed": 5, "kernel": "standard"}
    added = simulate_low_dose(plane, photons=1e5, **settings) - plane  # type: ignore[arg-type]
    even = simulate_low_dose(_water(), photons=1e5, **settings) - _water()  # type: ignore[arg-type]
    assert _right_over_left(added) == pytest.approx(_right_over_left(_noise((0.6, 0.0))), rel=0.15)
    assert _right_over_left(added) > 1.2 * _right_over_left(even)


def test_opposite_rays_differ_by_opposite_amounts() -> None:
    angle, offset = torch.tensor([0.3, 1.2]), torch.tensor([50.0, 120.0])
    more, less = (log_variance((0.4, -0.2), angle, sign * offset) for sign in (1, -1))
    torch.testing.assert_close(more, -less)
    assert float(log_variance((0.4, -0.2), torch.tensor(0.0), torch.tensor(100.0))) == (
        pytest.approx(0.4)
    )
