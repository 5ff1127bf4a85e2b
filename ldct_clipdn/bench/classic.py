"""Classic filters on HU, each over a range of strengths: what a network has to beat.

Strengths are in units of the noise, so that one list serves every dose and kernel. An oracle takes
the best of them, and of blends with the input, on the very slices it is judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ldct_clipdn.ct.nps import cut_rois, find_uniform_rois
from ldct_clipdn.ct.tissue import TISSUES, smooth, tissue_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["BLENDS", "CLASSIC", "Candidate", "Filter", "every_setting"]

BLENDS: Final = (0.0, 0.1, 0.2, 0.3)
"""Shares of the input that are mixed into a result."""

BLOCK_PX: Final = 16
STEP_PX: Final = 4
"""Blocks of the Wiener filter, and how far apart they lie."""


@dataclass(frozen=True)
class Filter:
    """A classic filter.

    Parameters
    ----------
    name
        For tables.
    strengths
        What is tried.
    apply
        Gives the filtered slice for a slice, its noise in HU, and a strength.
    """

    name: str
    strengths: tuple[float, ...]
    apply: Callable[[Plane, float, float], Plane]


@dataclass(frozen=True)
class Candidate:
    """One filter at one setting.

    Parameters
    ----------
    name
        The filter's.
    strength
        As in `Filter`.
    blend
        Share of the input.
    result
        [Z, H, W] in HU.
    """

    name: str
    strength: float
    blend: float
    result: NDArray[np.float32]


def every_setting(
    one: Filter, noisy: NDArray[np.float32], noise_hu: float, blends: Sequence[float] = BLENDS
) -> Iterator[Candidate]:
    """Run one filter at every strength and blend.

    Parameters
    ----------
    one
        The filter.
    noisy
        [Z, H, W] in HU.
    noise_hu
        Standard deviation of the noise.
    blends
        Shares of the input.

    Yields
    ------
    Candidate
        One setting's result.
    """
    for strength in one.strengths:
        result = np.stack([one.apply(plane, noise_hu, strength) for plane in noisy])
        for blend in blends:
            mixed = result + np.float32(blend) * (noisy - result)
            yield Candidate(one.name, strength, blend, mixed)


def _gaussian(hu: Plane, _noise: float, sigma: float) -> Plane:
    from scipy import ndimage

    smoothed: Plane = ndimage.gaussian_filter(hu, sigma, mode="nearest")
    return smoothed


def _tv(hu: Plane, noise: float, weight: float) -> Plane:
    from skimage.restoration import denoise_tv_chambolle

    # Chambolle's weight has the unit of the image
    return denoise_tv_chambolle(hu, weight=weight * noise, eps=2e-5, max_num_iter=100).astype(  # type: ignore[no-any-return]
        np.float32
    )


def _nlm(hu: Plane, noise: float, h: float) -> Plane:
    from skimage.restoration import denoise_nl_means

    return denoise_nl_means(  # type: ignore[no-any-return]
        hu, patch_size=5, patch_distance=6, h=h * noise, sigma=noise, fast_mode=True
    ).astype(np.float32)


def _wiener(hu: Plane, noise: float, strength: float) -> Plane:
    """Filter overlapping blocks by 1 - s N / P: P the block's own power, N the measured noise's."""
    taper = np.sin(np.pi * (np.arange(BLOCK_PX) + 0.5) / BLOCK_PX)
    window = np.outer(taper, taper).astype(np.float32)
    spectrum = strength * _noise_power(hu, noise, window)
    padded = np.pad(hu, BLOCK_PX, mode="symmetric")
    total, weight = np.zeros_like(padded), np.zeros_like(padded)
    rows = np.lib.stride_tricks.sliding_window_view(padded, (BLOCK_PX, BLOCK_PX))
    for i, blocks in enumerate(rows[::STEP_PX, ::STEP_PX]):
        for j, block in enumerate(_filtered(blocks, spectrum, window)):
            cut = np.s_[i * STEP_PX :, j * STEP_PX :]
            total[cut][:BLOCK_PX, :BLOCK_PX] += block * window
            weight[cut][:BLOCK_PX, :BLOCK_PX] += window**2
    inside = np.s_[BLOCK_PX:-BLOCK_PX, BLOCK_PX:-BLOCK_PX]
    result: Plane = total[inside] / weight[inside]
    return result


def _filtered(blocks: Plane, spectrum: NDArray[np.floating], window: Plane) -> Plane:
    """Give [N, 16, 16] filtered blocks, still under the window."""
    mean = blocks.mean(axis=(1, 2), keepdims=True)
    waves = np.fft.rfft2((blocks - mean) * window)
    power = np.maximum(np.abs(waves) ** 2, 1e-9)
    kept = waves * np.maximum(1 - spectrum / power, 0)
    blocks = np.fft.irfft2(kept, s=window.shape) + mean * window
    return blocks.astype(np.float32, copy=False)


def _noise_power(hu: Plane, noise: float, window: Plane) -> NDArray[np.floating]:
    """Measure the noise's power in uniform soft tissue; where there is none it counts as white."""
    smoothed = smooth(hu)
    places = find_uniform_rois(hu, smoothed, tissue_mask(smoothed, TISSUES["soft"]), BLOCK_PX)
    if not places:
        return np.full((BLOCK_PX, BLOCK_PX // 2 + 1), noise**2 * float((window**2).sum()))
    blocks = cut_rois(hu, places, BLOCK_PX)
    waves = np.fft.rfft2((blocks - blocks.mean(axis=(1, 2), keepdims=True)) * window)
    power: NDArray[np.floating] = (np.abs(waves) ** 2).mean(axis=0)
    return power


def _log_spaced(low: float, high: float) -> tuple[float, ...]:
    return tuple(np.geomspace(low, high, 12).tolist())


CLASSIC: Final = (
    Filter("Gaussian", _log_spaced(0.4, 2.5), _gaussian),
    Filter("TV", _log_spaced(0.2, 3.0), _tv),
    Filter("NLM", (0.6, 0.8, 1.0), _nlm),
    Filter("Wiener", _log_spaced(1.0, 12.0), _wiener),
)
