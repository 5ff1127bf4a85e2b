"""MONAI transforms for CT: arithmetic in the array class, a thin `d` wrapper for dictionaries.

Images are float32 [1, H, W]. What MONAI has and measures right (cropping, padding) is used from
there. Noise is made in `data.noise`, files are read and written in `data.slice_files`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import get_track_meta
from monai.transforms import InvertibleTransform, MapTransform, Randomizable, Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from ldct_clipdn.ct.hu import HURange

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "HUToUnit",
    "HUToUnitd",
    "SeededMapTransform",
    "TurnOrFlip",
    "TurnOrFlipd",
    "UnitToHU",
    "UnitToHUd",
]

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
        hu: Tensor = convert_to_tensor(image, dtype=torch.float32, track_meta=get_track_meta())
        unit = self.range.to_unit(self.range.clip(hu) if self.clip else hu)
        self.push_transform(unit)  # type: ignore[no-untyped-call]
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


class SeededMapTransform(Randomizable, MapTransform):
    """Hands its random state on to what draws: MONAI would seed the wrapper alone.

    Parameters
    ----------
    keys
        Which entries.
    drawing
        The array transform that draws.
    """

    def __init__(self, keys: KeysCollection, drawing: Randomizable) -> None:
        super().__init__(keys)
        self._drawing = drawing

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> Self:
        """Seed what draws.

        Parameters
        ----------
        seed
            Start of the generator.
        state
            A generator to use as it is.

        Returns
        -------
        SeededMapTransform
            Itself.
        """
        self._drawing.set_random_state(seed, state)
        return self


class TurnOrFlip(Randomizable, Transform):
    """One of the eight flips and right-angle turns, each as likely, as published."""

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


class TurnOrFlipd(SeededMapTransform):
    """`TurnOrFlip` for dictionaries: one draw per entry, so give it the clean image alone.

    Parameters
    ----------
    keys
        The entry, one key.
    """

    def __init__(self, keys: KeysCollection) -> None:
        self.array = TurnOrFlip()
        super().__init__(keys, self.array)

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
