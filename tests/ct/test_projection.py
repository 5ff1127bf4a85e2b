"""Projection and back-projection, against scikit-image and a disc whose integrals are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ldct_clipdn.ct.projection import Beam, back_project, line_integrals
from ldct_clipdn.errors import ConfigError

SIZE = 128


def _ellipse(value: float = 0.02) -> torch.Tensor:
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    inside = ((axis[None, :] - 12) / 30) ** 2 + ((axis[:, None] + 6) / 18) ** 2 < 1
    return inside.float() * value


def test_longest_chord_is_known() -> None:
    beam = Beam(SIZE, 0.8, views=4)
    integrals = line_integrals(_ellipse(), beam)
    # view 0 looks down the columns: the chord is the short axis; view 2 along the rows
    assert float(integrals[0].max()) == pytest.approx(0.02 * 36 * 0.8, rel=0.03)
    assert float(integrals[2].max()) == pytest.approx(0.02 * 60 * 0.8, rel=0.03)


def test_agrees_with_scikit_image() -> None:
    from skimage.transform import radon

    image = _ellipse()
    beam = Beam(SIZE, 1.0, views=30, rays_per_pixel=1)
    expected = radon(image.numpy(), theta=np.rad2deg(beam.angles), circle=False)
    got = line_integrals(image, beam).numpy().T
    assert got.max() == pytest.approx(expected.max(), rel=0.02)
    np.testing.assert_allclose(got.sum(0), expected.sum(0), rtol=5e-3)
    # scikit-image's views turn the other way round its own centre: centres of mass move alike
    for one in (0, 15):
        spread = [np.average((np.arange(len(p)) - np.average(np.arange(len(p)), weights=p)) ** 2,
                             weights=p) for p in (got[:, one], expected[:, one])]  # fmt: skip
        assert spread[0] == pytest.approx(spread[1], rel=0.02)


def test_back_projection_undoes_projection() -> None:
    image = _ellipse()
    beam = Beam(SIZE, 0.8, views=180)
    again = back_project(line_integrals(image, beam), beam, beam.frequencies())
    inside = image > 0
    assert float(again[inside].mean()) == pytest.approx(0.02, rel=0.02)
    assert float(again[~inside].abs().mean()) < 0.0005
    # in place, not mirrored
    assert float((again * image).sum() / (image * image).sum()) == pytest.approx(1, abs=0.03)


def test_noise_of_the_ramp_grows_with_frequency() -> None:
    beam = Beam(SIZE, 1.0, views=180)
    white = torch.randn(180, beam.rays, generator=torch.Generator().manual_seed(0))
    frequency = beam.frequencies()
    noise = back_project(white, beam, frequency * (frequency < 0.5)).numpy()[32:96, 32:96]
    power = np.abs(np.fft.fft2(noise)) ** 2
    ring = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64)] * 2))
    mean = [power[(ring > f - 0.05) & (ring < f + 0.05)].mean() for f in (0.1, 0.2, 0.4)]
    assert mean[1] / mean[0] == pytest.approx(2, rel=0.25)
    assert mean[2] / mean[0] == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"pixel_mm": 0.0}, {"views": 0}])
def test_refuses_impossible_beams(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="beam"):
        Beam(**{"size": 8, "pixel_mm": 1.0, **wrong})  # type: ignore[arg-type]
