"""Low contrast: what becomes of faint discs, over many draws of the noise.

Discs lie in a uniform body of 100 HU, as liver with contrast medium. Means over draws compare the
image with a disc and the one without under the same noise: the noise that is left cancels, and
what the denoiser did to the disc stays. Observers get images whose noise differs. Every disc at
every dose gets noise of its own: a filter that scales with the noise sees 20 HU at a quarter of the
dose as 10 HU at the full dose, and on the same draws the two would be one sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ldct_clipdn.bench.contestants import INPUT, Contestant
from ldct_clipdn.bench.discs import Transfer, contrast_of, disc, disc_transfer
from ldct_clipdn.bench.observer import hotelling_aucs, npw_detectability
from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.ct.lowdose import simulate_low_dose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = ["CurveRow", "DiscRow", "EdgeRow", "NoiseSource", "measure_discs", "measure_edges"]

PIXEL_MM: Final = 0.75
LIVER_HU: Final = 100.0
CONTRASTS_HU: Final = (10.0, 20.0, 40.0, 80.0)
DIAMETERS_MM: Final = (3.0, 5.0, 10.0)
EDGES_HU: Final = (30.0, 100.0, 300.0, 900.0)
EDGE_DISC_MM: Final = 20.0
EDGE_DRAWS: Final = 24
CURVE_STEP: Final = 4
"""Of so many frequencies of a transfer one is kept, every 0.01 per mm: a curve shows no more."""

DOSES: Final = (1.0, 0.25)

FULL_DOSE_HU: Final = 12.0
"""Noise at full dose: the median of the normal-dose slices (docs/weights.md)."""

BODY_PX: Final = (320, 116.0, 94.0)
"""Side of the field and half axes of the elliptical body."""

CROP_PX: Final = 64
LOOK_PX: Final = 40
"""What an observer sees; crops lie so far apart that no noise is seen twice."""


@dataclass(frozen=True)
class DiscRow:
    """One disc, at one dose, by one contestant.

    Parameters
    ----------
    dose
        Share of the dose.
    contrast_hu, diameter_mm
        Of the disc.
    method
        Contestant.
    draws
        Number of images with and of images without the disc.
    npw
        d' of the non-prewhitening observer in the input.
    recovery
        Mean contrast of the disc's core over that of the input.
    auc, auc_change, auc_error
        Of the channelised Hotelling observer; less the input's, and that difference's standard
        error (of the folds).
    """

    dose: float
    contrast_hu: float
    diameter_mm: float
    method: str
    draws: int
    npw: float
    recovery: float
    auc: float
    auc_change: float
    auc_error: float


@dataclass(frozen=True)
class EdgeRow:
    """One disc's edge.

    Parameters
    ----------
    dose, contrast_hu, method
        As in `DiscRow`.
    f50_per_mm, f10_per_mm
        Where the mean image's transfer falls to 0.5 and 0.1, in 1/mm.
    ratio
        f50 over that of the input.
    """

    dose: float
    contrast_hu: float
    method: str
    f50_per_mm: float
    f10_per_mm: float
    ratio: float


@dataclass(frozen=True)
class CurveRow:
    """One point of an edge's task transfer function.

    Parameters
    ----------
    dose, contrast_hu, method
        As in `DiscRow`.
    frequency_per_mm
        In 1/mm.
    transfer
        1 at frequency 0.
    """

    dose: float
    contrast_hu: float
    method: str
    frequency_per_mm: float
    transfer: float


class NoiseSource:
    """Gives noise from the inside of a uniform body, never the same twice.

    Parameters
    ----------
    kernel
        A key of `ct.kernel.KERNELS`.
    seed
        Start of the generator.
    """

    def __init__(self, kernel: str, seed: int) -> None:
        self._kernel, self._rng = kernel, np.random.default_rng(seed)

    def crops(self, count: int) -> Volume:
        """Draw new noise.

        Parameters
        ----------
        count
            How many crops.

        Returns
        -------
        numpy.ndarray
            float32 [count, 64, 64], of standard deviation 1.
        """
        places = list(_places())
        fields = np.repeat(_body()[None], -(-count // len(places)), axis=0)
        # half the dose adds the variance that the full dose has
        noisy = simulate_low_dose(
            fields,
            dose=0.5,
            spacing_mm=PIXEL_MM,
            kernel=self._kernel,
            photons=1e6,
            seed=int(self._rng.integers(2**31)),
        )
        cut = [
            field[row : row + CROP_PX, column : column + CROP_PX]
            for field in noisy - fields
            for row, column in places
        ]
        crops = np.stack(cut[:count])
        unit: Volume = crops / crops.std()
        return unit


class _Noise(NamedTuple):
    """What one disc is looked for in."""

    dose: float
    hu: float
    crops: Volume


def _draw(source: NoiseSource, dose: float, count: int) -> _Noise:
    hu = FULL_DOSE_HU / dose**0.5
    return _Noise(dose, hu, source.crops(count) * np.float32(hu))


def measure_discs(
    source: NoiseSource, draws: int, methods: Sequence[Contestant], say: Callable[[str], None]
) -> list[DiscRow]:
    """Measure every disc at every dose, each in noise of its own.

    Parameters
    ----------
    source
        Of the noise.
    draws
        Images with and images without each disc.
    methods
        The input first.
    say
        Told of every disc.

    Returns
    -------
    list of DiscRow
        Contestant by contestant within each disc.
    """
    rows: list[DiscRow] = []
    for dose, diameter, contrast in product(DOSES, DIAMETERS_MM, CONTRASTS_HU):
        say(f"disc of {contrast:g} HU, {diameter:g} mm, dose {dose:g}")
        rows += _disc_rows(contrast, diameter, _draw(source, dose, 2 * draws), methods)
    return rows


def _disc_rows(
    contrast: float, diameter: float, noise: _Noise, methods: Sequence[Contestant]
) -> Iterator[DiscRow]:
    half = len(noise.crops) // 2
    signal = np.float32(contrast) * disc(CROP_PX, diameter, PIXEL_MM)
    npw = npw_detectability(_look(signal), _look(noise.crops))
    before: NDArray[np.float64] | None = None
    given = contrast_of(signal, diameter, PIXEL_MM)
    for one in methods:
        absent = one.denoise(LIVER_HU + noise.crops, noise.hu)
        present = one.denoise(LIVER_HU + noise.crops[:half] + signal, noise.hu)
        kept = (present - absent[:half]).mean(axis=0)
        aucs = hotelling_aucs(_look(present), _look(absent[half:]))
        before = aucs if before is None else before
        change = aucs - before
        yield DiscRow(
            noise.dose,
            contrast,
            diameter,
            one.name,
            half,
            npw,
            contrast_of(kept, diameter, PIXEL_MM) / given,
            float(aucs.mean()),
            float(change.mean()),
            float(change.std(ddof=1) / len(change) ** 0.5),
        )


def measure_edges(
    source: NoiseSource, methods: Sequence[Contestant], say: Callable[[str], None]
) -> tuple[list[EdgeRow], list[CurveRow]]:
    """Measure the task transfer function of a 20 mm disc of every contrast at every dose.

    Parameters
    ----------
    source
        Of the noise; every edge has its own.
    methods
        The input first.
    say
        Told of every disc.

    Returns
    -------
    list of EdgeRow
        One per dose, contrast and contestant.
    list of CurveRow
        Their curves.
    """
    rows: list[EdgeRow] = []
    curves: list[CurveRow] = []
    for dose, contrast in product(DOSES, EDGES_HU):
        say(f"edge of {contrast:g} HU, dose {dose:g}")
        noise = _draw(source, dose, EDGE_DRAWS)
        found = {one.name: _edge(one, contrast, noise) for one in methods}
        for name, curve in found.items():
            ratio = curve.f50 / found[INPUT].f50
            rows.append(EdgeRow(dose, contrast, name, curve.f50, curve.falls_to(0.1), ratio))
            curves += _points(dose, contrast, name, curve)
    return rows, curves


def _points(dose: float, contrast: float, method: str, curve: Transfer) -> Iterator[CurveRow]:
    kept = slice(None, None, CURVE_STEP)
    for frequency, transfer in zip(curve.frequency[kept], curve.transfer[kept], strict=True):
        point = (round(float(frequency), 4), round(float(transfer), 4))
        yield CurveRow(dose, contrast, method, *point)


def _edge(one: Contestant, contrast: float, noise: _Noise) -> Transfer:
    edge = np.float32(contrast) * disc(CROP_PX, EDGE_DISC_MM, PIXEL_MM)
    absent = one.denoise(LIVER_HU + noise.crops, noise.hu)
    present = one.denoise(LIVER_HU + noise.crops + edge, noise.hu)
    return disc_transfer((present - absent).mean(axis=0), EDGE_DISC_MM, PIXEL_MM)


def _look(images: Volume) -> Volume:
    """Cut out what an observer sees; the centre stays at half the side."""
    first = (CROP_PX - LOOK_PX) // 2
    return images[..., first : first + LOOK_PX, first : first + LOOK_PX]


def _body() -> Volume:
    side, a, b = BODY_PX
    axis = np.arange(side) - side / 2
    inside = (axis[None, :] / a) ** 2 + (axis[:, None] / b) ** 2 < 1
    return np.where(inside, LIVER_HU, AIR_HU).astype(np.float32)


def _places() -> Iterator[tuple[int, int]]:
    """Give first rows and columns of crops whose observed part lies well inside the body."""
    side, a, b = BODY_PX
    for row in range(0, side - CROP_PX, LOOK_PX):
        for column in range(0, side - CROP_PX, LOOK_PX):
            y, x = (one + CROP_PX / 2 - side / 2 for one in (row, column))
            if (x / a) ** 2 + (y / b) ** 2 < 0.4:
                yield row, column
