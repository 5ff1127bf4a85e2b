"""Faint discs in training crops: in tissue alone, of the contrast meant, by the seed."""

from __future__ import annotations

import pytest
import torch

from ldct_clipdn.data.inserts import CONTRAST_HU, FaintInsertsd

SIZE = 96


def _slice() -> torch.Tensor:
    image = torch.zeros(2, SIZE, SIZE)
    image[0] = 40
    image[0, :20] = -1000
    image[0, -20:] = 900
    image[1] = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return image


def _inserted(seed: int, probability: float = 1.0) -> torch.Tensor:
    return FaintInsertsd("image", probability).set_random_state(seed)({"image": _slice()})["image"]


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


def test_border_is_as_wide_as_a_kernel_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldct_clipdn.data.inserts.ELONGATION", 1.0)
    monkeypatch.setattr("ldct_clipdn.data.inserts.MOST_INSERTS", 1)
    monkeypatch.setattr("ldct_clipdn.data.inserts.RADIUS_PX", (10.0, 10.0001))
    monkeypatch.setattr("ldct_clipdn.data.inserts.CONTRAST_HU", (50.0, 50.001))
    flat = torch.full((1, SIZE, SIZE), 40.0)
    for seed in range(10):
        insert = FaintInsertsd("image", 1.0).set_random_state(seed)({"image": flat})["image"] - 40
        area = float(insert.abs().sum()) / 50
        assert area <= 3.1416 * 10**2 * 1.1
