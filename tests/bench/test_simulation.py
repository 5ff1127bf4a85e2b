"""How simulated noise is compared with real noise: what is put in is found, and it is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coloured import B30F, coloured_noise
from PIL import Image

from ldct_clipdn.bench.simulation import compare_noise, compare_own_noise
from ldct_clipdn.bench.simulation_figure import NoisePair, draw_noise

SIZE = 192


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.stack([coloured_noise(B30F, SIZE, 1.0, seed=k) for k in range(4)])


def test_places_are_told_apart(noise: np.ndarray) -> None:
    full = np.full((2, SIZE, SIZE), 50, dtype=np.float32)
    full[:, :, : SIZE // 2] = -100
    real = 20 * noise[:2]
    louder = real.copy()
    louder[0, :, : SIZE // 2] *= 1.5
    found = compare_noise(full, real, louder)
    assert found.overall.tiles == 2 * (SIZE // 32) ** 2
    assert found.by_place["soft"].ratio == pytest.approx(1)
    assert found.by_place["soft"].within == 1
    assert found.by_place["fat"].within == 0.5
    assert found.by_place["slice 0"].ratio == pytest.approx(1.25)
    assert found.by_place["slice 1"] == (36, pytest.approx(1), 1)
    assert found.within == pytest.approx(0.75)


def test_noise_that_follows_the_slices_has_no_spread(noise: np.ndarray) -> None:
    levels = np.array([10, 20], dtype=np.float32)[:, None, None]
    full = 50 + levels * noise[:2]
    follows = compare_own_noise(full, 3 * levels * noise[2:])
    same = compare_own_noise(full, 15 * noise[2:])
    assert follows.slices < 0.05
    assert same.slices == pytest.approx(np.log(2) / 2, abs=0.05)
    assert follows.regions == pytest.approx(same.regions)
    assert follows.uniform == same.uniform > 8
    sloping = noise[2:] * levels * np.linspace(0.5, 2, SIZE, dtype=np.float32)
    assert compare_own_noise(full, sloping).regions > 1.5 * follows.regions


def test_both_noises_are_drawn_in_one_grey_scale(tmp_path: Path) -> None:
    body = np.zeros((SIZE, SIZE), dtype=bool)
    body[40:150, 20:170] = True
    grey = np.where(body, 50, -100).astype(np.float32)
    pairs = [NoisePair("B30f", grey, -grey, body, body), NoisePair("D45f", -grey, grey, body, body)]
    draw_noise(pairs, tmp_path / "noise.png")
    drawn = np.asarray(Image.open(tmp_path / "noise.png").convert("L")).astype(int)
    left, right = drawn[:, : drawn.shape[1] // 2], drawn[:, drawn.shape[1] // 2 :]
    counts = [[int((abs(one - g) < 4).sum()) for g in (197, 66)] for one in (left, right)]
    assert all(count > 0.05 * left.size for pair in counts for count in pair)
    assert all(bright == pytest.approx(dark, rel=0.05) for bright, dark in counts)
