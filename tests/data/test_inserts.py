"""Ellipses in training crops: in tissue alone, of the contrast meant, by the seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ldct_clipdn.data.inserts import CONTRAST_HU, EllipseInsertsd

SIZE = 96


def _slice() -> torch.Tensor:
    image = torch.zeros(2, SIZE, SIZE)
    image[0] = 40
    image[0, :20] = -1000
    image[0, -20:] = 900
    image[1] = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return image


def _inserted(seed: int, probability: float = 1.0) -> torch.Tensor:
    insert = EllipseInsertsd("image", probability).set_random_state(seed)
    return insert({"image": _slice()})["image"]


def test_only_tissue_changes_and_by_no_more_than_meant() -> None:
    before = _slice()
    changes = torch.stack([(_inserted(seed) - before) for seed in range(40)])
    assert torch.equal(changes[:, 1], torch.zeros_like(changes[:, 1]))  # the noise field
    assert not changes[:, 0, :20].any()
    assert not changes[:, 0, -20:].any()
    largest = changes[:, 0].abs().amax((1, 2))
    assert float(largest.max()) <= 4 * CONTRAST_HU[1]  # four may lie on each other
    assert float(largest.median()) > CONTRAST_HU[0]
    assert (changes > 1).any()
    assert (changes < -1).any()


def test_share_of_crops() -> None:
    before = _slice()
    assert all(torch.equal(_inserted(seed, 0.0), before) for seed in range(5))
    changed = sum(not torch.equal(_inserted(seed, 0.4), before) for seed in range(200))
    assert 0.25 * 200 < changed < 0.5 * 200  # some lie outside of tissue


def test_the_seed_decides() -> None:
    torch.testing.assert_close(_inserted(3), _inserted(3), rtol=0, atol=0)
    assert not torch.equal(_inserted(3), _inserted(4))


def test_many_are_faint_and_some_are_strong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldct_clipdn.data.inserts.MOST_INSERTS", 1)
    monkeypatch.setattr("ldct_clipdn.data.inserts.RADIUS_PX", (15.0, 16.0))
    inserts = (EllipseInsertsd("image", 1.0).set_random_state(seed) for seed in range(400))
    flat = torch.zeros(1, SIZE, SIZE)
    contrasts = torch.stack([one({"image": flat})["image"].abs().max() for one in inserts])
    assert float(contrasts.median()) == pytest.approx(69, rel=0.2)
    assert float((contrasts < 35).float().mean()) == pytest.approx(0.38, abs=0.06)
    assert 900 < float(contrasts.max()) <= CONTRAST_HU[1]


@pytest.mark.parametrize(("end", "width_px"), [(0, 0.44), (1, 1.65)])
def test_border_is_as_wide_as_a_kernel_makes_it(
    end: int, width_px: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disc in the middle: its profile crosses the half at the radius, as steeply as meant."""
    radius, contrast = 10.0, 50.0
    for name, value in (
        ("ELONGATION", 1.0),
        ("MOST_INSERTS", 1),
        ("RADIUS_PX", (radius, radius)),
        ("CONTRAST_HU", (contrast, contrast)),
    ):
        monkeypatch.setattr(f"ldct_clipdn.data.inserts.{name}", value)
    put = EllipseInsertsd("image", 1.0)
    monkeypatch.setattr(put, "R", AtTheEnd(end))
    flat = torch.full((1, SIZE, SIZE), 40.0)
    share = (put({"image": flat})["image"][0] - 40).abs() / contrast

    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    order = np.argsort(np.hypot(y, x), axis=None)
    distance, profile = np.hypot(y, x).ravel()[order], share.numpy().ravel()[order]
    inner, middle, outer = (np.interp(-level, -profile, distance) for level in (0.9, 0.5, 0.1))
    assert middle == pytest.approx(radius, abs=0.1)
    assert outer - inner == pytest.approx(width_px, abs=0.15)  # 10 to 90 %
    assert float(share.sum()) == pytest.approx(np.pi * radius**2, rel=0.02)


class AtTheEnd:
    """Draws the lowest or the highest of a range, but the middle of the image for the place."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.rng = np.random.RandomState(0)

    def uniform(self, low: float, high: float) -> float:
        return high / 2 if (low, high) == (0, SIZE) else (low, high)[self.end]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rng, name)
