"""One CT slice from its file, one denoised slice to its own: the ends of the bundle's transforms.

MONAI Deploy hands over pixels itself and leaves out every transform whose name holds `LoadImage` or
`SaveImage`, so these are named like that. MONAI's own readers swap rows and columns, and change
with what else is installed (MONAI_BUNDLE.md 8).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LoadImageCTd"]

Item = dict[Hashable, Any]


class LoadImageCTd(MapTransform):
    """Read one CT slice in HU from its file, rows by columns as DICOM stores them.

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
            A copy with float32 tensors [H, W] in HU in their place.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            hu = self.read(Path(item[key]), int(item.get("frame", 0)))
            item[key] = torch.from_numpy(np.array(hu, dtype=np.float32))
        return item
