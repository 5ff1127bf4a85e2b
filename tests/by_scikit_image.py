"""Scores of a slice by scikit-image and NumPy alone, to hold ours against."""

from __future__ import annotations

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

FULL_HU = 4096


def slice_scores(clean: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Score a slice in HU over the published range, by the names of our columns."""
    return {
        "psnr": peak_signal_noise_ratio(clean, image, data_range=FULL_HU),
        "ssim": structural_similarity(
            clean,
            image,
            data_range=FULL_HU,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        ),
        "rmse_hu": float(np.sqrt(np.mean((clean - image) ** 2))),
    }
