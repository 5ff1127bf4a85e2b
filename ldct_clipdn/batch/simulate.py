"""Lowers the dose of every CT series in a folder, by simulation."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.batch.hold import hold_folder
from ldct_clipdn.batch.plan import check_folders, plan_run
from ldct_clipdn.ct.lowdose import check_choices, simulate_low_dose
from ldct_clipdn.errors import ConfigError, LdctError, ReadError
from ldct_clipdn.io.acquisition import tube_currents
from ldct_clipdn.io.attributes import number, text
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.geometry import along_normal
from ldct_clipdn.io.scan import Result
from ldct_clipdn.io.simulated import SimulationRecipe, write_simulated

if TYPE_CHECKING:
    from ldct_clipdn.batch.plan import Job
    from ldct_clipdn.io.scan import Scan

__all__ = ["SimulatedSeries", "simulate_study"]

ITERATIVE: Final = re.compile(r"^[IJQ][a-z]?\d\d|idose|asir|aidr|imr|safire|admire|veo|deep", re.I)
"""How makers name what is no filtered back-projection, in kernel and description."""

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
    """

    source_uid: str
    simulated_uid: str
    slices: int
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give the record as strings and numbers.

        Returns
        -------
        dict
            One entry per field.
        """
        return asdict(self)


def simulate_study(
    source: str | Path, target: str | Path, recipe: SimulationRecipe
) -> list[SimulatedSeries]:
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
    list of SimulatedSeries
        One per series found. A series that failed is in it and stops no other.

    Raises
    ------
    ConfigError
        When source, target or recipe cannot be used, or another run holds the target.
    """
    _check(recipe)
    source, target = Path(source), Path(target)
    check_folders(source, target)
    with hold_folder(target):
        time = datetime.now().astimezone()
        jobs = plan_run(find_series(source)).jobs
        return [_simulate(job, target, recipe, time) for job in jobs]


def _simulate(job: Job, target: Path, recipe: SimulationRecipe, time: datetime) -> SimulatedSeries:
    """Simulate one series; what goes wrong with it stops no other."""
    scan = job.scan
    try:
        folder = write_simulated(
            scan, _results(scan, recipe), target, recipe, time=time, number=job.number
        )
    except LdctError as error:
        logger.debug("series %s failed", scan.source_uid, exc_info=True)
        return SimulatedSeries(scan.source_uid, "", len(scan.instances), error.reason)
    return SimulatedSeries(scan.source_uid, folder.name, len(scan.instances))


def _check(recipe: SimulationRecipe) -> None:
    if not 0 < recipe.dose < 1:
        raise ConfigError(
            f"the dose {recipe.dose:g} is no lower dose",
            remedy="Give between 0 and 1, such as 0.25",
        )
    check_choices(recipe.kernel, recipe.photons, recipe.seed)


def _results(scan: Scan, recipe: SimulationRecipe) -> Iterator[Result]:
    _refuse_frames(scan)
    _warn_of_iterative(scan)
    before = [read_slice(one) for one in scan.instances]
    low = simulate_low_dose(
        np.stack([one.hu for one in before]),
        dose=recipe.dose,
        spacing_mm=(_step_mm(scan), *scan.spacing_mm),
        kernel=recipe.kernel,
        photons=recipe.photons,
        thickness_mm=_thickness_mm(scan),
        tube_current=tube_currents([one.header for one in scan.instances]),
        seed=recipe.seed,
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
    header = scan.instances[0].header
    names = (text(header, "ConvolutionKernel"), text(header, "SeriesDescription"))
    if any(ITERATIVE.search(name) for name in names):
        logger.warning(
            "%s looks like an iterative reconstruction, whose noise does not follow the dose as "
            "simulated here: approximate",
            " ".join(names).strip(),
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
