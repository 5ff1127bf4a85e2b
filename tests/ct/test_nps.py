"""The noise power spectrum, on noise whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from coloured import B30F, D45F, coloured_noise
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.ct.nps import ROI_PX, SpectrumMeter, cut_rois, find_uniform_rois
from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.ct.tissue import TISSUES, smooth, tissue_mask


def test_white_noise_is_flat_and_integrates_to_its_variance() -> None:
    rois = np.random.default_rng(0).normal(0, 10, (400, 64, 64)) + 37
    meter = SpectrumMeter((0.7, 0.7), 64)
    for part in np.split(rois, 8):
        meter.add(part)
    spectrum = meter.spectrum()
    assert spectrum.rois == 400
    assert spectrum.noise_hu**2 == pytest.approx(rois.var(), rel=0.01)
    # 10^2 HU^2 times 0.7^2 mm^2, at all frequencies; detrending takes from the two lowest rings
    np.testing.assert_allclose(spectrum.power[3:], 49, rtol=0.05)
    nyquist = 1 / 1.4
    assert spectrum.frequency[-1] == pytest.approx(nyquist)
    # nothing is left at 0 / mm, little in the next ring
    assert spectrum.average == pytest.approx(nyquist / 2, rel=0.05)


@pytest.mark.parametrize("power", [B30F, D45F], ids=["B30f", "D45f"])
def test_the_spectrum_of_coloured_noise_comes_back(power: tuple[float, ...]) -> None:
    mm = 0.8
    noise = coloured_noise(power, 512, 25.0, seed=2)
    rois = noise.reshape(16, 32, 16, 32).swapaxes(1, 2).reshape(-1, 32, 32)
    meter = SpectrumMeter((mm, mm), 32)
    meter.add(rois)
    spectrum = meter.spectrum()
    f = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512))
    given_ = np.interp(f, np.arange(1, 17) / 32, power)
    expected = np.array(power) / given_.mean() * 25**2 * mm**2
    np.testing.assert_allclose(spectrum.frequency[1:], np.arange(1, 17) / 32 / mm)
    # neighbouring rings leak into each other where the spectrum is steep
    np.testing.assert_allclose(spectrum.power[3:13], expected[2:12], rtol=0.15)
    weights = np.array(power)
    average = (np.arange(1, 17) / 32 / mm) @ weights / weights.sum()
    assert spectrum.average == pytest.approx(average, rel=0.06)
    assert spectrum.noise_hu == pytest.approx(25, rel=0.03)


def test_the_peak_lies_where_the_power_is() -> None:
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    white = np.random.default_rng(1).standard_normal((256, 256))
    ring = np.fft.ifft2(np.fft.fft2(white) * (np.abs(f - 0.25) < 0.03)).real
    meter = SpectrumMeter((0.5, 0.5), 32)
    meter.add(ring.reshape(8, 32, 8, 32).swapaxes(1, 2).reshape(-1, 32, 32))
    assert meter.spectrum().peak == pytest.approx(0.25 / 0.5, abs=1 / 16)


def test_unequal_spacing_ends_at_the_coarser_nyquist() -> None:
    meter = SpectrumMeter((0.5, 1.0), 16)
    meter.add(np.random.default_rng(3).normal(0, 8, (300, 16, 16)))
    spectrum = meter.spectrum()
    assert spectrum.frequency[-1] == pytest.approx(0.5)
    np.testing.assert_allclose(spectrum.power[3:], 64 * 0.5, rtol=0.1)


def test_no_noise_has_no_frequency() -> None:
    meter = SpectrumMeter((1.0, 1.0))
    meter.add(np.zeros((3, ROI_PX, ROI_PX)))
    spectrum = meter.spectrum()
    assert (spectrum.average, spectrum.peak, spectrum.noise_hu) == (0, 0, 0)


@pytest.mark.parametrize("power", [B30F, D45F], ids=["B30f", "D45f"])
def test_regions_found_in_a_phantom_hold_noise_only(power: tuple[float, ...]) -> None:
    meter, truth = SpectrumMeter((0.8, 0.8)), SpectrumMeter((0.8, 0.8))
    for seed in range(4):
        noise = coloured_noise(power, 384, 25.0, seed)
        hu = abdomen_phantom(1, 384, seed)[0] + noise
        smoothed = smooth(hu)
        corners = find_uniform_rois(hu, smoothed, tissue_mask(smoothed, TISSUES["soft"]))
        meter.add(cut_rois(hu, corners))
        truth.add(noise.reshape(24, 16, 24, 16).swapaxes(1, 2).reshape(-1, 16, 16))
    found, known = meter.spectrum(), truth.spectrum()
    assert found.rois >= 8
    assert found.noise_hu == pytest.approx(known.noise_hu, rel=0.12)
    assert found.average == pytest.approx(known.average, rel=0.08)


@given(seed=st.integers(0, 10_000), share=st.floats(0.3, 1.0))
@settings(max_examples=20, deadline=None)
def test_regions_lie_in_the_mask_and_do_not_overlap(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 20, (120, 100)).astype(np.float32)
    mask = np.zeros(hu.shape, dtype=bool)
    mask[: int(120 * share), 5:] = True
    corners = find_uniform_rois(hu, smooth(hu), mask)
    assert corners
    covered = np.zeros(hu.shape, dtype=int)
    for row, column in corners:
        assert mask[row : row + ROI_PX, column : column + ROI_PX].sum() == ROI_PX**2
        covered[row : row + ROI_PX, column : column + ROI_PX] += 1
    assert covered.max() == 1
    assert cut_rois(hu, corners).shape == (len(corners), ROI_PX, ROI_PX)


def test_regions_avoid_an_edge() -> None:
    hu = np.random.default_rng(5).normal(40, 15, (64, 128)).astype(np.float32)
    hu[:, 64:] += 60
    corners = find_uniform_rois(hu, smooth(hu), np.ones(hu.shape, dtype=bool))
    assert corners
    assert not any(column < 63 < column + ROI_PX - 1 for _, column in corners)


def test_no_region_where_all_is_anatomy() -> None:
    stripes = 40.0 * (np.arange(96) // 10 % 2)
    hu = (np.random.default_rng(6).normal(0, 10, (96, 96)) + stripes).astype(np.float32)
    everywhere = np.ones(hu.shape, dtype=bool)
    assert find_uniform_rois(hu, smooth(hu), everywhere) == []
    assert find_uniform_rois(hu - stripes, smooth(hu - stripes), everywhere)


def test_no_region_where_nothing_fits() -> None:
    hu = np.zeros((40, 40), dtype=np.float32)
    assert find_uniform_rois(hu, hu, np.zeros(hu.shape, dtype=bool)) == []
    assert cut_rois(hu, []).shape == (0, ROI_PX, ROI_PX)
