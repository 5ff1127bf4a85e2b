"""Natural images: folders of clean pictures, folders of pairs, and the test sets known by name."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ldct_clipdn.core.words import counted
from ldct_clipdn.errors import DataError, DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

__all__ = [
    "ImageSet",
    "PairSet",
    "PicturePair",
    "centre_crop",
    "find_images",
    "find_picture_pairs",
    "hold_pairs",
    "picture_size",
    "published_size",
    "read_rgb",
    "set_name",
]

SUFFIXES: Final = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")

TIFF_BITS_PER_SAMPLE: Final = 258

NOISY_WORDS: Final = frozenset({"real", "noisy", "input", "rain", "rainy"})
CLEAN_WORDS: Final = frozenset({"mean", "gt", "clean", "target", "norain"})
"""Words that say in a file's or folder's name which half of a pair it is, as in the test sets."""


class _Known(NamedTuple):
    size: int
    names: tuple[str, ...]


_KNOWN: Final = {
    "CBSD68": _Known(68, ("cbsd68",)),
    "CBSD432": _Known(432, ("cbsd432",)),
    "McMaster": _Known(18, ("mcmaster", "mcm")),
    "Kodak24": _Known(24, ("kodak24", "kodak")),
    "Urban100": _Known(100, ("urban100",)),
    "SIDD Val": _Known(1280, ("siddval", "siddvalidation", "siddtestpng", "ssid", "sidd")),
    "PolyU": _Known(100, ("polyu",)),
    "CC": _Known(15, ("cc",)),
    "Rain100L": _Known(100, ("rain100l",)),
    "Rain12": _Known(12, ("rain12",)),
    "Rain drop (S)": _Known(0, ("raindrops", "raindropssynthetic")),
    "Rain and mist (S)": _Known(0, ("rainmists", "rainandmists", "rainandmistssynthetic")),
}
"""The paper's sets: images or pairs (0: not published), and folder names without case and signs."""

logger = logging.getLogger(__name__)

Role = Literal["noisy", "clean"]


@dataclass(frozen=True)
class ImageSet:
    """The clean pictures of one folder.

    Parameters
    ----------
    name
        The paper's name where the folder is known by its name, else the folder's.
    paths
        Its pictures, by name.
    """

    name: str
    paths: tuple[Path, ...]


class PicturePair(NamedTuple):
    """A noisy picture and its clean reference.

    Parameters
    ----------
    name
        What both names share.
    noisy, clean
        The files.
    """

    name: str
    noisy: Path
    clean: Path


@dataclass(frozen=True)
class PairSet:
    """The pairs of one folder.

    Parameters
    ----------
    name
        The paper's name where the folder is known by its name, else the folder's.
    pairs
        Its pairs, by name.
    """

    name: str
    pairs: tuple[PicturePair, ...]


def set_name(folder: Path) -> str:
    """Name a set as the paper does.

    Parameters
    ----------
    folder
        Its folder.

    Returns
    -------
    str
        The paper's name, or the folder's.
    """
    plain = re.sub(r"[^a-z0-9]", "", folder.resolve().name.lower())
    return next(
        (name for name, known in _KNOWN.items() if plain in known.names), folder.resolve().name
    )


def published_size(name: str) -> int | None:
    """Give how many pictures or pairs the paper's set has.

    Parameters
    ----------
    name
        As `set_name` gives it.

    Returns
    -------
    int or None
        None where the set is not the paper's, or its size is not published.
    """
    return _KNOWN[name].size or None if name in _KNOWN else None


def find_images(folder: Path) -> ImageSet:
    """Find the pictures that lie directly in a folder.

    Parameters
    ----------
    folder
        The folder.

    Returns
    -------
    ImageSet
        At least one picture.

    Raises
    ------
    DataError
        When there is no picture, or no such folder.
    """
    _require_folder(folder)
    paths = tuple(_pictures(folder.iterdir()))
    if not paths:
        raise DataError(
            "no picture here", path=folder, remedy=f"Give a folder of {', '.join(SUFFIXES)} files"
        )
    found = ImageSet(set_name(folder), paths)
    _warn_of_count(found.name, len(paths), folder)
    return found


def find_picture_pairs(folder: Path) -> PairSet:
    """Find noisy and clean pictures that belong together, by what their names share.

    Which half a file is stands in its name or in its folder's: `..._real.png` and `..._mean.png`,
    `noisy/` and `GT/`, `rain-001.png` and `norain-001.png`. Other pictures are left out.

    Parameters
    ----------
    folder
        Searched with its subfolders.

    Returns
    -------
    PairSet
        At least one pair.

    Raises
    ------
    DataError
        When there is no pair or no such folder, or a picture without its other half.
    """
    _require_folder(folder)
    halves: dict[str, dict[Role, Path]] = defaultdict(dict)
    for path in _pictures(folder.rglob("*")):
        role, name = _role_and_name(path.relative_to(folder))
        if role is None:
            logger.info("%s is neither a noisy nor a clean picture and is left out", path)
            continue
        if role in halves[name]:
            raise DataError(
                f"two {role} pictures are named alike: {halves[name][role].name} and {path.name}",
                path=folder,
                remedy="Keep one of them, or give the folders of the two sets one by one",
            )
        halves[name][role] = path
    alone = sorted(str(path) for both in halves.values() if len(both) < 2 for path in both.values())
    if alone or not halves:
        raise DataError(
            f"{counted(len(alone), 'picture')} without the other half, such as {alone[0]}"
            if alone
            else "no pair of a noisy and a clean picture here",
            path=folder,
            remedy="Name them alike but for noisy/clean, real/mean, input/target or rain/norain, "
            "in the file names or as folders",
        )
    pairs = tuple(
        PicturePair(name, both["noisy"], both["clean"]) for name, both in sorted(halves.items())
    )
    found = PairSet(set_name(folder), pairs)
    _warn_of_count(found.name, len(pairs), folder)
    return found


def hold_pairs(paths: Iterable[Path]) -> bool:
    """Say whether some pictures of one folder are the two halves of a pair, by their names.

    Parameters
    ----------
    paths
        The pictures.

    Returns
    -------
    bool
        True where at least one pair is among them.
    """
    roles: dict[str, set[Role | None]] = defaultdict(set)
    for path in paths:
        role, name = _role_and_name(Path(path.name))
        roles[name].add(role)
    return any({"noisy", "clean"} <= both for both in roles.values())


def read_rgb(path: Path) -> Tensor:
    """Read a picture.

    Parameters
    ----------
    path
        PNG, TIFF, JPEG or BMP with 8 bits.

    Returns
    -------
    torch.Tensor
        RGB, uint8 [3, H, W]; a grey picture is repeated three times.

    Raises
    ------
    DecodeError
        When it cannot be read, has more than 8 bits, or is so large that Pillow takes it for a
        decompression bomb.
    """
    with _opened(path) as file:
        if _is_deep(file):
            raise DecodeError(
                "the picture has more than 8 bits", path=path, remedy="Give 8-bit files"
            )
        pixels: NDArray[Any] = np.array(file.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def picture_size(path: Path) -> tuple[int, int]:
    """Read a picture's size from its header.

    Parameters
    ----------
    path
        As for `read_rgb`.

    Returns
    -------
    tuple of int
        Height and width.

    Raises
    ------
    DecodeError
        When it cannot be read.
    """
    with _opened(path) as file:
        return file.height, file.width


def centre_crop(image: Tensor, side: int) -> Tensor:
    """Cut out the middle, as FFDNet's copy of Kodak24 does with 500.

    Parameters
    ----------
    image
        [..., H, W].
    side
        Height and width of what is kept; a smaller image stays as it is.

    Returns
    -------
    torch.Tensor
        [..., min(H, side), min(W, side)].
    """
    top, left = (max(size - side, 0) // 2 for size in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    from PIL import Image

    try:
        with Image.open(path) as file:
            yield file
    except Image.DecompressionBombError as error:
        raise DecodeError(
            f"the picture is too large ({error})", path=path, remedy="Cut it into smaller ones"
        ) from error
    except (OSError, SyntaxError) as error:
        raise DecodeError(
            f"the picture cannot be read ({error})", path=path, remedy="Check or replace the file"
        ) from error


def _is_deep(file: ImageFile) -> bool:
    """Say whether Pillow would cut samples down to 8 bits; colour has no mode of its own for it."""
    bits = getattr(file, "tag_v2", {}).get(TIFF_BITS_PER_SAMPLE, 8)
    return (
        file.mode.startswith(("I", "F"))
        or any(";16" in str(tile[3]) for tile in file.tile)
        or bool(np.max(bits) > 8)
    )


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(
            "this is a file, not a folder" if folder.exists() else "there is no such folder",
            path=folder,
            remedy="Give the folder that holds the pictures",
        )


def _pictures(paths: Iterable[Path]) -> list[Path]:
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def _role_and_name(path: Path) -> tuple[Role | None, str]:
    """Say which half a picture is, and what is left of its name without the words that say so."""
    role: Role | None = None
    kept: list[str] = []
    for part in (path.stem, *reversed(path.parent.parts)):
        words = re.split(r"[-_ .]+", part.lower())
        if role is None:
            role = _role_of(words)
        rest = [word for word in words if word not in NOISY_WORDS | CLEAN_WORDS]
        kept[:0] = ["_".join(rest)] if rest else []
    return role, "/".join(kept)


def _role_of(words: list[str]) -> Role | None:
    if CLEAN_WORDS & set(words):
        return "clean"
    return "noisy" if NOISY_WORDS & set(words) else None


def _warn_of_count(name: str, count: int, folder: Path) -> None:
    expected = published_size(name)
    if expected is not None and count != expected:
        where = str(folder) if folder.name == name else f"{folder} ({name})"
        logger.warning(
            "%s: %d pictures, not %d: no figure of it is comparable", where, count, expected
        )
