"""Model observers and edges, against what theory says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from ldct_clipdn.bench.discs import contrast_of, disc, disc_transfer
from ldct_clipdn.bench.observer import channels, hotelling_aucs, npw_detectability

SIZE = 40
PIXEL_MM = 0.75


def blob(height: float, sigma: float) -> np.ndarray:
    axis = np.arange(SIZE) - SIZE // 2
    return height * np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("height", [3.0, 6.0])
def test_hotelling_observer_of_a_gaussian_in_white_noise_is_as_theory_says(height):
    rng = np.random.default_rng(5)
    signal, sigma, count = blob(height, 2.5), 10.0, 1500
    present = signal + rng.normal(0, sigma, (count, SIZE, SIZE))
    absent = rng.normal(0, sigma, (count, SIZE, SIZE))
    seen = channels(SIZE)
    answer = signal.ravel() @ seen
    detectability = np.sqrt(answer @ np.linalg.solve(seen.T @ seen * sigma**2, answer))
    expected = stats.norm.cdf(detectability / np.sqrt(2))
    assert 0.6 < expected < 0.97
    assert hotelling_aucs(present, absent).mean() == pytest.approx(expected, abs=0.02)


def test_channels_hold_a_smooth_blob_and_no_constant():
    seen = channels(SIZE)
    assert np.abs(seen.sum(axis=0)).max() < 1e-12
    signal = (blob(1, 2.5) - blob(1, 2.5).mean()).ravel()
    kept = seen @ np.linalg.lstsq(seen, signal)[0]
    assert (kept @ kept) / (signal @ signal) > 0.9


def test_no_signal_is_not_seen():
    noise = np.random.default_rng(6).normal(size=(600, SIZE, SIZE))
    assert hotelling_aucs(noise[:300], noise[300:]).mean() == pytest.approx(0.5, abs=0.06)


def test_npw_is_the_formula_over_spectra():
    """d'^2 = (sum |W|^2)^2 / sum |W|^2 NPS, noise made to have a known NPS."""
    rng = np.random.default_rng(7)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    shape = frequency * np.exp(-((frequency / 0.3) ** 2))
    white = rng.normal(size=(4000, SIZE, SIZE))
    noise = 30 * np.fft.ifft2(np.fft.fft2(white) * shape).real
    signal = 20 * disc(SIZE, 5, PIXEL_MM)
    task = np.abs(np.fft.fft2(signal - signal.mean())) ** 2 / SIZE**2
    expected = np.sqrt(task.sum() ** 2 / (task * (30 * shape) ** 2).sum())
    assert npw_detectability(signal, noise) == pytest.approx(expected, rel=0.05)


def test_npw_in_white_noise_is_signal_energy_over_sigma():
    noise = np.random.default_rng(8).normal(0, 12, (3000, SIZE, SIZE))
    signal = blob(10, 2)
    energy = np.linalg.norm(signal - signal.mean())
    assert npw_detectability(signal, noise) == pytest.approx(energy / 12, rel=0.05)
    assert npw_detectability(0 * signal, 0 * noise) == 0


@pytest.mark.parametrize("sigma_px", [1.0, 2.0])
def test_f50_of_a_gaussian_blur_is_known(sigma_px):
    size, diameter = 64, 20.0
    fine = 8
    axis = (np.arange(size * fine) - size // 2 * fine - (fine - 1) / 2) / fine * PIXEL_MM
    sharp = (np.hypot(axis[:, None], axis[None, :]) < diameter / 2).astype(float)
    blurred = ndimage.gaussian_filter(sharp, sigma_px * fine)
    image = 40 + 300 * blurred.reshape(size, fine, size, fine).mean(axis=(1, 3))
    # a pixel averages too: the squares of their widths add
    width = np.sqrt(sigma_px**2 + 1 / 12) * PIXEL_MM
    expected = np.sqrt(2 * np.log(2)) / (2 * np.pi * width)
    assert disc_transfer(image, diameter, PIXEL_MM).f50 == pytest.approx(expected, rel=0.06)


def test_f50_of_noise_that_does_not_fall_is_not_a_number():
    curve = disc_transfer(disc(64, 20, 2.0), 20, 2.0)
    assert np.isnan(curve.falls_to(0.0))


@pytest.mark.parametrize("diameter", [3.0, 5.0, 10.0])
def test_disc_has_its_size_and_contrast(diameter):
    image = disc(64, diameter, PIXEL_MM)
    area = image.sum() * PIXEL_MM**2
    assert area == pytest.approx(np.pi * diameter**2 / 4, rel=0.06)
    assert contrast_of(100 + 20 * image, diameter, PIXEL_MM) == pytest.approx(20, rel=1e-5)


def test_a_loud_signal_is_always_seen():
    noise = np.random.default_rng(9).normal(size=(60, SIZE, SIZE))
    assert (hotelling_aucs(noise[:30] + blob(200, 2.5), noise[30:]) == 1).all()
