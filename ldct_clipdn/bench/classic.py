"""Classic filters on HU, each over a range of strengths: what a network has to beat.

Strengths are in units of the noise, so that one list serves every dose and kernel. An oracle takes
the best of them, and of blends with the input, on the very slices it is judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["BLENDS", "CLASSIC", "Candidate", "Filter", "candidates"]

BLENDS: Final = (0.0, 0.1, 0.2, 0.3)
"""Shares of the input that are mixed into a result."""

BACKGROUND_HU: Final = -1024.0


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


def candidates(noisy: NDArray[np.float32], noise_hu: float) -> Iterator[Candidate]:
    """Run every filter at every strength and blend.

    Parameters
    ----------
    noisy
        [Z, H, W] in HU.
    noise_hu
        Standard deviation of the noise.

    Yields
    ------
    Candidate
        One setting's result.
    """
    for one in CLASSIC:
        for strength in one.strengths:
            result = np.stack([one.apply(plane, noise_hu, strength) for plane in noisy])
            for blend in BLENDS:
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


def _log_spaced(low: float, high: float) -> tuple[float, ...]:
    return tuple(np.geomspace(low, high, 12).tolist())


CLASSIC: Final = (
    Filter("Gaussian", _log_spaced(0.4, 2.5), _gaussian),
    Filter("TV", _log_spaced(0.2, 3.0), _tv),
    Filter("NLM", (0.6, 0.8, 1.0), _nlm),
)
