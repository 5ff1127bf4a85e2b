"""Ellipses in training slices: what a network must learn to keep, and anatomy rarely shows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, Final

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

__all__ = ["EllipseInsertsd"]

MOST_INSERTS: Final = 4

CONTRAST_HU: Final = (4.0, 1200.0)
"""Lighter or darker by this, log-uniform: from a faint lesion to a calcification; median 69."""

RADIUS_PX: Final = (1.5, 16.0)
ELONGATION: Final = 1.8
EDGE_PX: Final = (0.4, 1.5)
"""Width of the border, as kernels blur it."""

INSERTABLE_HU: Final = (-250.0, 350.0)
"""Only soft tissue and fat take inserts; bone and air stay as they are."""


class EllipseInsertsd(Randomizable, MapTransform):
    """Put one to four ellipses into the soft tissue of some crops, before noise is added.

    Input and target hold them alike. A network that never sees faint lesions takes them for noise,
    so four in ten have a contrast below 35 HU; one that seldom sees strong edges inside the body
    softens them. Ellipses may overlap, and add up.

    Parameters
    ----------
    keys
        The entry, [C, H, W] with HU in channel 0; one key.
    probability
        Share of the crops that get any.
    """

    def __init__(self, keys: KeysCollection, probability: float) -> None:
        super().__init__(keys)
        self.probability = probability

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Insert.

        Parameters
        ----------
        data
            A training item.

        Returns
        -------
        dict
            A copy; the same image where nothing was inserted.
        """
        key = self.keys[0]
        if self.R.random_sample() >= self.probability:
            return dict(data)
        image: Tensor = data[key].clone()
        insertable = (image[0] > INSERTABLE_HU[0]) & (image[0] < INSERTABLE_HU[1])
        for _ in range(self.R.randint(1, MOST_INSERTS + 1)):
            image[0] += self._ellipse(image.shape[-2:]) * insertable
        return {**data, key: image}

    def _ellipse(self, shape: torch.Size) -> Tensor:
        """Draw one, [H, W] in HU, 0 outside."""
        height, width = shape
        y = torch.arange(height)[:, None] - self.R.uniform(0, height)
        x = torch.arange(width)[None, :] - self.R.uniform(0, width)
        angle, stretch = self.R.uniform(0, math.pi), self.R.uniform(1, ELONGATION)
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        distance = torch.hypot(along / stretch, across * stretch)
        edge = (self._log_uniform(RADIUS_PX) - distance) / self.R.uniform(*EDGE_PX)
        contrast = self._log_uniform(CONTRAST_HU) * self.R.choice([-1.0, 1.0])
        insert: Tensor = contrast * torch.sigmoid(4 * edge)
        return insert

    def _log_uniform(self, limits: tuple[float, float]) -> float:
        return math.exp(self.R.uniform(math.log(limits[0]), math.log(limits[1])))
