"""What a denoiser is judged on: series at real low dose, and at doses simulated from others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from ldct_clipdn.bench.results import result_file
from ldct_clipdn.ct.lowdose import NOISE_VERSION, simulate_low_dose
from ldct_clipdn.ct.noise_meter import measure_noise
from ldct_clipdn.data.doses import match_doses
from ldct_clipdn.data.slices import CTSlice, dicom_images, find_slices, read_frames
from ldct_clipdn.errors import ConfigError, DataError, ReadError
from ldct_clipdn.io.acquisition import tube_currents
from ldct_clipdn.io.attributes import text
from ldct_clipdn.io.dicom_read import read_header
from ldct_clipdn.io.scan import pixel_spacing
from ldct_clipdn.io.volumes import open_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = [
    "DEVELOPMENT",
    "HELD_OUT",
    "REAL",
    "SEED",
    "SEEN",
    "Case",
    "Simulation",
    "find_cases",
    "leaving_out",
    "read_case",
    "simulation_of",
]

REAL: Final = "real"
"""What stands for a dose that was no share to simulate."""

SEEN: Final = "seen"
DEVELOPMENT: Final = "development"
HELD_OUT: Final = "held out"
"""What the judged weights had of a case: they were trained on it, chosen by it, or neither."""

USUAL_PIXEL_MM: Final = (0.75, 0.75)
"""Of slices that say nothing: prepared arrays, and headers without a pixel spacing."""

SEED: Final = 1

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Case:
    """One series at one dose.

    Parameters
    ----------
    patient
        Who.
    scanner
        Maker and model; empty where nothing says it.
    kernel
        As the header has it.
    thickness_mm
        Slice thickness; None where nothing says it.
    dose
        `real`, or the simulated share.
    training
        `seen` where the weights that are judged were trained on it, `development` where they were
        chosen by it, else `held out`.
    slices
        At normal dose.
    low
        The same places at real low dose; empty where it is simulated.
    matrix_size
        Rows x columns, where nothing else tells the series from another; else empty.
    """

    patient: str
    scanner: str
    kernel: str
    thickness_mm: float | None
    dose: str
    training: str
    slices: tuple[CTSlice, ...] = field(repr=False)
    low: tuple[CTSlice, ...] = field(default=(), repr=False)
    matrix_size: str = ""

    @property
    def series(self) -> str:
        """Patient, kernel, thickness, and the matrix size where these are not enough."""
        return f"{_series(self.slices[0])} {self.matrix_size}".rstrip()

    @property
    def names(self) -> tuple[str, ...]:
        """What its slices are called: file, and number within it where it holds several."""
        return tuple(
            one.path.name if one.frames == 1 else f"{one.path.name}:{one.frame}"
            for one in self.slices
        )


@dataclass(frozen=True)
class Simulation:
    """What simulated noise depends on, beside the pixels.

    Slices are judged one by one and stand far apart, so that thickness, which correlates
    neighbours, is left out: it changes no slice's own noise.

    Parameters
    ----------
    dose
        The share.
    spacing_mm
        Distance of rows and of columns.
    tube_current
        Of each slice in mA; None where not every header has it.
    seed
        Start of the generator.
    version
        Of the simulation.
    """

    dose: float
    spacing_mm: tuple[float, float]
    tube_current: tuple[float, ...] | None
    seed: int = SEED
    version: int = NOISE_VERSION

    @property
    def digest(self) -> str:
        """Short digest: what was simulated with another is out of date."""
        return sha256(repr(self).encode()).hexdigest()[:12]


def find_cases(
    folders: Iterable[Path],
    doses: Sequence[float],
    limit: int | None = None,
    trained_on: Sequence[str] = (),
    development: Sequence[str] = (),
) -> list[Case]:
    """List what can be judged; headers only.

    Parameters
    ----------
    folders
        Data that the training understands: real pairs, normal dose, or both.
    doses
        Shares that are simulated for every series of normal dose.
    limit
        Only so many slices of each series, evenly spread.
    trained_on
        Patterns, as a shell has them, of patients, folders or files that were trained on.
    development
        The same of those by which weights, strength or recipe were chosen.

    Returns
    -------
    list of Case
        Series by series: real pairs, then the simulated doses.

    Raises
    ------
    ConfigError
        When a dose or the limit cannot be used.
    """
    if not all(0 < dose < 1 for dose in doses):
        raise ConfigError("a dose to simulate is a share", remedy="Give above 0 and below 1: 0.25")
    if limit is not None and limit < 1:
        raise ConfigError(f"a limit of {limit} slices leaves nothing", remedy="Give 1 or more")
    marks = ((SEEN, trained_on), (DEVELOPMENT, development))
    cases: list[Case] = []
    for folder in folders:
        slices = find_slices(folder).slices
        for pairs in _grouped(match_doses(slices).pairs, lambda pair: _sized(pair.low)):
            chosen = _spread(pairs, limit)
            normal, low = (tuple(pair[k] for pair in chosen) for k in (0, 1))
            cases.append(_case(normal, REAL, marks, low))
        normal_dose = [one for one in slices if one.dose == "normal"] if doses else []
        for series in _grouped(normal_dose, _sized):
            chosen_slices = tuple(_spread(series, limit))
            cases += [_case(chosen_slices, f"{dose:g}", marks) for dose in doses]
    cases = _told_apart(cases)
    order = list(dict.fromkeys(case.series for case in cases))
    return sorted(cases, key=lambda case: order.index(case.series))


def simulation_of(case: Case) -> Simulation | None:
    """Look how a case is simulated: pixels and tube current as its files have them.

    Parameters
    ----------
    case
        As `find_cases` gives it.

    Returns
    -------
    Simulation or None
        None of a real dose.

    Raises
    ------
    ReadError
        When a header cannot be read.
    """
    if case.low:
        return None
    first = case.slices[0]
    if first.kind == "volume":
        return Simulation(float(case.dose), open_volume(first.path).spacing_mm, None)
    if first.kind == "prepared":
        return Simulation(float(case.dose), USUAL_PIXEL_MM, None)
    headers = [dicom_images(one.path)[one.frame].header for one in case.slices]
    spacing = pixel_spacing(headers[0]) or USUAL_PIXEL_MM
    return Simulation(float(case.dose), spacing, tube_currents(headers))


def read_case(
    case: Case, kept: Path | None = None, doubts: dict[int, str] | None = None
) -> tuple[Volume, Volume]:
    """Read or simulate a case's pixels.

    Parameters
    ----------
    case
        As `find_cases` gives it.
    kept
        Folder in which simulated slices are kept for the next time; None keeps none.
    doubts
        Takes, by slice, why its simulation is only approximate.

    Returns
    -------
    numpy.ndarray
        Normal dose, float32 [Z, H, W] in HU.
    numpy.ndarray
        The same at low dose.

    Raises
    ------
    DataError
        When there is too little soft tissue to read the noise from, or pixels are not square.
    WriteError
        When `kept` cannot be written.
    """
    full = _volume(case.slices)
    simulation = simulation_of(case)
    if simulation is None:
        return full, _volume(case.low)
    if not np.isfinite(measure_noise(full)):
        raise DataError("there is too little soft tissue to read the noise from")
    found: dict[int, str] = {}
    if kept is None:
        low = _simulate(full, simulation, found)
    else:
        digest = sha256(full.tobytes() + simulation.digest.encode()).hexdigest()
        low = _kept(kept / f"{digest[:16]}.npz", full, simulation, found)
    if doubts is not None:
        doubts.update(found)
    return full, low


@contextmanager
def leaving_out(say: Callable[[str], None]) -> Iterator[None]:
    """Go on with the next case where one cannot be read or measured.

    Parameters
    ----------
    say
        Told why it is left out.

    Yields
    ------
    None
        What is done within is done for one case.
    """
    try:
        yield
    except (DataError, ReadError) as error:
        say(f"  left out: {error.reason}")


def _kept(path: Path, full: Volume, simulation: Simulation, doubts: dict[int, str]) -> Volume:
    """Take what was simulated before, or simulate and keep it."""
    if path.exists():
        with np.load(path) as known:
            doubts |= {int(k): why for k, why in json.loads(str(known["doubts"])).items()}
            return np.asarray(known["low"], dtype=np.float32)
    low = _simulate(full, simulation, doubts)
    with result_file(path) as partial, partial.open("wb") as file:
        np.savez(file, low=low.astype(np.int32), doubts=json.dumps(doubts))
    return low


def _simulate(full: Volume, simulation: Simulation, doubts: dict[int, str]) -> Volume:
    try:
        low = simulate_low_dose(
            full,
            dose=simulation.dose,
            spacing_mm=simulation.spacing_mm,
            tube_current=simulation.tube_current,
            seed=simulation.seed,
            doubts=doubts,
        )
    except ConfigError as error:  # here it is the data that cannot be used
        raise DataError(error.reason, remedy=error.remedy) from error
    return np.rint(low)


def _case(
    slices: tuple[CTSlice, ...],
    dose: str,
    marks: Iterable[tuple[str, Sequence[str]]],
    low: tuple[CTSlice, ...] = (),
) -> Case:
    first = slices[0]
    names = [first.patient, *first.path.parts]
    training = next((mark for mark, patterns in marks if _any_fits(names, patterns)), HELD_OUT)
    scanner = _scanner(first.path) if first.kind == "dicom" else ""
    return Case(
        first.patient, scanner, first.kernel, first.thickness_mm, dose, training, slices, low
    )


def _any_fits(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


@lru_cache(maxsize=64)
def _scanner(path: Path) -> str:
    header = read_header(path)
    maker = text(header, "Manufacturer").split(" ")[0].capitalize()
    maker = maker.upper() if len(maker) == 2 else maker
    model = text(header, "ManufacturerModelName")
    return " ".join(filter(None, (maker, model)))


def _series(one: CTSlice) -> str:
    thickness = "" if one.thickness_mm is None else f"{one.thickness_mm:g} mm"
    return " ".join(filter(None, (one.patient, one.kernel, thickness)))


def _sized(one: CTSlice) -> str:
    return f"{_series(one)} {one.shape}"


def _told_apart(cases: Sequence[Case]) -> list[Case]:
    """Put the matrix size into the names of series that differ in nothing else."""
    shapes: dict[str, set[tuple[int, int]]] = {}
    for case in cases:
        shapes.setdefault(case.series, set()).add(case.slices[0].shape)
    return [
        replace(case, matrix_size="x".join(map(str, case.slices[0].shape)))
        if len(shapes[case.series]) > 1
        else case
        for case in cases
    ]


def _grouped(things: Iterable[Thing], key: Callable[[Thing], str]) -> Iterator[list[Thing]]:
    groups: dict[str, list[Thing]] = {}
    for one in things:
        groups.setdefault(key(one), []).append(one)
    yield from groups.values()


def _spread(things: Sequence[Thing], limit: int | None) -> list[Thing]:
    count = min(limit or len(things), len(things))
    return [things[(2 * k + 1) * len(things) // (2 * count)] for k in range(count)]


def _volume(slices: Iterable[CTSlice]) -> Volume:
    return np.stack([next(islice(read_frames(one.path), one.frame, None)) for one in slices])
