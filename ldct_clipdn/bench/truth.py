"""The proof where the truth is known, part by part; a part that is done is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ldct_clipdn.bench.anatomies import PATIENTS, SHEPP_LOGAN
from ldct_clipdn.bench.cases import find_cases, simulation_of
from ldct_clipdn.bench.contestants import STRENGTHS, Contestant, contestants
from ldct_clipdn.bench.contrast import (
    DiscRow,
    EdgeRow,
    NoiseSource,
    measure_discs,
    measure_edges,
)
from ldct_clipdn.bench.draws import (
    DrawRow,
    DrawsOf,
    average_draws,
    draw_row,
    keep_maps,
    maps_file,
)
from ldct_clipdn.bench.known_truth import (
    CleanRow,
    PhantomRow,
    measure_clean,
    measure_phantoms,
    phantom_draws,
)
from ldct_clipdn.bench.record import require_same_run
from ldct_clipdn.bench.results import make_folder, read_rows, write_rows
from ldct_clipdn.bench.truth_figures import CURVES_FILE, draw_truth
from ldct_clipdn.bench.truth_parts import PARTS
from ldct_clipdn.bench.truth_tables import write_report
from ldct_clipdn.ct.lowdose import NOISE_VERSION, simulate_low_dose
from ldct_clipdn.ct.noise_meter import measure_noise
from ldct_clipdn.data.slices import read_frames
from ldct_clipdn.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.inference.backends import Backend

    Plane = NDArray[np.float32]
    Rows = Sequence[Any]
    Say = Callable[[str], None]

__all__ = ["RealSlice", "TruthOptions", "real_slices", "run_truth"]

ROWS: Final[dict[str, type[Any]]] = {
    "phantom": PhantomRow,
    "discs": DiscRow,
    "edges": EdgeRow,
    "draws": DrawRow,
    "clean": CleanRow,
}

KERNEL: Final = "standard"

DRAWN_DOSE: Final = 0.25


class RealSlice(NamedTuple):
    """A slice of normal dose.

    Parameters
    ----------
    name
        Its series.
    hu
        float32 [H, W] in HU.
    spacing_mm
        Distance of rows and of columns, as its file has it.
    """

    name: str
    hu: Plane
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class TruthOptions:
    """What is measured.

    Parameters
    ----------
    parts
        Some of `PARTS`.
    draws
        Images with and images without each disc.
    slice_draws
        Draws of the noise on one slice.
    ct
        Folders of real CT of normal dose, for the clean input and the draws; may be none.
    seed
        Start of the generators.

    Raises
    ------
    ConfigError
        When a number is too small or a part unknown.
    """

    parts: tuple[str, ...] = PARTS
    draws: int = 100
    slice_draws: int = 50
    ct: tuple[Path, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if self.draws < 20 or self.slice_draws < 2:
            raise ConfigError(
                f"{self.draws} and {self.slice_draws} draws are too few",
                remedy="Give --draws 20 or more, --slice-draws 2 or more",
            )
        unknown = set(self.parts) - set(PARTS)
        if unknown:
            raise ConfigError(f"no part is named {min(unknown)!r}", remedy=", ".join(PARTS))


def run_truth(
    engine: Backend, folder: Path, options: TruthOptions, say: Say = lambda _: None
) -> dict[str, list[dict[str, Any]]]:
    """Measure what is missing in the folder, and write tables and figures.

    Parameters
    ----------
    engine
        The denoiser's.
    folder
        Gets a CSV per part, curves and maps of figures, `report.md`, the figures, and `run.json`,
        which says what they depend on. The report, and the figures of these parts, are made anew
        of what is there.
    options
        What is measured.
    say
        Told of every step.

    Returns
    -------
    dict
        Rows by part.

    Raises
    ------
    ConfigError
        When the folder holds results of other weights or settings, or matplotlib is not installed.
    WriteError
        When the folder cannot be written.
    """
    make_folder(folder)
    require_same_run(folder, _depends(engine, options))
    measures: dict[str, Callable[[], Rows]] = {
        "phantom": lambda: measure_phantoms(contestants(engine), say),
        "discs": lambda: _discs(engine, options, say),
        "edges": lambda: _edges(engine, folder, options, say),
        "draws": lambda: _draws(engine, folder, options, say),
        "clean": lambda: _clean(engine, options, say),
    }
    for part in options.parts:
        path = folder / f"{part}.csv"
        if not path.exists():
            say(f"{part} ...")
            write_rows(path, [asdict(row) for row in measures[part]()])
    rows = {part: read_rows(folder / f"{part}.csv", kind) for part, kind in ROWS.items()}
    results = {part: [asdict(row) for row in some] for part, some in rows.items()}
    write_report(results, folder / "report.md")
    draw_truth({part: rows[part] for part in options.parts}, folder)
    return results


def _discs(engine: Backend, options: TruthOptions, say: Say) -> Rows:
    noise = NoiseSource(KERNEL, options.seed)
    return measure_discs(noise, options.draws, contestants(engine), say)


def _edges(engine: Backend, folder: Path, options: TruthOptions, say: Say) -> Rows:
    noise = NoiseSource(KERNEL, options.seed + 1)
    rows, curves = measure_edges(noise, contestants(engine), say)
    write_rows(folder / CURVES_FILE, [asdict(point) for point in curves])
    return rows


def _draws(engine: Backend, folder: Path, options: TruthOptions, say: Say) -> Rows:
    everyone = contestants(engine)
    few = [everyone[0], everyone[-1]]
    rows = []
    for one in _drawn_slices(options):
        say(f"{options.slice_draws} draws on {one.name}")
        maps = average_draws(one, few)
        rows += [draw_row(one, name, found) for name, found in maps.items()]
        keep_maps(one, maps[few[-1].name], maps_file(folder, one.name))
    return rows


def _drawn_slices(options: TruthOptions) -> list[DrawsOf]:
    drawn = [phantom_draws(options.slice_draws, options.seed)]
    for one in islice(real_slices(options.ct), 1):
        # of one slice: its tube current is the same in every draw
        stack = np.repeat(one.hu[None], options.slice_draws, axis=0)
        noisy = simulate_low_dose(
            stack, dose=DRAWN_DOSE, spacing_mm=one.spacing_mm, seed=options.seed
        )
        drawn.append(DrawsOf(one.name, one.hu, noisy, measure_noise(noisy[0])))
    return drawn


def _clean(engine: Backend, options: TruthOptions, say: Say) -> Rows:
    slices = {one.name: one.hu for one in real_slices(options.ct)}
    say(f"clean input: {len(slices)} series, made head")
    denoiser: Contestant = contestants(engine)[-1]
    return measure_clean(engine, slices, denoiser, options.seed)


def real_slices(folders: Sequence[Path]) -> Iterator[RealSlice]:
    """Read the middle slice of each series of normal dose.

    Parameters
    ----------
    folders
        Data that the training understands; may be none.

    Yields
    ------
    RealSlice
        With the spacing that its file gives.

    Raises
    ------
    DataError
        When folders are given and hold no normal dose, or a slice cannot be read.
    """
    cases = find_cases(folders, (DRAWN_DOSE,), limit=1)
    simulated = [(one, how) for one in cases if (how := simulation_of(one))]
    if folders and not simulated:
        raise DataError("no CT of normal dose", path=folders[0], remedy="Give other folders")
    for case, how in simulated:
        (one,) = case.slices
        hu = next(islice(read_frames(one.path), one.frame, None))
        yield RealSlice(case.series, hu, how.spacing_mm)


def _depends(engine: Backend, options: TruthOptions) -> dict[str, Any]:
    """Say what the rows depend on."""
    return {
        "weights": engine.weights.sha256,
        "draws": options.draws,
        "slice_draws": options.slice_draws,
        "ct": [str(one) for one in options.ct],
        "seed": options.seed,
        "noise_version": NOISE_VERSION,
        "strengths": STRENGTHS,
        "phantoms": [*PATIENTS, SHEPP_LOGAN],
    }
