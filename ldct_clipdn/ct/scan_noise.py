"""Noise of a scan: line integrals through its slices, and how it turns, decide each ray's variance.

Back-projecting that noise alone gives texture, streaks and place; the anatomy is untouched.
Parallel beam: noise keeps its texture in a fan beam, whose rays are the same lines in another
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ldct_clipdn.ct.projection import Beam, back_project, line_integrals
from ldct_clipdn.ct.turning import STEADY, Turning, log_variance, read_turning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.ct.kernel import Window

__all__ = ["LOWEST_QUANTA", "Rays", "Scan", "ray_lengths"]

WATER_PER_MM: Final = 0.0195
"""Attenuation of water at 69 keV, between 0.0206 at 60 and 0.0184 at 80 (NIST XCOM, in logarithms);
thereabouts lies the effective energy of 120 kV behind a body."""

EXPONENT: Final = 0.85
"""Of the attenuation in a ray's variance: 1 for equal quanta per ray; bow-tie filter and tube
current that follows the body give thick paths more. Fitted on the full dose of train/mayo_L143
(docs/weights.md)."""

FINE_STEPS: Final = 4
"""Parts of the slice distance on which noise is drawn, so that overlapping slices share some."""

LOWEST_QUANTA: Final = 10.0
"""Fewer per ray, and noise is no longer Gaussian."""


class Rays(NamedTuple):
    """What decides the variance of a ray: 1/N + (s/N)^2 at full dose, N its quanta.

    Parameters
    ----------
    quanta
        Of an unattenuated ray at full dose.
    electronic
        Standard deviation s of the electronic noise, in quanta.
    quantum, readout
        How many times the full dose's variance, of either term.
    """

    quanta: float
    electronic: float = 0.0
    quantum: float = 1.0
    readout: float = 1.0

    @classmethod
    def added(cls, dose: float, quanta: float, electronic: float) -> Rays:
        """Say what a share of the dose adds.

        Parameters
        ----------
        dose
            The share.
        quanta, electronic
            Of the full dose.

        Returns
        -------
        Rays
            Noise at that dose less the noise at full dose.
        """
        return cls(quanta, electronic, 1 / dose - 1, 1 / dose**2 - 1)

    def variance(self, share: Tensor) -> Tensor:
        """Give the variance of each ray's line integral.

        Parameters
        ----------
        share
            Of the quanta that arrive.

        Returns
        -------
        torch.Tensor
            Same shape, without unit.
        """
        arriving = self.quanta * share
        return self.quantum / arriving + self.readout * (self.electronic / arriving) ** 2


class Scan(NamedTuple):
    """What the noise of all slices depends on.

    Parameters
    ----------
    volume
        [Z, H, W] in HU.
    spacing_mm
        Distance of rows and columns in mm, before them that of slices where it is known.
    current
        Relative tube current of each slice.
    thickness_mm
        Slice thickness; None: the distance.
    seed
        Start of the generator.
    device
        Where to compute.
    turning
        Of each slice; empty: nothing turns.
    """

    volume: NDArray[np.float32]
    spacing_mm: Sequence[float]
    current: NDArray[np.float64]
    thickness_mm: float | None
    seed: int
    device: str
    turning: Sequence[Turning] = ()

    def turned(self) -> Scan:
        """Read off the slices how their noise turns with the tube, unless that is known.

        Returns
        -------
        Scan
            The same, which knows it.
        """
        if self.turning:
            return self
        planes = enumerate(self.volume)
        found = [read_turning(one, self.share_arriving(k), self.beam) for k, one in planes]
        return self._replace(turning=found)

    @property
    def pixel_mm(self) -> float:
        """Distance of pixels in mm."""
        return float(self.spacing_mm[-1])

    @property
    def beam(self) -> Beam:
        """Beam over the slices."""
        return Beam(max(self.volume.shape[1:]), self.pixel_mm)

    def noise(self, k: int, rays: Rays, window: Window) -> NDArray[np.float32]:
        """Draw the noise of one slice.

        Parameters
        ----------
        k
            Which slice.
        rays
            How strong.
        window
            Of the kernel.

        Returns
        -------
        numpy.ndarray
            float32 [H, W] in HU.
        """
        sd = (rays.variance(self.share_arriving(k)) * self._turning_factor(k)).sqrt()
        white = self._white(k, sd.shape).to(self.device)
        frequency = self.beam.frequencies(self.device)
        noise = back_project(white * sd, self.beam, frequency * window(frequency))
        rows, columns = self.volume.shape[1:]
        return noise[:rows, :columns].cpu().numpy() * np.float32(1000 / WATER_PER_MM)

    def share_arriving(self, k: int) -> Tensor:
        """Say what share of its quanta each ray has left behind a slice.

        Parameters
        ----------
        k
            Which slice.

        Returns
        -------
        torch.Tensor
            [views, rays], in relation to those of an unattenuated ray at the usual current.
        """
        lengths = ray_lengths(torch.from_numpy(self.volume[k]).to(self.device), self.beam)
        return float(self.current[k]) * torch.exp(-EXPONENT * lengths)

    def _turning_factor(self, k: int) -> Tensor:
        """Weights of a helix scale a ray's noise, whatever it is from; they take no quanta."""
        turning = self.turning[k] if self.turning else STEADY
        angle = torch.tensor(self.beam.angles, device=self.device)[:, None]
        offset_mm = self.beam.offsets(self.device) * self.pixel_mm
        return log_variance(turning, angle, offset_mm).exp()

    def _white(self, k: int, shape: Sequence[int]) -> Tensor:
        """Average what was drawn on thin layers over the slice's thickness."""
        step = float(self.spacing_mm[0]) if len(self.spacing_mm) == 3 else 1.0
        thickness = step if self.thickness_mm is None else self.thickness_mm
        count = max(round(FINE_STEPS * thickness / step), 1)
        total = np.zeros(shape, dtype=np.float32)
        for layer in range(FINE_STEPS * k, FINE_STEPS * k + count):
            rng = np.random.default_rng([self.seed, layer])
            total += rng.standard_normal(tuple(shape), dtype=np.float32)
        return torch.from_numpy(total / np.float32(np.sqrt(count)))


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
