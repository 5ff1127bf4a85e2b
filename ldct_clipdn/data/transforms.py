"""MONAI transforms for CT: arithmetic in the array class, a thin `d` wrapper for dictionaries.

Images are float32 [1, H, W]. What MONAI has and measures right (cropping, padding) is used from
there; its `RandGaussianNoised` draws the standard deviation anew at every call and its readers
swap rows and columns by default, so noise and reading are our own (MONAI_BUNDLE.md 8).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import get_track_meta
from monai.transforms import InvertibleTransform, MapTransform, Randomizable, Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AddWhiteNoise",
    "HUToUnit",
    "HUToUnitd",
    "LoadImageCTd",
    "NoisyPaird",
    "TurnOrFlip",
    "TurnOrFlipd",
    "UnitToHU",
    "UnitToHUd",
    "noise_named",
]

SIGMA_SCALE: Final = 255.0
"""Published noise levels are given on the 0..255 scale of the range."""

Item = dict[Hashable, Any]


class HUToUnit(InvertibleTransform):
    """HU to [0, 1]; the inverse gives HU again.

    Parameters
    ----------
    low
        HU that becomes 0.
    high
        HU that becomes 1.
    clip
        Limit to the range first; the inverse cannot bring back what was cut.
    """

    def __init__(self, low: float = -1024.0, high: float = 3072.0, *, clip: bool = True) -> None:
        self.range = HURange(low, high)
        self.clip = clip

    def __call__(self, image: NDArray[np.float32] | Tensor) -> Tensor:
        """Map HU to the unit scale.

        Parameters
        ----------
        image
            Any shape, in HU.

        Returns
        -------
        torch.Tensor
            float32, same shape.
        """
        hu = convert_to_tensor(image, dtype=torch.float32, track_meta=get_track_meta())
        unit = self.range.to_unit(self.range.clip(hu) if self.clip else hu)
        self.push_transform(unit)
        return unit

    def inverse(self, image: Tensor) -> Tensor:
        """Map the unit scale back to HU.

        Parameters
        ----------
        image
            What this transform gave, or the network's answer to it.

        Returns
        -------
        torch.Tensor
            In HU.
        """
        self.pop_transform(image)
        return self.range.from_unit(image)


class HUToUnitd(MapTransform, InvertibleTransform):
    """`HUToUnit` for dictionaries.

    Parameters
    ----------
    keys
        Which entries.
    low
        HU that becomes 0.
    high
        HU that becomes 1.
    clip
        Limit to the range first.
    allow_missing_keys
        Let an entry be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        low: float = -1024.0,
        high: float = 3072.0,
        *,
        clip: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.array = HUToUnit(low, high, clip=clip)

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Map the entries to the unit scale.

        Parameters
        ----------
        data
            Entries in HU.

        Returns
        -------
        dict
            A copy with the entries mapped.
        """
        return {**data, **{key: self.array(data[key]) for key in self.key_iterator(data)}}

    def inverse(self, data: Mapping[Hashable, Any]) -> Item:
        """Map the entries back to HU.

        Parameters
        ----------
        data
            Entries on the unit scale.

        Returns
        -------
        dict
            A copy with the entries in HU.
        """
        return {**data, **{key: self.array.inverse(data[key]) for key in self.key_iterator(data)}}


class UnitToHU(Transform):
    """[0, 1] to HU, for results that carry no record of how they came to [0, 1].

    Parameters
    ----------
    low
        HU of 0.
    high
        HU of 1.
    """

    def __init__(self, low: float = -1024.0, high: float = 3072.0) -> None:
        self.range = HURange(low, high)

    def __call__(self, image: Tensor) -> Tensor:
        """Map the unit scale to HU.

        Parameters
        ----------
        image
            Any shape.

        Returns
        -------
        torch.Tensor
            Same shape, in HU.
        """
        return self.range.from_unit(image)


class UnitToHUd(MapTransform):
    """`UnitToHU` for dictionaries.

    Parameters
    ----------
    keys
        Which entries.
    low
        HU of 0.
    high
        HU of 1.
    allow_missing_keys
        Let an entry be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        low: float = -1024.0,
        high: float = 3072.0,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.array = UnitToHU(low, high)

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Map the entries to HU.

        Parameters
        ----------
        data
            Entries on the unit scale.

        Returns
        -------
        dict
            A copy with the entries mapped.
        """
        return {**data, **{key: self.array(data[key]) for key in self.key_iterator(data)}}


class AddWhiteNoise(Randomizable, Transform):
    """Add white Gaussian noise, not clipped: the published training noise (PROTOCOL.md 1.3).

    Sigma 5 on the 0..255 scale of the 4096 HU range is 5 / 255 x 4096 = 80.3 HU, white. Real
    quarter-dose noise is weaker and coloured: about 28 HU at 3 mm slices (PEERS.md h2).

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


def noise_named(kind: str, sigma: float) -> AddWhiteNoise:
    """Choose the training noise by the bundle's `noise` id.

    Parameters
    ----------
    kind
        `gaussian`: white noise.
    sigma
        As for `AddWhiteNoise`.

    Returns
    -------
    AddWhiteNoise
        The transform.

    Raises
    ------
    ConfigError
        When there is no such noise.
    """
    if kind != "gaussian":
        raise ConfigError(f"there is no training noise named {kind!r}", remedy="Give gaussian")
    return AddWhiteNoise(sigma)


class NoisyPaird(Randomizable, MapTransform):
    """Make the pair that the network learns from or is judged by: `image` noisy, `label` clean.

    An entry `low_dose`, where there is one, is the noisy image; else noise is added. A `label` that
    came with the data (MONAILabel hands over label maps) is replaced.

    Parameters
    ----------
    keys
        The clean image's entry, one key.
    noise
        Adds the noise.
    """

    def __init__(self, keys: KeysCollection, noise: AddWhiteNoise) -> None:
        super().__init__(keys)
        self.noise = noise

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> NoisyPaird:
        """Seed the noise.

        Parameters
        ----------
        seed
            Start of the generator.
        state
            A generator to use as it is.

        Returns
        -------
        NoisyPaird
            Itself.
        """
        self.noise.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Make the pair.

        Parameters
        ----------
        data
            The clean image in [0, 1] under the key, maybe `low_dose`.

        Returns
        -------
        dict
            A copy with the noisy image under the key and the clean one as `label`.
        """
        item = dict(data)
        key = self.keys[0]
        clean = item[key]
        item["label"] = clean
        item[key] = item.pop("low_dose") if "low_dose" in item else self.noise(clean)
        return item


class TurnOrFlip(Randomizable, Transform):
    """One of the eight flips and right-angle turns, each as likely (PROTOCOL.md 4.3)."""

    def __call__(self, image: Tensor) -> Tensor:
        """Turn or flip the image.

        Parameters
        ----------
        image
            [C, H, W]; square where the shape is to stay.

        Returns
        -------
        torch.Tensor
            [C, H, W] or [C, W, H].
        """
        turns, flip = divmod(int(self.R.randint(8)), 2)
        turned = torch.rot90(image, turns, dims=(-2, -1))
        return turned.flip(-2) if flip else turned


class TurnOrFlipd(Randomizable, MapTransform):
    """`TurnOrFlip` for dictionaries: one draw per entry, so give it the clean image alone.

    Parameters
    ----------
    keys
        The entry, one key.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)
        self.array = TurnOrFlip()

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> TurnOrFlipd:
        """Seed the choice.

        Parameters
        ----------
        seed
            Start of the generator.
        state
            A generator to use as it is.

        Returns
        -------
        TurnOrFlipd
            Itself.
        """
        self.array.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Turn or flip the entry.

        Parameters
        ----------
        data
            Image [C, H, W] under the key.

        Returns
        -------
        dict
            A copy with the image turned or flipped.
        """
        return {**data, self.keys[0]: self.array(data[self.keys[0]])}


class LoadImageCTd(MapTransform):
    """Read one CT slice in HU from its file, rows by columns as DICOM stores them.

    The name says `LoadImage` because MONAI Deploy, which hands over pixels itself, leaves out
    transforms of that name.

    Parameters
    ----------
    keys
        Entries that hold a path; the entry `frame` says which slice of a volume.
    read
        Gives float32 [H, W] in HU, padding as air, for a path and a frame.
    allow_missing_keys
        Let an entry be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        read: Callable[[Path, int], NDArray[np.float32]],
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.read = read

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Read the entries.

        Parameters
        ----------
        data
            Paths under the keys.

        Returns
        -------
        dict
            A copy with float32 tensors [1, H, W] in HU in their place.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            hu = self.read(Path(item[key]), int(item.get("frame", 0)))
            item[key] = torch.from_numpy(np.array(hu, dtype=np.float32))[None]
        return item
