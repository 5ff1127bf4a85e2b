"""Lowers the dose of every CT series in a folder, by simulation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from ldct_clipdn.batch.failure import explain_failure
from ldct_clipdn.batch.hold import hold_folder
from ldct_clipdn.batch.manifest import InputRecord, exit_code, relative_name
from ldct_clipdn.batch.plan import check_folders, plan_run
from ldct_clipdn.batch.unusual import find_iterative
from ldct_clipdn.core.words import printable
from ldct_clipdn.ct.lowdose import check_choices, simulate_low_dose
from ldct_clipdn.errors import ConfigError, ReadError
from ldct_clipdn.io.acquisition import tube_currents
from ldct_clipdn.io.attributes import number
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.geometry import along_normal
from ldct_clipdn.io.scan import Result
from ldct_clipdn.io.simulated import SimulationRecipe, write_simulated

if TYPE_CHECKING:
    from ldct_clipdn.batch.plan import Job
    from ldct_clipdn.io.scan import Scan, Slice

__all__ = ["SimulatedSeries", "Simulation", "simulate_study"]

THINNEST_HU: Final = 0.5
"""Weaker noise moves no pixel where values are whole HU."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SimulatedSeries:
    """What became of one series.

    Parameters
    ----------
    source_uid
        SeriesInstanceUID of the source.
    simulated_uid
        Of what was written; empty where it failed.
    slices
        Images of the source.
    reason
        Why it failed, else empty.
    status
        `partial`: some images could not be read, the others are written.
    notes
        What a person should know of the source, one line each.
    """

    source_uid: str
    simulated_uid: str
    slices: int
    reason: str = ""
    status: Literal["simulated", "partial", "failed"] = "simulated"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Simulation:
    """What a run did.

    Parameters
    ----------
    series
        One record per series that was found, or part of one.
    inputs
        One record per file, sorted by path.
    """

    series: tuple[SimulatedSeries, ...]
    inputs: tuple[InputRecord, ...]

    @property
    def exit_code(self) -> int:
        """Say as an exit code how the run went.

        Returns
        -------
        int
            0 all was simulated, 1 a file or series failed, 3 there was nothing to simulate.
        """
        return exit_code(self.series, self.inputs)

    def to_dict(self) -> dict[str, Any]:
        """Turn it into what JSON can hold.

        Returns
        -------
        dict
            `series` and `inputs`.
        """
        return asdict(self)


class _Run(NamedTuple):
    """What every series of one run shares."""

    source: Path
    target: Path
    recipe: SimulationRecipe
    time: datetime


def simulate_study(source: str | Path, target: str | Path, recipe: SimulationRecipe) -> Simulation:
    """Simulate low dose for every CT series in a file or folder; one series is in memory at a time.

    Parameters
    ----------
    source
        File or folder; is never changed.
    target
        Output folder, outside the source; gets one folder per simulated series.
    recipe
        How.

    Returns
    -------
    Simulation
        What became of every series and file. A series that failed is in it and stops no other.

    Raises
    ------
    ConfigError
        When source, target or recipe cannot be used, or another run holds the target.
    """
    _check(recipe)
    run = _Run(Path(source), Path(target), recipe, datetime.now().astimezone())
    check_folders(run.source, run.target)
    with hold_folder(run.target):
        plan = plan_run(find_series(run.source))
        done = [_simulate(job, run) for job in plan.jobs]
    inputs = [one for _, each in done for one in each]
    inputs += [
        InputRecord(relative_name(one.path, run.source), one.outcome, one.reason)
        for one in plan.unused
    ]
    by_path = sorted(inputs, key=lambda one: one.path)
    return Simulation(tuple(series for series, _ in done), tuple(by_path))


def _simulate(job: Job, run: _Run) -> tuple[SimulatedSeries, list[InputRecord]]:
    """Simulate one series; what goes wrong with it stops no other."""
    failures: dict[Path, str] = {}
    uid = reason = ""
    try:
        scan, before, failures = _read_through(job.scan)
        results = list(_results(scan, before, run.recipe))
        folder = write_simulated(
            scan, results, run.target, run.recipe, time=run.time, number=job.number
        )
        uid = folder.name
    except Exception as error:  # what goes wrong with one series stops no other
        level, reason = explain_failure(error)
        logger.log(level, "series %s failed", job.scan.source_uid, exc_info=True)
        failures = {one.path: reason for one in job.scan.instances} | failures
    return _series_record(job.scan, uid, reason, failures), _input_records(job, run, failures)


def _series_record(
    scan: Scan, uid: str, reason: str, failures: Mapping[Path, str]
) -> SimulatedSeries:
    is_partial = bool(scan.lost or failures)
    return SimulatedSeries(
        source_uid=scan.source_uid,
        simulated_uid=uid,
        slices=len(scan.instances) + scan.lost,
        reason=reason,
        status="failed" if not uid else "partial" if is_partial else "simulated",
        notes=scan.notes,
    )


def _input_records(job: Job, run: _Run, failures: Mapping[Path, str]) -> list[InputRecord]:
    return [
        InputRecord(
            relative_name(path, run.source),
            "failed" if path in failures else "simulated",
            failures.get(path, ""),
        )
        for path in {one.path: one for one in job.scan.instances}  # frames share a file
    ]


def _check(recipe: SimulationRecipe) -> None:
    if not 0 < recipe.dose < 1:
        raise ConfigError(
            f"the dose {recipe.dose:g} is no lower dose",
            remedy="Give between 0 and 1, such as 0.25",
        )
    check_choices(recipe.kernel, recipe.photons, recipe.seed)


def _read_through(scan: Scan) -> tuple[Scan, list[Slice], dict[Path, str]]:
    """Read every image; those that cannot be read are lost, and the others are taken."""
    _refuse_frames(scan)
    slices: dict[Path, Slice] = {}
    failures: dict[Path, str] = {}
    for one in scan.instances:
        try:
            slices[one.path] = read_slice(one)
        except (ReadError, OSError) as error:
            failures[one.path] = explain_failure(error, one.path)[1]
    readable = tuple(one for one in scan.instances if one.path in slices)
    left = replace(scan, instances=readable, lost=scan.lost + len(failures))
    return left, list(slices.values()), failures


def _results(scan: Scan, before: Sequence[Slice], recipe: SimulationRecipe) -> Iterator[Result]:
    if not before:
        raise ReadError("none of its images can be used")
    _warn_of_iterative(scan)
    full = np.stack([one.hu for one in before])
    low = simulate_low_dose(
        full,
        dose=recipe.dose,
        spacing_mm=(_step_mm(scan), *scan.spacing_mm),
        kernel=recipe.kernel,
        photons=recipe.photons,
        thickness_mm=_thickness_mm(scan),
        tube_current=tube_currents([one.header for one in scan.instances]),
        seed=recipe.seed,
    )
    if np.abs(low - full).max() < THINNEST_HU:
        raise ConfigError(
            "the noise of this dose is too weak to change a pixel",
            remedy="Give fewer photons, or auto",
        )
    for instance, pixels, hu in zip(scan.instances, before, low, strict=True):
        yield Result(instance, pixels, hu)


def _refuse_frames(scan: Scan) -> None:
    frames = next((one for one in scan.instances if one.frame is not None), None)
    if frames is not None:
        raise ReadError(
            "the dose of Enhanced CT (multi-frame) cannot be lowered by this version",
            path=frames.path,
            remedy="Convert it to single-frame CT first",
        )


def _warn_of_iterative(scan: Scan) -> None:
    if words := find_iterative(scan):
        logger.warning(
            "%s looks like an iterative reconstruction, whose noise does not follow the dose as "
            "simulated here: approximate",
            printable(words),
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
