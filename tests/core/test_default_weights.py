"""The weights that come with the package: are they what they say, and do they help?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from coloured import B30F, D45F, coloured_noise

from ldct_clipdn import denoise_hu, load_denoiser
from ldct_clipdn.core.weight_files import file_sha256, known_weights
from ldct_clipdn.core.weight_store import DEFAULT, SHIPPED, find_weights
from ldct_clipdn.core.weights import open_denoiser
from ldct_clipdn.ct.phantom import abdomen_phantom

SIZE = 320


def test_file_is_the_one_in_the_table() -> None:
    path = find_weights("default")
    assert path == find_weights(DEFAULT) == SHIPPED / f"{DEFAULT}.safetensors"
    assert file_sha256(path) == known_weights()[path.name]["sha256"]
    assert path.stat().st_size < 45e6


def test_says_what_it_is_and_never_clip() -> None:
    model, info = open_denoiser()
    assert model.config.width == 32
    assert model.config.encoder_training == "scratch"
    assert model.config.encoder_source == "trained from scratch, no CLIP"
    assert "CLIP" not in info.name.upper()
    assert info.target_noise_hu == 12
    assert info.trained_noise_hu == (2.5, 110)
    assert model.config.hu_range == (-1024, 3072)
    assert all(one.dtype == torch.float32 for one in load_denoiser().parameters())


@pytest.mark.parametrize(("power", "sd"), [(B30F, 30.0), (D45F, 60.0)], ids=["B30f", "D45f"])
def test_beats_total_variation_on_a_phantom_it_never_saw(
    power: tuple[float, ...], sd: float
) -> None:
    from skimage.restoration import denoise_tv_chambolle

    truth = abdomen_phantom(1, SIZE, seed=99)[0]
    noisy = truth + coloured_noise(power, SIZE, sd, seed=1)
    body = truth > -200

    def error(image: np.ndarray) -> float:
        return float(np.mean((image - truth)[body] ** 2) ** 0.5)

    result = denoise_hu(noisy, strength=1.0)
    best = min(error(denoise_tv_chambolle(noisy, weight=w * sd)) for w in (0.3, 0.5, 0.8, 1.2, 2))
    assert error(result) < 0.95 * best < error(noisy)
    soft = (truth > 0) & (truth < 150)
    assert abs(float((result - truth)[soft].mean())) < 3


def test_leaves_a_clean_image_nearly_alone() -> None:
    truth = abdomen_phantom(1, SIZE, seed=98)[0]
    change = (denoise_hu(truth) - truth)[truth > -200]
    assert float(np.sqrt(np.mean(change**2))) < 12


def test_they_say_that_they_are_no_clip() -> None:
    assert "trained from scratch, no CLIP" in open_denoiser()[1].encoder
