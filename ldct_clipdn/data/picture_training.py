"""Pictures for training: which ones, their transforms, and the noise that is added on the fly."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from monai.transforms import MapTransform, Randomizable, Transform
from torch import Tensor

from ldct_clipdn.core.camera import add_camera_noise, read_curves
from ldct_clipdn.core.words import counted
from ldct_clipdn.data.natural import (
    PicturePair,
    find_images,
    find_picture_pairs,
    picture_size,
    read_rgb,
)
from ldct_clipdn.data.noise import AddWhiteNoise, noise_named
from ldct_clipdn.errors import ConfigError, DataError, DecodeError

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

log = logging.getLogger(__name__)


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
    """Find the pictures of a training, and read each once: a run must not end at one later.

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
        When a folder holds nothing usable, a pair of two sizes, or a picture that cannot be read.
    """
    if dataset_dir is None or not str(dataset_dir):
        raise ConfigError("no data to train on is given", remedy="Give --dataset_dir DIR")
    training = _items(Path(dataset_dir), pairs=pairs)
    validation = [] if validation_dir is None else _items(Path(validation_dir), pairs=pairs)
    sets = PictureSets(training, validation[:validation_pictures])
    _require_readable(
        [Path(file) for one in sets.training + sets.validation for file in one.values()]
    )
    return sets


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

    The published pairs were made once, offline; here each crop is drawn afresh.

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
        if curves_dir is None:
            _warn_of_linear_response()
        return CameraNoise(curves_dir)
    noise = noise_named(kind, sigma)
    if not isinstance(noise, AddWhiteNoise):
        raise ConfigError(
            f"pictures have no training noise {kind!r}", remedy="Give gaussian or camera"
        )
    return noise


@cache
def _warn_of_linear_response() -> None:
    """Say it once, though training and validation each have a noise of their own."""
    log.warning(
        "The camera noise has a linear response: this is not the published training "
        "(camera_curves names the folder of CBDNet's curves)"
    )


def _items(folder: Path, *, pairs: bool) -> list[dict[str, Any]]:
    if pairs:
        return [_pair_item(one, folder) for one in find_picture_pairs(folder).pairs]
    return [{"image": str(path)} for path in find_images(folder).paths]


def _require_readable(paths: Sequence[Path]) -> None:
    """Read all pictures; name in the log each that cannot be, and end with the first."""
    from tqdm import tqdm

    with ThreadPoolExecutor() as readers:
        checks = tqdm(
            readers.map(_problem, paths),
            total=len(paths), desc="checking", unit=" pictures", delay=1, disable=None,
        )  # fmt: skip
        problems = [one for one in checks if one is not None]
    if len(problems) > 1:
        for one in problems:
            log.error("%s", one)
        raise DataError(
            f"{len(problems)} of {counted(len(paths), 'picture')} cannot be read",
            path=problems[0].path,
            remedy="All are named above: check, replace or remove them",
        )
    if problems:
        raise problems[0]


def _problem(path: Path) -> DecodeError | None:
    try:
        read_rgb(path)
    except DecodeError as error:
        return error
    return None


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
