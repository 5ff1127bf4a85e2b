"""Noise with a spectrum given in advance, made by NumPy's FFT, nothing of ours."""

from __future__ import annotations

import numpy as np

B30F = (1.9, 2.6, 3.4, 3.3, 3.6, 3.1, 2.9, 2.4, 1.8, 1.3, 0.9, 0.6, 0.3, 0.2, 0.1, 0.07)
D45F = (0.2, 0.3, 0.5, 0.6, 0.8, 0.8, 1.0, 1.1, 1.1, 1.2, 1.2, 1.3, 1.3, 1.2, 1.2, 1.1)
"""Power at 1/32 .. 16/32 cycles per pixel, measured on real noise of val/mayo_L192."""


def coloured_noise(power: tuple[float, ...], size: int, sd: float, seed: int) -> np.ndarray:
    """[size, size] float32 of standard deviation `sd` with a radial power spectrum."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    gain = np.sqrt(np.interp(f, np.arange(1, 17) / 32, power))
    white = np.random.default_rng(seed).standard_normal((size, size))
    noise = np.fft.ifft2(np.fft.fft2(white) * gain).real
    return (noise * (sd / noise.std())).astype(np.float32)
