"""Order, seeds and mixup as functions of seed and position alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose
from scipy import stats
from torch.utils.data import DataLoader

from ldct_clipdn.data.noise import AddWhiteNoise, NoisyPaird
from ldct_clipdn.data.positions import MixupCollate, PositionDataset, PositionSampler, seed_at
from ldct_clipdn.errors import ConfigError, DataError


def sampler(size: int = 7, **changes: Any) -> PositionSampler:
    return PositionSampler(size, **{"batch_size": 3, "iterations": 10, "seed": 1, **changes})


@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 12))
@settings(max_examples=50)
def test_a_later_start_gives_the_rest(size: int, batch: int, start: int) -> None:
    whole = list(sampler(size, batch_size=batch, iterations=12))
    resumed = sampler(size, batch_size=batch, iterations=12)
    resumed.start_iteration = start
    assert list(resumed) == whole[start * batch :]
    assert len(resumed) == len(list(resumed))


def test_every_pass_is_a_permutation_of_its_own() -> None:
    order = [index for index, _ in sampler(7, batch_size=7, iterations=3)]
    passes = [order[k : k + 7] for k in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert passes[0] != passes[1] != passes[2]
    assert order != [index for index, _ in sampler(7, batch_size=7, iterations=3, seed=2)]


def test_processes_share_the_work() -> None:
    """Two processes of batch 3 see per iteration what one of batch 6 sees."""
    one = list(sampler(batch_size=6))
    two = [list(sampler(rank=rank, world_size=2)) for rank in (0, 1)]
    together = [each for k in range(10) for part in two for each in part[3 * k : 3 * k + 3]]
    assert together == one


def test_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="no slices"):
        sampler(0)


def test_seeds_differ_and_stay() -> None:
    seeds = {seed_at(5, k) for k in range(2000)} | {seed_at(5, k, 1) for k in range(2000)}
    assert len(seeds) == 4000
    assert all(0 <= one < 2**32 for one in seeds)
    assert seed_at(5, 3) == seed_at(5, 3) != seed_at(6, 3)


def dataset() -> PositionDataset:
    data = [{"image": torch.full((1, 4, 4), float(k)), "name": k} for k in range(7)]
    return PositionDataset(data, Compose([NoisyPaird("image", AddWhiteNoise(5))]), seed=1)


def test_items_depend_on_position_not_on_what_came_before() -> None:
    first, second = dataset(), dataset()
    for index in range(7):
        first[index]
    assert torch.equal(first[3, 40]["image"], second[3, 40]["image"])
    assert not torch.equal(first[3, 40]["image"], first[3, 41]["image"])
    assert first[3]["position"] == 3
    assert torch.equal(first[3]["image"], second[3, 3]["image"])
    assert len(first) == 7


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(workers: int) -> None:
    loader = DataLoader(
        dataset(),
        batch_size=3,
        sampler=sampler(iterations=4),
        num_workers=workers,
        collate_fn=MixupCollate(1),
        generator=torch.Generator(),
    )
    plain = [
        MixupCollate(1)([dataset()[where] for where in batch])
        for batch in np.array(list(sampler(iterations=4))).reshape(4, 3, 2).tolist()
        for batch in [[tuple(one) for one in batch]]
    ]
    state = torch.get_rng_state()
    for found, expected in zip(loader, plain, strict=True):
        assert torch.equal(found["image"], expected["image"])
        assert torch.equal(found["label"], expected["label"])
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone


def samples(position: int, count: int = 4) -> list[dict[str, Any]]:
    eye = torch.eye(count)
    return [
        {
            "image": 2 * eye[k].reshape(1, 1, count),
            "label": eye[k].reshape(1, 1, count),
            "position": position,
        }
        for k in range(count)
    ]


def test_mixup_mixes_noisy_and_clean_alike_in_half_of_the_batches() -> None:
    """One-hot images show share and partner: x <- l x + (1 - l) x[p], l ~ Beta(1.2, 1.2)."""
    mix, shares, mixed = MixupCollate(seed=9), [], 0
    for position in range(1000):
        batch = mix(samples(position))
        assert torch.allclose(batch["image"], 2 * batch["label"])
        weights = batch["label"].reshape(4, 4)
        assert torch.allclose(weights.sum(dim=1), torch.ones(4), atol=1e-6)
        assert torch.allclose(weights.sum(dim=0), torch.ones(4), atol=1e-6)  # p is a permutation
        if not torch.equal(weights, torch.eye(4)):
            mixed += 1
            shares.append(float(weights.diagonal().min()))
    moved = 1 - 1 / 24  # the identity among the permutations mixes nothing
    assert mixed == pytest.approx(500 * moved, abs=60)
    assert stats.kstest(shares, stats.beta(1.2, 1.2).cdf).pvalue > 0.01


def test_mixup_follows_seed_and_position() -> None:
    first, again = MixupCollate(3, 1.0)(samples(8)), MixupCollate(3, 1.0)(samples(8))
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], MixupCollate(4, 1.0)(samples(8))["image"])


def test_mixup_can_be_off() -> None:
    assert all(
        torch.equal(MixupCollate(1, 0.0)(samples(k))["label"].reshape(4, 4), torch.eye(4))
        for k in range(50)
    )


@pytest.mark.parametrize(("probability", "alpha"), [(-0.1, 1.2), (1.1, 1.2), (0.5, 0.0)])
def test_impossible_mixup(probability: float, alpha: float) -> None:
    with pytest.raises(ConfigError, match="impossible"):
        MixupCollate(1, probability, alpha)
