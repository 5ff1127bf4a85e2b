"""The noises against figures of the published draws, SciPy, and what each kind is by definition."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from natural_images import folder, made_up, read_rgb
from scipy import ndimage

import ldct_clipdn
from ldct_clipdn.core.metrics import psnr, ssim
from ldct_clipdn.core.noise import KINDS, PAPER_NOISES, Noise, add_noise, add_published_noise
from ldct_clipdn.errors import ConfigError, DataError

# mean PSNR and SSIM of the published draws on whole images, clamped, CBSD68 and Kodak24
SETS = {
    "gaussian:15": (24.8453, 0.57320, 24.7612, 0.50799),
    "gaussian:25": (20.5434, 0.39492, 20.4419, 0.32894),
    "gaussian:50": (15.0035, 0.19960, 14.8691, 0.15496),
    "spatial_gaussian:40": (25.8505, 0.65979, 25.7583, 0.60292),
    "spatial_gaussian:45": (24.8472, 0.61919, 24.7505, 0.55854),
    "spatial_gaussian:50": (23.9524, 0.58203, 23.8520, 0.51869),
    "spatial_gaussian:55": (23.1457, 0.54806, 23.0420, 0.48291),
    "poisson:2": (22.3030, 0.50217, 22.1827, 0.42879),
    "poisson:2.5": (20.4184, 0.42532, 20.2846, 0.35345),
    "poisson:3": (18.8966, 0.36517, 18.7492, 0.29685),
    "poisson:3.5": (17.6304, 0.31740, 17.4710, 0.25344),
    "speckle:0.02": (24.0693, 0.62503, 24.1055, 0.55877),
    "speckle:0.03": (22.3560, 0.56262, 22.3811, 0.49371),
    "speckle:0.04": (21.1470, 0.51695, 21.1619, 0.44744),
    "salt_pepper:0.012": (24.2094, 0.77997, 24.4105, 0.75495),
    "salt_pepper:0.016": (22.9570, 0.72418, 23.1260, 0.69114),
    "salt_pepper:0.02": (22.0018, 0.67538, 22.1151, 0.63372),
}

# by the published draws: y[0, 0] and y[100, 200] before clamping, PSNR, SSIM of single images
CBSD_101085 = {
    "gaussian:15": ("0.89200312 0.80785239 0.82620031", "0.27081987 0.32701623 0.47379068",
                    24.8246, 0.72702),
    "gaussian:50": ("1.13412797 0.86277592 0.96053690", "0.16155638 0.26652464 0.80152446",
                    15.1027, 0.27938),
    "spatial_gaussian:55": ("1.10481966 0.92601484 0.82856947",
                            "0.36630064 0.40130681 0.48164460", 23.1259, 0.69705),
    "poisson:3.5": ("0.81847423 0.84195006 0.73077512", "0.24494483 0.32077205 0.27408850",
                    18.1985, 0.46703),
    "speckle:0.04": ("0.81489265 0.90124518 0.82335109", "0.26989520 0.25559166 0.34091076",
                     21.9695, 0.71926),
    "salt_pepper:0.02": ("0.78823529 0.78431373 0.76862745", "0.31764706 0.35294118 0.33333333",
                         21.9104, 0.76370),
}  # fmt: skip
KODIM01 = {
    "gaussian:50": ("0.73412794 0.46669748 0.58014470", "0.03202059 0.00861937 -0.06022212",
                    14.5976, 0.24393),
    "spatial_gaussian:45": ("0.63331234 0.52464384 0.39461449",
                            "0.37943569 0.25162092 0.17774792", 24.6298, 0.71465),
    "poisson:2.5": ("0.40397519 0.41374081 0.36491269", "0.53223807 0.25029868 0.07874541",
                    19.9718, 0.48407),
    "speckle:0.02": ("0.39751941 0.42916340 0.40778044", "0.45172253 0.22817494 0.21528858",
                     24.0275, 0.69118),
    "salt_pepper:0.012": ("0.38823529 0.38823529 0.38823529", "0.49803922 0.28235294 0.22745098",
                          24.7286, 0.82258),
}  # fmt: skip


def scores(noisy: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    a, b = (torch.from_numpy(one).permute(2, 0, 1) for one in (noisy.clip(0, 1), clean))
    return psnr(a, b, 1), ssim(a, b, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "label", "expected"),
    [("natural/CBSD68/101085.png", label, one) for label, one in CBSD_101085.items()]
    + [("natural/Kodak24/kodim01.png", label, one) for label, one in KODIM01.items()],
)
def test_single_images_to_their_printed_digits(path, label, expected):
    first, inside, expected_psnr, expected_ssim = expected
    clean = read_rgb(folder("natural") / path.removeprefix("natural/"))
    noisy = add_published_noise(clean, Noise.parse(label))
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(noisy[0, 0], np.fromstring(first, sep=" "), atol=1e-7)
    np.testing.assert_allclose(noisy[100, 200], np.fromstring(inside, sep=" "), atol=1e-7)
    measured_psnr, measured_ssim = scores(noisy, clean)
    assert measured_psnr == pytest.approx(expected_psnr, abs=6e-5)
    assert measured_ssim == pytest.approx(expected_ssim, abs=6e-6)


# the strongest levels, and SSIM for some, keep this quick; `benchmark synthetic --method noisy` on
# the two sets prints the whole table
WITH_SSIM = {("CBSD68", "gaussian:50")}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("noise", PAPER_NOISES[2::3], ids=lambda noise: noise.label)
@pytest.mark.parametrize(("name", "columns"), [("CBSD68", slice(0, 2)), ("Kodak24", slice(2, 4))])
def test_set_means(name, columns, noise):
    expected_psnr, expected_ssim = SETS[noise.label][columns]
    clean = [read_rgb(path) for path in sorted(folder(f"natural/{name}").glob("*.png"))]
    noisy = [add_published_noise(one, noise).clip(0, 1) for one in clean]
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(noisy, clean, strict=True)]
    assert np.mean(-10 * np.log10(errors)) == pytest.approx(expected_psnr, abs=5e-4)
    if (name, noise.label) in WITH_SSIM:
        measured = [scores(a, b)[1] for a, b in zip(noisy, clean, strict=True)]
        assert np.mean(measured) == pytest.approx(expected_ssim, abs=5e-5)


def test_the_legacy_stream_is_the_published_one():
    # the first draws after np.random.seed(0)
    clean = np.full((1, 2, 3), 0.5, np.float32)
    drawn = (add_published_noise(clean, "gaussian", 51) - 0.5) / 0.2
    expected = [1.76405235, 0.40015721, 0.97873798, 2.2408932, 1.86755799, -0.97727788]
    np.testing.assert_allclose(drawn.ravel(), expected, atol=1e-6)


def test_large_draws_have_their_known_hash():
    field = np.random.RandomState(0).normal(0, 50 / 255, (481, 321, 3))
    assert hashlib.sha256(field.tobytes()).hexdigest().startswith("7083c6b49158293d")
    noisy = add_published_noise(np.zeros((481, 321, 3)), "gaussian", 50)
    np.testing.assert_allclose(noisy, field, atol=1e-6)


def test_counts_of_salt_and_pepper():
    clean = np.full((481, 321, 3), 0.5, np.float32)
    for density, black, white in ((0.012, 2820, 2758), (0.016, 3752, 3672), (0.02, 4704, 4567)):
        noisy = add_published_noise(clean, "salt_pepper", density)
        assert ((noisy == 0).sum(), (noisy == 1).sum()) == (black, white)
    hits = np.argwhere(add_published_noise(clean, "salt_pepper", 0.012) != 0.5)[:3]
    assert hits.tolist() == [[0, 33, 0], [0, 55, 1], [0, 103, 0]]


def test_spatial_field_is_scipys_mean_of_three_by_three():
    clean = made_up(0, 30, 41)
    field = np.random.RandomState(0).normal(0, 55 / 255, clean.shape)
    for channel in range(3):
        field[..., channel] = ndimage.convolve(field[..., channel], np.full((3, 3), 1 / 9))
    np.testing.assert_allclose(
        add_published_noise(clean, "spatial_gaussian", 55), clean + field, atol=1e-6
    )


def published_poisson(clean: np.ndarray, alpha: float) -> np.ndarray:
    """State the published definition once more, in NumPy."""
    stored = np.clip((clean * 255.0).round(), 0, 255) / np.float32(255)
    photons = 2 ** np.ceil(np.log2(len(np.unique(stored))))
    counted = np.random.RandomState(0).poisson(stored * photons) / float(photons)
    residual = counted.astype(np.float32) - stored
    return np.clip(clean + np.float32(alpha) * residual, 0, 1)


def test_poisson_counts_the_distinct_values():
    few = np.round(made_up(0, 40, 50) * 20) / np.float32(20)
    every = np.arange(256 * 3, dtype=np.float32).reshape(16, 16, 3) % 256 / 255  # a power of two
    for clean in (made_up(0, 40, 50), few, every):
        noisy = add_published_noise(clean, "poisson", 3.5)
        np.testing.assert_allclose(noisy, published_poisson(clean, 3.5), atol=1e-6)


def test_every_image_of_a_batch_has_its_own_photon_scale():
    few = np.round(made_up(0, 40, 50) * 20) / np.float32(20)
    pair = torch.from_numpy(np.stack([few, made_up(0, 40, 50)])).permute(0, 3, 1, 2)
    noisy = add_noise(pair, Noise("poisson", 1, clip=False), generator())
    scales = [2 ** np.ceil(np.log2(len(np.unique(one)))) for one in pair.numpy()]
    assert scales[0] < scales[1]
    expected = [(one.mean() / scale) ** 0.5 for one, scale in zip(pair, scales, strict=True)]
    measured = (noisy - pair).pow(2).mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(measured, torch.stack(expected), rtol=0.03, atol=0)


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (Noise("gaussian", 51), 0.2),
        (Noise("speckle", 0.04, clip=False), 0.1),
        (Noise("speckle", 0.04, "gaussian", clip=False), 0.1),
        (Noise("spatial_gaussian", 51), 0.2 / 3),
    ],
)
def test_standard_deviation_of_fresh_noise(noise, expected):
    clean = torch.full((2, 3, 200, 200), 0.5)
    residual = add_noise(clean, noise, generator()) - clean
    assert float(residual.std()) == pytest.approx(expected, rel=0.02)
    assert float(residual.mean()) == pytest.approx(0, abs=0.002)


def test_speckle_is_uniform_unless_asked():
    clean = torch.full((1, 3, 200, 200), 0.5)
    uniform = add_noise(clean, Noise("speckle", 0.04), generator()) - clean
    normal = add_noise(clean, Noise("speckle", 0.04, "gaussian"), generator()) - clean
    bound = 0.5 * (12 * 0.04) ** 0.5 / 2
    assert float(uniform.abs().max()) <= bound + 1e-6
    assert float(normal.abs().max()) > 2 * bound


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_noise_follows_its_generator(kind):
    noise = next(one for one in PAPER_NOISES if one.kind == kind)
    clean = torch.from_numpy(made_up(1, 24, 36)).permute(2, 0, 1).expand(2, 3, 24, 36)
    one, same, other = (add_noise(clean, noise, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])  # each image of a batch has its own draw
    assert one.shape == clean.shape
    assert one.dtype == torch.float32


@given(st.sampled_from(PAPER_NOISES), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_limits_hold_where_asked(noise, height, width, seed):
    clean = torch.rand(1, 3, height, width, generator=generator(seed))
    eight = Noise(noise.kind, noise.level, eight_bit=True)
    noisy = add_noise(clean, eight, generator(seed))
    assert 0 <= float(noisy.min()) <= float(noisy.max()) <= 1
    torch.testing.assert_close(noisy * 255, (noisy * 255).round(), atol=1e-4, rtol=0)
    loose = add_noise(clean, Noise(noise.kind, noise.level, clip=True), generator(seed))
    assert float((loose - noisy).abs().max()) <= 0.5 / 255 + 1e-6


def test_gaussian_is_not_clipped_as_published():
    noisy = add_published_noise(np.ones((8, 8, 3)), "gaussian", 50)
    assert noisy.max() > 1
    assert add_published_noise(np.ones((8, 8, 3)), Noise("gaussian", 50, clip=True)).max() == 1


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        ("blur", 1, "no noise named 'blur'.*gaussian"),
        ("gaussian", 0, "cannot have level 0"),
        ("gaussian", None, "cannot have level nan"),
        ("salt_pepper", 1.5, "up to 1"),
    ],
)
def test_impossible_noise_is_refused(kind, level, message):
    with pytest.raises(ConfigError, match=message):
        add_published_noise(np.zeros((4, 4, 3)), kind, level)


def test_labels_come_back():
    assert [Noise.parse(one.label) for one in PAPER_NOISES] == list(PAPER_NOISES)
    assert len({one.label for one in PAPER_NOISES}) == 15
    with pytest.raises(ConfigError, match="names no noise"):
        Noise.parse("gaussian")
    with pytest.raises(ConfigError, match="law 'cauchy'"):
        Noise("speckle", 0.1, "cauchy")


def test_labels_are_equal_where_the_draws_are():
    image = np.full((16, 16, 3), 0.97) - np.linspace(0, 0.9, 16)[:, None, None]
    noises = [
        Noise(kind, level, law, clip, eight_bit)
        for kind, level in (("speckle", 0.04), ("speckle", 0.0400000001), ("gaussian", 50))
        for law in (("uniform", "gaussian") if kind == "speckle" else ("uniform",))
        for clip in (None, True, False)
        for eight_bit in (False, True)
    ]
    by_label: dict[str, set[bytes]] = {}
    for noise in noises:
        assert Noise.parse(noise.label).label == noise.label
        drawn = add_published_noise(image, noise)
        assert np.array_equal(drawn, add_published_noise(image, Noise.parse(noise.label)))
        by_label.setdefault(noise.label, set()).add(drawn.tobytes())
    assert all(len(draws) == 1 for draws in by_label.values())
    assert {"speckle:0.04,gaussian,8bit", "speckle:0.04,unclipped", "gaussian:50,clip"} <= {
        *by_label
    }
    assert len(by_label) == 2 * 6 + 3


@pytest.mark.parametrize("text", ["gaussian:50,9bit", "gaussian:50,", "speckle,gaussian:0.04"])
def test_words_that_change_nothing_are_no_noise(text):
    with pytest.raises(ConfigError, match="names no noise"):
        Noise.parse(text)
    with pytest.raises(ConfigError, match="no law to choose"):
        Noise.parse("gaussian:50,gaussian")


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match="no RGB image"):
        add_published_noise(np.zeros((4, 4)), "gaussian", 15)
    with pytest.raises(DataError, match="no batch"):
        add_noise(torch.zeros(3, 4, 4), Noise("gaussian", 15), generator())


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-0.2, 1), (0, 1.2), (0, np.nan), (0, np.inf)])
def test_images_that_are_not_about_0_to_1_are_refused(low, high):
    image = np.zeros((4, 4, 3))
    image[0, 0, 0], image[1, 1, 1] = low, high
    with pytest.raises(DataError, match="not those of images in 0 to 1.*255"):
        add_published_noise(image, "gaussian", 15)


def test_images_may_lie_a_little_outside_0_to_1():
    image = np.full((4, 4, 3), 1.05)
    image[0] = -0.05
    assert add_published_noise(image, "gaussian", 0.001).min() < -0.04


def test_public_name_is_this_one():
    assert ldct_clipdn.add_published_noise is add_published_noise
