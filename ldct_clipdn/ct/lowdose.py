"""Low dose from normal dose: the noise that fewer quanta would have added.

`ct/scan_noise.py` has the physics; `ct/noise_fit.py` finds what is not given.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from ldct_clipdn.ct.field import body_is_cut
from ldct_clipdn.ct.hu import checked_hu
from ldct_clipdn.ct.kernel import kernel_window
from ldct_clipdn.ct.noise_fit import NoiseFit, fit_scan
from ldct_clipdn.ct.noise_meter import gaussian_blur, soft_tissue
from ldct_clipdn.ct.projection import Beam, back_project
from ldct_clipdn.ct.scan_noise import LOWEST_QUANTA, Rays, Scan, ray_lengths
from ldct_clipdn.ct.spacing import is_positive, read_distances
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOISE_VERSION", "check_choices", "fit_noise", "noise_fields", "simulate_low_dose"]

NOISE_VERSION: Final = 3
"""To be raised when the same slices and settings give other noise: what was simulated before is
then known to be out of date. 2: regions that hold anatomy no longer tell the dose. 3: what turns
with the tube."""

FIELD_VIEWS: Final = 600

FIELD_LIMIT: Final = 0.6
"""Highest frequency of a noise field, in cycles per pixel."""

FIELD_EXPONENTS: Final = (0.6, 1.0)
"""Between which a field draws its exponent of the attenuation (`ct.scan_noise.EXPONENT`)."""

USUAL_PIXEL_MM: Final = 0.75

FEWEST_PIXELS: Final = 1000
"""Of soft tissue, below which a noise field is of standard deviation 1 in the whole body."""

BODY_HU: Final = -500.0
BODY_BLUR_PX: Final = 2.0

SQUARE: Final = 0.01
"""Largest relative difference of row and column spacing that is rounding."""

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
    electronic noise; the noise alone is filtered, back-projected and added. On which side of the
    body it is stronger is read off the noise that each slice has (`ct.turning`); slices without
    noise get it evenly.

    Parameters
    ----------
    hu
        [H, W] or [Z, H, W] in HU, any padding at -1024 or below.
    dose
        Share of the dose, above 0 to 1.
    spacing_mm
        Distance of rows and columns in mm, equal, before them that of slices; or the pixel size
        alone.
    kernel
        A key of `ct.kernel.KERNELS`, or cut-off in 1/mm and steepness, such as `0.41,1.6`; `auto`
        finds the one whose spectrum the slices' noise has.
    photons
        Noise-equivalent quanta per unattenuated ray at full dose, for rays half a pixel apart and
        720 views; `auto` sets them so that full dose would have the noise that the slices have.
        `fit_noise` says what `auto` finds.
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
        Takes, by slice, why the simulation is only approximate; it is logged where this
        is None.

    Returns
    -------
    numpy.ndarray
        Same shape, float32, in HU; not rounded nor limited.

    Raises
    ------
    ConfigError
        When a setting cannot be used.
    """
    check_choices(kernel, photons, seed)
    _check_electronic(electronic)
    share = _checked_dose(dose)
    scan = _scan(hu, spacing_mm, thickness_mm, tube_current, seed, device)
    shape = np.shape(hu)
    if share == 1:
        return scan.volume.reshape(shape).copy()
    scan = scan.turned()
    fit = fit_scan(scan, kernel, photons, electronic)
    for k, reason in _doubts(scan, share * fit.quanta).items():
        if doubts is None:
            logger.warning("Slice %d: %s: approximate", k + 1, reason)
        else:
            doubts[k] = reason
    rays = Rays.added(share, fit.quanta, electronic)
    window = kernel_window(fit.kernel)
    added = [scan.noise(k, rays, window) for k in range(len(scan.volume))]
    return (scan.volume + np.stack(added)).reshape(shape)


def fit_noise(  # noqa: PLR0913 - the same knobs
    hu: NDArray[np.floating],
    *,
    spacing_mm: float | Sequence[float],
    kernel: str = "auto",
    photons: str | float = "auto",
    electronic: float = 0.0,
    thickness_mm: float | None = None,
    tube_current: Sequence[float] | None = None,
    seed: int = 0,
    device: str = "cpu",
    doubts: list[str] | None = None,
) -> NoiseFit:
    """Say what `simulate_low_dose` finds where it is told `auto`.

    With kernel and quanta of the result in their place, it gives the same pixels again.

    Parameters
    ----------
    hu, spacing_mm, kernel, photons, electronic, thickness_mm, tube_current, seed, device
        As there.
    doubts
        Takes why what was found is only a guess; it is logged where this is None.

    Returns
    -------
    NoiseFit
        Kernel and quanta, found or as given.

    Raises
    ------
    ConfigError
        When a setting cannot be used.
    """
    check_choices(kernel, photons, seed)
    _check_electronic(electronic)
    scan = _scan(hu, spacing_mm, thickness_mm, tube_current, seed, device)
    return fit_scan(scan, kernel, photons, electronic, doubts)


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
    if kernel != "auto":
        kernel_window(kernel)
    if photons != "auto" and not is_positive(photons):
        raise ConfigError(
            f"photons {photons!r} is no positive number", remedy="Give auto, or 1e5, in quanta"
        )
    if seed < 0:
        raise ConfigError(f"the seed {seed} is below 0", remedy="Give 0 or more")


def _checked_dose(dose: float) -> float:
    if not is_positive(dose) or float(dose) > 1:
        raise ConfigError(
            f"the dose {dose!r} is not a share", remedy="Give above 0 to 1, such as 0.25"
        )
    return float(dose)


def _check_electronic(electronic: float) -> None:
    if electronic and not is_positive(electronic):
        raise ConfigError(f"the electronic noise {electronic} is neither 0 nor a positive number")


def _scan(
    hu: NDArray[np.floating],
    spacing_mm: float | Sequence[float],
    thickness_mm: float | None,
    tube_current: Sequence[float] | None,
    seed: int,
    device: str,
) -> Scan:
    """Check what a caller says of the slices."""
    hu = checked_hu(hu)
    volume = hu if hu.ndim == 3 else hu[None]
    spacing = read_distances(spacing_mm)
    if len(spacing) not in (2, 3) or not all(map(is_positive, spacing)):
        raise ConfigError(
            f"the spacing {spacing_mm!r} mm is not one, two or three positive numbers",
            remedy="Give the pixel size, or the distances of slices, rows and columns",
        )
    rows, columns = spacing[-2:]
    if not math.isclose(rows, columns, rel_tol=SQUARE):
        raise ConfigError(
            f"pixels of {rows:g} x {columns:g} mm are not square", remedy="Resample the slices"
        )
    if thickness_mm is not None and not is_positive(thickness_mm):
        raise ConfigError(f"the thickness {thickness_mm} mm is no positive number")
    current = _relative_current(tube_current, len(volume))
    return Scan(volume, spacing, current, thickness_mm, seed, device)


def _relative_current(current: Sequence[float] | None, slices: int) -> NDArray[np.float64]:
    if current is None:
        return np.ones(slices)
    if len(current) != slices or not all(map(is_positive, current)):
        raise ConfigError("tube_current must give a positive number for every slice")
    return np.asarray(current, float) / np.median(current)


def _doubts(scan: Scan, quanta: float) -> dict[int, str]:
    """Say which slices the physics here does not fully cover, and why."""
    found: dict[int, list[str]] = {}
    for k, plane in enumerate(scan.volume):
        few = int((quanta * scan.share_arriving(k) < LOWEST_QUANTA).sum())
        if few:
            found.setdefault(k, []).append(f"{few} rays get under {LOWEST_QUANTA:g} quanta")
        if body_is_cut(plane):
            found.setdefault(k, []).append("the body goes on outside the field")
    return {k: ", ".join(reasons) for k, reasons in found.items()}


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
        How many, each with its own exponent of the attenuation (`FIELD_EXPONENTS`).
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
    inside = (
        inside if inside.sum() > FEWEST_PIXELS else gaussian_blur(image, BODY_BLUR_PX) > BODY_HU
    )
    fields = []
    for _ in range(draws):
        sd = torch.exp(0.5 * rng.uniform(*FIELD_EXPONENTS) * lengths)
        white = torch.from_numpy(rng.standard_normal(sd.shape, dtype=np.float32))
        field = back_project(white * sd, beam, ramp)[: hu.shape[0], : hu.shape[1]]
        fields.append(field / field[inside].std() if inside.any() else field / field.std())
    return torch.stack(fields).numpy()
