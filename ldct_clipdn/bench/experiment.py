"""Runs methods over sets and conditions: every table of pictures is made by this."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import torch

from ldct_clipdn.bench.methods import Method, Prepared
from ldct_clipdn.bench.record import open_results
from ldct_clipdn.bench.results import Key, Results, Row, file_stem
from ldct_clipdn.bench.sets import (
    TestSet,
    image_set,
    pair_set,
    read_pictures,
    read_validation,
)
from ldct_clipdn.bench.strips import denoised_panels, write_strip
from ldct_clipdn.core.benchmark import Picture, measure
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.errors import ConfigError

__all__ = [
    "Progress",
    "RunSettings",
    "TestSet",
    "device_name",
    "image_set",
    "label",
    "open_experiment",
    "pair_set",
    "read_pictures",
    "read_validation",
    "require_names_differ",
    "run_experiment",
]

Progress = Callable[[int, int, str], None]
"""Told of every picture: how many are done, of how many, and which it was."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


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


def open_experiment(
    folder: Path,
    sets: Sequence[TestSet],
    methods: Sequence[Method],
    settings: RunSettings,
    *,
    resume: bool,
) -> Results:
    """Open the results of an output folder.

    Parameters
    ----------
    folder
        Made where it is missing.
    sets
        Test sets.
    methods
        Columns.
    settings
        How.
    resume
        Go on with what is in the folder.

    Returns
    -------
    Results
        What is there.

    Raises
    ------
    ConfigError
        When two methods, or two sets, have one name; or as for `open_results`.
    """
    require_names_differ("methods", methods, "Name them on the command line: NAME=FILE")
    require_names_differ("sets", sets, "Give each set once, in folders of different names")
    return open_results(
        folder,
        {one.name: one.settings for one in methods},
        {one.name: one.contents() for one in sets},
        device=device_name(settings.device),
        resume=resume,
    )


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
    """
    total = len(noises) * len(methods) * sum(len(one.files) for one in sets)
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


def require_names_differ(what: str, named: Sequence[_Named], remedy: str) -> None:
    """Refuse two of one name, which a table could not tell apart.

    Parameters
    ----------
    what
        What they are, in words.
    named
        Methods or sets.
    remedy
        What the user may do.

    Raises
    ------
    ConfigError
        When two have one name.
    """
    names = [one.name for one in named]
    if len(set(names)) < len(names):
        raise ConfigError(f"two {what} have one name among {', '.join(names)}", remedy=remedy)


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
        for image in test_set.files
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
    if len(known) == len(test_set.files):
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
