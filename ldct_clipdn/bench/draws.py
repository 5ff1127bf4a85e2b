"""Many draws of the noise on one slice: what is always wrong, and what is left to chance.

The mean of the denoised draws less the truth shows structure that was lost or invented; their
standard deviation shows the noise that is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ldct_clipdn.bench.contestants import Contestant
from ldct_clipdn.bench.results import file_stem, result_file
from ldct_clipdn.ct.tissue import TISSUES, body_mask, smooth, tissue_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = [
    "DrawMaps",
    "DrawRow",
    "DrawsOf",
    "average_draws",
    "draw_row",
    "keep_maps",
    "maps_file",
    "read_maps",
]


class DrawsOf(NamedTuple):
    """One slice and how its noise is drawn.

    Parameters
    ----------
    name
        For tables.
    truth
        [H, W] in HU; for a real slice, the slice with the noise it came with.
    draws
        Noisy slices.
    noise_hu
        Their noise in HU.
    """

    name: str
    truth: Plane
    draws: Iterable[Plane]
    noise_hu: float


class DrawMaps(NamedTuple):
    """Mean and standard deviation over draws, pixel by pixel.

    Parameters
    ----------
    bias, spread
        [H, W] in HU: mean minus truth, and standard deviation.
    draws
        How many.
    """

    bias: Plane
    spread: Plane
    draws: int


@dataclass(frozen=True)
class DrawRow:
    """One contestant's maps in numbers, over the body.

    Parameters
    ----------
    slice_name, method, draws
        What, who, how many.
    noise_hu
        Root of the mean variance over draws: the noise that is left.
    bias_rms_hu
        Root mean square of the mean's error, freed of what chance leaves in a mean of so many.
    bias_p99_hu
        99th percentile of the mean's absolute error.
    bias_soft_hu
        Mean error in soft tissue.
    beyond
        Share of pixels whose mean is off by more than three standard errors and 10 HU.
    """

    slice_name: str
    method: str
    draws: int
    noise_hu: float
    bias_rms_hu: float
    bias_p99_hu: float
    bias_soft_hu: float
    beyond: float


def average_draws(one: DrawsOf, methods: Sequence[Contestant]) -> dict[str, DrawMaps]:
    """Denoise every draw and accumulate; no more than one is held.

    Parameters
    ----------
    one
        The slice.
    methods
        Contestants.

    Returns
    -------
    dict
        By contestant's name.
    """
    sums = [np.zeros((2, *one.truth.shape)) for _ in methods]
    count = 0
    for noisy in one.draws:
        count += 1
        for method, both in zip(methods, sums, strict=True):
            error = method.denoise(noisy[None], one.noise_hu)[0] - one.truth
            both += np.stack([error, error.astype(np.float64) ** 2])
    return {
        method.name: _maps(both[0], both[1], count)
        for method, both in zip(methods, sums, strict=True)
    }


def _maps(first: NDArray[np.float64], second: NDArray[np.float64], count: int) -> DrawMaps:
    bias = first / count
    variance = np.maximum(second / count - bias**2, 0) * count / max(count - 1, 1)
    return DrawMaps(bias.astype(np.float32), np.sqrt(variance).astype(np.float32), count)


def draw_row(one: DrawsOf, method: str, maps: DrawMaps) -> DrawRow:
    """Put maps into numbers.

    Parameters
    ----------
    one
        The slice.
    method
        The contestant's name.
    maps
        Its maps.

    Returns
    -------
    DrawRow
        Over the body.
    """
    smoothed = smooth(one.truth)
    body, soft = body_mask(smoothed), tissue_mask(smoothed, TISSUES["soft"])
    bias, error = maps.bias[body], maps.spread[body] / maps.draws**0.5
    chance = float((error.astype(np.float64) ** 2).mean())
    return DrawRow(
        one.name,
        method,
        maps.draws,
        float(np.sqrt((maps.spread[body].astype(np.float64) ** 2).mean())),
        max(float((bias.astype(np.float64) ** 2).mean()) - chance, 0.0) ** 0.5,
        float(np.percentile(np.abs(bias), 99)),
        float(maps.bias[soft].mean()),
        float(np.mean(np.abs(bias) > np.maximum(3 * error, 10))),
    )


def maps_file(folder: Path, slice_name: str) -> Path:
    """Say where a slice's maps are kept.

    Parameters
    ----------
    folder
        Output folder.
    slice_name
        In any letters.

    Returns
    -------
    pathlib.Path
        NPZ.
    """
    return folder / f"draws_{file_stem(slice_name)}.npz"


def keep_maps(one: DrawsOf, maps: DrawMaps, path: Path) -> None:
    """Keep what a figure of the draws needs.

    Parameters
    ----------
    one
        The slice.
    maps
        Of one contestant.
    path
        NPZ: truth and maps as float16 in HU, which is exact to 1/2000.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    with result_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            name=one.name,
            noise_hu=one.noise_hu,
            draws=maps.draws,
            truth=one.truth.astype(np.float16),
            bias=maps.bias.astype(np.float16),
            spread=maps.spread.astype(np.float16),
        )


def read_maps(path: Path) -> tuple[DrawsOf, DrawMaps]:
    """Read what `keep_maps` kept.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DrawsOf
        The slice, without its draws.
    DrawMaps
        Its maps.
    """
    with np.load(path) as kept:
        truth, bias, spread = (kept[one].astype(np.float32) for one in ("truth", "bias", "spread"))
        one = DrawsOf(str(kept["name"]), truth, (), float(kept["noise_hu"]))
        return one, DrawMaps(bias, spread, int(kept["draws"]))
