"""Masks of tissues and of the body."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from coloured import B30F, coloured_noise

from ldct_clipdn.ct import noise_meter
from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.ct.tissue import TISSUES, Tissue, body_mask, shrink, smooth, tissue_mask, window_sd


def test_noisy_masks_lie_and_smoothed_masks_do_not() -> None:
    """A perfect result seems biased where the mask was drawn on noise."""
    clean = abdomen_phantom(1, 384, 2)[0]
    noise = coloured_noise(B30F, 384, 40.0, 5)
    hu = clean + noise
    low, high, _ = TISSUES["soft"]
    plain = (hu > low) & (hu < high)
    mask = tissue_mask(smooth(hu), TISSUES["soft"])
    assert abs(noise[plain].mean()) > 2
    assert mask.sum() > 2000
    assert abs(noise[mask].mean()) < 1


def test_a_tissue_keeps_away_from_its_border() -> None:
    hu = np.full((60, 60), -1000, dtype=np.float32)
    hu[:, 30:] = 50
    mask = tissue_mask(hu, Tissue(0, 100, margin_px=3))
    np.testing.assert_array_equal(np.flatnonzero(mask[30]), np.arange(33, 60))


def test_shrink_counts_pixels() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[4:15, 4:15] = True
    assert shrink(mask, 2).sum() == 49
    assert shrink(np.ones((5, 5), bool), 2).all()


def test_body_holds_its_gas_and_not_the_table() -> None:
    y, x = np.mgrid[:200, :200] - 100
    hu = np.full((200, 200), -1000, dtype=np.float32)
    hu[np.hypot(x, y) < 60] = 40
    hu[np.hypot(x - 10, y) < 15] = -1000
    hu[175:182] = -100
    body = body_mask(smooth(hu))
    assert body[100, 110]
    assert not body[178, 100]
    assert body.sum() == pytest.approx(np.pi * 60**2, rel=0.02)


def test_air_has_no_body() -> None:
    assert not body_mask(np.full((30, 30), -1000, np.float32)).any()
    assert body_mask(np.full((30, 30), 40, np.float32)).all()


def test_local_sd_is_exact_far_from_zero() -> None:
    rng = np.random.default_rng(1)
    hu = (rng.normal(0, 0.5, (50, 50)) - 1024).astype(np.float32)
    expected = hu[20:31, 20:31].astype(np.float64).std()
    assert window_sd(hu, 11)[25, 25] == pytest.approx(expected, rel=1e-6)


def test_how_these_definitions_relate_to_the_noise_meters() -> None:
    """Two of each on purpose: what they give in the middle of a noisy slice, side by side."""
    hu = (abdomen_phantom(1, 384, 2)[0] + coloured_noise(B30F, 384, 25.0, 5)).astype(np.float32)
    image, inside = torch.from_numpy(hu), (slice(20, -20),) * 2
    # the same Gaussian, cut off at three and at four standard deviations
    assert np.abs(smooth(hu) - noise_meter.gaussian_blur(image, 3.0).numpy())[inside].max() < 5
    # population and sample deviation of 11 x 11
    ratio = noise_meter.local_sd(image).numpy()[inside] / window_sd(hu, noise_meter.WINDOW)[inside]
    np.testing.assert_allclose(ratio, np.sqrt(121 / 120), rtol=1e-4)
    # the meter keeps six pixels away from other tissue, the masks three
    meters = noise_meter.soft_tissue(image).numpy()
    ours = tissue_mask(smooth(hu), TISSUES["soft"])
    assert TISSUES["soft"][:2] == noise_meter.TISSUE_HU
    assert 2000 < meters.sum() < ours.sum()
    assert ours[meters].mean() > 0.98
