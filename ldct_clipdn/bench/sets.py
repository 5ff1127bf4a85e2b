"""Test sets of pictures, and the pictures that strengths are chosen on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torch import Tensor

from ldct_clipdn.bench.record import files_sha256
from ldct_clipdn.core.benchmark import Picture
from ldct_clipdn.data.natural import centre_crop, find_images, find_picture_pairs, read_rgb
from ldct_clipdn.errors import ConfigError, DataError

__all__ = ["TestSet", "image_set", "pair_set", "read_pictures", "read_validation"]

VALIDATION_PICTURES: Final = 6
VALIDATION_SIDE: Final = 192
"""What a filter's strength is chosen on: the middle of the first pictures of the folder."""


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
        When there are none, or two of one name.
    """
    found = find_images(folder)
    paths = found.paths[:limit]
    if len({path.stem for path in paths}) < len(paths):
        raise DataError(
            "two pictures differ in nothing but the ending of their names",
            path=folder,
            remedy="Keep one of them",
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
        When there are none, or a half is missing.
    """
    found = find_picture_pairs(folder)
    pairs = found.pairs[:limit]

    def read() -> list[Picture]:
        return [Picture(one.name, _read(one.clean, crop), _read(one.noisy, crop)) for one in pairs]

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
        The middle of the first ones.

    Raises
    ------
    ConfigError
        When one is a picture of a test set, under whatever name.
    """
    if folder is None:
        return []
    make = pair_set if pairs else image_set
    chosen = make(folder, VALIDATION_SIDE, VALIDATION_PICTURES)
    tested = {files_sha256([path]): path for one in tests for path in _all_files(one)}
    for path in _all_files(chosen):
        if same := tested.get(files_sha256([path])):
            raise ConfigError(
                f"a filter is never adjusted on the test's pictures: this is {same}",
                path=path,
                remedy="Give a folder of other pictures as --validation",
            )
    return chosen.read()


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
    DecodeError
        When one cannot be read.
    """
    return [Picture(path.stem, _read(path, crop)) for path in paths]


def _all_files(one: TestSet) -> Iterator[Path]:
    return (path for paths in one.files.values() for path in paths)


def _read(path: Path, crop: int | None) -> Tensor:
    image = read_rgb(path)
    return image if crop is None else centre_crop(image, crop)


def _name(name: str, crop: int | None) -> str:
    return name if crop is None else f"{name} (crop {crop})"
