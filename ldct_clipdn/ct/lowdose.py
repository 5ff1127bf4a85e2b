"""Low dose from normal dose: the noise that fewer quanta would have added.

Line integrals through the slice give each ray's variance; back-projection of that noise alone gives
texture, streaks and place. The anatomy is untouched. Parallel beam: noise keeps its texture in a
fan beam, whose rays are the same lines in another order.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ldct_clipdn.ct.hu import checked_hu
from ldct_clipdn.ct.kernel import KERNELS, USUAL_KERNEL, Probe, Window
from ldct_clipdn.ct.noise_meter import mode_in_tissue, smooth, soft_tissue
from ldct_clipdn.ct.projection import Beam, back_project, line_integrals
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOISE_VERSION", "check_choices", "noise_fields", "ray_lengths", "simulate_low_dose"]

NOISE_VERSION: Final = 2
"""To be raised when the same slices and settings give other noise: what was simulated before is
then known to be out of date. 2: regions that hold anatomy no longer tell the dose."""

WATER_PER_MM: Final = 0.0195
"""Attenuation of water at about 65 keV, the effective energy of 120 kV behind a body."""

FIELD_VIEWS: Final = 600

FIELD_LIMIT: Final = 0.6
"""Highest frequency of a noise field, in cycles per pixel."""

USUAL_PIXEL_MM: Final = 0.75

BOW_TIE: Final = (0.6, 1.0)
"""Exponent of the attenuation in a ray's variance: 1 for equal quanta per ray; bow-tie filter and
tube current that follows the body give thick paths more quanta."""

EXPONENT: Final = 0.85
"""The same where one is needed; fitted on the full dose of train/mayo_L143 (docs/weights.md)."""

FINE_STEPS: Final = 4
"""Parts of the slice distance on which noise is drawn, so that overlapping slices share some."""

SQUARE: Final = 0.01
"""Largest relative difference of row and column spacing that is rounding."""

LOWEST_QUANTA: Final = 10.0
"""Fewer per ray, and noise is no longer Gaussian: the slice is called approximate."""

EDGE_HU: Final = -300.0
EDGE_SHARE: Final = 0.02
"""More of the field's border above this HU means that the body goes on outside."""

logger = logging.getLogger(__name__)


def simulate_low_dose(  # noqa: PLR0913 - physics has as many knobs
    hu: NDArray[np.floating],
    *,
    dose: float,
    spacing_mm: float | Sequence[float],
    kernel: str = "auto",
    photons: str | float = "auto",
    electronic: float = 0.0,
    thickness_mm: float | None = None,
    tube_current: Sequence[float] | None = None,
    seed: int = 0,
    device: str = "cpu",
    doubts: dict[int, str] | None = None,
) -> NDArray[np.float32]:
    """Make of a normal-dose CT what a fraction of its dose would have given.

    Each ray gets noise of variance (1/dose - 1)/N + (1/dose^2 - 1) s^2/N^2, N its quanta, s the
    electronic noise; the noise alone is filtered, back-projected and added.

    Parameters
    ----------
    hu
        [H, W] or [Z, H, W] in HU, any padding below -1024.
    dose
        Share of the dose, above 0 to 1.
    spacing_mm
        Distance of rows and columns in mm, equal, before them that of slices; or the pixel size
        alone.
    kernel
        A key of `ct.kernel.KERNELS`; `auto` finds the one whose spectrum the slices' noise has.
    photons
        Noise-equivalent quanta per unattenuated ray at full dose, for rays half a pixel apart and
        720 views; `auto` sets them so that full dose would have the noise that the slices have.
    electronic
        Standard deviation of the electronic noise, in quanta.
    thickness_mm
        Slice thickness; above the slice distance, neighbours share noise. None: the distance.
    tube_current
        Of each slice, in any unit; None: the same for all.
    seed
        Start of the generator, 0 or more.
    device
        Where to compute, such as `cpu` or `cuda`.
    doubts
        Takes, by slice, why the simulation is only approximate; the same is logged.

    Returns
    -------
    numpy.ndarray
        Same shape, float32, in HU; not rounded nor limited.

    Raises
    ------
    ConfigError
        When a setting cannot be used.
    """
    hu = checked_hu(hu)
    volume = hu if hu.ndim == 3 else hu[None]
    check_choices(kernel, photons, seed)
    spacing = (spacing_mm, spacing_mm) if isinstance(spacing_mm, int | float) else spacing_mm
    _check(dose, spacing, electronic, thickness_mm)
    current = _relative_current(tube_current, len(volume))
    if dose == 1:
        return volume.reshape(hu.shape).copy()
    scan = _Scan(volume, spacing, current, thickness_mm, seed, device)
    probe = Probe(volume)
    window = _window(kernel, scan, probe)
    quanta = _own_quanta(scan, probe, window) if photons == "auto" else float(photons)
    for k, reason in scan.doubts(quanta, dose).items():
        logger.warning("Slice %d: %s: approximate", k, reason)
        if doubts is not None:
            doubts[k] = reason
    rays = _Rays(dose, quanta, electronic)
    added = [scan.noise(k, rays, window) for k in range(len(volume))]
    return (volume + np.stack(added)).reshape(hu.shape)


def check_choices(kernel: str, photons: str | float, seed: int) -> None:
    """Refuse what `simulate_low_dose` could not use for any slice.

    Parameters
    ----------
    kernel, photons, seed
        As there.

    Raises
    ------
    ConfigError
        When one of them cannot be used.
    """
    if kernel != "auto" and kernel not in KERNELS:
        names = ", ".join(KERNELS)
        raise ConfigError(f"no kernel is named {kernel!r}", remedy=f"Choose auto or one of {names}")
    if photons != "auto" and not _is_positive(photons):
        raise ConfigError(
            f"photons {photons!r} is no positive number", remedy="Give auto, or 1e5, in quanta"
        )
    if seed < 0:
        raise ConfigError(f"the seed {seed} is below 0", remedy="Give 0 or more")


def _check(
    dose: float, spacing_mm: Sequence[float], electronic: float, thickness_mm: float | None
) -> None:
    if not 0 < dose <= 1:
        raise ConfigError(
            f"the dose {dose} is not a share", remedy="Give above 0 to 1, such as 0.25"
        )
    if len(spacing_mm) not in (2, 3) or not all(map(_is_positive, spacing_mm)):
        raise ConfigError(f"the spacing {spacing_mm} mm is not one, two or three positive numbers")
    rows, columns = spacing_mm[-2:]
    if not math.isclose(rows, columns, rel_tol=SQUARE):
        raise ConfigError(
            f"pixels of {rows:g} x {columns:g} mm are not square", remedy="Resample the slices"
        )
    if electronic and not _is_positive(electronic):
        raise ConfigError(f"the electronic noise {electronic} is neither 0 nor a positive number")
    if thickness_mm is not None and not _is_positive(thickness_mm):
        raise ConfigError(f"the thickness {thickness_mm} mm is no positive number")


def _is_positive(value: str | float) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and number > 0


def _relative_current(current: Sequence[float] | None, slices: int) -> NDArray[np.float64]:
    if current is None:
        return np.ones(slices)
    if len(current) != slices or not all(map(_is_positive, current)):
        raise ConfigError("tube_current must give a positive number for every slice")
    return np.asarray(current, float) / np.median(current)


class _Rays(NamedTuple):
    """What decides the variance of a ray."""

    dose: float
    quanta: float
    electronic: float = 0.0

    def variance(self, arriving: Tensor) -> Tensor:
        """Give what is added, for the full dose's quanta per ray."""
        d = self.dose
        return (1 / d - 1) / arriving + (1 / d**2 - 1) * (self.electronic / arriving) ** 2


PROBE: Final = _Rays(dose=0.5, quanta=1e6)
"""At half the dose, the added variance is that of the full dose."""


class _Scan(NamedTuple):
    """What the noise of all slices depends on."""

    volume: NDArray[np.float32]
    spacing_mm: Sequence[float]
    current: NDArray[np.float64]
    thickness_mm: float | None
    seed: int
    device: str

    @property
    def beam(self) -> Beam:
        return Beam(max(self.volume.shape[1:]), float(self.spacing_mm[-1]))

    def noise(self, k: int, rays: _Rays, window: Window) -> NDArray[np.float32]:
        """Draw the noise of one slice in HU."""
        sd = rays.variance(rays.quanta * self._share_arriving(k)).sqrt()
        white = self._white(k, sd.shape).to(self.device)
        frequency = self.beam.frequencies(self.device)
        noise = back_project(white * sd, self.beam, frequency * window(frequency))
        rows, columns = self.volume.shape[1:]
        return noise[:rows, :columns].cpu().numpy() * np.float32(1000 / WATER_PER_MM)

    def doubts(self, quanta: float, dose: float) -> dict[int, str]:
        """Say which slices the physics here does not fully cover, and why."""
        found: dict[int, list[str]] = {}
        for k, plane in enumerate(self.volume):
            few = int((dose * quanta * self._share_arriving(k) < LOWEST_QUANTA).sum())
            if few:
                found.setdefault(k, []).append(f"{few} rays get under 10 quanta")
            border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
            if np.mean(border > EDGE_HU) > EDGE_SHARE:
                found.setdefault(k, []).append("the body goes on outside the field")
        return {k: ", ".join(reasons) for k, reasons in found.items()}

    def _share_arriving(self, k: int) -> Tensor:
        lengths = ray_lengths(torch.from_numpy(self.volume[k]).to(self.device), self.beam)
        return float(self.current[k]) * torch.exp(-EXPONENT * lengths)

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


def _window(kernel: str, scan: _Scan, probe: Probe) -> Window:
    """Choose the kernel by name, or the one that gives noise of the slices' spectrum."""
    if kernel != "auto":
        return KERNELS[kernel]
    pixel_mm = float(scan.spacing_mm[-1])
    if not probe.regions:
        logger.warning("No uniform soft tissue to read the kernel from: a usual one is taken")
        return USUAL_KERNEL.per_mm(pixel_mm).window
    first = probe.fit()
    drawn = {k: scan.noise(k, PROBE, first.per_mm(pixel_mm).window) for k in probe.regions}
    return probe.refit(first, drawn).per_mm(pixel_mm).window


def _own_quanta(scan: _Scan, probe: Probe, window: Window) -> float:
    """Find the quanta whose full-dose noise is what the slices have: one number for all."""
    if probe.regions:
        drawn = {k: scan.noise(k, PROBE, window) for k in probe.regions}
        ratio = probe.level() / probe.level(drawn)
    else:
        ratio = _ratio_by_meter(scan, window)
    return PROBE.quanta / ratio**2


def _ratio_by_meter(scan: _Scan, window: Window) -> float:
    readings = {k: mode_in_tissue(one, one) for k, one in enumerate(scan.volume)}
    ratios = [
        own / mode_in_tissue(scan.noise(k, PROBE, window), scan.volume[k])
        for k, own in readings.items()
        if np.isfinite(own)
    ]
    if not ratios:
        raise ConfigError(
            "there is too little soft tissue to read the noise from",
            remedy="Give photons as a number, such as 1e5",
        )
    return float(np.median(ratios))


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
