"""The noise that a network learns from, and the pair of noisy and clean image it makes.

MONAI's `RandGaussianNoised` draws the standard deviation anew at every call, so noise is our
own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import Randomizable, Transform
from torch import Tensor

from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.data.ct_noise import CTNoise
from ldct_clipdn.data.transforms import SeededMapTransform
from ldct_clipdn.errors import ConfigError

__all__ = ["AddWhiteNoise", "NoisyPaird", "noise_named"]

SIGMA_SCALE: Final = 255.0
"""Published noise levels are given on the 0..255 scale of the range."""

Item = dict[Hashable, Any]


class AddWhiteNoise(Randomizable, Transform):
    """Add white Gaussian noise, not clipped: the published training noise.

    Sigma 5 on the 0..255 scale of the 4096 HU range is 5 / 255 x 4096 = 80.3 HU, white. Real
    quarter-dose noise is weaker and coloured.

    Parameters
    ----------
    sigma
        Standard deviation on the 0..255 scale of the range.
    """

    def __init__(self, sigma: float) -> None:
        if not 0 <= sigma <= SIGMA_SCALE:
            raise ConfigError(
                f"sigma {sigma} is not in 0 to 255",
                remedy="Give it on the 0..255 scale of the HU range; the paper's is 5 (80.3 HU)",
            )
        self.sigma = sigma

    def __call__(self, image: Tensor) -> Tensor:
        """Add one draw.

        Parameters
        ----------
        image
            Any shape, in [0, 1].

        Returns
        -------
        torch.Tensor
            A new tensor, same shape.
        """
        draw = torch.from_numpy(self.R.standard_normal(tuple(image.shape)).astype(np.float32))
        return image + (self.sigma / SIGMA_SCALE) * draw


def noise_named(
    kind: str, sigma: float, hu_range: HURange | None = None
) -> AddWhiteNoise | CTNoise:
    """Choose the training noise by the bundle's `noise` id.

    Parameters
    ----------
    kind
        `gaussian`: white noise. `ct`: coloured noise of random strength and colour.
    sigma
        As for `AddWhiteNoise`; `ct` does without.
    hu_range
        As for `CTNoise`; `gaussian` does without.

    Returns
    -------
    AddWhiteNoise or CTNoise
        The transform.

    Raises
    ------
    ConfigError
        When there is no such noise.
    """
    if kind == "ct":
        return CTNoise(hu_range)
    if kind != "gaussian":
        raise ConfigError(f"no training noise is named {kind!r}", remedy="Give gaussian or ct")
    return AddWhiteNoise(sigma)


class NoisyPaird(SeededMapTransform):
    """Make the pair that the network learns from or is judged by: `image` noisy, `label` clean.

    A noisy image that came with the data is taken, else noise is added. A `label` that came with
    it (MONAILabel hands over label maps) is replaced.

    Parameters
    ----------
    keys
        The clean image's entry, one key.
    noise
        Adds the noise.
    given
        The entry of the noisy image, where there is one.
    """

    def __init__(
        self, keys: KeysCollection, noise: AddWhiteNoise | CTNoise, given: str = "low_dose"
    ) -> None:
        super().__init__(keys, noise)
        self.noise = noise
        self.given = given

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Make the pair.

        Parameters
        ----------
        data
            The clean image in [0, 1] under the key, maybe the noisy one.

        Returns
        -------
        dict
            A copy with the noisy image under the key and the clean one as `label`.
        """
        item = dict(data)
        key = self.keys[0]
        clean = item[key]
        item["label"] = clean
        item[key] = item.pop(self.given) if self.given in item else self.noise(clean)
        return item
