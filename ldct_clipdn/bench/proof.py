"""The fair error of a denoiser and of the best classic filters, on real and simulated low dose.

One table: a row per series, dose and method. What simulation adds is independent of the slice's own
noise, so that the fair error serves there as it does on real pairs.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from ldct_clipdn.bench.classic import Candidate, candidates
from ldct_clipdn.bench.fair import FairSet, window_psnr
from ldct_clipdn.ct.lowdose import simulate_low_dose
from ldct_clipdn.ct.noise_meter import measure_noise
from ldct_clipdn.data.doses import match_doses
from ldct_clipdn.data.slices import CTSlice, find_slices, read_frames
from ldct_clipdn.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["ProofRow", "run_proof"]

INPUT: Final = "input"
TRUTH: Final = "truth"
USUAL_PIXEL_MM: Final = 0.75

Thing = TypeVar("Thing")

Denoise = Callable[["Volume"], "Volume"]


@dataclass(frozen=True)
class ProofRow:
    """One method on one series at one dose.

    Parameters
    ----------
    series
        Patient, kernel, thickness.
    dose
        `real`, or the simulated share.
    slices
        How many.
    method
        `input`, a classic filter at its best on these very slices, `truth`, or the denoiser.
    removed
        Share of the input's squared error to the truth that is taken away.
    gain
        `removed` over that of the best classic filter.
    worst_gain
        The same of the slice where it is lowest, against the same filter and setting; NaN for
        what has no single result.
    psnr
        In [-160, 240] HU against the noisy full dose, in dB; NaN for the truth.
    bias_hu
        Mean change in soft tissue.
    setting
        What a filter was set to.
    """

    series: str
    dose: str
    slices: int
    method: str
    removed: float
    gain: float
    worst_gain: float
    psnr: float
    bias_hu: float
    setting: str = ""


@dataclass(frozen=True)
class _Set:
    series: str
    dose: str
    full: Volume
    low: Volume


def run_proof(
    dataset_dir: Path,
    name: str,
    denoise: Denoise,
    target: Path,
    *,
    doses: Sequence[float] = (),
    limit: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[ProofRow]:
    """Measure, write `fair.csv`, and give the rows.

    Parameters
    ----------
    dataset_dir
        Data that the training understands: real pairs, normal dose, or both.
    name
        Of the denoiser.
    denoise
        [Z, H, W] in HU to the same.
    target
        Output folder.
    doses
        Shares that are simulated for every series of normal dose.
    limit
        Only so many slices of each series, evenly spread.
    say
        Told of every set before it is measured.

    Returns
    -------
    list of ProofRow
        In the order of the file.

    Raises
    ------
    DataError
        When there is nothing to measure.
    """
    rows: list[ProofRow] = []
    for one in _sets(dataset_dir, doses, limit):
        say(f"{one.series}, dose {one.dose}, {len(one.full)} slices")
        try:
            fair = FairSet(one.full, one.low)
        except DataError as error:
            say(f"  left out: {error.reason}")
            continue
        rows += _measure(one, fair, name, denoise)
        _write(rows, target)
    if not rows:
        raise DataError("no series with uniform soft tissue to measure on", path=dataset_dir)
    return rows


def _measure(one: _Set, fair: FairSet, name: str, denoise: Denoise) -> list[ProofRow]:
    best: dict[str, Candidate] = {}
    for tried in candidates(one.low, measure_noise(one.low)):
        known = best.get(tried.name)
        if known is None or fair.error(tried.result) < fair.error(known.result):
            best[tried.name] = tried
    champion = min(best.values(), key=lambda tried: fair.error(tried.result)).result
    yardstick = fair.removed(champion)
    raw = np.array(fair.error_by_slice(one.low))
    by_champion = raw - np.array(fair.error_by_slice(champion))

    def row(method: str, result: Volume, setting: str = "") -> ProofRow:
        gains = (raw - np.array(fair.error_by_slice(result))) / by_champion
        return ProofRow(
            series=one.series,
            dose=one.dose,
            slices=len(one.full),
            method=method,
            removed=fair.removed(result),
            gain=fair.removed(result) / yardstick,
            worst_gain=float(np.min(gains, where=np.isfinite(gains), initial=np.inf)),
            psnr=window_psnr(result, one.full),
            bias_hu=float((result - one.low)[fair.mask].mean()),
            setting=setting,
        )

    nan = float("nan")
    return [
        row(INPUT, one.low),
        *(
            row(b.name, b.result, f"strength {b.strength:.2g}, blend {b.blend:g}")
            for b in best.values()
        ),
        ProofRow(
            one.series, one.dose, len(one.full), TRUTH, 1.0, 1 / yardstick, nan, nan, 0.0,
            f"a = {fair.shares.share:.3f}, {fair.shares.blocks} blocks",
        ),
        row(name, denoise(one.low)),
    ]  # fmt: skip


def _sets(root: Path, doses: Sequence[float], limit: int | None) -> Iterator[_Set]:
    slices = find_slices(root).slices
    pairs: dict[str, list[tuple[CTSlice, CTSlice]]] = {}
    for pair in match_doses(slices).pairs:
        pairs.setdefault(_series(pair.low), []).append((pair.normal, pair.low))
    for name, of_series in pairs.items():
        chosen = _spread(of_series, limit)
        full, low = (_volume(one[k] for one in chosen) for k in (0, 1))
        yield _Set(name, "real", full, low)
    normal: dict[str, list[CTSlice]] = {}
    for one in slices if doses else ():
        if one.dose == "normal":
            normal.setdefault(f"{_series(one)} {one.shape[0]}", []).append(one)
    for name, of_one in normal.items():
        full = _volume(_spread(of_one, limit))
        for dose in doses:
            pixel = (USUAL_PIXEL_MM, USUAL_PIXEL_MM)
            if np.isfinite(measure_noise(full)):
                low = simulate_low_dose(full, dose=dose, spacing_mm=pixel, seed=1)
                yield _Set(name.rpartition(" ")[0], f"{dose:g}", full, np.rint(low))


def _series(one: CTSlice) -> str:
    thickness = "" if one.thickness_mm is None else f"{one.thickness_mm:g} mm"
    return " ".join(filter(None, (one.patient, one.kernel, thickness)))


def _spread(things: Sequence[Thing], limit: int | None) -> list[Thing]:
    count = min(limit or len(things), len(things))
    return [things[(2 * k + 1) * len(things) // (2 * count)] for k in range(count)]


def _volume(slices: Iterable[CTSlice]) -> Volume:
    return np.stack([next(islice(read_frames(one.path), one.frame, None)) for one in slices])


def _write(rows: Sequence[ProofRow], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with (target / "fair.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(ProofRow)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
