"""Sharpness of the skin's edge, on edges whose blur is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, special

from ldct_clipdn.ct.edge import EdgeMeter, SkinEdge, find_skin_edge
from ldct_clipdn.ct.tissue import body_mask, smooth

MM = 0.7


def disc(blur: float, radius: float = 90, size: int = 256, centre: float = 127.3) -> np.ndarray:
    """A disc of 0 HU in air whose edge is blurred by a Gaussian of SD `blur` pixels."""
    y, x = np.mgrid[:size, :size] - centre
    return (-1000 + 1000 * special.ndtr((radius - np.hypot(x, y)) / blur)).astype(np.float32)


def f50(image: np.ndarray, by: np.ndarray | None = None) -> float | None:
    """Measure `image` along the skin found in `by`."""
    by = image if by is None else by
    smoothed = smooth(by)
    meter = EdgeMeter()
    meter.add(image, find_skin_edge(by, smoothed, body_mask(smoothed)))
    return meter.f50(MM)


def theory(blur: float) -> float:
    return float(np.sqrt(2 * np.log(2)) / (2 * np.pi * blur * MM))


@pytest.mark.parametrize("noise", [0.0, 30.0])
@pytest.mark.parametrize("blur", [0.9, 1.2, 2.0])
def test_f50_of_a_known_blur(blur: float, noise: float) -> None:
    image = disc(blur) + np.random.default_rng(1).normal(0, noise, (256, 256)).astype(np.float32)
    assert f50(image) == pytest.approx(theory(blur), rel=0.03)


@pytest.mark.parametrize("more", [0.5, 0.8, 1.5])
def test_ratio_of_a_known_filter(more: float) -> None:
    rng = np.random.default_rng(2)
    before = disc(1.0) + rng.normal(0, 25, (256, 256)).astype(np.float32)
    after = ndimage.gaussian_filter(before, more)
    ratio = f50(after, before) / f50(before)
    # a Gaussian that is sampled at whole pixels is a little wider than its name says
    assert ratio == pytest.approx(1 / np.hypot(1, more), rel=0.04)


def test_skin_beside_a_table_is_left_out() -> None:
    image = disc(1.0)
    smoothed = smooth(image)
    alone = find_skin_edge(image, smoothed, body_mask(smoothed))
    image[225:232, 60:200] = -300
    smoothed = smooth(image)
    edge = find_skin_edge(image, smoothed, body_mask(smoothed))
    assert 0.5 * alone.where.sum() < edge.where.sum() < 0.9 * alone.where.sum()
    assert not edge.where[212:].any()


def test_skin_cut_off_by_the_image_is_left_out() -> None:
    image = disc(1.0, centre=80)
    smoothed = smooth(image)
    edge = find_skin_edge(image, smoothed, body_mask(smoothed))
    assert edge.where.any()
    # the outline leaves the image at columns 39 and 121 of the first row
    for column in (39, 121):
        assert not edge.where[:10, column - 10 : column + 10].any()
    assert edge.where[150:].any()


@pytest.mark.parametrize("hu", [-1000.0, 40.0])
def test_no_skin_no_figure(hu: float) -> None:
    assert f50(np.full((128, 128), hu, dtype=np.float32)) is None


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_no_edge(seed: int) -> None:
    assert f50(np.random.default_rng(seed).normal(0, 30, (256, 256)), disc(1.0)) is None


@pytest.mark.parametrize(("blur", "is_edge"), [(0.25, True), (0.15, False)])
def test_nothing_is_sharper_than_the_sampling(blur: float, is_edge: bool) -> None:
    distance = np.random.default_rng(0).uniform(-12, 12, 40_000)
    meter = EdgeMeter()
    step = (-1000 * special.ndtr(distance / blur)).astype(np.float32)
    meter.add(step.reshape(200, 200), SkinEdge(np.ones((200, 200), dtype=bool), distance))
    assert (meter.f50(MM) is not None) == is_edge


def test_too_little_skin_gives_no_figure() -> None:
    assert f50(disc(1.0, radius=24, size=128, centre=63)) is None
    assert f50(disc(1.0, radius=34, size=128, centre=63)) is not None
