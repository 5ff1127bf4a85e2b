"""Random data as a pure function of (seed, position), so that a resumed run sees the same data.

A position counts the samples of the whole training. Order, crop, flip, noise and mixup each follow
from the seed and the position alone; nothing has to be saved but how far the training came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ldct_clipdn.errors import ConfigError, DataError

__all__ = ["MixupCollate", "PositionDataset", "PositionSampler", "seed_at"]

SEED_LIMIT: Final = 2**32 - 1

Item = dict[str, Any]


def seed_at(seed: int, *position: int) -> int:
    """Derive the seed of one position.

    Parameters
    ----------
    seed
        The run's seed.
    *position
        What tells this draw from every other.

    Returns
    -------
    int
        In [0, 2**32 - 1).
    """
    return int(np.random.SeedSequence([seed, *position]).generate_state(1)[0]) % SEED_LIMIT


class PositionSampler(Sampler[tuple[int, int]]):
    """Yields (index, position) for a whole training, from any position on.

    Every pass over the data is a permutation of its own.

    Parameters
    ----------
    size
        Number of data items.
    batch_size
        Samples per iteration and process.
    iterations
        Length of the training.
    seed
        The run's seed.
    rank
        Which of the training's processes this is.
    world_size
        How many processes train together.
    """

    def __init__(
        self,
        size: int,
        *,
        batch_size: int,
        iterations: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if size < 1:
            raise DataError("there are no slices to train on", remedy="Check dataset_dir")
        self.size = size
        self.batch_size = batch_size
        self.iterations = iterations
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start_iteration = 0

    def __len__(self) -> int:
        return (self.iterations - self.start_iteration) * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        per_iteration = self.batch_size * self.world_size
        number, order = -1, np.arange(0)
        for iteration in range(self.start_iteration, self.iterations):
            first = iteration * per_iteration + self.rank * self.batch_size
            for position in range(first, first + self.batch_size):
                if position // self.size != number:
                    number = position // self.size
                    order = np.random.default_rng([self.seed, number]).permutation(self.size)
                yield int(order[position % self.size]), position


class PositionDataset(Dataset[Item]):
    """Applies transforms whose random state is set from the position.

    Parameters
    ----------
    data
        One dictionary per slice.
    transform
        A MONAI `Compose`.
    seed
        The run's seed.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], transform: Callable[[Any], Any], seed: int
    ) -> None:
        self.data = data
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, where: int | tuple[int, int]) -> Item:
        index, position = where if isinstance(where, tuple) else (where, where)
        set_random_state = getattr(self.transform, "set_random_state", None)
        if set_random_state is not None:
            set_random_state(seed=seed_at(self.seed, position))
        return {**self.transform(dict(self.data[index])), "position": position}


class MixupCollate:
    """Stacks samples to a batch and mixes half of the batches with themselves, as published.

    One share l ~ Beta(alpha, alpha) and one permutation p per batch, for noisy and clean alike:
    x <- l x + (1 - l) x[p].

    Parameters
    ----------
    seed
        The run's seed.
    probability
        Share of batches that are mixed; 0 for validation.
    alpha
        Parameter of the Beta distribution.
    """

    def __init__(self, seed: int, probability: float = 0.5, alpha: float = 1.2) -> None:
        if not 0 <= probability <= 1 or alpha <= 0:
            raise ConfigError(
                f"mixup with probability {probability} and alpha {alpha} is impossible",
                remedy="Give a probability of 0 to 1 and an alpha above 0",
            )
        self.seed = seed
        self.probability = probability
        self.alpha = alpha

    def __call__(self, samples: Sequence[Item]) -> Item:
        """Make a batch.

        Parameters
        ----------
        samples
            Each with `image` and `label` [1, H, W] of one size, and `position`.

        Returns
        -------
        dict
            `image` and `label` [B, 1, H, W].
        """
        batch: dict[str, Tensor] = {
            key: torch.stack([sample[key] for sample in samples]) for key in ("image", "label")
        }
        rng = np.random.default_rng([self.seed, samples[0]["position"], 1])
        if rng.random() < self.probability:
            share = float(rng.beta(self.alpha, self.alpha))
            partner = torch.from_numpy(rng.permutation(len(samples)))
            batch = {key: share * x + (1 - share) * x[partner] for key, x in batch.items()}
        return batch
