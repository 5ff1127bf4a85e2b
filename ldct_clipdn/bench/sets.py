"""Test sets of pictures, and the pictures that strengths are chosen on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ldct_clipdn.bench.record import files_sha256
from ldct_clipdn.core.benchmark import Picture
from ldct_clipdn.data.natural import (
    centre_crop,
    find_images,
    find_picture_pairs,
    hold_pairs,
    picture_size,
    read_rgb,
)
from ldct_clipdn.errors import ConfigError, DataError

__all__ = ["TestSet", "image_set", "pair_set", "read_pictures", "read_validation"]

VALIDATION_PICTURES: Final = 6
VALIDATION_SIDE: Final = 192
"""What a filter's strength is chosen on: the middle of the first pictures of the folder."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TestSet:
    """One test set, read when it is its turn.

    Parameters
    ----------
    name
        For tables.
    files
        The picture's files by its name: one, or those of a pair.
    read
        Gives the pictures.
    """

    __test__ = False  # the name is the field's, not pytest's

    name: str
    files: Mapping[str, tuple[Path, ...]]
    read: Callable[[], list[Picture]] = field(repr=False)

    def contents(self) -> dict[str, str]:
        """Say what the pictures are.

        Returns
        -------
        dict
            SHA-256 of each picture's files by its name.
        """
        return {name: files_sha256(paths) for name, paths in self.files.items()}


def image_set(folder: Path, crop: int | None = None, limit: int | None = None) -> TestSet:
    """Take the pictures of a folder as a test set.

    Parameters
    ----------
    folder
        The folder.
    crop
        Keep this many pixels of the middle, each way; None keeps all.
    limit
        Take only this many pictures, for a first look; None takes all.

    Returns
    -------
    TestSet
        Its pictures.

    Raises
    ------
    DataError
        When there are none, two of one name, or one smaller than the crop.
    """
    found = find_images(folder)
    paths = found.paths[:limit]
    _require_names_differ(paths)
    _require_size(paths, crop)
    if hold_pairs(paths):
        logger.warning(
            "%s: it holds noisy and clean halves of pairs, and both are taken as clean; "
            "pairs are for `benchmark real` and `benchmark derain`",
            folder,
        )

    def read() -> list[Picture]:
        return read_pictures(paths, crop)

    return TestSet(_name(found.name, crop), {path.stem: (path,) for path in paths}, read)


def pair_set(folder: Path, crop: int | None = None, limit: int | None = None) -> TestSet:
    """Take the pairs of a folder as a test set.

    Parameters
    ----------
    folder
        The folder.
    crop
        As for `image_set`.
    limit
        As for `image_set`.

    Returns
    -------
    TestSet
        Its pairs.

    Raises
    ------
    DataError
        When there are none, a half is missing, or one is smaller than the crop.
    """
    found = find_picture_pairs(folder)
    pairs = found.pairs[:limit]
    _require_size([one.noisy for one in pairs], crop)

    def read() -> list[Picture]:
        return [
            _cropped(Picture(one.name, read_rgb(one.clean), read_rgb(one.noisy)), crop)
            for one in pairs
        ]

    files = {one.name: (one.noisy, one.clean) for one in pairs}
    return TestSet(_name(found.name, crop), files, read)


def read_validation(
    folder: Path | None, tests: Sequence[TestSet], *, pairs: bool = False
) -> list[Picture]:
    """Read the pictures that strengths are chosen on.

    Parameters
    ----------
    folder
        None gives no pictures.
    tests
        Sets that will be measured: none of their pictures may be among those chosen on.
    pairs
        Whether the folder holds pairs.

    Returns
    -------
    list of Picture
        The middle of the first ones, whole where it is smaller.

    Raises
    ------
    ConfigError
        When one is a picture of a test set, under whatever name.
    """
    if folder is None:
        return []
    make = pair_set if pairs else image_set
    chosen = make(folder, limit=VALIDATION_PICTURES)
    tested = {files_sha256([path]): path for one in tests for path in _all_files(one)}
    for path in _all_files(chosen):
        if same := tested.get(files_sha256([path])):
            raise ConfigError(
                f"a filter is never adjusted on the test's pictures: this is {same}",
                path=path,
                remedy="Give a folder of other pictures as --validation",
            )
    return [_cropped(one, VALIDATION_SIDE) for one in chosen.read()]


def read_pictures(paths: Sequence[Path], crop: int | None = None) -> list[Picture]:
    """Read single pictures.

    Parameters
    ----------
    paths
        Files.
    crop
        As for `image_set`.

    Returns
    -------
    list of Picture
        Named by their files.

    Raises
    ------
    DataError
        When two have one name, or one is smaller than the crop.
    DecodeError
        When one cannot be read.
    """
    _require_names_differ(paths)
    _require_size(paths, crop)
    return [_cropped(Picture(path.stem, read_rgb(path)), crop) for path in paths]


def _all_files(one: TestSet) -> Iterator[Path]:
    return (path for paths in one.files.values() for path in paths)


def _require_names_differ(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise DataError(
                f"two pictures are called {path.stem}, the other is {seen[path.stem]}",
                path=path,
                remedy="Keep one of them, or rename it",
            )
        seen[path.stem] = path


def _require_size(paths: Sequence[Path], crop: int | None) -> None:
    if crop is None:
        return
    for path in paths:
        height, width = picture_size(path)
        if min(height, width) < crop:
            raise DataError(
                f"the picture is {height} x {width}, smaller than the crop of {crop}",
                path=path,
                remedy="Give a smaller --crop, or none",
            )


def _cropped(one: Picture, crop: int | None) -> Picture:
    if crop is None:
        return one
    noisy = None if one.noisy is None else centre_crop(one.noisy, crop)
    return Picture(one.name, centre_crop(one.clean, crop), noisy)


def _name(name: str, crop: int | None) -> str:
    return name if crop is None else f"{name} (crop {crop})"
