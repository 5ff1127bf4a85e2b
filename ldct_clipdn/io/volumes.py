"""NIfTI, NRRD and MetaImage: slices in HU as DICOM shows them, geometry as the file has it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.errors import ReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SUFFIXES",
    "Volume",
    "data_files",
    "hu_doubt",
    "is_volume",
    "open_volume",
    "stem_and_suffix",
]

NIFTI: Final = (".nii", ".nii.gz")
DETACHED: Final = (".mhd", ".nhdr")
"""Headers whose pixels lie in a file of their own."""

SUFFIXES: Final = (*NIFTI, ".nrrd", ".mha", *DETACHED)

AIR_IS_BELOW_HU: Final = -200.0
"""A CT image with no value below this has no air in it, or no HU."""

RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI counts millimetres to the right and front as negative where DICOM and ITK do not."""


@dataclass(frozen=True)
class Volume:
    """One volume, its header read and its pixels not before the first slice is asked for.

    Slices are numbered from the feet up; each is shown as DICOM shows an axial image: rows from
    front to back, columns from the patient's right to left. An oblique volume is cut along its own
    axes, those nearest to that.

    Parameters
    ----------
    path
        The file.
    stored_shape
        Voxels along the file's three axes.
    dtype
        Of the stored values.
    affine
        Voxel indices to millimetres, right to left, back to front and up (RAS): float64 [4, 4].
    slope, intercept
        From stored values to HU.
    load
        Gives the stored values, [I, J, K].
    """

    path: Path
    stored_shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64] = field(repr=False)
    slope: float
    intercept: float
    load: Callable[[], NDArray[Any]] = field(repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        columns, rows, slices = (self.stored_shape[axis] for axis in self._axes)
        return slices, rows, columns

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Row and column spacing in mm."""
        columns, rows, _ = self._voxel_mm
        return rows, columns

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring slices in mm."""
        return self._voxel_mm[2]

    def frame(self, index: int) -> NDArray[np.float32]:
        """Read one slice.

        Parameters
        ----------
        index
            From 0, the slice nearest to the feet.

        Returns
        -------
        numpy.ndarray
            HU, float32 [H, W].

        Raises
        ------
        ReadError
            When the file's pixels cannot be read.
        """
        stored = self.oriented(self.stored)[:, :, index].T
        return (stored * np.float64(self.slope) + self.intercept).astype(np.float32)

    def frames(self) -> Iterator[NDArray[np.float32]]:
        """Read one slice after the other.

        Yields
        ------
        numpy.ndarray
            HU, float32 [H, W], from the feet up.
        """
        for index in range(self.shape[0]):
            yield self.frame(index)

    @cached_property
    def stored(self) -> NDArray[Any]:
        """Stored values [I, J, K], mapped into memory where the file is not compressed."""
        values = self.load()
        if values.shape != self.stored_shape:
            raise ReadError(
                f"its pixels are {values.shape}, not as its header says", path=self.path
            )
        return values

    def oriented(self, values: NDArray[Any]) -> NDArray[Any]:
        """View an array of the file's axes in the patient's.

        Parameters
        ----------
        values
            [I, J, K].

        Returns
        -------
        numpy.ndarray
            A view [W, H, Z]: to the left, to the back, up.
        """
        from nibabel.orientations import apply_orientation

        return np.asarray(apply_orientation(values, self._orientation))

    def doubt(self) -> str:
        """Say why the values seem to be no HU; reads the pixels.

        Returns
        -------
        str
            One sentence; empty where there is no doubt.
        """
        ends = np.array([self.stored.min(), self.stored.max()], dtype=np.float64)
        low, high = sorted(ends * self.slope + self.intercept)
        return hu_doubt(low, high)

    @cached_property
    def _orientation(self) -> NDArray[np.float64]:
        from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

        axes = io_orientation(self.affine)
        if np.isnan(axes).any():
            raise ReadError("its header gives no direction to some axis", path=self.path)
        return np.asarray(ornt_transform(axes, axcodes2ornt(("L", "P", "S"))), dtype=np.float64)

    @property
    def _axes(self) -> list[int]:
        """File axes that run left, back and up."""
        return [int(axis) for axis in np.argsort(self._orientation[:, 0])]

    @property
    def _voxel_mm(self) -> tuple[float, float, float]:
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        left, back, up = (float(sizes[axis]) for axis in self._axes)
        return left, back, up


def hu_doubt(low: float, high: float) -> str:
    """Say why values seem to be no HU.

    Parameters
    ----------
    low, high
        Smallest and largest value of an image.

    Returns
    -------
    str
        One sentence; empty where there is no doubt.
    """
    if low < AIR_IS_BELOW_HU:
        return ""
    return f"values run from {low:g} to {high:g} and none is air (-1000 HU): perhaps no HU"


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """Part a file name, `.nii.gz` as one suffix.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple of str
        Name without suffix, and suffix in lower case; empty where it is none of a volume's.
    """
    name = path.name
    suffix = next((one for one in SUFFIXES if name.lower().endswith(one)), "")
    return (name[: -len(suffix)], suffix) if suffix else (name, "")


def is_volume(path: Path) -> bool:
    """Say whether a file is named like a volume.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        By its suffix.
    """
    return bool(stem_and_suffix(path)[1])


def data_files(path: Path) -> tuple[Path, ...]:
    """List the files that a volume consists of.

    Parameters
    ----------
    path
        The volume's file; of a header with detached pixels, the header.

    Returns
    -------
    tuple of Path
        The file, and those of the same stem beside a detached header.
    """
    stem, suffix = stem_and_suffix(path)
    if suffix not in DETACHED:
        return (path,)
    others = (one for one in path.parent.iterdir() if one.name.startswith(f"{stem}."))
    return (path, *sorted(one for one in others if one != path))


def open_volume(path: Path) -> Volume:
    """Read a volume's header.

    Parameters
    ----------
    path
        A NIfTI, NRRD, MHA or MHD file.

    Returns
    -------
    Volume
        Its slices are read when asked for.

    Raises
    ------
    ReadError
        When the file is none of these, is damaged, or holds no single grey volume.
    """
    path = Path(path)
    if not path.is_file():
        raise ReadError("there is no such file", path=path, remedy="Check the name")
    if path.stat().st_size == 0:
        raise ReadError("the file is empty", path=path, remedy="Fetch it again")
    suffix = stem_and_suffix(path)[1]
    if not suffix:
        raise ReadError("no volume", path=path, remedy=f"Give one of {', '.join(SUFFIXES)}")
    return _open_nifti(path) if suffix in NIFTI else _open_itk(path)


def _open_nifti(path: Path) -> Volume:
    import nibabel

    image = _guarded(path, lambda: nibabel.load(path))
    shape = _three(path, image.shape)
    dtype = _real(path, image.get_data_dtype())
    proxy = image.dataobj

    def load() -> NDArray[Any]:
        values = _guarded(path, lambda: np.asanyarray(proxy.get_unscaled()))
        return np.asarray(values).reshape(shape)

    slope, intercept = float(proxy.slope), float(proxy.inter)
    return Volume(path, shape, dtype, np.asarray(image.affine), slope, intercept, load)


def _open_itk(path: Path) -> Volume:
    reader = _itk().ImageFileReader()
    reader.SetFileName(str(path))
    _guarded(path, reader.ReadImageInformation)
    shape = _three(path, reader.GetSize())
    if reader.GetNumberOfComponents() != 1:
        raise ReadError("several values per voxel: no CT image", path=path)

    def load() -> NDArray[Any]:
        image = _guarded(path, lambda: _itk().ReadImage(str(path)))
        return np.asarray(_itk().GetArrayFromImage(image).T).reshape(shape)

    dtype = _real(path, _guarded(path, lambda: _itk_dtype(reader.GetPixelID())))
    return Volume(path, shape, dtype, _itk_affine(reader), 1.0, 0.0, load)


def _itk() -> Any:
    """Import SimpleITK, which is heavy and has no types."""
    import SimpleITK

    return SimpleITK


def _itk_dtype(pixel_id: int) -> np.dtype[Any]:
    itk = _itk()
    dtype: np.dtype[Any] = itk.GetArrayViewFromImage(itk.Image([1, 1], pixel_id)).dtype
    return dtype


def _itk_affine(reader: Any) -> NDArray[np.float64]:
    """Make RAS from ITK's direction, spacing and origin; a flat image lies in its plane."""
    size = reader.GetDimension()
    affine = np.eye(4)
    direction = np.array(reader.GetDirection()).reshape(size, size)[:3, :3]
    n = len(direction)
    affine[:n, :n] = direction * np.array(reader.GetSpacing()[:n])
    affine[:n, 3] = reader.GetOrigin()[:n]
    return np.asarray(RAS_FROM_LPS @ affine)


def _three(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Bring a shape to three axes."""
    if len(shape) < 2 or any(n != 1 for n in shape[3:]) or 0 in shape:
        raise ReadError(
            f"{' x '.join(map(str, shape))} voxels are no single volume",
            path=path,
            remedy="Give one volume per file",
        )
    first, second, third = (*shape[:3], 1)[:3]
    return int(first), int(second), int(third)


def _real(path: Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "iuf":
        raise ReadError(f"values of type {dtype} are no CT image", path=path)
    return dtype


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Turn what nibabel and ITK raise on damaged files into one kind of error."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        return read()
    except (
        EOFError,
        HeaderDataError,
        ImageFileError,
        OSError,
        RuntimeError,
        ValueError,
        zlib.error,
    ) as error:
        raise ReadError(
            f"no readable volume: {_cause(error)}",
            path=path,
            remedy="Fetch it again",
        ) from error


def _cause(error: Exception) -> str:
    """Take what says most of a message: ITK writes several lines, the last one has the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("sitk::ERROR: ") if lines else type(error).__name__
