"""The published camera chain stage by stage, against scikit-image and colour-demosaicing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from natural_images import folder, made_up
from scipy.io import savemat
from skimage.color import rgb2xyz, xyz2rgb

from ldct_clipdn.core.camera import (
    PATTERNS,
    Camera,
    ResponseCurves,
    add_camera_noise,
    demosaic,
    draw_camera,
    read_curves,
    run_chain,
)
from ldct_clipdn.errors import DataError

FIXTURE_CAMERA = Camera(10, (1, 0, 0, 0), "RGGB", 0.8, 0.9)

# one mosaic and what colour-demosaicing 0.2.7 makes of it (demosaicing_CFA_Bayer_Malvar2004)
MOSAIC = [
    [0.55, 0.71, 0.29, 0.51, 0.89, 0.9, 0.13, 0.21],
    [0.05, 0.44, 0.03, 0.46, 0.65, 0.28, 0.68, 0.59],
    [0.02, 0.56, 0.26, 0.42, 0.28, 0.69, 0.44, 0.16],
    [0.54, 0.78, 0.31, 0.22, 0.39, 0.94, 0.98, 0.67],
    [0.9, 0.85, 0.38, 0.09, 0.65, 0.56, 0.36, 0.23],
    [0.41, 0.47, 0.27, 0.29, 0.46, 0.86, 0.59, 0.28],
    [0.28, 0.45, 0.21, 0.2, 0.51, 0.09, 0.48, 0.36],
]
DEMOSAICED = {  # RGB at (3, 4), (2, 3), (3, 3), (2, 4)
    "GRBG": ([0.2825, 0.4175, 0.39], [0.42, 0.28375, 0.313125], [0.21, 0.22, 0.123125],
             [0.50125, 0.28, 0.30875]),
    "RGGB": ([0.430625, 0.39, 0.511875], [0.24125, 0.42, 0.433125], [0.094375, 0.10375, 0.22],
             [0.28, 0.3975, 0.265]),
    "GBRG": ([0.39, 0.4175, 0.2825], [0.313125, 0.28375, 0.42], [0.123125, 0.22, 0.21],
             [0.30875, 0.28, 0.50125]),
    "BGGR": ([0.511875, 0.39, 0.430625], [0.433125, 0.42, 0.24125], [0.22, 0.10375, 0.094375],
             [0.265, 0.3975, 0.28]),
}  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.from_numpy(made_up(2, height, width)).permute(2, 0, 1).double()


def legacy_draws(height: int, width: int) -> torch.Tensor:
    state = np.random.RandomState(0)
    return torch.from_numpy(np.stack([state.normal(size=(height, width)) for _ in range(2)]))


def gamma_curves() -> ResponseCurves:
    grid = torch.linspace(0, 1, 1024, dtype=torch.float64)
    powers = torch.tensor([[1.0], [0.6], [0.45]], dtype=torch.float64)
    return ResponseCurves(grid**powers, grid ** (1 / powers))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_demosaicing_equals_colour_demosaicing(pattern):
    colours = demosaic(torch.tensor(MOSAIC, dtype=torch.float64), pattern)
    for place, expected in zip(((3, 4), (2, 3), (3, 3), (2, 4)), DEMOSAICED[pattern], strict=True):
        np.testing.assert_allclose(colours[:, *place], expected, atol=5e-7)


def test_printed_pixel_goes_through_every_stage_up_to_the_mosaic():
    # the fixture's pixel behind its response curve, which is not at hand: the rest is checked
    irradiance = torch.tensor([0.5454545, 0.53958941, 0.51612902], dtype=torch.float64)
    image = irradiance[:, None, None].expand(3, 64, 64)
    stages = run_chain(image, FIXTURE_CAMERA, legacy_draws(64, 64), None)
    expected = {
        "xyz": [0.23830677, 0.25213316, 0.25296186],
        "camera": [0.22345199, 0.25969471, 0.25403768],
    }
    for name, pixel in expected.items():
        np.testing.assert_allclose(getattr(stages, name)[:, 0, 0], pixel, atol=3e-8)
    assert float(stages.mosaic[0, 0]) == pytest.approx(0.17876159, abs=3e-8)
    assert float(stages.noisy_mosaic[0, 0]) == pytest.approx(0.24025964, abs=3e-8)


@pytest.mark.data
def test_published_fixture_stage_by_stage():
    place = os.environ.get("LDCT_CLIPDN_CAMERA_CURVES")
    if place is None:
        pytest.skip("LDCT_CLIPDN_CAMERA_CURVES names no folder with CBDNet's response curves")
    from PIL import Image

    with Image.open(folder("natural") / "CBSD68/101085.png") as file:
        crop = np.asarray(file, dtype=float)[:64, :64] / 255
    image = torch.from_numpy(crop).permute(2, 0, 1)
    stages = run_chain(image, FIXTURE_CAMERA, legacy_draws(64, 64), read_curves(Path(place)))
    first = {
        "irradiance": [0.5454545, 0.53958941, 0.51612902],
        "xyz": [0.23830677, 0.25213316, 0.25296186],
        "camera": [0.22345199, 0.25969471, 0.25403768],
        "clean": [0.79147393, 0.77996057, 0.78575158],
        "noisy": [0.84025151, 0.82072002, 0.82130849],
    }
    for name, pixel in first.items():
        np.testing.assert_allclose(getattr(stages, name)[:, 0, 0], pixel, atol=1e-7)
    means = {
        "irradiance": 0.65891980,
        "xyz": 0.58232640,
        "camera": 0.56489308,
        "mosaic": 0.53598207,
        "noisy_mosaic": 0.53275929,
        "clean": 0.74743293,
        "noisy": 0.75215391,
    }
    for name, mean in means.items():
        assert float(getattr(stages, name).mean()) == pytest.approx(mean, abs=1e-7)
    eight_bit = (stages.noisy * 255).round().int()
    assert eight_bit[:, 0, 0].tolist() == [214, 209, 209]
    assert eight_bit[:, 8, 8].tolist() == [183, 218, 153]


def test_colour_spaces_are_scikit_images():
    image = picture()
    stages = run_chain(image, FIXTURE_CAMERA, legacy_draws(32, 48), None)
    pixels = image.permute(1, 2, 0).numpy()
    np.testing.assert_allclose(stages.xyz.permute(1, 2, 0), rgb2xyz(pixels), atol=1e-12)
    back = np.linalg.inv(FIXTURE_CAMERA.matrix.numpy())
    colours = demosaic((stages.mosaic * balance(32, 48)).clamp(0, 1), "RGGB").clamp(0, 1)
    xyz = (colours.permute(1, 2, 0).numpy() @ back.T).clip(0, 1)
    np.testing.assert_allclose(stages.clean.permute(1, 2, 0), xyz2rgb(xyz), atol=1e-6)


def balance(height: int, width: int) -> torch.Tensor:
    gains = torch.ones(height, width, dtype=torch.float64)
    gains[::2, ::2], gains[1::2, 1::2] = 1 / 0.8, 1 / 0.9
    return gains


@pytest.mark.parametrize("grey", [0.1, 0.5, 0.9])
def test_flat_grey_comes_back(grey):
    image = torch.full((3, 24, 24), grey, dtype=torch.float64)
    camera = Camera(0, (0.3, 0.1, 0.4, 0.2), "GBRG", 0.8, 0.9)
    stages = run_chain(image, camera, torch.zeros(2, 24, 24), gamma_curves())
    inside = (slice(None), slice(2, -2), slice(2, -2))  # the border breaks the Bayer pattern
    torch.testing.assert_close(stages.clean[inside], image[inside], atol=0.002, rtol=0)
    assert torch.equal(stages.clean, stages.noisy)


@pytest.mark.parametrize("grey", [0.35, 0.95])
def test_noise_of_the_raw_signal_is_the_published_variant(grey):
    # the published variant: neither sqrt(s m + c) nor sqrt(s m + c^2)
    image = torch.full((3, 200, 200), grey, dtype=torch.float64)
    camera = Camera(0, (1, 0, 0, 0), "RGGB", 1.0, 1.0)
    draws = torch.randn(2, 200, 200, generator=generator(), dtype=torch.float64)
    stages = run_chain(image, camera, draws, None)
    green = float(stages.mosaic[0, 1])
    residual = (stages.noisy_mosaic - stages.mosaic)[::2, 1::2]
    assert float(residual.std()) == pytest.approx(np.hypot(0.04 * green, 0.03), rel=0.03)


def test_look_up_takes_the_nearest_entry_and_never_the_first():
    ramp = torch.arange(1024, dtype=torch.float64)[None]
    curves = ResponseCurves(ramp, ramp)
    values = torch.tensor([0.0, 0.4 / 1023, 1.5 / 1023, 2.49 / 1023, 1.0], dtype=torch.float64)
    image = values.expand(3, 2, 5).contiguous()
    stages = run_chain(image, Camera(0, (1, 0, 0, 0), "RGGB", 1, 1),
                       torch.zeros(2, 2, 5), curves)  # fmt: skip
    assert stages.irradiance[0, 0].tolist() == [1, 1, 2, 2, 1023]


def test_matrix_rows_sum_to_one_and_mix():
    camera = draw_camera(generator(3), 201)
    torch.testing.assert_close(camera.matrix.sum(1), torch.ones(3, dtype=torch.float64))
    pure = Camera(0, (0, 2, 0, 0), "RGGB", 1, 1).matrix
    expected = torch.tensor([0.4913, -0.0541, -0.0202], dtype=torch.float64)
    torch.testing.assert_close(pure[0], expected / expected.sum())


def test_cameras_are_drawn_within_their_limits():
    source = generator()
    drawn = [draw_camera(source, 201) for _ in range(400)]
    assert {one.pattern for one in drawn} == set(PATTERNS)
    assert min(one.curve for one in drawn) < 20
    assert 180 < max(one.curve for one in drawn) <= 200
    gains = [gain for one in drawn for gain in (one.red_gain, one.blue_gain)]
    assert min(gains) >= 0.75
    assert max(gains) <= 1
    assert np.mean(gains) == pytest.approx(0.875, abs=0.01)
    assert draw_camera(source, 0).curve == 0


def test_a_batch_follows_its_seed_and_is_eight_bit():
    batch = picture().float()[None].expand(2, -1, -1, -1)
    one, same, other = (add_camera_noise(batch, generator(k), gamma_curves()) for k in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])
    assert one.dtype == torch.float32
    torch.testing.assert_close(one * 255, (one * 255).round(), atol=1e-4, rtol=0)
    error = (one - batch).pow(2).mean().sqrt()
    assert 0.03 < float(error) < 0.3


def test_curves_are_read_from_the_two_files(tmp_path):
    curves = gamma_curves()
    savemat(tmp_path / "201_CRF_data.mat", {"B": curves.forward.numpy()})
    with pytest.raises(DataError, match=r"dorfCurvesInv\.mat.*cannot be read"):
        read_curves(tmp_path)
    savemat(tmp_path / "dorfCurvesInv.mat", {"invI": curves.inverse.numpy()})
    read = read_curves(tmp_path)
    torch.testing.assert_close(read.forward, curves.forward)
    torch.testing.assert_close(read.inverse, curves.inverse)
    savemat(tmp_path / "dorfCurvesInv.mat", {"other": curves.inverse.numpy()})
    with pytest.raises(DataError, match="no variable invI"):
        read_curves(tmp_path)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="do not belong together"):
        ResponseCurves(torch.zeros(2, 8), torch.zeros(3, 8))
    with pytest.raises(DataError, match="no batch of RGB"):
        add_camera_noise(torch.zeros(1, 1, 8, 8), generator(), None)
