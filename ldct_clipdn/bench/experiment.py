"""Runs methods over sets and conditions: every table of pictures is made by this."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import torch

from ldct_clipdn.bench.kept_strips import keep_strip
from ldct_clipdn.bench.methods import Method, Prepared
from ldct_clipdn.bench.published import published_scores
from ldct_clipdn.bench.record import known_counterparts, open_results
from ldct_clipdn.bench.results import Key, Results, Row
from ldct_clipdn.bench.sets import TestSet
from ldct_clipdn.bench.strips import Panel, denoised_panels
from ldct_clipdn.bench.tables import Table, make_table, write_table
from ldct_clipdn.core.benchmark import Picture, PictureScore, measure
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.errors import ConfigError, DataError

__all__ = [
    "PictureTable",
    "Progress",
    "RunSettings",
    "device_name",
    "label",
    "require_names_differ",
    "run_table",
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


@dataclass(frozen=True)
class PictureTable:
    """One table of pictures.

    Parameters
    ----------
    title
        Heading.
    printed
        Its numbers in the paper, whose figures stand beside.
    conditions
        Noises; None for pairs.
    input_name
        What the column of the untreated picture is headed.
    """

    title: str
    printed: tuple[int, ...]
    conditions: tuple[Noise | None, ...]
    input_name: str = "noisy"


def run_table(
    table: PictureTable,
    sets: Sequence[TestSet],
    methods: Sequence[Method],
    folder: Path,
    settings: RunSettings,
    *,
    conditions: Sequence[Noise | None] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Measure methods on sets under every condition and write the table.

    Parameters
    ----------
    table
        Which one.
    sets
        Test sets: of clean pictures where noise is added, else of pairs.
    methods
        Columns.
    folder
        Gets `scores.csv` (one row per picture), `run.json`, `table.md`, `table.csv`, `strips/`.
    settings
        Device, batch size, strips.
    conditions
        Rows; the table's own unless told.
    resume
        Go on with what is in the folder.
    progress
        Told of every picture.

    Returns
    -------
    Table
        Everything measured in the folder, with the paper's figures beside.

    Raises
    ------
    ConfigError
        When two methods, or two sets, have one name; when the folder holds results and `resume` is
        false, or results of other settings.
    DataError
        When a method gives what is no picture.
    """
    require_names_differ("methods", methods, "Name them on the command line: NAME=FILE")
    require_names_differ("sets", sets, "Give each set once, in folders of different names")
    results = open_results(
        folder,
        {one.name: one.settings for one in methods},
        {one.name: one.contents() for one in sets},
        counterparts={one.name: one.counterpart for one in methods},
        device=device_name(settings.device),
        resume=resume,
    )
    chosen = table.conditions if conditions is None else conditions
    total = len(chosen) * len(methods) * sum(len(one.files) for one in sets)
    done = 0
    for test_set in sets:
        pictures = cache(test_set.read)
        for noise in chosen:
            ready = {one.name: cache(partial(one.prepare, noise)) for one in methods}
            for name, prepare in ready.items():
                known = _known(test_set, noise, name, results)
                done += len(known)
                for row in _measure(test_set, pictures, noise, name, known, prepare, settings):
                    results.add(row)
                    done += 1
                    if progress is not None:
                        progress(done, total, f"{test_set.name} {label(noise)} {name}")
            for picture in pictures()[: settings.strips] if settings.strips else []:
                _keep_strip(table, test_set, picture, noise, ready, folder, settings.device)
    made = make_table(
        table.title,
        results,
        published_scores(*table.printed),
        known_counterparts(folder),
        input_name=table.input_name,
    )
    write_table(made, folder)
    return made


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
    scores = measure(
        denoise, missing, noise, device=settings.device, batch_size=settings.batch_size
    )
    for score in _naming(method, scores):
        yield Row(test_set.name, label(noise), method, score.name, setting, *score[1:])


def _naming(method: str, scores: Iterator[PictureScore]) -> Iterator[PictureScore]:
    """Say whose fault it is where a denoiser gives what is no picture."""
    try:
        yield from scores
    except DataError as error:
        raise DataError(f"{method}: {error.reason}", remedy=error.remedy) from error


def _keep_strip(
    table: PictureTable,
    test_set: TestSet,
    picture: Picture,
    noise: Noise | None,
    ready: Mapping[str, Callable[[], Prepared]],
    folder: Path,
    device: torch.device,
) -> None:
    def draw() -> list[Panel]:
        first, *others = denoised_panels(picture, noise, ready, device)
        return [first._replace(title=table.input_name), *others]

    stem = "_".join(filter(None, (test_set.name, label(noise), picture.name)))
    title = ", ".join(filter(None, (test_set.name, picture.name, label(noise))))
    keep_strip(folder, stem, title, list(ready), draw)
