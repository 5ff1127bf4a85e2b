"""Reconstruction kernels: by name, and read off the noise of a slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from ldct_clipdn.ct.noise_meter import gaussian_blur, measure_noise, mode_in_tissue, soft_tissue
from ldct_clipdn.ct.nps import ROI_PX, Spectrum, SpectrumMeter, cut_rois, find_uniform_rois
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "KERNELS",
    "USUAL_KERNEL",
    "Kernel",
    "OwnNoise",
    "Probe",
    "Window",
    "kernel_window",
    "noise_regions",
    "own_noise",
]

Window = Callable[[Tensor], Tensor]
"""What a kernel does to the ramp, by frequency in 1/mm."""


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

    def __str__(self) -> str:
        """Write it so that `kernel_window` reads the same kernel, to the last bit."""
        return f"{self.cutoff!r},{self.steepness!r}"

    def per_mm(self, pixel_mm: float) -> Kernel:
        """Turn cycles per pixel into 1/mm.

        Parameters
        ----------
        pixel_mm
            Distance of pixels in mm.

        Returns
        -------
        Kernel
            The same kernel.
        """
        return Kernel(self.cutoff / pixel_mm, self.steepness)


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

PROBED_HU: Final = (-60.0, 170.0)
"""Smoothed values of tissue that shows the kernel: contrast medium and fatty muscle too."""

REGION_BLUR_PX: Final = 3.0
"""Of the smoothing by which a region is judged to be uniform."""

MOST_NOISE: Final = 1.5
"""Largest standard deviation of a region, over the slice's noise: more holds anatomy, which can
only add. On some 50 slices of 30 real series noise alone reached 1.32; anatomy began at 1.65."""

FEWEST_REGIONS: Final = 2
MOST_SLICES: Final = 12

FITTED: Final = slice(2, -1)
"""Rings of the spectrum that are fitted: in the first ones anatomy counts as noise."""


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
    probe = Probe(hu[None])
    return OwnNoise(measure_noise(hu), probe.fit() if probe.regions else USUAL_KERNEL)


class Probe:
    """Uniform regions of soft tissue, where slices show their noise, and simulated noise its own.

    Parameters
    ----------
    volume
        [Z, H, W] in HU; of many slices some are looked at, evenly spread.
    """

    def __init__(self, volume: NDArray[np.float32]) -> None:
        chosen = np.linspace(0, len(volume) - 1, min(len(volume), MOST_SLICES)).round().astype(int)
        self.volume = volume
        self.regions = {int(k): one for k in chosen if (one := noise_regions(volume[k], PROBED_HU))}
        if sum(map(len, self.regions.values())) < FEWEST_REGIONS:
            self.regions = {}

    def level(self, noise: Mapping[int, NDArray[np.float32]] | None = None) -> float:
        """Measure the standard deviation.

        Parameters
        ----------
        noise
            Simulated noise of every slice in `regions`; None measures the slices themselves.

        Returns
        -------
        float
            In HU, without trends.
        """
        return self._spectrum(noise).noise_hu

    def fit(self) -> Kernel:
        """Find the kernel whose ramp-filtered noise has the slices' spectrum.

        Returns
        -------
        Kernel
            Cut-off in cycles per pixel.
        """
        frequency, power = self._rings()
        return _fit(frequency, power)

    def refit(self, used: Kernel, noise: Mapping[int, NDArray[np.float32]]) -> Kernel:
        """Correct a kernel by what noise it gave: sampling folds high frequencies back.

        Parameters
        ----------
        used
            The kernel.
        noise
            Noise that was simulated with it, for every slice in `regions`.

        Returns
        -------
        Kernel
            Cut-off in cycles per pixel.
        """
        frequency, power = self._rings()
        given = self._rings(noise)[1]
        wanted = frequency * (used.window(torch.from_numpy(frequency)).numpy() ** 2)
        return _fit(frequency, wanted * power / given)

    def _rings(
        self, noise: Mapping[int, NDArray[np.float32]] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        spectrum = self._spectrum(noise)
        return np.array(spectrum.frequency)[FITTED], np.array(spectrum.power)[FITTED]

    def _spectrum(self, noise: Mapping[int, NDArray[np.float32]] | None) -> Spectrum:
        meter = SpectrumMeter((1.0, 1.0), ROI_PX)
        for k, corners in self.regions.items():
            meter.add(cut_rois(self.volume[k] if noise is None else noise[k], corners, ROI_PX))
        return meter.spectrum()


def noise_regions(plane: NDArray[np.float32], limits: tuple[float, float]) -> list[tuple[int, int]]:
    """Find regions that hold noise alone: uniform, and no louder than the slice's noise.

    A region is called uniform by its smoothed values over its own standard deviation, which fine
    anatomy raises. Where the slice's noise cannot be read, that has to do.

    Parameters
    ----------
    plane
        [H, W] in HU.
    limits
        Lowest and highest smoothed HU.

    Returns
    -------
    list of tuple
        First row and first column of each; `ct.nps.ROI_PX` pixels a side.
    """
    image = torch.from_numpy(plane)
    mask = soft_tissue(image, limits=limits, erosion=0).numpy()
    uniform = find_uniform_rois(plane, gaussian_blur(image, REGION_BLUR_PX).numpy(), mask, ROI_PX)
    most = MOST_NOISE * mode_in_tissue(plane, plane)
    return [one for one in uniform if not _noise_of(plane, one) > most]


def _noise_of(plane: NDArray[np.float32], corner: tuple[int, int]) -> float:
    meter = SpectrumMeter((1.0, 1.0), ROI_PX)
    meter.add(cut_rois(plane, [corner], ROI_PX))
    return meter.spectrum().noise_hu


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


HIGHEST: Final = 1.0
"""Where the textbook kernels end, in 1/mm: the Nyquist frequency of rays 0.5 mm apart."""


def _ram_lak(frequency: Tensor) -> Tensor:
    return (frequency <= HIGHEST).float()


def _shepp_logan(frequency: Tensor) -> Tensor:
    return torch.sinc(frequency / (2 * HIGHEST)) * _ram_lak(frequency)


def _hann(frequency: Tensor) -> Tensor:
    return (0.5 + 0.5 * torch.cos(math.pi * frequency / HIGHEST)) * _ram_lak(frequency)


KERNELS: Final[Mapping[str, Window]] = {
    "ram-lak": _ram_lak,
    "shepp-logan": _shepp_logan,
    "hann": _hann,
    "soft": Kernel(0.28, 1.5).window,
    "standard": Kernel(0.37, 1.7).window,
    "sharp": Kernel(0.95, 1.5).window,
}
"""Windows by name; the last three are like B20f, B30f and D45f of one maker."""


def kernel_window(name: str) -> Window:
    """Take a kernel by its name or its numbers.

    Parameters
    ----------
    name
        A key of `KERNELS`; or cut-off in 1/mm and steepness of a `Kernel`, such as `0.41,1.6`.

    Returns
    -------
    callable
        Its window.

    Raises
    ------
    ConfigError
        When it is neither.
    """
    if name in KERNELS:
        return KERNELS[name]
    try:
        cutoff, steepness = map(float, name.split(","))
    except ValueError:
        cutoff = steepness = math.nan
    if not (0 < cutoff < math.inf and 0 < steepness < math.inf):
        names = ", ".join(KERNELS)
        raise ConfigError(
            f"no kernel is named {name!r}",
            remedy=f"Choose auto, one of {names}, or CUTOFF,STEEPNESS such as 0.41,1.6",
        )
    return Kernel(cutoff, steepness).window
