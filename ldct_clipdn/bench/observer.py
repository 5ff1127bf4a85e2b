"""Model observers: whether a low-contrast thing can still be told from noise.

The channelised Hotelling observer sees an image through a few difference-of-Gaussian channels and
weighs them best (dense channels of Abbey and Barrett, J. Opt. Soc. Am. A 18(3), 2001); the
non-prewhitening observer compares with the signal itself (AAPM
Task Group 233: Samei et al., Med. Phys. 46(11), 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Stack = NDArray[np.floating]

__all__ = ["channels", "hotelling_aucs", "npw_detectability"]

CHANNELS: Final = 10
FIRST_SIGMA: Final = 0.015
"""Of the narrower Gaussian of the first channel, in cycles per pixel."""

RATIO: Final = 1.4
"""From one channel to the next."""

WIDTH: Final = 1.67
"""Of the wider Gaussian, in units of the narrower."""

FOLDS: Final = 10


def channels(size: int) -> NDArray[np.float64]:
    """Make the channels as images.

    Parameters
    ----------
    size
        Side of the square that the observer looks at, in pixels.

    Returns
    -------
    numpy.ndarray
        [size * size, 10], around pixel (size // 2, size // 2); a constant gives 0.
    """
    frequency = np.fft.fftfreq(size)
    square = frequency[:, None] ** 2 + frequency[None, :] ** 2
    images = []
    for sigma in FIRST_SIGMA * RATIO ** np.arange(CHANNELS):
        wide, narrow = (np.exp(-square / (2 * (k * sigma) ** 2)) for k in (WIDTH, 1))
        images.append(np.fft.fftshift(np.fft.ifft2(wide - narrow).real).ravel())
    return np.stack(images, axis=1)


def hotelling_aucs(present: Stack, absent: Stack) -> NDArray[np.float64]:
    """Measure the observer's area under the ROC curve on images that its template never saw.

    Parameters
    ----------
    present, absent
        [N, size, size] with and without the signal, centred at pixel size // 2; the two sets with
        noise of their own.

    Returns
    -------
    numpy.ndarray
        [10], of parts of the images, each judged by the template of the others; the mean is the
        estimate.
    """
    basis = channels(present.shape[-1])
    with_, without = (one.reshape(len(one), -1) @ basis for one in (present, absent))
    return np.array([_auc_of_fold(with_, without, k) for k in range(FOLDS)])


def _auc_of_fold(with_: Stack, without: Stack, fold: int) -> float:
    """Judge every tenth image by the template of the rest."""
    tested = [np.arange(len(one)) % FOLDS == fold for one in (with_, without)]
    known = [one[~test] for one, test in zip((with_, without), tested, strict=True)]
    covariance = sum(np.cov(one, rowvar=False) for one in known) / 2
    template = np.linalg.lstsq(covariance, known[0].mean(axis=0) - known[1].mean(axis=0))[0]
    yes, no = (one[test] @ template for one, test in zip((with_, without), tested, strict=True))
    ranks = rankdata(np.concatenate([yes, no]))[: len(yes)]
    return float((ranks.sum() - len(yes) * (len(yes) + 1) / 2) / (len(yes) * len(no)))


def npw_detectability(signal: NDArray[np.floating], noise: Stack) -> float:
    """Measure the non-prewhitening observer's d', in the image domain.

    With the signal w as template, d' = w.w / SD(w.n): the formula over |W|^2 TTF^2 and NPS, by
    Parseval, and without an NPS that needs uniform regions.

    Parameters
    ----------
    signal
        [H, W] in HU, as it appears in the image.
    noise
        [N, H, W] in HU.

    Returns
    -------
    float
        d'; 0 for no signal.
    """
    template = (signal - signal.mean()).ravel().astype(np.float64)
    answers = noise.reshape(len(noise), -1) @ template
    spread = float(answers.std(ddof=1))
    return float(template @ template) / spread if spread else 0.0
