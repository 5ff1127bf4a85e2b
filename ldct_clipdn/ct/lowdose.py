"""Low dose from normal dose: the noise that fewer quanta would have added.

Line integrals through the slice give each ray's variance, back-projection of noise alone gives its
texture, streaks and place; the anatomy is untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ldct_clipdn.ct.noise_meter import measure_noise, smooth, soft_tissue
from ldct_clipdn.ct.nps import SpectrumMeter, cut_rois, find_uniform_rois
from ldct_clipdn.ct.projection import Beam, back_project, line_integrals

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Kernel", "OwnNoise", "noise_fields", "own_noise"]

WATER_PER_MM: Final = 0.0195
"""Attenuation of water at about 65 keV, the effective energy of 120 kV behind a body."""

FIELD_VIEWS: Final = 600

FIELD_LIMIT: Final = 0.6
"""Highest frequency of a noise field, in cycles per pixel."""

USUAL_PIXEL_MM: Final = 0.75

BOW_TIE: Final = (0.6, 1.0)
"""Exponent of the attenuation in a ray's variance: 1 for equal quanta per ray; bow-tie filter and
tube current that follows the body give thick paths more quanta."""


@dataclass(frozen=True)
class Kernel:
    """Reconstruction kernel: the ramp times exp(-(f / cutoff)^steepness).

    Parameters
    ----------
    cutoff
        Frequency where the window has fallen to 1/e; cycles per pixel or 1/mm, as its user says.
    steepness
        1 falls slowly, 3 steeply.
    """

    cutoff: float
    steepness: float

    def window(self, frequency: Tensor) -> Tensor:
        """Evaluate the window.

        Parameters
        ----------
        frequency
            In the unit of the cut-off.

        Returns
        -------
        torch.Tensor
            Same shape, 1 at frequency 0.
        """
        return torch.exp(-((frequency / self.cutoff) ** self.steepness))


@dataclass(frozen=True)
class OwnNoise:
    """The noise that a slice came with.

    Parameters
    ----------
    level_hu
        Standard deviation in HU; NaN where there is too little soft tissue to tell.
    kernel
        Its colour, cut-off in cycles per pixel.
    """

    level_hu: float
    kernel: Kernel


USUAL_KERNEL: Final = Kernel(0.26, 1.5)
"""Median of what was found on the training slices, for slices too small to tell."""

FIT_FROM: Final = 2
"""First frequency that is fitted, in steps of the spectrum: below, anatomy counts as noise."""


def own_noise(hu: NDArray[np.float32]) -> OwnNoise:
    """Measure level and colour of a slice's noise.

    Parameters
    ----------
    hu
        [H, W] in HU.

    Returns
    -------
    OwnNoise
        With the usual kernel where no uniform region is large enough.
    """
    return OwnNoise(measure_noise(hu), fit_kernel(hu) or USUAL_KERNEL)


def fit_kernel(hu: NDArray[np.float32], roi_px: int = 16) -> Kernel | None:
    """Find the kernel whose spectrum the noise in uniform soft tissue has.

    Parameters
    ----------
    hu
        [H, W] in HU.
    roi_px
        Side of the regions.

    Returns
    -------
    Kernel or None
        Cut-off in cycles per pixel; None where there is no uniform region.
    """
    image = torch.from_numpy(hu)
    smoothed = smooth(image, 3.0).numpy()
    mask = soft_tissue(image, limits=(-60.0, 170.0), erosion=0).numpy()
    meter = SpectrumMeter((1.0, 1.0), roi_px)
    meter.add(cut_rois(hu, find_uniform_rois(hu, smoothed, mask, roi_px), roi_px))
    if meter.rois < 2:
        return None
    spectrum = meter.spectrum()
    return _fit(np.array(spectrum.frequency)[FIT_FROM:-1], np.array(spectrum.power)[FIT_FROM:-1])


def _fit(frequency: NDArray[np.float64], power: NDArray[np.float64]) -> Kernel:
    """Fit log(power / f) by a constant minus 2 (f / cutoff)^steepness on a grid."""
    target = np.log(np.maximum(power, 1e-12) / frequency)
    best = (np.inf, USUAL_KERNEL)
    for steepness in np.arange(1.0, 3.01, 0.1):
        for cutoff in np.geomspace(0.1, 1.5, 55):
            model = -2 * (frequency / cutoff) ** steepness
            error = float(np.var(target - model))
            if error < best[0]:
                best = (error, Kernel(float(cutoff), float(steepness)))
    return best[1]


def noise_fields(
    hu: NDArray[np.float32],
    *,
    draws: int,
    seed: int | Sequence[int],
    pixel_mm: float = USUAL_PIXEL_MM,
) -> NDArray[np.float32]:
    """Make noise by the bare ramp through a slice's anatomy: what every kernel's noise comes from.

    Parameters
    ----------
    hu
        [H, W] in HU.
    draws
        How many, each with its own exponent of the attenuation (`BOW_TIE`).
    seed
        Start of the generator.
    pixel_mm
        Distance of pixels in mm.

    Returns
    -------
    numpy.ndarray
        float32 [draws, H, W], standard deviation 1 in soft tissue (in the body, where there is
        none).
    """
    rng = np.random.default_rng(seed)
    # what lies above the pixels' frequencies would come back as low frequencies
    beam = Beam(max(hu.shape), pixel_mm, views=FIELD_VIEWS)
    frequency = beam.frequencies()
    ramp = frequency * (frequency < FIELD_LIMIT / pixel_mm)
    lengths = ray_lengths(torch.from_numpy(hu), beam)
    image = torch.from_numpy(hu)
    inside = soft_tissue(image, erosion=0)
    inside = inside if inside.sum() > 1000 else smooth(image, 2.0) > -500
    fields = []
    for _ in range(draws):
        sd = torch.exp(0.5 * rng.uniform(*BOW_TIE) * lengths)
        white = torch.from_numpy(rng.standard_normal(sd.shape, dtype=np.float32))
        field = back_project(white * sd, beam, ramp)[: hu.shape[0], : hu.shape[1]]
        fields.append(field / field[inside].std() if inside.any() else field / field.std())
    return torch.stack(fields).numpy()


def ray_lengths(hu: Tensor, beam: Beam) -> Tensor:
    """Integrate the attenuation along each ray; finely enough for variances, which are smooth.

    Parameters
    ----------
    hu
        [H, W] in HU; filled up with air to the beam's square.
    beam
        Its geometry; views a multiple of four.

    Returns
    -------
    torch.Tensor
        [views, rays], without unit.
    """
    below, right = beam.size - hu.shape[0], beam.size - hu.shape[1]
    attenuation = WATER_PER_MM * (1 + hu / 1000).clamp(min=0)
    odd = beam.size % 2
    padded = F.pad(attenuation[None, None], (0, right + odd, 0, below + odd))
    half = F.avg_pool2d(padded, 2)[0, 0]
    coarse = Beam(half.shape[0], 2 * beam.pixel_mm, beam.views // 4, rays_per_pixel=1)
    lengths = line_integrals(half, coarse)
    # both sets of rays are centred and reach equally far, to a pixel
    fine = F.interpolate(lengths[None], size=beam.rays, mode="linear")[0]
    return fine.repeat_interleave(4, dim=0)
