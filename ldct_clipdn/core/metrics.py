"""PSNR, SSIM and RMSE of one image, every convention by name, and the rulers that CT papers use.

Papers measure the same images with different rulers: another HU range moves PSNR by up to 18 dB,
another SSIM window moves SSIM. So a figure means nothing without its ruler, and
`RULERS` holds all that are in use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ldct_clipdn.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[Any] | Tensor

__all__ = [
    "AS_PUBLISHED",
    "RULERS",
    "Convention",
    "Mean",
    "Ruler",
    "Scores",
    "mean_scores",
    "psnr",
    "rmse",
    "ssim",
]

Convention = Literal["gaussian", "published_ct", "uniform7"]

CHANNELS: Final = (1, 3)


class _Window(NamedTuple):
    """How one SSIM convention averages: taps along one axis, border, precision, covariance."""

    taps: tuple[float, ...]
    padding: int = 0
    dtype: torch.dtype = torch.float64
    is_separable: bool = True
    is_sample_covariance: bool = False

    def kernels(self) -> tuple[Tensor, ...]:
        """Give the kernels that are applied one after the other."""
        taps = torch.tensor(self.taps, dtype=self.dtype)
        taps = taps / taps.sum()
        return (taps[:, None], taps[None]) if self.is_separable else (torch.outer(taps, taps),)


_GAUSSIAN_TAPS: Final = tuple(math.exp(-(k**2) / (2 * 1.5**2)) for k in range(-5, 6))

_WINDOWS: Final[dict[str, _Window]] = {
    "gaussian": _Window(_GAUSSIAN_TAPS),
    "published_ct": _Window(_GAUSSIAN_TAPS, 5, torch.float32, is_separable=False),
    "uniform7": _Window((1.0,) * 7, is_sample_covariance=True),
}


def psnr(a: Image, b: Image, data_range: float) -> float:
    """Compute the peak signal-to-noise ratio of one image.

    Parameters
    ----------
    a, b
        [H, W], or [C, H, W] with 1 or 3 channels, which are pooled; one unit, any unit.
    data_range
        Largest minus smallest possible value, in the unit of the images.

    Returns
    -------
    float
        20 log10(`data_range` / RMSE) in dB; infinite where the images are equal.

    Raises
    ------
    DataError
        When the images differ in shape or are no single image.
    ConfigError
        When `data_range` is not positive.
    """
    _check_range(data_range)
    error = rmse(a, b)
    return math.inf if error == 0 else 20 * math.log10(data_range / error)


def rmse(a: Image, b: Image) -> float:
    """Compute the root of the mean squared difference of one image.

    Parameters
    ----------
    a, b
        [H, W], or [C, H, W] with 1 or 3 channels, which are pooled; one unit, any unit.

    Returns
    -------
    float
        In the unit of the images.

    Raises
    ------
    DataError
        When the images differ in shape or are no single image.
    """
    first, second = _pair(a, b, torch.float64)
    return float((first - second).square().mean().sqrt())


def ssim(a: Image, b: Image, data_range: float, *, convention: Convention = "gaussian") -> float:
    """Compute the structural similarity of one image.

    SSIM is defined for values from 0 to `data_range`; an offset changes its luminance term. It is
    taken as given here, since the published CT figures keep the offset of HU.

    Parameters
    ----------
    a, b
        [H, W], or [C, H, W] with 1 or 3 channels, which are averaged; one unit, any unit.
    data_range
        Largest minus smallest possible value, in the unit of the images.
    convention
        `gaussian`: 11 x 11, sigma 1.5, only where the window fits, population covariance; equals
        scikit-image with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`, and
        MONAI's `SSIMMetric`. `published_ct`: the same window with zeros around the image and the
        whole map averaged, float32, as the published CT_psnr_ssim.py. `uniform7`: 7 x 7
        mean, sample covariance; scikit-image's default, which ldct-benchmark takes.

    Returns
    -------
    float
        Up to 1, which equal images have.

    Raises
    ------
    DataError
        When the images differ in shape, are no single image, or are smaller than the window.
    ConfigError
        When `data_range` is not positive or the convention unknown.
    """
    _check_range(data_range)
    if convention not in _WINDOWS:
        raise ConfigError(
            f"there is no SSIM convention {convention!r}", remedy=f"Take one of {list(_WINDOWS)}"
        )
    window = _WINDOWS[convention]
    first, second = _pair(a, b, window.dtype)
    _check_size(first, len(window.taps))
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = _local_means(
        torch.stack((first, second, first * first, second * second, first * second)), window
    )
    pixels = len(window.taps) ** 2
    scale = pixels / (pixels - 1) if window.is_sample_covariance else 1.0
    variances = scale * ((mean_aa - mean_a**2) + (mean_bb - mean_b**2))
    covariance = scale * (mean_ab - mean_a * mean_b)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


class Scores(NamedTuple):
    """What one ruler says of one slice.

    Parameters
    ----------
    psnr
        In dB; infinite where the slices are equal.
    ssim
        Up to 1.
    rmse
        In HU.
    """

    psnr: float
    ssim: float
    rmse: float


@dataclass(frozen=True)
class Ruler:
    """One way of measuring CT slices: the HU range that counts, and the kind of SSIM.

    Parameters
    ----------
    name
        Short name, for tables.
    low, high
        Limits in HU to which both slices are clipped first; their distance is the data range.
    convention
        Of SSIM.
    origin
        Who measures so.
    is_zero_based
        Whether SSIM is taken of values from 0 up (HU minus `low`) and not of HU.
    stretch
        Factor by which HU are stretched away from `low` before clipping; 1 but for the paper's
        mistaken script.
    """

    name: str
    low: float
    high: float
    convention: Convention
    origin: str
    is_zero_based: bool = True
    stretch: float = 1.0

    @property
    def data_range(self) -> float:
        """Width of the range in HU."""
        return self.high - self.low

    def score(self, hu: Image, reference: Image) -> Scores:
        """Measure one slice.

        Parameters
        ----------
        hu
            The slice, [H, W] in HU.
        reference
            What it should be, same shape.

        Returns
        -------
        Scores
            PSNR in dB, SSIM, RMSE in HU.

        Raises
        ------
        DataError
            When the slices differ in shape or are smaller than the SSIM window.
        """
        a, b = (self._prepare(one) for one in _pair(hu, reference, torch.float64))
        offset = self.low if self.is_zero_based else 0.0
        return Scores(
            psnr(a, b, self.data_range),
            ssim(a - offset, b - offset, self.data_range, convention=self.convention),
            rmse(a, b),
        )

    def _prepare(self, hu: Tensor) -> Tensor:
        return ((hu - self.low) * self.stretch + self.low).clip(self.low, self.high)


RULERS: Final = (
    Ruler("paper", -1024, 3072, "published_ct", "CLIPDenoising, corrected", is_zero_based=False),
    Ruler("full", -1024, 3072, "gaussian", "the paper's range, standard SSIM"),
    Ruler("2000 HU", -1000, 1000, "gaussian", "CoreDiff's range, standard SSIM"),
    Ruler("abdomen", -160, 240, "gaussian", "RED-CNN's range, standard SSIM"),
    Ruler("benchmark", -1024, 1900, "uniform7", "ldct-benchmark's validation"),
)
"""The rulers in use; where papers give 0..2924, that is HU + 1024."""

AS_PUBLISHED: Final = Ruler(
    "3096",
    -1024,
    3072,
    "published_ct",
    "CLIPDenoising's test script, mistake kept",
    is_zero_based=False,
    stretch=4120 / 4096,
)
"""The paper's test script as it was released: it takes 3096 for 3072."""


class Mean(NamedTuple):
    """Mean over slices.

    Parameters
    ----------
    psnr, ssim, rmse
        Means; of PSNR over the slices where it is finite, infinite where it is nowhere.
    slices
        How many.
    perfect
        How many equal the reference and are left out of the mean PSNR.
    """

    psnr: float
    ssim: float
    rmse: float
    slices: int
    perfect: int


def mean_scores(scores: Iterable[Scores]) -> Mean:
    """Average over slices.

    Parameters
    ----------
    scores
        One per slice, one at least.

    Returns
    -------
    Mean
        Infinite PSNR is left out and counted: one perfect slice would make the whole mean infinite.

    Raises
    ------
    DataError
        When there are none.
    """
    known = list(scores)
    if not known:
        raise DataError("there are no slices to average over")
    finite = [one.psnr for one in known if not math.isinf(one.psnr)]
    return Mean(
        psnr=sum(finite) / len(finite) if finite else math.inf,
        ssim=sum(one.ssim for one in known) / len(known),
        rmse=sum(one.rmse for one in known) / len(known),
        slices=len(known),
        perfect=len(known) - len(finite),
    )


def _pair(a: Image, b: Image, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    first, second = (torch.as_tensor(one).detach().to(dtype) for one in (a, b))
    if first.shape != second.shape:
        raise DataError(
            f"images of different shape cannot be compared: {list(first.shape)} and "
            f"{list(second.shape)}"
        )
    if first.ndim not in (2, 3) or (first.ndim == 3 and len(first) not in CHANNELS):
        raise DataError(
            f"shape {list(first.shape)} is no single image",
            remedy="Give one slice [H, W], or [C, H, W] with 1 or 3 channels",
        )
    return first, second


def _check_range(data_range: float) -> None:
    if not data_range > 0:
        raise ConfigError(f"the data range is {data_range} and must be positive")


def _check_size(image: Tensor, window: int) -> None:
    if min(image.shape[-2:]) < window:
        raise DataError(
            f"an image of {image.shape[-2]} x {image.shape[-1]} pixels is smaller than the "
            f"{window} x {window} window of SSIM"
        )


def _local_means(maps: Tensor, window: _Window) -> Tensor:
    """Average around every pixel: [..., H, W] to the same kind."""
    maps = F.pad(maps, (window.padding,) * 4)
    for kernel in window.kernels():
        maps = _weighted_sum(maps, kernel)
    return maps


def _weighted_sum(maps: Tensor, kernel: Tensor) -> Tensor:
    """Correlate with a kernel where it fits, adding in row-major order.

    In float32 the order of the additions shows in the sixth digit of the published SSIM, and
    convolution libraries differ in it; this order gives the same figure on every machine.
    """
    rows = maps.shape[-2] - kernel.shape[0] + 1
    columns = maps.shape[-1] - kernel.shape[1] + 1
    total = maps.new_zeros(())
    for y, line in enumerate(kernel.tolist()):
        for x, weight in enumerate(line):
            total = total + weight * maps[..., y : y + rows, x : x + columns]
    return total
