"""The paper's question on CT: what training on one noise is worth on others.

Real low dose, doses simulated from other series, and white noise of sigma 5 on the same slices,
all judged by the fair error: what is added to a slice is independent of the slice's own noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.bench.cases import Case, leaving_out, read_case
from ldct_clipdn.bench.columns import Column
from ldct_clipdn.bench.fair import FairSet, window_psnr
from ldct_clipdn.bench.results import markdown_table, write_rows
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["WHITE", "Score", "measure_generalisation", "to_markdown"]

WHITE: Final = "white"
"""The paper's training noise, in the place of a dose."""

WHITE_HU: Final = HURange().width * 5 / 255

SEED: Final = 1


@dataclass(frozen=True)
class Score:
    """One network on one series and noise.

    Parameters
    ----------
    series
        Patient, kernel, thickness.
    noise
        `real`, a simulated share of the dose, or `white`.
    slices
        How many.
    network
        The column's name.
    sha256
        Of its weights.
    removed
        Share of the input's squared error to the truth that is taken away: 0 does nothing, 1 is the
        truth, below 0 does harm.
    psnr
        In [-160, 240] HU against the noisy full dose, mean over slices, in dB.
    bias_hu
        Mean change in soft tissue.
    """

    series: str
    noise: str
    slices: int
    network: str
    sha256: str
    removed: float
    psnr: float
    bias_hu: float


def measure_generalisation(
    cases: Iterable[Case],
    networks: Sequence[Column],
    target: Path,
    say: Callable[[str], None] = lambda _: None,
) -> list[Score]:
    """Measure every network on every case, and on white noise on each series' slices.

    Parameters
    ----------
    cases
        Real and simulated doses.
    networks
        As `network_column` makes them.
    target
        File that gets the scores, as CSV.
    say
        Told of every set before it is measured.

    Returns
    -------
    list of Score
        In the order of the file.

    Raises
    ------
    DataError
        When there is nothing to measure.
    WriteError
        When the file cannot be written.
    """
    scores: list[Score] = []
    white: set[str] = set()
    for case in cases:
        with leaving_out(say):
            full, low = read_case(case)
            noises = {case.dose: low}
            if case.series not in white:
                noises[WHITE] = _with_white_noise(full)
                white.add(case.series)
            for noise, noisy in noises.items():
                say(f"{case.series}, {noise}, {len(full)} slices")
                fair = FairSet(full, noisy)
                scores += [_score(case.series, noise, fair, one) for one in networks]
                write_rows(target, [asdict(one) for one in scores])
    if not scores:
        raise DataError("no series with uniform soft tissue to measure on")
    return scores


def to_markdown(scores: Sequence[Score]) -> str:
    """Draw the table: a line per network, a column per series and noise; shares removed.

    Parameters
    ----------
    scores
        As `measure_generalisation` gives them.

    Returns
    -------
    str
        Markdown; what was not measured is left empty.
    """
    shown = {(one.network, one.series, one.noise): f"{one.removed:.3f}" for one in scores}
    columns = list(dict.fromkeys((one.series, one.noise) for one in scores))
    networks = dict.fromkeys(one.network for one in scores)
    head = ["network", *(f"{series}, {noise}" for series, noise in columns)]
    lines = [[name, *(shown.get((name, *column), "") for column in columns)] for name in networks]
    return markdown_table([head, *lines]) + "\n"


def _score(series: str, noise: str, fair: FairSet, network: Column) -> Score:
    result = network.denoise(fair).hu
    return Score(
        series=series,
        noise=noise,
        slices=len(result),
        network=network.name,
        sha256=str(network.settings["sha256"]),
        removed=fair.removed(result),
        psnr=window_psnr(result, fair.full),
        bias_hu=float((result - fair.quarter)[fair.mask].mean()),
    )


def _with_white_noise(full: Volume) -> Volume:
    noise = np.random.default_rng(SEED).standard_normal(full.shape, dtype=np.float32)
    return np.rint(full + np.float32(WHITE_HU) * noise)
