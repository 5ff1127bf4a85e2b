"""Pictures between files and the bundle: read, listed, saved.

The transforms are named as MONAI Deploy wants them: it leaves out what is called `LoadImage...` or
`SaveImage...`, and hands over pixels itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.data.natural import find_images, read_rgb
from ldct_clipdn.errors import ConfigError, WriteError

__all__ = ["LoadImageRGBd", "SaveImageRGBd", "picture_items"]

Item = dict[Hashable, Any]


def picture_items(folder: Path | str | None) -> list[dict[str, str]]:
    """List the pictures to denoise.

    Parameters
    ----------
    folder
        The folder.

    Returns
    -------
    list of dict
        `image` (the file) and `name` (for its result, and no other's).

    Raises
    ------
    ConfigError
        When no folder is given.
    DataError
        When it holds no picture.
    """
    if folder is None or not str(folder):
        raise ConfigError("no pictures are given", remedy="Give --dataset_dir DIR")
    taken: set[str] = set()
    return [
        {"image": str(path), "name": _free_name(path.stem, taken)}
        for path in find_images(Path(folder)).paths
    ]


class LoadImageRGBd(MapTransform):
    """Read pictures as float32 [3, H, W] in [0, 1].

    Parameters
    ----------
    keys
        Entries that hold a path.
    allow_missing_keys
        Let an entry be absent.
    """

    def __init__(self, keys: KeysCollection, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Read the entries.

        Parameters
        ----------
        data
            Paths under the keys.

        Returns
        -------
        dict
            A copy with the pictures in their place.
        """
        read = {key: read_rgb(Path(data[key])).float() / 255 for key in self.key_iterator(data)}
        return {**data, **read}


class SaveImageRGBd(MapTransform):
    """Write results as 8-bit PNG, rounded, as the published tests do.

    Parameters
    ----------
    keys
        Entries that hold [3, H, W], 0 to 255; the entry `name` names the file.
    output_dir
        Made where it is missing.
    """

    def __init__(self, keys: KeysCollection, output_dir: Path | str) -> None:
        super().__init__(keys)
        self.folder = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Write the entries.

        Parameters
        ----------
        data
            A result under each key.

        Returns
        -------
        dict
            The same.

        Raises
        ------
        WriteError
            When a file cannot be written.
        """
        from PIL import Image

        path = self.folder / f"{data['name']}.png"
        for key in self.key_iterator(data):
            pixels = np.asarray(data[key].detach().cpu().float()).transpose(1, 2, 0)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)).save(path)
            except OSError as error:
                raise WriteError(f"cannot be written ({system_words(error)})", path=path) from error
        return dict(data)


def _free_name(stem: str, taken: set[str]) -> str:
    """Give a name that no other picture has: `a.bmp` and `a.png` share theirs without endings."""
    numbered = (f"{stem}_{number}" for number in count(2))
    name = next(one for one in chain([stem], numbered) if one not in taken)
    taken.add(name)
    return name
