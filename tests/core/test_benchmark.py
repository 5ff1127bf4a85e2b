"""Measuring a denoiser: known scores, equal sizes together, results limited and rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from natural_images import made_up
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ldct_clipdn.core.benchmark import Picture, denoise_pictures, measure
from ldct_clipdn.core.noise import Noise, add_published_noise
from ldct_clipdn.errors import DataError

CPU = torch.device("cpu")


def picture(seed: int, height: int = 24, width: int = 32, *, pair: bool = False) -> Picture:
    clean, other = (
        torch.from_numpy(np.round(made_up(k, height, width) * 255).astype(np.uint8)).permute(
            2, 0, 1
        )
        for k in (seed, seed + 1)
    )
    return Picture(f"p{seed}", clean, other if pair else None)


def test_identity_scores_the_clamped_noisy_picture():
    one = picture(0)
    clean = (one.clean.permute(1, 2, 0).numpy() / 255).astype(np.float32)
    noisy = add_published_noise(clean, "gaussian", 50).clip(0, 1)
    (score,) = measure(lambda x: x, [one], Noise("gaussian", 50), device=CPU)
    a, b = noisy.astype(float), clean.astype(float)
    assert score.psnr == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1))
    assert score.ssim == pytest.approx(
        structural_similarity(
            b, a, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        ), abs=1e-9,
    )  # fmt: skip


def test_equal_sizes_go_together_and_scores_do_not_depend_on_it():
    pictures = [picture(0), picture(1, 32, 24), picture(2), picture(3), picture(4)]
    sizes: list[torch.Size] = []

    def watch(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.shape)
        return x * 0.9

    noise = Noise("poisson", 3)
    many = {one.name: one for one in measure(watch, pictures, noise, device=CPU, batch_size=3)}
    assert [size[0] for size in sizes] == [3, 1, 1]
    single = {one.name: one for one in measure(watch, pictures, noise, device=CPU, batch_size=1)}
    assert list(single) == ["p0", "p2", "p3", "p4", "p1"]
    for name, score in many.items():
        assert score[:3] == pytest.approx(single[name][:3])


def test_results_on_photographs_are_rounded_and_limited():
    pairs = [picture(0, pair=True)]
    (result,) = denoise_pictures(lambda x: x * 1.503, pairs, None, device=CPU)
    assert float(result.denoised.max()) <= 1
    steps = result.denoised * 255
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert torch.equal((result.noisy * 255).round().byte()[0], pairs[0].noisy)
    (added,) = denoise_pictures(lambda x: x * 0.503, pairs, Noise("gaussian", 15), device=CPU)
    assert float((added.denoised * 255 - (added.denoised * 255).round()).abs().max()) > 0.01


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="no noise to remove"):
        list(measure(lambda x: x, [picture(0)], None, device=CPU))
    with pytest.raises(DataError, match="denoiser made"):
        list(measure(lambda x: x[..., 1:], [picture(0)], Noise("gaussian", 15), device=CPU))
    with pytest.raises(DataError, match="equal size"):
        Picture("a", torch.zeros(3, 4, 4), torch.zeros(3, 4, 5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_scores_as_the_cpu_does():
    pictures = [picture(k) for k in range(3)]
    for kind, level in (("gaussian", 50), ("poisson", 3), ("speckle", 0.04)):
        scores = [
            list(measure(lambda x: x * 0.9, pictures, Noise(kind, level), device=device))
            for device in (CPU, torch.device("cuda"))
        ]
        for cpu, gpu in zip(*scores, strict=True):
            assert cpu[:3] == pytest.approx(gpu[:3], abs=1e-5)
