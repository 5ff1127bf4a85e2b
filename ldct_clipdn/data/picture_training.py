"""Pictures for training: which ones, their transforms, and the noise that is added on the fly."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from monai.transforms import MapTransform, Randomizable, Transform
from torch import Tensor

from ldct_clipdn.core.camera import add_camera_noise, read_curves
from ldct_clipdn.data.natural import PicturePair, find_images, find_picture_pairs, picture_size
from ldct_clipdn.data.noise import AddWhiteNoise, noise_named
from ldct_clipdn.errors import ConfigError, DataError

__all__ = [
    "CameraNoise",
    "JoinPaird",
    "PictureSets",
    "SplitPaird",
    "picture_noise_named",
    "picture_sets",
]

CHANNELS: Final = 3

Item = dict[Hashable, Any]


@dataclass(frozen=True)
class PictureSets:
    """What a training on pictures reads.

    Parameters
    ----------
    training, validation
        One dictionary per picture: `image` (the clean file), and of pairs `noisy`.
    """

    training: list[dict[str, Any]]
    validation: list[dict[str, Any]]


def picture_sets(
    dataset_dir: Path | str | None,
    validation_dir: Path | str | None = None,
    validation_pictures: int | None = None,
    *,
    pairs: bool = False,
) -> PictureSets:
    """Find the pictures of a training.

    Parameters
    ----------
    dataset_dir
        Folder of clean pictures, or of pairs, to train on.
    validation_dir
        Folder of the same kind to validate on; None validates nothing.
    validation_pictures
        At most so many validation pictures; None takes all.
    pairs
        Whether the folders hold pairs.

    Returns
    -------
    PictureSets
        The files.

    Raises
    ------
    ConfigError
        When no folder is given.
    DataError
        When a folder holds nothing usable, or a pair of two sizes.
    """
    if dataset_dir is None or not str(dataset_dir):
        raise ConfigError("no data to train on is given", remedy="Give --dataset_dir DIR")
    validation = [] if validation_dir is None else _items(Path(validation_dir), pairs=pairs)
    return PictureSets(_items(Path(dataset_dir), pairs=pairs), validation[:validation_pictures])


class JoinPaird(MapTransform):
    """Put a pair's pictures into one, so that crops and turns are the same for both.

    Parameters
    ----------
    keys
        The clean picture's entry; the noisy one is `noisy`, where there is one.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Join the pair.

        Parameters
        ----------
        data
            [3, H, W] under the key, maybe `noisy`.

        Returns
        -------
        dict
            A copy with [6, H, W] under the key where there was a pair.
        """
        item = dict(data)
        if "noisy" in item:
            key = self.keys[0]
            item[key] = torch.cat([item[key], item.pop("noisy")])
        return item


class SplitPaird(MapTransform):
    """Undo `JoinPaird`.

    Parameters
    ----------
    keys
        The clean picture's entry.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Split the pair.

        Parameters
        ----------
        data
            [6, H, W] under the key; [3, H, W] stays.

        Returns
        -------
        dict
            A copy with [3, H, W] under the key and, of a pair, `noisy`.
        """
        item = dict(data)
        key = self.keys[0]
        if len(item[key]) > CHANNELS:
            item[key], item["noisy"] = item[key].split(CHANNELS)
        return item


class CameraNoise(Randomizable, Transform):
    """Photograph the picture anew with a camera and noise of its own at every call.

    The published pairs were made once, offline (PROTOCOL.md 1.4); here each crop is drawn afresh.

    Parameters
    ----------
    curves_dir
        Folder with CBDNet's response curves; None takes a linear response.
    """

    def __init__(self, curves_dir: Path | str | None = None) -> None:
        self.curves = None if curves_dir is None else read_curves(Path(curves_dir))

    def __call__(self, image: Tensor) -> Tensor:
        """Add one draw.

        Parameters
        ----------
        image
            sRGB [3, H, W] in [0, 1].

        Returns
        -------
        torch.Tensor
            A new tensor, same shape.
        """
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        return add_camera_noise(torch.as_tensor(image)[None], generator, self.curves)[0]


def picture_noise_named(
    kind: str, sigma: float, curves_dir: Path | str | None = None
) -> AddWhiteNoise | CameraNoise:
    """Choose the training noise by the bundle's `noise` id.

    Parameters
    ----------
    kind
        `gaussian`, or `camera`.
    sigma
        Standard deviation on the 0..255 scale; `camera` does without.
    curves_dir
        As for `CameraNoise`.

    Returns
    -------
    AddWhiteNoise or CameraNoise
        The transform.

    Raises
    ------
    ConfigError
        When there is no such noise.
    """
    if kind == "camera":
        return CameraNoise(curves_dir)
    noise = noise_named(kind, sigma)
    if not isinstance(noise, AddWhiteNoise):
        raise ConfigError(
            f"pictures have no training noise {kind!r}", remedy="Give gaussian or camera"
        )
    return noise


def _items(folder: Path, *, pairs: bool) -> list[dict[str, Any]]:
    if pairs:
        return [_pair_item(one, folder) for one in find_picture_pairs(folder).pairs]
    return [{"image": str(path)} for path in find_images(folder).paths]


def _pair_item(pair: PicturePair, folder: Path) -> dict[str, Any]:
    sizes = [picture_size(one) for one in (pair.clean, pair.noisy)]
    if sizes[0] != sizes[1]:
        (height, width), (other_height, other_width) = sizes
        raise DataError(
            f"the pair {pair.name} is of two sizes: {height} x {width} and "
            f"{other_height} x {other_width}",
            path=folder,
            remedy=f"Make {pair.noisy.name} as large as {pair.clean.name}, or remove both",
        )
    return {"image": str(pair.clean), "noisy": str(pair.noisy)}
