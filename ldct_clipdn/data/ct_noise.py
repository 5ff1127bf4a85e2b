"""Training noise that looks like CT's: coloured, uneven, streaked; and the target to go with it.

A filter of the image is all that distinguishes one kernel from another, so each crop
gets its kernel when it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, Transform
from torch import Tensor

from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.ct.kernel import Kernel, OwnNoise
from ldct_clipdn.data.noise_library import NoiseLibrary, Read
from ldct_clipdn.data.transforms import SeededMapTransform

__all__ = [
    "CTNoise",
    "CTNoisyPaird",
    "CropBodyd",
    "LoadWithNoised",
    "NoiseDraw",
    "recorrupt",
]

CUTOFF: Final = (0.09, 1.2)
"""Cycles per pixel: from resampled or very soft images to nearly the bare ramp."""

STEEPNESS: Final = (1.0, 3.0)

STRETCH: Final = 1.25
"""Kernels pass up to this much more across than down, or less: real ones are not quite round."""

SD_HU: Final = ((0.13, (2.5, 45.0)), (0.3, (2.5, 70.0)), (math.inf, (6.0, 110.0)))
"""Standard deviations for cut-offs below each limit: sharp kernels are noisier."""

LARGEST_WHITE: Final = 0.16
"""Largest share of the variance that is white: resampling, rounding, electronics."""

LARGEST_SHARE: Final = 1.5
"""Limit of what is taken off the target, per frequency, in units of the added noise."""

USUAL_LEVEL_HU: Final = 12.0
"""Noise of the training slices, for those with too little soft tissue to tell."""

BODY_HU: Final = -500.0
BODY_SHARE: Final = 1 / 3
CROP_TRIES: Final = 20

Item = dict[Hashable, Any]


class LoadWithNoised(Randomizable, MapTransform):
    """Read a slice, and as a second channel a noise field, so that both are cropped alike.

    Parameters
    ----------
    keys
        The entry that holds the path, one key.
    read
        As for `LoadImageCTd`.
    library
        Where fields come from.
    """

    def __init__(self, keys: KeysCollection, read: Read, library: NoiseLibrary) -> None:
        super().__init__(keys)
        self.read = read
        self.library = library

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Read slice and field.

        Parameters
        ----------
        data
            A training item.

        Returns
        -------
        dict
            A copy with float32 [2, H, W] under the key: HU, and noise of standard deviation 1;
            under `own` the slice's own noise.
        """
        key = self.keys[0]
        hu = self.read(Path(data[key]), int(data.get("frame", 0)))
        both = np.stack([hu, self.library.draw(data, self.R)])
        return {**data, key: torch.from_numpy(both), "own": self.library.own(data)}


class CropBodyd(Randomizable, MapTransform):
    """Crop at random, but a third at least must be body.

    Parameters
    ----------
    keys
        The entry, [C, H, W] with HU in channel 0; one key.
    size
        Side of the crop.
    """

    def __init__(self, keys: KeysCollection, size: int) -> None:
        super().__init__(keys)
        self.size = size

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Crop.

        Parameters
        ----------
        data
            The image, at least as large as the crop.

        Returns
        -------
        dict
            A copy with [C, size, size] under the key; of 20 tries the last where none has enough.
        """
        image: Tensor = data[self.keys[0]]
        crop = self._crop(image)
        for _ in range(CROP_TRIES):
            if float((crop[0] > BODY_HU).float().mean()) >= BODY_SHARE:
                break
            crop = self._crop(image)
        return {**data, self.keys[0]: crop}

    def _crop(self, image: Tensor) -> Tensor:
        top, left = (int(self.R.randint(n - self.size + 1)) for n in image.shape[-2:])
        return image[:, top : top + self.size, left : left + self.size]


@dataclass(frozen=True)
class NoiseDraw:
    """What noise a crop gets.

    Parameters
    ----------
    sd_hu
        Standard deviation in HU.
    kernel
        Its colour, cut-off in cycles per pixel.
    white
        Share of the variance that is white.
    stretch
        Cut-off across over the square root of across times down; 1 is round.
    """

    sd_hu: float
    kernel: Kernel
    white: float
    stretch: float = 1.0

    def window(self, shape: tuple[int, ...]) -> Tensor:
        """Give what the kernel does to the bare ramp, scaled to keep its standard deviation.

        Parameters
        ----------
        shape
            Of a Fourier transform.

        Returns
        -------
        torch.Tensor
            Factor per term.
        """
        seen = radial_frequency(shape, self.stretch)
        return self.kernel.window(seen) / math.sqrt(_ramp_share(self.kernel))

    def power(self, shape: tuple[int, ...]) -> Tensor:
        """Give the spectrum.

        Parameters
        ----------
        shape
            Of a Fourier transform.

        Returns
        -------
        torch.Tensor
            Power per term over the mean power of white noise of 1 HU.
        """
        coloured = radial_frequency(shape) * self.window(shape) ** 2 / MEAN_RAMP
        return self.sd_hu**2 * ((1 - self.white) * coloured + self.white)


class CTNoise(Randomizable, Transform):
    """Coloured noise of random strength and kernel.

    Parameters
    ----------
    hu_range
        HU that are 0 and 1; None is the published range.
    """

    def __init__(self, hu_range: HURange | None = None) -> None:
        self.range = hu_range or HURange()

    def __call__(self, image: Tensor) -> Tensor:
        """Add noise to an image without a field of its own: even, and of the same colours.

        Parameters
        ----------
        image
            [1, H, W] in [0, 1].

        Returns
        -------
        torch.Tensor
            A new tensor, same shape.
        """
        white = torch.from_numpy(self.R.standard_normal(image.shape[-2:]).astype(np.float32))
        spectrum = torch.fft.fft2(white)
        noise = torch.fft.ifft2(spectrum * self.draw(0.0).power(white.shape).sqrt()).real
        noisy: Tensor = image + noise / self.range.width
        return noisy

    def draw(self, least_hu: float) -> NoiseDraw:
        """Draw strength and colour.

        Parameters
        ----------
        least_hu
            The strength is at least this, or half of the largest for the kernel if that is less.

        Returns
        -------
        NoiseDraw
            For one crop.
        """
        kernel = Kernel(_log_uniform(self.R, *CUTOFF), self.R.uniform(*STEEPNESS))
        lowest, highest = next(sds for limit, sds in SD_HU if kernel.cutoff < limit)
        lowest = min(max(lowest, least_hu), highest / 2)
        return NoiseDraw(
            _log_uniform(self.R, lowest, highest),
            kernel,
            self.R.uniform(0, LARGEST_WHITE),
            _log_uniform(self.R, 1 / STRETCH, STRETCH),
        )


class CTNoisyPaird(SeededMapTransform):
    """Make the pair to learn from: `image` noisy; `label` F - A n.

    F, the slice, has noise of its own, e. A network trained from F + n to F learns to hand e back,
    since it is in both. Against F - A n, with A = spectrum of e / spectrum of n, what the label
    holds of noise is uncorrelated with the input's, so nothing of it can be learnt: recorrupted to
    recorrupted (Pang et al., CVPR 2021), here per frequency.

    This holds where A stays below its limit of 1.5. Where n is far weaker than e, as beyond the
    cut-off of a softer kernel, A would have to be huge; there label and input keep S(e) - 1.5 S(n)
    in common, and that much can be learnt. Over 1000 draws for a usual slice (12 HU, cut-off 0.26)
    this is 9 % of the power of e on average, and more than 10 % in a quarter of the draws.

    Parameters
    ----------
    keys
        The entry, one key.
    margin
        Pixels to cut off each border at the end: the colouring wraps around there.
    hu_range
        HU that become 0 and 1; None is the published range.
    """

    def __init__(self, keys: KeysCollection, margin: int, hu_range: HURange | None = None) -> None:
        self.margin = margin
        self.noise = CTNoise(hu_range)
        super().__init__(keys, self.noise)

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Make the pair.

        Parameters
        ----------
        data
            [2, H, W] under the key, HU and noise field; the slice's noise under `own`.

        Returns
        -------
        dict
            A copy with `image` and `label`, [1, H - 2 margin, W - 2 margin] on the unit scale.
        """
        item = dict(data)
        own: OwnNoise = item.pop("own")
        hu, field = item[self.keys[0]]
        level = own.level_hu if math.isfinite(own.level_hu) else USUAL_LEVEL_HU
        draw = self.noise.draw(level)
        added, taken = recorrupt(field, draw, NoiseDraw(level, own.kernel, 0.0), self.noise.R)
        cut = slice(self.margin, hu.shape[-1] - self.margin)
        unit = self.noise.range
        item[self.keys[0]], item["label"] = (
            unit.to_unit(unit.clip(one[cut, cut]))[None] for one in (hu + added, hu - taken)
        )
        return item


def recorrupt(
    field: Tensor, draw: NoiseDraw, own: NoiseDraw, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Colour a field, once for the input and once for the target.

    Parameters
    ----------
    field
        [N, N], by the bare ramp, standard deviation 1.
    draw
        Strength and colour of the noise to add.
    own
        The same of the slice's own noise.
    rng
        Draws the white share.

    Returns
    -------
    added : torch.Tensor
        [N, N] in HU, to be added to the input.
    taken : torch.Tensor
        [N, N] in HU, to be taken off the target.
    """
    white = torch.from_numpy(rng.standard_normal(field.shape).astype(np.float32))
    spectrum = draw.sd_hu * (
        math.sqrt(1 - draw.white) * draw.window(field.shape) * torch.fft.fft2(field)
        + math.sqrt(draw.white) * torch.fft.fft2(white)
    )
    share = own.power(field.shape) / draw.power(field.shape).clamp(min=1e-6)
    share = share.clamp(max=LARGEST_SHARE)
    added, taken = torch.fft.ifft2(torch.stack([spectrum, share * spectrum])).real
    return added, taken


def radial_frequency(shape: tuple[int, ...], stretch: float = 1.0) -> Tensor:
    """Give the distance of every term of a Fourier transform from frequency 0.

    Parameters
    ----------
    shape
        Of the transform.
    stretch
        Frequencies across count for less by this factor, those down for more.

    Returns
    -------
    torch.Tensor
        float32, in cycles per pixel.
    """
    down, across = (torch.fft.fftfreq(n) for n in shape)
    distance: Tensor = torch.hypot(stretch * down[:, None], across[None, :] / stretch)
    return distance


def _ramp_share(kernel: Kernel) -> float:
    """Give the share of the bare ramp's variance that a kernel's window lets through."""
    frequency = radial_frequency((64, 64))
    passed = frequency * kernel.window(frequency) ** 2
    return float(passed.mean() / frequency.mean())


MEAN_RAMP: Final = float(radial_frequency((64, 64)).mean())


def _log_uniform(rng: np.random.RandomState, low: float, high: float) -> float:
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))
