"""The figures of quality, computed a second way: SciPy and NumPy alone, straight from
docs/quality.md, on whole images where ours works slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
from coloured import B30F, D45F, coloured_noise
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from ldct_clipdn.ct.noise_meter import measure_noise
from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.ct.quality import assess_quality

SIZE, MM = 256, (1.0, 1.0)
HU = {"lung": (-950, -650, 3), "fat": (-140, -60, 3), "soft": (-20, 150, 3), "bone": (250, 3000, 5)}


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return abdomen_phantom(4, SIZE, 3)


@pytest.fixture(scope="module", params=[B30F, D45F], ids=["B30f", "D45f"])
def noise(request: pytest.FixtureRequest) -> np.ndarray:
    return np.stack([coloured_noise(request.param, SIZE, 20.0, seed) for seed in range(4)])


def mode_of_local_sd(hu: np.ndarray) -> float:
    """By the letter: 11 x 11 windows, smoothed value in [-20, 150], eroded 6 pixels."""
    values = []
    for one in hu:
        smooth = ndimage.gaussian_filter(one, 2.0, mode="nearest")
        inside = ndimage.binary_erosion((smooth >= -20) & (smooth <= 150), np.ones((13, 13)))
        sd = sliding_window_view(one.astype(np.float64), (11, 11)).std(axis=(-1, -2), ddof=1)
        values.append(sd[inside[5:-5, 5:-5]])
    counts, edges = np.histogram(np.concatenate(values), np.arange(0, 200, 0.2))
    return float(edges[np.argmax(ndimage.gaussian_filter1d(counts.astype(float), 6))] + 0.1)


def test_noise(clean: np.ndarray, noise: np.ndarray) -> None:
    assert measure_noise(clean + noise) == pytest.approx(mode_of_local_sd(clean + noise), rel=0.05)


@pytest.mark.data
def test_noise_of_a_patient(l192: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for full, quarter in l192.values():
        for series in (full[:1], quarter[:1]):
            assert measure_noise(series) == pytest.approx(mode_of_local_sd(series), rel=0.06)


def test_spectrum(noise: np.ndarray) -> None:
    """Ours takes the eight most even regions of a slice, and so reads up to 7 % finer than all."""
    tiles = noise.reshape(4, SIZE // 16, 16, SIZE // 16, 16).swapaxes(2, 3).reshape(-1, 16, 16)
    y, x = np.mgrid[:16, :16].reshape(2, -1)
    surface = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1).astype(float)
    flat = tiles.reshape(len(tiles), -1).T.astype(float)
    rest = flat - surface @ np.linalg.lstsq(surface, flat, rcond=None)[0]
    power = (np.abs(np.fft.fft2(rest.T.reshape(-1, 16, 16))) ** 2).mean(axis=0) / 16**2
    frequency = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.fftfreq(16))
    ring = np.rint(frequency * 16).astype(int)
    profile = ndimage.mean(power, ring, np.arange(9))
    average = (profile * np.arange(9) / 16).sum() / profile.sum()
    record = assess_quality(50 + noise, 50 + noise / 2, MM)
    assert record.nps_before.average == pytest.approx(average, rel=0.09)
    assert record.nps_after.average == pytest.approx(average, rel=0.09)
    assert record.nps_before.noise_hu == pytest.approx(rest.std(), rel=0.06)
    assert record.nps_change.noise_hu == pytest.approx(record.nps_before.noise_hu / 2, rel=0.05)


def test_bias(clean: np.ndarray, noise: np.ndarray) -> None:
    before = (clean + noise).astype(np.float32)
    after = (before * np.float32(0.98) + 1).astype(np.float32)
    record = assess_quality(before, after, MM)
    smooth = np.stack([ndimage.gaussian_filter(one, 3.0, mode="nearest") for one in before])
    judged = 0
    for name, (low, high, margin) in HU.items():
        cross = np.ones((1, 2 * margin + 1, 2 * margin + 1))
        mask = ndimage.binary_erosion((smooth >= low) & (smooth <= high), cross, border_value=1)
        bias = record.bias[name]
        if mask.sum() < 500:
            assert bias is None or not bias.is_judged
            continue
        judged += 1
        assert bias.pixels == pytest.approx(mask.sum(), rel=0.03)
        assert bias.hu == pytest.approx(float((after - before)[mask].mean()), abs=0.1)
    assert judged >= 3


def test_flicker(clean: np.ndarray, noise: np.ndarray) -> None:
    before = clean + noise
    after = before + np.array([0, 3, -3, 1], dtype=np.float32)[:, None, None]
    after += np.random.default_rng(1).normal(0, 5, before.shape).astype(np.float32)
    blocks = (4, SIZE // 16, 16, SIZE // 16, 16)
    means = (after - before).reshape(blocks).mean(axis=(2, 4))
    inside = (before.reshape(blocks).mean(axis=(2, 4)) > -500).all(axis=0)
    expected = np.sqrt(means.var(axis=0, ddof=1)[inside].mean())
    assert assess_quality(before, after, MM).flicker_hu == pytest.approx(expected, rel=0.03)


def test_large_changes(clean: np.ndarray, noise: np.ndarray) -> None:
    """Of Gaussian noise that is taken away whole, 0.27 % lies beyond three standard deviations."""
    flat = np.full_like(clean, 50)
    record = assess_quality(flat + noise, flat, MM)
    assert record.large_changes == pytest.approx(0.0027, abs=0.0012)
