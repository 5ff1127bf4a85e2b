"""One slice as a NIfTI file, at its place in the patient."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import number, numbers
from ldct_clipdn.io.volume import Volume
from ldct_clipdn.io.volumes import RAS_FROM_LPS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["affine_from_header", "affine_in_volume", "write_slice"]


def affine_in_volume(volume: Volume, frame: int) -> NDArray[np.float64]:
    """Find where a slice of a volume lies.

    Parameters
    ----------
    volume
        The volume.
    frame
        Which slice, from the feet up.

    Returns
    -------
    numpy.ndarray
        [4, 4], from (column, row, 0) to millimetres, right to left, back to front and up (RAS).
    """
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    turn = ornt_transform(io_orientation(volume.affine), axcodes2ornt(("L", "P", "S")))
    affine = np.asarray(volume.affine @ inv_ornt_aff(turn, volume.stored_shape))
    affine[:3, 3] += frame * affine[:3, 2]
    return affine


def affine_from_header(header: Dataset) -> NDArray[np.float64]:
    """Find where a DICOM slice lies (PS3.3 C.7.6.2.1.1).

    Parameters
    ----------
    header
        Of the slice, or of the frame.

    Returns
    -------
    numpy.ndarray
        As `affine_in_volume`; the unit matrix where the header does not say.
    """
    origin, cosines = (
        numbers(header, name) for name in ("ImagePositionPatient", "ImageOrientationPatient")
    )
    spacing = numbers(header, "PixelSpacing")
    if len(origin) != 3 or len(cosines) != 6 or len(spacing) != 2:
        return np.eye(4)
    along_row, along_column = np.array(cosines[:3]), np.array(cosines[3:])
    affine = np.eye(4)
    affine[:3, 0] = along_row * spacing[1]
    affine[:3, 1] = along_column * spacing[0]
    affine[:3, 2] = np.cross(along_row, along_column) * (number(header, "SliceThickness") or 1.0)
    affine[:3, 3] = origin
    return np.asarray(RAS_FROM_LPS @ affine)


def write_slice(path: Path, hu: NDArray[np.float32], affine: NDArray[np.float64]) -> None:
    """Write one slice.

    Parameters
    ----------
    path
        The file, `.nii.gz`; its folder is made where it is missing.
    hu
        HU [H, W].
    affine
        As `affine_in_volume` gives it.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    import nibabel

    image = nibabel.Nifti1Image(hu.T[..., None], affine)
    image.header.set_xyzt_units("mm")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, path)
    except OSError as error:
        raise WriteError(
            f"cannot be written ({system_words(error)})",
            path=path,
            remedy="Name a folder with room that you may write with --output_dir",
        ) from error
