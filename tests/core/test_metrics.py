"""PSNR, SSIM and RMSE against printed figures, scikit-image and MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ldct_clipdn.core.metrics import (
    AS_PUBLISHED,
    RULERS,
    Ruler,
    Scores,
    mean_scores,
    psnr,
    rmse,
    ssim,
)
from ldct_clipdn.errors import ConfigError, DataError

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
BY_NAME = {ruler.name: ruler for ruler in (*RULERS, AS_PUBLISHED)}


def published_fixture() -> tuple[np.ndarray, np.ndarray]:
    """Noisy and clean slice, in [0, 1]."""
    i, j = np.mgrid[:512, :512].astype(float)
    r = np.hypot(i - 255.5, j - 255.5)
    hu = np.where(r >= 200, -1000.0, np.where(r < 60, 60.0, -90 + 0.5 * (i - 255.5)))
    hu[(np.abs(i - 256) < 8) & (np.abs(j - 380) < 8)] = 1200
    clean = (hu + 1024) / 4096
    noisy = clean + np.random.RandomState(0).normal(0, 5 / 255, clean.shape)
    return noisy.astype(np.float32), clean.astype(np.float32)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Noisy and clean slice in HU, small, with structure."""
    y, x = np.mgrid[:72, :57]
    clean = 200 * np.sin(x / 5) * np.cos(y / 9) + 100
    return clean + np.random.default_rng(1).normal(0, 60, clean.shape), clean


@pytest.mark.parametrize(
    ("ruler", "expected_psnr", "expected_ssim"),
    [("paper", 35.36439, 0.782244), ("3096", 35.31364, 0.779562)],
)
def test_published_fixture_to_its_printed_digits(
    ruler: str, expected_psnr: float, expected_ssim: float
) -> None:
    noisy, clean = published_fixture()
    assert noisy[0, :3] == pytest.approx([0.0404, 0.0137, 0.0251], abs=1e-4)
    scores = BY_NAME[ruler].score(noisy * 4096 - 1024, clean * 4096 - 1024)
    assert scores.psnr == pytest.approx(expected_psnr, abs=5e-6)
    assert scores.ssim == pytest.approx(expected_ssim, abs=5e-7)


def test_psnr_and_rmse_by_hand() -> None:
    a, b = np.zeros((2, 2)), np.array([[3.0, 0.0], [0.0, 4.0]])
    assert rmse(a, b) == 2.5
    assert psnr(a, b, 2500.0) == pytest.approx(60.0)


def test_equal_images_are_perfect(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image = pair[1]
    assert psnr(image, image, 400) == math.inf
    assert rmse(image, image) == 0
    for convention in ("gaussian", "uniform7", "published_ct"):
        assert ssim(image, image, 400, convention=convention) == pytest.approx(1, abs=1e-6)


def test_agrees_with_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    noisy, clean = pair
    assert psnr(noisy, clean, 400) == pytest.approx(
        peak_signal_noise_ratio(clean, noisy, data_range=400), abs=1e-9
    )
    assert ssim(noisy, clean, 400) == pytest.approx(
        structural_similarity(clean, noisy, data_range=400, **GAUSSIAN), abs=1e-9
    )
    assert ssim(noisy, clean, 400, convention="uniform7") == pytest.approx(
        structural_similarity(clean, noisy, data_range=400), abs=1e-9
    )


def test_agrees_with_monai(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from monai.metrics import PSNRMetric, SSIMMetric

    noisy, clean = (torch.from_numpy(one)[None, None] for one in pair)
    monai_ssim = SSIMMetric(spatial_dims=2, data_range=400.0)(noisy, clean)
    assert ssim(*pair, 400) == pytest.approx(float(monai_ssim), abs=1e-4)
    assert psnr(*pair, 400) == pytest.approx(float(PSNRMetric(400.0)(noisy, clean)), abs=1e-4)


def test_zero_padding_is_what_sets_the_published_kind_apart(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    padded = [np.pad(one, 5) for one in pair]
    assert ssim(*pair, 400, convention="published_ct") == pytest.approx(
        ssim(*padded, 400), abs=1e-5
    )
    assert ssim(*pair, 400) != pytest.approx(ssim(*padded, 400), abs=1e-3)


def test_colour_pools_error_and_averages_similarity() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 20, 24))
    assert psnr(a, b, 1) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1))
    expected = structural_similarity(a, b, data_range=1, channel_axis=0, **GAUSSIAN)
    assert ssim(a, b, 1) == pytest.approx(expected, abs=1e-9)


def test_tensors_that_train_and_integers_are_taken() -> None:
    a = torch.zeros(11, 11, requires_grad=True)
    b = torch.ones(11, 11)
    assert rmse(a, b) == 1
    assert ssim(a, b, 1) < 0.1
    assert rmse(np.zeros((2, 2), np.int16), np.full((2, 2), -2, np.int16)) == 2


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.float64, (2, 12, 13), elements=st.floats(-1500, 4000, width=32)),
    st.sampled_from(RULERS),
)
def test_rulers_are_symmetric_and_bounded(images: np.ndarray, ruler: Ruler) -> None:
    scores = ruler.score(images[0], images[1])
    assert ruler.score(images[1], images[0]) == pytest.approx(scores, rel=1e-6)
    assert 0 <= scores.rmse <= ruler.data_range
    assert scores.psnr >= 0
    # float32, as published, leaves rounding noise in the variances
    assert scores.ssim <= 1 + 1e-3


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-1e3, 1e3, width=32),
    arrays.arrays(np.float64, (2, 11, 11), elements=st.floats(-160, 240, width=32)),
)
def test_psnr_and_rmse_ignore_a_common_offset(offset: float, images: np.ndarray) -> None:
    assert rmse(*(images + offset)) == pytest.approx(rmse(*images), abs=1e-6)


@pytest.mark.parametrize("ruler", RULERS, ids=lambda ruler: ruler.name)
def test_what_lies_outside_the_range_does_not_count(ruler: Ruler) -> None:
    reference = np.full((16, 16), ruler.high)
    image = reference + 500
    assert ruler.score(image, reference).psnr == math.inf
    assert ruler.data_range == ruler.high - ruler.low


def test_rulers_against_scikit_image_on_clipped_values(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    noisy, clean = pair
    for name, low, high, kind in (
        ("full", -1024, 3072, GAUSSIAN),
        ("2000 HU", -1000, 1000, GAUSSIAN),
        ("abdomen", -160, 240, GAUSSIAN),
        ("benchmark", -1024, 1900, {}),
    ):
        a, b = (one.clip(low, high) - low for one in (noisy, clean))
        scores = BY_NAME[name].score(noisy, clean)
        expected = structural_similarity(b, a, data_range=high - low, **kind)
        assert scores.ssim == pytest.approx(expected, abs=1e-9)
        assert scores.rmse == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
        assert scores.psnr == pytest.approx(20 * np.log10((high - low) / scores.rmse))


def test_mean_leaves_perfect_slices_out_of_psnr_and_says_so() -> None:
    mean = mean_scores([Scores(40, 0.5, 10), Scores(math.inf, 1, 0), Scores(50, 0.6, 8)])
    assert mean == (45, pytest.approx(0.7), 6, 3, 1)
    assert mean_scores([Scores(math.inf, 1, 0)]).psnr == math.inf
    with pytest.raises(DataError, match="no slices"):
        mean_scores([])


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (np.zeros((16, 16)), np.zeros((16, 15)), "different shape"),
        (np.zeros((8, 16, 16)), np.zeros((8, 16, 16)), "no single image"),
        (np.zeros(16), np.zeros(16), "no single image"),
        (np.zeros((10, 16)), np.zeros((10, 16)), "10 x 16 pixels is smaller than the 11 x 11"),
    ],
)
def test_bad_images_are_named(a: np.ndarray, b: np.ndarray, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        ssim(a, b, 400)


def test_bad_settings_are_named() -> None:
    image = np.zeros((16, 16))
    with pytest.raises(ConfigError, match="data range"):
        psnr(image, image, 0)
    with pytest.raises(ConfigError, match="no SSIM convention 'mean'"):
        ssim(image, image, 1, convention="mean")  # type: ignore[arg-type]
