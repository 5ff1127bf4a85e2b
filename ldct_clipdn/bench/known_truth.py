"""Where the truth is known: errors to it on phantoms, by two simulators; and clean input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import ndimage

from ldct_clipdn.batch.trial import try_strength
from ldct_clipdn.bench import anatomies
from ldct_clipdn.bench.anatomies import Anatomy
from ldct_clipdn.bench.contestants import Contestant
from ldct_clipdn.bench.contrast import FULL_DOSE_HU
from ldct_clipdn.bench.draws import DrawsOf
from ldct_clipdn.bench.second_simulator import SecondScanner
from ldct_clipdn.ct.hu import WINDOWS
from ldct_clipdn.ct.lowdose import simulate_low_dose
from ldct_clipdn.ct.noise_meter import measure_noise, soft_tissue
from ldct_clipdn.ct.tissue import body_mask, smooth

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ldct_clipdn.inference.backends import Backend

    Plane = NDArray[np.float32]
    Mask = NDArray[np.bool_]

__all__ = [
    "CleanRow",
    "PhantomRow",
    "head_contrast",
    "head_phantom",
    "measure_clean",
    "measure_phantoms",
    "phantom_draws",
    "windowed_error",
]

SIZE: Final = 384
DOSES: Final = (1.0, 0.25)

OUR_KERNELS: Final = {"standard": FULL_DOSE_HU, "sharp": 30.0}
"""By kernel of `ct/lowdose.py`, the full dose's noise in HU."""

SECOND_KERNELS: Final = ("hann", "shepp-logan")
"""Of scikit-image; noise as its quanta give it."""

HEAD_NOISE_HU: Final = 5.0
HEAD_DRAWS: Final = 4
HEAD_SIZE: Final = 256
HEAD_PIXEL_MM: Final = 0.9
GREY_HU: Final = 37.0
WHITE_HU: Final = 30.0


@dataclass(frozen=True)
class PhantomRow:
    """One contestant on one series.

    Parameters
    ----------
    simulator, kernel, dose, phantom
        The series.
    noise_hu
        Of the input, by the noise meter.
    method
        Contestant.
    rmse_hu, psnr_db
        To the truth inside the body, both clipped to [-160, 240] HU.
    """

    simulator: str
    kernel: str
    dose: float
    phantom: str
    noise_hu: float
    method: str
    rmse_hu: float
    psnr_db: float


@dataclass(frozen=True)
class CleanRow:
    """What is done to an image of normal dose.

    Parameters
    ----------
    image
        Series, or `made head`.
    strength
        `1`, or what `auto` chose.
    noise_hu
        The image's own.
    change_hu
        Root mean square of the change in soft tissue.
    share
        The change over the noise.
    contrast_kept
        Share of the grey-white contrast; NaN where there is no brain of known contrast.
    """

    image: str
    strength: str
    noise_hu: float
    change_hu: float
    share: float
    contrast_kept: float


class _Scanned(NamedTuple):
    simulator: str
    kernel: str
    dose: float
    phantom: str
    truth: Plane
    noisy: Plane


def measure_phantoms(methods: Sequence[Contestant], say: Callable[[str], None]) -> list[PhantomRow]:
    """Measure errors to the truth; that of the second simulator is its image without noise.

    Parameters
    ----------
    methods
        Contestants.
    say
        Told of every series.

    Returns
    -------
    list of PhantomRow
        Contestant by contestant within each series.
    """
    rows: list[PhantomRow] = []
    for one in _scans():
        say(f"{one.phantom}, {one.simulator} simulator, {one.kernel}, dose {one.dose:g}")
        noise = measure_noise(one.noisy)
        body = body_mask(smooth(one.truth))
        for method in methods:
            error = windowed_error(method.denoise(one.noisy[None], noise)[0], one.truth, body)
            name = (one.simulator, one.kernel, one.dose, one.phantom)
            decibel = 20 * float(np.log10(WINDOWS["abdomen"].width / error))
            rows.append(PhantomRow(*name, noise, method.name, error, decibel))
    return rows


def windowed_error(image: Plane, truth: Plane, body: Mask) -> float:
    """Give the root mean square error inside the body, both clipped to [-160, 240] HU.

    Parameters
    ----------
    image, truth
        [H, W] in HU.
    body
        bool [H, W].

    Returns
    -------
    float
        In HU.
    """
    window = WINDOWS["abdomen"]
    error = (window.clip(image) - window.clip(truth))[body]
    return float(np.sqrt((error.astype(np.float64) ** 2).mean()))


def _scans() -> Iterator[_Scanned]:
    for one in anatomies.anatomies(SIZE):
        yield from _own_scans(one)
        yield from _second_scans(one)


def _own_scans(one: Anatomy) -> Iterator[_Scanned]:
    for kernel, level in OUR_KERNELS.items():
        unit = _unit_noise(one.hu, one.pixel_mm, kernel, draws=len(DOSES), seed=one.seed)
        for dose, noise in zip(DOSES, unit, strict=True):
            noisy = one.hu + noise * np.float32(level / dose**0.5)
            yield _Scanned("own", kernel, dose, one.name, one.hu, noisy)


def _second_scans(one: Anatomy) -> Iterator[_Scanned]:
    for kernel in SECOND_KERNELS:
        scanner = SecondScanner(one.hu, one.pixel_mm, kernel)
        noiseless = scanner.truth()
        for k, dose in enumerate(DOSES):
            noisy = scanner.scan(dose, seed=10 * one.seed + k)
            yield _Scanned("second", kernel, dose, one.name, noiseless, noisy)


def _unit_noise(truth: Plane, pixel_mm: float, kernel: str, draws: int, seed: int) -> Plane:
    """Draw noise of a full dose, of standard deviation 1 in soft tissue: [draws, H, W]."""
    stack = np.repeat(truth[None], draws, axis=0)
    # half the dose adds the variance that the full dose has
    noise = simulate_low_dose(
        stack, dose=0.5, spacing_mm=pixel_mm, kernel=kernel, photons=1e6, seed=seed
    )
    noise -= truth
    inside = soft_tissue(_tensor(truth)).numpy()
    unit: Plane = noise / noise[:, inside].std()
    return unit


def _tensor(plane: Plane) -> torch.Tensor:
    import torch

    return torch.from_numpy(plane)


def phantom_draws(draws: int, seed: int) -> DrawsOf:
    """Make draws of a phantom's slice at quarter dose, by our simulator.

    Parameters
    ----------
    draws
        How many.
    seed
        Start of the generator.

    Returns
    -------
    DrawsOf
        The slice.
    """
    one = anatomies.abdomen(anatomies.PATIENTS[0], SIZE)
    level = FULL_DOSE_HU / 0.25**0.5
    unit = _unit_noise(one.hu, one.pixel_mm, "standard", draws, seed)
    noisy = (one.hu + noise * np.float32(level) for noise in unit)
    return DrawsOf(f"phantom {one.seed}", one.hu, noisy, level)


def measure_clean(
    engine: Backend, slices: dict[str, Plane], denoiser: Contestant, seed: int
) -> list[CleanRow]:
    """Measure what the denoiser does to images that need it little.

    Parameters
    ----------
    engine
        The denoiser's.
    slices
        By series, a slice of normal dose in HU.
    denoiser
        The same, as a contestant.
    seed
        Start of the generator.

    Returns
    -------
    list of CleanRow
        At strength 1 and `auto`, the made head last.
    """
    rows: list[CleanRow] = []
    for name, hu in slices.items():
        noise = measure_noise(hu)
        inside = soft_tissue(_tensor(hu)).numpy()
        if not np.isfinite(noise):
            continue
        change = (denoiser.denoise(hu[None], noise)[0] - hu)[inside].astype(np.float64)
        for strength, label in _strengths(hu, engine):
            size = strength * float(np.sqrt((change**2).mean()))
            rows.append(CleanRow(name, label, noise, size, size / noise, float("nan")))
    return [*rows, *_head_rows(engine, denoiser, seed)]


def _strengths(hu: Plane, engine: Backend) -> list[tuple[float, str]]:
    auto = try_strength(1, lambda _: hu, engine, FULL_DOSE_HU)
    return [(1.0, "1"), (auto, f"auto: {auto:g}")]


def _head_rows(engine: Backend, denoiser: Contestant, seed: int) -> Iterator[CleanRow]:
    truth, grey, white = head_phantom()
    noise = _unit_head_noise(truth, seed) * np.float32(HEAD_NOISE_HU)
    noisy = truth + noise
    change = denoiser.denoise(noisy, HEAD_NOISE_HU) - noisy
    inside = grey | white
    for strength, label in _strengths(noisy[0], engine):
        size = strength * float(np.sqrt((change[:, inside].astype(np.float64) ** 2).mean()))
        after = (noisy + np.float32(strength) * change).mean(axis=0)
        kept = head_contrast(after, grey, white) / head_contrast(noisy.mean(axis=0), grey, white)
        yield CleanRow("made head", label, HEAD_NOISE_HU, size, size / HEAD_NOISE_HU, kept)


def _unit_head_noise(truth: Plane, seed: int) -> Plane:
    return _unit_noise(truth, HEAD_PIXEL_MM, "soft", HEAD_DRAWS, seed)


def head_contrast(image: Plane, grey: Mask, white: Mask) -> float:
    """Measure the grey-white contrast.

    Parameters
    ----------
    image
        [H, W] in HU.
    grey, white
        As `head_phantom` gives them.

    Returns
    -------
    float
        In HU.
    """
    return float(image[grey].mean() - image[white].mean())


def head_phantom() -> tuple[Plane, Mask, Mask]:
    """Make a head of ellipses: skin, skull, folded cortex of 37 HU, white matter of 30 HU.

    Returns
    -------
    numpy.ndarray
        float32 [256, 256] in HU, pixels of 0.9 mm.
    numpy.ndarray
        Pixels that are grey matter alone, bool [256, 256].
    numpy.ndarray
        Pixels that are white matter alone.
    """
    axis = (np.arange(HEAD_SIZE) - HEAD_SIZE / 2) * HEAD_PIXEL_MM
    x, y = axis[None, :], axis[:, None]
    radius, angle = np.hypot(x / 72, y / 90), np.arctan2(y / 90, x / 72)
    folded = 0.86 + 0.05 * np.cos(17 * angle) + 0.03 * np.cos(29 * angle + 1)
    image = np.full((HEAD_SIZE, HEAD_SIZE), -1000.0)
    for hu, inside in (
        (20.0, radius < 1.16),  # skin
        (950.0, radius < 1.1),  # skull
        (8.0, radius < 1.0),  # fluid
        (GREY_HU, radius < 0.97),
        (WHITE_HU, radius < folded),
        (GREY_HU, np.hypot((np.abs(x) - 22) / 9, y / 15) < 1),  # deep grey
        (6.0, np.hypot((np.abs(x) - 7) / 4, (y + 12) / 17) < 1),  # ventricles
    ):
        image[inside] = hu
    pure = [image == hu for hu in (GREY_HU, WHITE_HU)]
    blurred = ndimage.gaussian_filter(image, 0.6).astype(np.float32)
    grey, white = (ndimage.binary_erosion(one, iterations=2) for one in pure)
    return blurred, grey, white
