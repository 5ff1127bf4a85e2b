"""A denoiser measured on pictures, as the published test scripts measure."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ldct_clipdn.core.metrics import psnr, ssim
from ldct_clipdn.core.noise import Noise, add_published_noise_to_batch
from ldct_clipdn.errors import DataError

__all__ = ["Denoise", "Picture", "PictureScore", "denoise_pictures", "measure", "score_picture"]

Denoise = Callable[[Tensor], Tensor]
"""Noisy [B, 3, H, W] in [0, 1], float32, to the same, not limited."""


@dataclass(frozen=True)
class Picture:
    """One clean picture, with its noisy photograph where there is one.

    Parameters
    ----------
    name
        For tables.
    clean
        uint8 [3, H, W].
    noisy
        uint8 [3, H, W]; None where noise is to be added.
    """

    name: str
    clean: Tensor
    noisy: Tensor | None = None

    def __post_init__(self) -> None:
        if self.noisy is not None and self.noisy.shape != self.clean.shape:
            raise DataError(
                f"{self.name}: the noisy picture is {list(self.noisy.shape)}, the clean one "
                f"{list(self.clean.shape)}",
                remedy="Give pairs of equal size",
            )


class PictureScore(NamedTuple):
    """How near one result came to the clean picture.

    Parameters
    ----------
    name
        The picture's.
    psnr
        In dB; infinite where they are equal.
    ssim
        Up to 1.
    seconds
        Time of the denoiser alone, a batch's shared by its pictures.
    """

    name: str
    psnr: float
    ssim: float
    seconds: float


class Result(NamedTuple):
    """One batch, before and after.

    Parameters
    ----------
    pictures
        Which ones.
    clean, noisy, denoised
        [B, 3, H, W] in [0, 1]; `denoised` is limited to it.
    seconds
        Time of the denoiser.
    """

    pictures: Sequence[Picture]
    clean: Tensor
    noisy: Tensor
    denoised: Tensor
    seconds: float


def measure(
    denoise: Denoise,
    pictures: Sequence[Picture],
    noise: Noise | None,
    *,
    device: torch.device,
    batch_size: int = 8,
) -> Iterator[PictureScore]:
    """Denoise pictures and score each.

    Parameters
    ----------
    denoise
        The denoiser, on the device.
    pictures
        Clean ones for a noise; pairs where `noise` is None.
    noise
        Added by the published draws; None takes the noisy pictures, and then the result is rounded
        to 8 bits, as the published script for real noise does.
    device
        Where everything is computed.
    batch_size
        Pictures of equal size that are denoised together, at most.

    Yields
    ------
    PictureScore
        One per picture, as soon as it is known.
    """
    for result in denoise_pictures(denoise, pictures, noise, device=device, batch_size=batch_size):
        seconds = result.seconds / len(result.pictures)
        for picture, after, clean in zip(
            result.pictures, result.denoised, result.clean, strict=True
        ):
            yield PictureScore(picture.name, *score_picture(after, clean), seconds)


@torch.inference_mode()
def denoise_pictures(
    denoise: Denoise,
    pictures: Sequence[Picture],
    noise: Noise | None,
    *,
    device: torch.device,
    batch_size: int = 8,
) -> Iterator[Result]:
    """Denoise pictures, equal sizes together.

    Parameters
    ----------
    denoise
        As for `measure`.
    pictures
        As for `measure`.
    noise
        As for `measure`.
    device
        As for `measure`.
    batch_size
        As for `measure`.

    Yields
    ------
    Result
        One per batch.

    Raises
    ------
    DataError
        When a picture has no noisy half and no noise is given, or the result is no picture: no
        tensor, of another shape, or not finite.
    """
    for batch in _equal_sizes(pictures, batch_size):
        clean = _unit([picture.clean for picture in batch], device)
        noisy = _noisy(batch, clean, noise)
        start = _now(device)
        denoised = denoise(noisy)
        seconds = _now(device) - start
        _require_pictures(denoised, batch, clean)
        denoised = denoised.float().clamp(0, 1)
        if noise is None:
            denoised = (denoised * 255).round() / 255
        yield Result(batch, clean, noisy, denoised, seconds)


def score_picture(image: Tensor, clean: Tensor) -> tuple[float, float]:
    """Compute PSNR and SSIM of one RGB picture as published.

    Parameters
    ----------
    image, clean
        [3, H, W] in [0, 1].

    Returns
    -------
    tuple of float
        PSNR in dB over the three channels together, and SSIM, their mean.
    """
    return psnr(image, clean, 1.0), ssim(image, clean, 1.0)


def _require_pictures(denoised: object, batch: Sequence[Picture], clean: Tensor) -> None:
    if not isinstance(denoised, Tensor):
        raise DataError(
            f"the denoiser made a {type(denoised).__name__} of {batch[0].name}, not a tensor",
            remedy="It must give a torch.Tensor [B, 3, H, W] as it was given",
        )
    if denoised.shape != clean.shape:
        raise DataError(
            f"the denoiser made {list(denoised.shape)} of {list(clean.shape)}",
            remedy="It must give [B, 3, H, W] as it was given",
        )
    for picture, one in zip(batch, denoised, strict=True):
        if not torch.isfinite(one).all():
            raise DataError(
                f"the denoiser made NaN or infinity of {picture.name}",
                remedy="Check its weights, and that it takes pictures in [0, 1]",
            )


def _equal_sizes(pictures: Sequence[Picture], batch_size: int) -> Iterator[list[Picture]]:
    by_size: dict[torch.Size, list[Picture]] = defaultdict(list)
    for picture in pictures:
        by_size[picture.clean.shape].append(picture)
    for same in by_size.values():
        for first in range(0, len(same), batch_size):
            yield same[first : first + batch_size]


def _noisy(batch: Sequence[Picture], clean: Tensor, noise: Noise | None) -> Tensor:
    if noise is not None:
        return add_published_noise_to_batch(clean, noise)
    photographs = [picture.noisy for picture in batch if picture.noisy is not None]
    if len(photographs) < len(batch):
        raise DataError("there is no noise to remove", remedy="Give a noise, or pairs")
    return _unit(photographs, clean.device)


def _unit(images: Sequence[Tensor], device: torch.device) -> Tensor:
    return torch.stack(list(images)).to(device).float() / 255


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
