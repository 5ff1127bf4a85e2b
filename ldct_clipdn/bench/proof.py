"""The fair error of a denoiser and of the best classic filters, on real and simulated low dose.

One table: a row per series, dose and method. What simulation adds is independent of the slice's own
noise, so that the fair error serves there as it does on real pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.bench.cases import Case, find_cases, read_case
from ldct_clipdn.bench.classic import Candidate, candidates
from ldct_clipdn.bench.fair import FairSet, window_psnr
from ldct_clipdn.bench.results import write_rows
from ldct_clipdn.errors import DataError, ReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["ProofRow", "run_proof"]

INPUT: Final = "input"
TRUTH: Final = "truth"
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
    WriteError
        When the folder cannot be written.
    """
    rows: list[ProofRow] = []
    for case in find_cases([dataset_dir], doses, limit):
        say(f"{case.series}, dose {case.dose}, {len(case.slices)} slices")
        try:
            fair = FairSet(*read_case(case))
        except (DataError, ReadError) as error:
            say(f"  left out: {error.reason}")
            continue
        rows += _measure(case, fair, name, denoise)
        write_rows(target / "fair.csv", [asdict(one) for one in rows])
    if not rows:
        raise DataError("no series with uniform soft tissue to measure on", path=dataset_dir)
    return rows


def _measure(case: Case, fair: FairSet, name: str, denoise: Denoise) -> list[ProofRow]:
    low, slices = fair.quarter, len(case.slices)
    best: dict[str, Candidate] = {}
    for tried in candidates(low, fair.noise_hu):
        known = best.get(tried.name)
        if known is None or fair.error(tried.result) < fair.error(known.result):
            best[tried.name] = tried
    champion = min(best.values(), key=lambda tried: fair.error(tried.result)).result
    yardstick = fair.removed(champion)
    raw = np.array(fair.error_by_slice(low))
    by_champion = raw - np.array(fair.error_by_slice(champion))

    def row(method: str, result: Volume, setting: str = "") -> ProofRow:
        gains = (raw - np.array(fair.error_by_slice(result))) / by_champion
        return ProofRow(
            series=case.series,
            dose=case.dose,
            slices=slices,
            method=method,
            removed=fair.removed(result),
            gain=fair.removed(result) / yardstick,
            worst_gain=float(np.min(gains, where=np.isfinite(gains), initial=np.inf)),
            psnr=window_psnr(result, fair.full),
            bias_hu=float((result - low)[fair.mask].mean()),
            setting=setting,
        )

    nan = float("nan")
    return [
        row(INPUT, low),
        *(
            row(b.name, b.result, f"strength {b.strength:.2g}, blend {b.blend:g}")
            for b in best.values()
        ),
        ProofRow(
            case.series, case.dose, slices, TRUTH, 1.0, 1 / yardstick, nan, nan, 0.0,
            f"a = {fair.shares.share:.3f}, {fair.shares.blocks} blocks",
        ),
        row(name, denoise(low)),
    ]  # fmt: skip
