"""Lowers the dose of every CT series in a folder, by simulation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ldct_clipdn.batch.failure import explain_failure
from ldct_clipdn.batch.hold import hold_folder
from ldct_clipdn.batch.low_dose import find_doubts, lower_dose, read_told
from ldct_clipdn.batch.manifest import InputRecord, all_inputs, exit_code, file_records
from ldct_clipdn.batch.plan import check_folders, plan_run
from ldct_clipdn.batch.readable import read_through
from ldct_clipdn.batch.resume import RUN_FILE
from ldct_clipdn.batch.volume_plan import without_volumes
from ldct_clipdn.ct.lowdose import check_choices
from ldct_clipdn.errors import ConfigError, ReadError
from ldct_clipdn.io.dicom_write import clear_unfinished
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import pixel_spacing
from ldct_clipdn.io.simulated_write import (
    SimulationRecipe,
    read_remarks,
    simulated_uid,
    write_simulated,
)
from ldct_clipdn.io.uids import identity, pixel_digest
from ldct_clipdn.io.written_before import find_written

if TYPE_CHECKING:
    from ldct_clipdn.batch.plan import Job
    from ldct_clipdn.ct.noise_fit import NoiseFit
    from ldct_clipdn.io.scan import Scan, Slice

__all__ = ["SimulatedSeries", "Simulation", "simulate_study"]

KEPT: Final = "simulated with these settings by an earlier run, and kept"

NO_DICOM: Final = "a volume: the dose of DICOM series only can be lowered"

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
        What a person should know of the source, why the simulation is only approximate, and whether
        an earlier run made it; one line each.
    number, source_kernel
        SeriesNumber and ConvolutionKernel of the source; 0 and empty where there is none.
    noise
        Kernel and quanta, found or as given; None where it failed, or an earlier run does not say.
    """

    source_uid: str
    simulated_uid: str
    slices: int
    reason: str = ""
    status: Literal["simulated", "partial", "failed"] = "simulated"
    notes: tuple[str, ...] = ()
    noise: NoiseFit | None = None
    number: int = 0
    source_kernel: str = ""


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

    A run that was cut off goes on with the series that it did not finish.

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
        if not (run.target / RUN_FILE).exists():  # what a killed `denoise` will go on with
            clear_unfinished(run.target)
        plan = plan_run(find_series(run.source))
        done = [_simulate(job, run) for job in plan.jobs]
    used = [one for _, each in done for one in each]
    inputs = all_inputs(used, without_volumes(plan.unused, NO_DICOM), run.source)
    return Simulation(tuple(series for series, _ in done), inputs)


def _simulate(job: Job, run: _Run) -> tuple[SimulatedSeries, tuple[InputRecord, ...]]:
    """Simulate one series; what goes wrong with it stops no other."""
    failures: dict[Path, str] = {}
    reason = ""
    doubts: tuple[str, ...] = ()
    made = _Made("")
    try:
        _check_scan(job.scan)
        before: list[Slice] = []
        scan, failures = read_through(job.scan, lambda _, pixels: before.append(pixels))
        doubts = find_doubts(job.scan, run.source)
        made = _made_before(scan, before, run) or _make(job, scan, before, doubts, run)
    except Exception as error:  # what goes wrong with one series stops no other
        level, reason = explain_failure(error)
        logger.log(level, "series %s failed", job.scan.source_uid, exc_info=True)
        failures = {one.path: reason for one in job.scan.instances} | failures
    notes = tuple(dict.fromkeys((*job.scan.notes, *doubts, *made.notes)))
    record = replace(_series_record(job, made, reason, failures), notes=notes)
    return record, file_records(job.scan, failures, run.source, "simulated")


class _Made(NamedTuple):
    """A simulated series, empty where there is none: its UID, its noise, notes of its own."""

    uid: str
    noise: NoiseFit | None = None
    notes: tuple[str, ...] = ()


def _made_before(scan: Scan, before: Sequence[Slice], run: _Run) -> _Made | None:
    """Take the series that an earlier run finished; None where none did."""
    uid = simulated_uid(scan, run.recipe)
    images = zip(scan.instances, before, strict=True)
    sources = {identity(one): pixel_digest(pixels.stored) for one, pixels in images}
    written = find_written(run.target / uid, sources)
    if not written:
        return None
    first = next(iter(written.values())).header
    noise, doubts = read_told(read_remarks(first, run.recipe))
    return _Made(uid, noise, (*doubts, KEPT))


def _make(job: Job, scan: Scan, before: Sequence[Slice], doubts: Sequence[str], run: _Run) -> _Made:
    low = lower_dose(scan, before, run.recipe)
    folder = write_simulated(
        scan,
        low.results,
        run.target,
        run.recipe,
        time=run.time,
        number=job.number,
        remarks=(str(low.noise), *doubts, *low.doubts),
    )
    return _Made(folder.name, low.noise, low.doubts)


def _series_record(
    job: Job, made: _Made, reason: str, failures: Mapping[Path, str]
) -> SimulatedSeries:
    scan = job.scan
    is_partial = bool(scan.lost or failures)
    return SimulatedSeries(
        source_uid=scan.source_uid,
        simulated_uid=made.uid,
        slices=len(scan.instances) + scan.lost,
        reason=reason,
        status="failed" if not made.uid else "partial" if is_partial else "simulated",
        noise=made.noise,
        number=job.source_number,
        source_kernel=job.kernel,
    )


def _check(recipe: SimulationRecipe) -> None:
    if not 0 < recipe.dose < 1:
        raise ConfigError(
            f"the dose {recipe.dose:g} is no lower dose",
            remedy="Give between 0 and 1, such as 0.25",
        )
    check_choices(recipe.kernel, recipe.photons, recipe.seed)


def _check_scan(scan: Scan) -> None:
    """Refuse what the simulation cannot do."""
    frames = next((one for one in scan.instances if one.frame is not None), None)
    if frames is not None:
        raise ReadError(
            "the dose of Enhanced CT (multi-frame) cannot be lowered by this version",
            path=frames.path,
            remedy="Convert it to single-frame CT first",
        )
    first = scan.instances[0]
    if pixel_spacing(first.header) is None:
        raise ReadError(
            "the pixel size is not known, and the noise's texture depends on it",
            path=first.path,
            remedy="Give it a PixelSpacing",
        )
