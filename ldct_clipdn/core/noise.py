"""The synthetic noises of the paper: fresh draws on any device, or the published script's own.

Each kind is defined once, on tensors. What differs is where the random numbers come from: a torch
generator, or NumPy's legacy generator as the published test_synthetic_denoising.py uses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldct_clipdn.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "KINDS",
    "PAPER_NOISES",
    "PEAK",
    "PUBLISHED_SEED",
    "Kind",
    "Noise",
    "add_noise",
    "add_published_noise",
    "add_published_noise_to_batch",
]

Kind = Literal["gaussian", "spatial_gaussian", "poisson", "speckle", "salt_pepper"]
SpeckleLaw = Literal["uniform", "gaussian"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

PEAK: Final = 255.0
"""Gaussian levels are given on the 0..255 scale."""

SLACK: Final = 0.1
"""How far clean images may lie outside [0, 1], as resampling leaves them."""

PUBLISHED_SEED: Final = 0

_LARGEST: Final[dict[Kind, float]] = {
    "gaussian": PEAK,
    "spatial_gaussian": PEAK,
    "poisson": 100.0,
    "speckle": 1.0,
    "salt_pepper": 1.0,
}

_CLIPPED: Final = ("poisson", "speckle", "salt_pepper")
"""Kinds whose noisy image is limited to [0, 1] as published; the others are not."""

_WAYS: Final[dict[str, tuple[str, Any]]] = {
    "gaussian": ("speckle_law", "gaussian"),
    "clip": ("clip", True),
    "unclipped": ("clip", False),
    "8bit": ("eight_bit", True),
}
"""Words of a label for what is not as published: field and value."""


@dataclass(frozen=True, order=True)
class Noise:
    """One kind of noise at one level.

    Parameters
    ----------
    kind
        `gaussian` and `spatial_gaussian` (white noise after a 3 x 3 mean): `level` is the standard
        deviation on the 0..255 scale. `poisson`: the factor alpha on the residual of photon noise.
        `speckle`: the variance of the multiplicative noise. `salt_pepper`: the share of elements
        that are replaced, each channel on its own.
    level
        Strength, above 0.
    speckle_law
        `uniform` as MATLAB's `imnoise` draws it, or `gaussian`; only for speckle.
    clip
        Whether the noisy image is limited to [0, 1]; None does what was published, which is no for
        the two Gaussian kinds and yes for the others.
    eight_bit
        Whether the noisy image is limited to [0, 1] and rounded to 8 bits, as a file is.
    """

    kind: Kind
    level: float
    speckle_law: SpeckleLaw = "uniform"
    clip: bool | None = None
    eight_bit: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"there is no noise named {self.kind!r}", remedy=f"Give one of {', '.join(KINDS)}"
            )
        if not 0 < self.level <= _LARGEST[self.kind]:
            raise ConfigError(
                f"{self.kind} noise cannot have level {self.level}",
                remedy=f"Give a number above 0, up to {_LARGEST[self.kind]:g}",
            )
        if self.speckle_law not in get_args(SpeckleLaw):
            raise ConfigError(
                f"there is no speckle of law {self.speckle_law!r}",
                remedy=f"Give one of {', '.join(get_args(SpeckleLaw))}",
            )
        if self.speckle_law != "uniform" and self.kind != "speckle":
            raise ConfigError(
                f"{self.kind} noise has no law to choose", remedy="Give one for speckle alone"
            )

    @classmethod
    def parse(cls, text: str) -> Noise:
        """Read a noise from its label.

        Parameters
        ----------
        text
            Kind and level, such as `gaussian:50`; then, each after a comma, what is not as
            published: `gaussian` (the law of speckle), `clip` or `unclipped`, `8bit`.

        Returns
        -------
        Noise
            With the other settings as published.

        Raises
        ------
        ConfigError
            When it is none.
        """
        name, *words = text.split(",")
        kind, _, level = name.partition(":")
        try:
            ways = dict(_WAYS[word] for word in words)
            return cls(kind, float(level), **ways)  # type: ignore[arg-type]  # checked by the class
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"{text!r} names no noise",
                remedy="Give kind:level, such as gaussian:50; or with "
                f"{', '.join(_WAYS)} after a comma, such as speckle:0.04,gaussian,8bit",
            ) from error

    @property
    def clips(self) -> bool:
        """Whether the noisy image is limited to [0, 1]."""
        clip = self.kind in _CLIPPED if self.clip is None else self.clip
        return clip or self.eight_bit

    @property
    def label(self) -> str:
        """Kind and level, such as `gaussian:50`, and all else that changes what is drawn."""
        short = f"{self.level:g}"
        words = [f"{self.kind}:{short if float(short) == self.level else repr(self.level)}"]
        if self.kind == "speckle" and self.speckle_law != "uniform":
            words.append(self.speckle_law)
        if self.eight_bit:
            words.append("8bit")
        elif self.clips != (self.kind in _CLIPPED):
            words.append("clip" if self.clips else "unclipped")
        return ",".join(words)


_PAPER_LEVELS: Final[dict[Kind, tuple[float, ...]]] = {
    "gaussian": (15, 25, 50),
    "spatial_gaussian": (45, 50, 55),
    "poisson": (2.5, 3, 3.5),
    "speckle": (0.02, 0.03, 0.04),
    "salt_pepper": (0.012, 0.016, 0.02),
}

PAPER_NOISES: Final = tuple(
    Noise(kind, level) for kind, levels in _PAPER_LEVELS.items() for level in levels
)
"""Every kind and level of the paper's Tables 1 and 9."""


class _Draws(Protocol):
    """Where random numbers come from; each call gives one per element of `like` [B, C, H, W]."""

    def normal(self, like: Tensor) -> Tensor: ...

    def uniform(self, like: Tensor) -> Tensor: ...

    def poisson(self, rate: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _TorchDraws:
    """Fresh draws on the image's device."""

    generator: torch.Generator

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, device=like.device)

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, device=like.device)

    def poisson(self, rate: Tensor) -> Tensor:
        return torch.poisson(rate, generator=self.generator)


class _PublishedDraws:
    """The draws of the published script: seeded before every image, row, column, R, G, B."""

    def normal(self, like: Tensor) -> Tensor:
        return self._draw(like, lambda state, image: state.normal(0.0, 1.0, image.shape))

    def uniform(self, like: Tensor) -> Tensor:
        return self._draw(like, lambda state, image: state.random_sample(image.shape))

    def poisson(self, rate: Tensor) -> Tensor:
        return self._draw(rate, lambda state, image: state.poisson(image))

    @staticmethod
    def _draw(
        like: Tensor, draw: Callable[[np.random.RandomState, NDArray[Any]], NDArray[Any]]
    ) -> Tensor:
        drawn = [
            draw(
                np.random.RandomState(PUBLISHED_SEED),
                image.permute(1, 2, 0).cpu().numpy(),
            )
            for image in like
        ]
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).double().to(like.device)


def add_noise(clean: Tensor, noise: Noise, generator: torch.Generator) -> Tensor:
    """Add fresh noise to a batch, on its own device.

    Parameters
    ----------
    clean
        Images [B, C, H, W] in [0, 1].
    noise
        Kind, level and how the result is limited.
    generator
        On the same device; draws follow each other, nothing is seeded here.

    Returns
    -------
    torch.Tensor
        Noisy images, float32, same shape and device.

    Raises
    ------
    DataError
        When `clean` is no batch of images.
    """
    return _make_noisy(clean, noise, _TorchDraws(generator))


def add_published_noise(
    image: NDArray[Any], kind: Kind | Noise, level: float | None = None
) -> NDArray[np.float32]:
    """Add noise by the draws of the published test_synthetic_denoising.py.

    NumPy's legacy generator starts at 0 for every image. So all images of one size get the same
    Gaussian field. Speckle and salt and pepper were made in MATLAB without a seed: theirs are this
    project's convention.

    Parameters
    ----------
    image
        Clean RGB [H, W, 3] in [0, 1]; taken as float32, as the script does.
    kind
        Name of the kind; or a `Noise`, and then `level` is left out.
    level
        Strength; see `Noise`.

    Returns
    -------
    numpy.ndarray
        Noisy image, float32, same shape; Gaussian noise is not clipped.

    Raises
    ------
    ConfigError
        When there is no such kind or level.
    DataError
        When the image is not RGB, or its values are not about 0 to 1.
    """
    if not isinstance(kind, Noise):
        kind = Noise(kind, float("nan") if level is None else level)
    array = np.asarray(image, dtype=np.float32)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise DataError(
            f"an array of shape {list(array.shape)} is no RGB image", remedy="Give [H, W, 3]"
        )
    batch = torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]
    noisy = add_published_noise_to_batch(batch, kind)[0].permute(1, 2, 0)
    return np.ascontiguousarray(noisy.numpy())


def add_published_noise_to_batch(clean: Tensor, noise: Noise) -> Tensor:
    """Do what `add_published_noise` does, for a batch.

    Parameters
    ----------
    clean
        RGB images [B, 3, H, W] in [0, 1].
    noise
        Kind, level and how the result is limited.

    Returns
    -------
    torch.Tensor
        Noisy images, float32, same shape and device.

    Raises
    ------
    DataError
        When `clean` is no batch of images, or its values are not about 0 to 1.
    """
    if not ((clean >= -SLACK) & (clean <= 1 + SLACK)).all():  # NaN is neither
        low, high = (float(end) for end in clean.aminmax())
        raise DataError(
            f"values of {low:g} to {high:g} are not those of images in 0 to 1",
            remedy="Divide 8-bit images by 255",
        )
    return _make_noisy(clean, noise, _PublishedDraws())


def _make_noisy(clean: Tensor, noise: Noise, draws: _Draws) -> Tensor:
    if clean.ndim != 4:
        raise DataError(
            f"a tensor of shape {list(clean.shape)} is no batch of images",
            remedy="Give [B, C, H, W]",
        )
    clean = clean.float()
    noisy = _KINDS[noise.kind](clean, noise, draws).float()
    if noise.clips:
        noisy = noisy.clamp(0, 1)
    return (noisy * PEAK).round() / PEAK if noise.eight_bit else noisy


def _gaussian(clean: Tensor, noise: Noise, draws: _Draws) -> Tensor:
    return clean + draws.normal(clean) * (noise.level / PEAK)


def _spatial_gaussian(clean: Tensor, noise: Noise, draws: _Draws) -> Tensor:
    field = draws.normal(clean) * (noise.level / PEAK)
    # SciPy's default border repeats the edge pixel
    return clean + F.avg_pool2d(F.pad(field, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _poisson(clean: Tensor, noise: Noise, draws: _Draws) -> Tensor:
    stored = (clean * PEAK).round().clamp(0, PEAK) / PEAK
    photons = torch.stack([_photons_at_white(image) for image in stored])[:, None, None, None]
    counted = draws.poisson(stored * photons) / photons
    return clean + noise.level * (counted.float() - stored)


def _photons_at_white(image: Tensor) -> Tensor:
    """Give the power of two at or above the number of distinct values, as published."""
    distinct = image.unique().numel()
    return torch.tensor(2.0 ** (distinct - 1).bit_length(), device=image.device)


def _speckle(clean: Tensor, noise: Noise, draws: _Draws) -> Tensor:
    if noise.speckle_law == "gaussian":
        factor = draws.normal(clean) * math.sqrt(noise.level)
    else:
        factor = (draws.uniform(clean) - 0.5) * math.sqrt(12 * noise.level)
    return clean + clean * factor


def _salt_pepper(clean: Tensor, noise: Noise, draws: _Draws) -> Tensor:
    draw = draws.uniform(clean)
    noisy = torch.where(draw < noise.level, torch.ones_like(clean), clean)
    return torch.where(draw < noise.level / 2, torch.zeros_like(clean), noisy)


_KINDS: Final[dict[Kind, Callable[[Tensor, Noise, _Draws], Tensor]]] = {
    "gaussian": _gaussian,
    "spatial_gaussian": _spatial_gaussian,
    "poisson": _poisson,
    "speckle": _speckle,
    "salt_pepper": _salt_pepper,
}
