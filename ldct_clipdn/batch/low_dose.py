"""Low dose of one series: its pixels, the noise it was made of, and what is doubtful about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import numpy as np

from ldct_clipdn.batch.manifest import relative_name
from ldct_clipdn.batch.unusual import find_iterative
from ldct_clipdn.core.words import counted, printable
from ldct_clipdn.ct.lowdose import fit_noise, simulate_low_dose
from ldct_clipdn.ct.noise_fit import NoiseFit
from ldct_clipdn.data.names import header_dose, path_traits
from ldct_clipdn.errors import ConfigError, ReadError
from ldct_clipdn.io.acquisition import tube_currents
from ldct_clipdn.io.attributes import number
from ldct_clipdn.io.geometry import along_normal
from ldct_clipdn.io.scan import Result
from ldct_clipdn.io.simulated_write import is_simulated

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Scan, Slice
    from ldct_clipdn.io.simulated_write import SimulationRecipe

__all__ = ["LowDose", "find_doubts", "lower_dose", "read_told"]

THINNEST_HU: Final = 0.5
"""Weaker noise moves no pixel where values are whole HU."""

logger = logging.getLogger(__name__)


class _Acquisition(TypedDict):
    """What the physics wants to know of a series."""

    spacing_mm: Sequence[float]
    thickness_mm: float | None
    tube_current: Sequence[float] | None
    seed: int


@dataclass(frozen=True)
class LowDose:
    """Low dose of a series.

    Parameters
    ----------
    results
        One per image.
    noise
        Kernel and quanta, found or as given.
    doubts
        Why the simulation is only approximate, one line each.
    """

    results: tuple[Result, ...]
    noise: NoiseFit
    doubts: tuple[str, ...]


def lower_dose(scan: Scan, before: Sequence[Slice], recipe: SimulationRecipe) -> LowDose:
    """Simulate.

    Parameters
    ----------
    scan
        The series.
    before
        Pixels of all its images.
    recipe
        How.

    Returns
    -------
    LowDose
        In the order of the images.

    Raises
    ------
    ConfigError
        When the recipe cannot be used for this series.
    ReadError
        When there is no image.
    """
    if not before:
        raise ReadError("none of its images can be used")
    full = np.stack([one.hu for one in before])
    acquisition: _Acquisition = {
        "spacing_mm": (_step_mm(scan), *scan.spacing_mm),
        "thickness_mm": _thickness_mm(scan),
        "tube_current": tube_currents([one.header for one in scan.instances]),
        "seed": recipe.seed,
    }
    guesses: list[str] = []
    noise = fit_noise(
        full, kernel=recipe.kernel, photons=recipe.photons, doubts=guesses, **acquisition
    )
    logger.debug("series %s: %s", printable(scan.source_uid), noise)
    doubts: dict[int, str] = {}
    low = simulate_low_dose(
        full,
        dose=recipe.dose,
        kernel=noise.kernel,
        photons=noise.quanta,
        doubts=doubts,
        **acquisition,
    )
    if np.abs(low - full).max() < THINNEST_HU:
        raise ConfigError(
            "the noise of this dose is too weak to change a pixel",
            remedy="Give fewer photons, or auto",
        )
    made = zip(scan.instances, before, low, strict=True)
    results = tuple(Result(*one) for one in made)
    told = (f"approximate: {one}" for one in guesses)
    return LowDose(results, noise, (*told, *_sum_up(doubts, len(before))))


def read_told(remarks: str) -> tuple[NoiseFit | None, tuple[str, ...]]:
    """Read what an earlier run told of a series that it simulated.

    Parameters
    ----------
    remarks
        The noise, and what was doubtful, `; ` between them.

    Returns
    -------
    NoiseFit or None
        None where it does not say.
    tuple of str
        What was doubtful, one line each.
    """
    noise = NoiseFit.read(remarks)
    doubts = remarks.removeprefix(str(noise)).split("; ")
    return noise, tuple(filter(None, doubts))


def find_doubts(scan: Scan, source: Path) -> tuple[str, ...]:
    """Say what makes a series doubtful as a source, before it is simulated; the same is logged.

    Parameters
    ----------
    scan
        The series.
    source
        The input it was found in.

    Returns
    -------
    tuple of str
        One line each.
    """
    found = tuple(_source_doubts(scan, source))
    for one in found:
        logger.warning("%s", printable(f"series {scan.source_uid}: {one}"))
    return found


def _source_doubts(scan: Scan, source: Path) -> Iterator[str]:
    first = scan.instances[0]
    if words := find_iterative(scan):
        yield (
            f"approximate: {words} looks like an iterative reconstruction, whose noise does not "
            "follow the dose as simulated here"
        )
    if is_simulated(first.header):
        yield "the source is a simulation of low dose itself, and the dose a share of that one's"
        return
    parts = source.resolve().name, *relative_name(first.path, source).split("/")
    if (header_dose(first.header) or path_traits(parts).dose) == "low":
        yield "by its name the source is low dose itself, and the dose a share of that one's"


def _sum_up(doubts: Mapping[int, str], slices: int) -> Iterator[str]:
    if doubts:
        k = min(doubts)
        yield (
            f"approximate in {len(doubts)} of {counted(slices, 'slice')}, "
            f"first in slice {k + 1}: {doubts[k]}"
        )


def _step_mm(scan: Scan) -> float:
    """Measure the distance of slices; of a single one, its thickness."""
    places = [along_normal(one.header) for one in scan.instances]
    known = np.array([one for one in places if one is not None])
    step = float(np.median(np.abs(np.diff(known)))) if len(known) > 1 else 0.0
    return step or _thickness_mm(scan) or 1.0


def _thickness_mm(scan: Scan) -> float | None:
    """Read the slice thickness off the first header that has one."""
    read = (number(one.header, "SliceThickness") for one in scan.instances)
    return next((one for one in read if one is not None and one > 0), None)
