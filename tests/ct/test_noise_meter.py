"""The noise meter, on noise whose standard deviation is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from coloured import B30F, D45F, coloured_noise
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.ct.noise_meter import (
    NoiseMeter,
    gaussian_blur,
    local_sd,
    measure_noise,
    soft_tissue,
)
from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.errors import DataError

WHITE = (1.0,) * 16


@pytest.mark.parametrize("power", [WHITE, B30F, D45F], ids=["white", "B30f", "D45f"])
@pytest.mark.parametrize("sd", [4.0, 28.0, 60.0])
def test_reads_known_noise(power: tuple[float, ...], sd: float) -> None:
    image = 50 + coloured_noise(power, 256, sd, seed=3)
    assert measure_noise(image) == pytest.approx(sd, rel=0.09)


@pytest.mark.parametrize("power", [WHITE, B30F, D45F], ids=["white", "B30f", "D45f"])
def test_anatomy_does_not_add_noise(power: tuple[float, ...]) -> None:
    image = abdomen_phantom(1, 384, seed=5)[0] + coloured_noise(power, 384, 25.0, seed=4)
    assert measure_noise(image) == pytest.approx(25, rel=0.12)


@given(scale=st.floats(0.2, 3.0))
@settings(max_examples=10, deadline=None)
def test_reading_scales_with_the_noise(scale: float) -> None:
    noise = coloured_noise(B30F, 128, 20.0, seed=6)
    assert measure_noise(50 + scale * noise) == pytest.approx(
        scale * measure_noise(50 + noise), rel=0.06
    )


@pytest.mark.parametrize("hu", [-1000.0, 700.0])
def test_no_reading_without_soft_tissue(hu: float) -> None:
    image = np.full((128, 128), hu, dtype=np.float32) + coloured_noise(WHITE, 128, 10.0, seed=1)
    assert np.isnan(measure_noise(image))
    assert all(np.isnan(NoiseMeter().spread))


def test_no_reading_of_a_flat_image() -> None:
    assert np.isnan(measure_noise(np.full((64, 64), 40.0)))


UNREAD = {
    "water, 300 HU": ((0.0, 300.0), "too noisy"),
    "lung, 300 HU": ((-850.0, 300.0), "too noisy"),
    "lung": ((-850.0, 30.0), "no tissue"),
    "air": ((-1024.0, 0.0), "no tissue"),
    "water without noise": ((0.0, 0.0), "no noise"),
}


@pytest.mark.parametrize(("image", "why"), UNREAD.values(), ids=UNREAD)
def test_tells_why_there_is_no_reading(image: tuple[float, float], why: str) -> None:
    hu, sd = image
    meter = NoiseMeter()
    level = meter.add((hu + coloured_noise(B30F, 128, 1.0, seed=0) * sd).clip(-1024, 3071))
    assert (np.isnan(level), meter.unread) == (True, why)


def test_tells_nothing_where_the_series_has_a_reading() -> None:
    """Of slices that have too few windows each: the series has a level, and no spread."""
    piece = 50 + coloured_noise(B30F, 32, 20.0, seed=0)  # 20 x 20 windows
    meter = NoiseMeter()
    assert np.isnan([meter.add(piece), meter.level]).all()
    assert meter.unread == "no tissue"
    assert np.isnan(meter.add(piece))
    assert meter.level == pytest.approx(20, rel=0.2)
    assert meter.unread is None
    assert np.isnan(meter.spread).all()


def test_the_edge_of_a_small_thing_is_no_noise() -> None:
    rod = np.full((128, 128), -1000, dtype=np.float32)
    rod[50:66, 50:66] = 50
    meter = NoiseMeter()
    meter.add(rod + coloured_noise(B30F, 128, 20.0, seed=0))
    assert meter.unread == "no tissue"


def test_series_equals_its_slices_added_one_by_one() -> None:
    volume = np.stack([50 + coloured_noise(B30F, 128, sd, seed=int(sd)) for sd in (10, 10, 30)])
    meter = NoiseMeter()
    levels = [meter.add(one) for one in volume]
    assert meter.level == measure_noise(volume)
    assert meter.level == pytest.approx(10, rel=0.1)
    assert meter.spread == pytest.approx(tuple(np.percentile(levels, (5, 95))))


def test_refuses_what_is_no_slice() -> None:
    with pytest.raises(DataError, match="shape"):
        NoiseMeter().add(np.zeros(10))


def test_local_sd_and_smoothing_agree_with_scipy() -> None:
    from scipy import ndimage

    image = np.random.default_rng(0).normal(20, 30, (60, 50)).astype(np.float32)
    expected = ndimage.generic_filter(image.astype(np.float64), lambda v: np.std(v, ddof=1), 11)
    got = local_sd(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(got[5:-5, 5:-5], expected[5:-5, 5:-5], rtol=1e-4)
    np.testing.assert_allclose(
        gaussian_blur(torch.from_numpy(image), 2.0).numpy(),
        ndimage.gaussian_filter(image, 2.0, mode="nearest"),
        atol=1e-3,
    )


def test_soft_tissue_is_eroded_and_stays_off_the_border() -> None:
    image = np.full((100, 100), -100.0, dtype=np.float32)
    image[:, 40:] = 60
    mask = soft_tissue(torch.from_numpy(image)).numpy()
    assert not mask[:, :46].any()
    assert mask[50, 55]
    assert not mask[:6].any()
    assert not mask[:, -6:].any()


@pytest.mark.data
def test_reads_the_real_quarter_dose(l192: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for full, quarter in l192.values():
        # three of four parts of the quarter dose's variance were added
        expected = [
            (q - f)[soft_tissue(torch.from_numpy(f)).numpy()].std() * (4 / 3) ** 0.5
            for f, q in zip(full, quarter, strict=True)
        ]
        readings = [measure_noise(one) for one in quarter]
        assert np.median(readings) == pytest.approx(np.median(expected), rel=0.09)
        assert measure_noise(quarter) == pytest.approx(np.median(expected), rel=0.09)
