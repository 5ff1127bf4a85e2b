"""Runs methods over sets and conditions: every table of pictures is made by this."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ldct_clipdn.bench.methods import Method, Prepared
from ldct_clipdn.bench.results import Key, Results, Row, file_stem
from ldct_clipdn.bench.strips import denoised_panels, write_strip
from ldct_clipdn.core.benchmark import Picture, measure
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.data.natural import centre_crop, find_images, find_pairs, read_rgb
from ldct_clipdn.errors import ConfigError

__all__ = [
    "Progress",
    "RunSettings",
    "TestSet",
    "device_name",
    "image_set",
    "label",
    "pair_set",
    "read_pictures",
    "read_validation",
    "run_experiment",
]

VALIDATION_PICTURES: Final = 6
VALIDATION_SIDE: Final = 192
"""What a filter's strength is chosen on: the middle of the first pictures of the folder."""


Progress = Callable[[int, int, str], None]
"""Told of every picture: how many are done, of how many, and which it was."""


@dataclass(frozen=True)
class TestSet:
    """One test set, read when it is its turn.

    Parameters
    ----------
    name
        For tables.
    images
        Names of its pictures.
    read
        Gives them.
    """

    __test__ = False  # the name is the field's, not pytest's

    name: str
    images: tuple[str, ...]
    read: Callable[[], list[Picture]] = field(repr=False)


@dataclass(frozen=True)
class RunSettings:
    """How a table is computed.

    Parameters
    ----------
    device
        Where.
    batch_size
        Pictures of equal size at once.
    strips
        For how many pictures of each set and condition a comparison strip is drawn.
    """

    device: torch.device
    batch_size: int = 8
    strips: int = 0


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
        When there are none.
    """
    found = find_images(folder)
    paths = found.paths[:limit]

    def read() -> list[Picture]:
        return read_pictures(paths, crop)

    return TestSet(_name(found.name, crop), tuple(path.stem for path in paths), read)


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
    found = find_pairs(folder)
    pairs = found.pairs[:limit]

    def read() -> list[Picture]:
        return [Picture(one.name, _read(one.clean, crop), _read(one.noisy, crop)) for one in pairs]

    return TestSet(_name(found.name, crop), tuple(one.name for one in pairs), read)


def read_validation(folder: Path | None, *, pairs: bool = False) -> list[Picture]:
    """Read the pictures that strengths are chosen on.

    Parameters
    ----------
    folder
        Not the test set; None gives no pictures.
    pairs
        Whether the folder holds pairs.

    Returns
    -------
    list of Picture
        The middle of the first ones.
    """
    if folder is None:
        return []
    if pairs:
        chosen = find_pairs(folder).pairs[:VALIDATION_PICTURES]
        return [
            Picture(one.name, _read(one.clean, VALIDATION_SIDE), _read(one.noisy, VALIDATION_SIDE))
            for one in chosen
        ]
    paths = find_images(folder).paths[:VALIDATION_PICTURES]
    return read_pictures(paths, VALIDATION_SIDE)


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


def run_experiment(
    sets: Sequence[TestSet],
    noises: Sequence[Noise | None],
    methods: Sequence[Method],
    results: Results,
    settings: RunSettings,
    progress: Progress | None = None,
) -> None:
    """Measure what is not yet measured, and draw the strips.

    Parameters
    ----------
    sets
        Test sets.
    noises
        Conditions; None for pairs.
    methods
        Columns.
    results
        Where rows go; those that are there are not measured again.
    settings
        How.
    progress
        Told of every picture.

    Raises
    ------
    ConfigError
        When two methods, or two sets, have one name.
    """
    _require_names_differ("methods", methods, "Name weights on the command line: NAME=FILE")
    _require_names_differ("sets", sets, "Give each set once, in folders of different names")
    total = len(noises) * len(methods) * sum(len(one.images) for one in sets)
    done = 0
    for test_set in sets:
        pictures = cache(test_set.read)
        for noise in noises:
            ready = {one.name: cache(partial(one.prepare, noise)) for one in methods}
            for name, prepare in ready.items():
                known = _known(test_set, noise, name, results)
                done += len(known)
                for row in _measure(test_set, pictures, noise, name, known, prepare, settings):
                    results.add(row)
                    done += 1
                    if progress is not None:
                        progress(done, total, f"{test_set.name} {label(noise)} {name}")
            if settings.strips:
                _draw_strips(test_set, pictures, noise, ready, results.folder, settings)


def label(noise: Noise | None) -> str:
    """Name a condition.

    Parameters
    ----------
    noise
        The noise; None for photographs.

    Returns
    -------
    str
        The noise's label, or nothing.
    """
    return "" if noise is None else noise.label


def device_name(device: torch.device) -> str:
    """Name a device for the record.

    Parameters
    ----------
    device
        The device.

    Returns
    -------
    str
        The GPU's name, or the processor's.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _known(test_set: TestSet, noise: Noise | None, method: str, results: Results) -> set[str]:
    return {
        image
        for image in test_set.images
        if Key(test_set.name, label(noise), method, image) in results
    }


def _measure(
    test_set: TestSet,
    pictures: Callable[[], list[Picture]],
    noise: Noise | None,
    method: str,
    known: set[str],
    prepare: Callable[[], Prepared],
    settings: RunSettings,
) -> Iterator[Row]:
    if len(known) == len(test_set.images):
        return
    denoise, setting = prepare()
    missing = [picture for picture in pictures() if picture.name not in known]
    for score in measure(
        denoise, missing, noise, device=settings.device, batch_size=settings.batch_size
    ):
        yield Row(test_set.name, label(noise), method, score.name, setting, *score[1:])


def _draw_strips(
    test_set: TestSet,
    pictures: Callable[[], list[Picture]],
    noise: Noise | None,
    ready: Mapping[str, Callable[[], Prepared]],
    folder: Path,
    settings: RunSettings,
) -> None:
    for picture in pictures()[: settings.strips]:
        place = "_".join(filter(None, (test_set.name, label(noise), picture.name)))
        path = folder / "strips" / f"{file_stem(place)}.png"
        if not path.exists():
            panels = denoised_panels(picture, noise, ready, settings.device)
            write_strip(panels, path, f"{test_set.name}, {picture.name}, {label(noise)}")


def _require_names_differ(what: str, named: Sequence[Method | TestSet], remedy: str) -> None:
    names = [one.name for one in named]
    if len(set(names)) < len(names):
        raise ConfigError(f"two {what} have one name among {', '.join(names)}", remedy=remedy)


def _read(path: Path, crop: int | None) -> Tensor:
    image = read_rgb(path)
    return image if crop is None else centre_crop(image, crop)


def _name(name: str, crop: int | None) -> str:
    return name if crop is None else f"{name} (crop {crop})"
