"""Anatomies without noise: two abdomens of our own, and a head that nothing here was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import ndimage

from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["SHEPP_LOGAN", "Anatomy", "abdomen", "anatomies", "shepp_logan"]

PATIENTS: Final = (101, 102)
"""Seeds of abdomens; the default weights were trained on 1 to 7 and validated on 0, so these are
other patients by the same generator."""

SHEPP_LOGAN: Final = "Shepp-Logan"
SHEPP_LOGAN_SEED: Final = 103
HEAD_FIELD_MM: Final = 240.0
BRAIN: Final = 0.2
BRAIN_HU: Final = 40.0
HU_PER_UNIT: Final = 400.0
AIR: Final = -1000.0
BLUR_PX: Final = 0.6


class Anatomy(NamedTuple):
    """One slice.

    Parameters
    ----------
    name
        For tables.
    seed
        From which its noise is drawn.
    hu
        float32 [N, N] in HU.
    pixel_mm
        Distance of pixels in mm.
    """

    name: str
    seed: int
    hu: Plane
    pixel_mm: float


def anatomies(size: int) -> Iterator[Anatomy]:
    """Make all of them, one at a time.

    Parameters
    ----------
    size
        Rows and columns.

    Yields
    ------
    Anatomy
        The abdomens, then the head.
    """
    yield from (abdomen(patient, size) for patient in PATIENTS)
    yield Anatomy(SHEPP_LOGAN, SHEPP_LOGAN_SEED, shepp_logan(size), HEAD_FIELD_MM / size)


def abdomen(patient: int, size: int) -> Anatomy:
    """Make an abdomen.

    Parameters
    ----------
    patient
        Seed of the generator.
    size
        Rows and columns.

    Returns
    -------
    Anatomy
        Its middle slice.
    """
    hu = abdomen_phantom(1, size, patient)[0]
    return Anatomy(f"abdomen {patient}", patient, hu, spacing_mm(size)[1])


def shepp_logan(size: int) -> Plane:
    """Give scikit-image's modified Shepp-Logan phantom the HU of a head.

    Parameters
    ----------
    size
        Rows and columns, 240 mm in all.

    Returns
    -------
    numpy.ndarray
        float32 [size, size]: brain of 40 HU, its structures from -40 to 120 HU, skull of 360 HU,
        air; borders as a soft kernel leaves them, without overshoot.
    """
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    drawn = shepp_logan_phantom()
    inside = ndimage.binary_fill_holes(drawn > 0)
    hu = np.where(inside, BRAIN_HU + HU_PER_UNIT * (drawn - BRAIN), AIR)
    resized = resize(hu, (size, size), order=1, anti_aliasing=True, preserve_range=True)
    blurred: Plane = ndimage.gaussian_filter(resized, BLUR_PX).astype(np.float32)
    return blurred
