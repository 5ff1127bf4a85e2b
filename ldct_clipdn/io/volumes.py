"""NIfTI, NRRD and MetaImage files: which they are, and their headers."""

from __future__ import annotations

import logging
import math
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.errors import NotCTError, ReadError
from ldct_clipdn.io.itk_header import check_length, check_names, pixel_files
from ldct_clipdn.io.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DETACHED",
    "NIFTI",
    "RAS_FROM_LPS",
    "SUFFIXES",
    "data_files",
    "is_half_of_pair",
    "is_volume",
    "load_itk",
    "open_volume",
    "overheard_nibabel",
    "stem_and_suffix",
]

NIFTI: Final = (".nii", ".nii.gz")
DETACHED: Final = (".mhd", ".nhdr")
"""Headers whose pixels lie in a file of their own."""

PAIR_STARTS: Final = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
"""348, the length of a NIfTI or Analyze header, in either order of bytes."""

NO_FACTS: Final = ("Exception thrown in ", "- could the file be damaged", "Reason: ")
"""How lines begin that ITK and nibabel put around a cause; a `Reason` is often an older `errno`."""

ITK_ORIGIN: Final = re.compile(r"^(sitk::|ITK )ERROR: (\w+\(0x[0-9a-f]+\): )?")

MAX_VOXELS: Final = 2**31
"""No CT volume has more; a header that says so must not make us allocate them."""

SUFFIXES: Final = (*NIFTI, ".nrrd", ".mha", *DETACHED)

RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI counts millimetres to the right and front as negative where DICOM and ITK do not."""


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
        By its suffix; never for `._NAME`, in which macOS keeps what it notes on a file.
    """
    return bool(stem_and_suffix(path)[1]) and not path.name.startswith("._")


def is_half_of_pair(path: Path) -> bool:
    """Say whether a file is a NIfTI or Analyze header, or the pixels beside one.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        By names and the header's first bytes: `.hdr` and `.img` are other things too.
    """
    header = path.with_suffix(".hdr")
    if path.suffix not in (".hdr", ".img") or not header.is_file():
        return False
    with header.open("rb") as file:
        return file.read(4) in PAIR_STARTS


def data_files(path: Path) -> tuple[Path, ...]:
    """List the files that a volume consists of.

    Parameters
    ----------
    path
        The volume's file; of a header with detached pixels, the header.

    Returns
    -------
    tuple of Path
        The file, and those that its header names; where a detached header names none that is there
        (a pattern of files), those of the same stem beside it that are no volumes.
    """
    stem, suffix = stem_and_suffix(path)
    if suffix in NIFTI:
        return (path,)
    pixels = pixel_files(path)
    if pixels or suffix not in DETACHED:
        return (path, *pixels)
    others = (one for one in path.parent.iterdir() if one.name.startswith(f"{stem}."))
    return (path, *sorted(one for one in others if not is_volume(one)))


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
        When the file is none of these, or is damaged.
    NotCTError
        When it is sound and holds no single grey volume.
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


def load_itk(path: Path) -> Any:
    """Read an NRRD or MetaImage file whole.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    SimpleITK.Image
        With geometry and dictionary.

    Raises
    ------
    ReadError
        When it is damaged.
    """
    return _guarded(path, lambda: _itk().ReadImage(str(path)))


@contextmanager
def overheard_nibabel() -> Iterator[list[str]]:
    """Take what nibabel says of headers that it mends: it prints so, and names no file.

    Yields
    ------
    list of str
        Grows with each warning; for who opens a file to tell, once.
    """
    told: list[str] = []

    def take(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            told.append(record.getMessage())
        return False

    talkative = logging.getLogger("nibabel.global")
    talkative.addFilter(take)
    try:
        yield told
    finally:
        talkative.removeFilter(take)


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
    check_names(path)
    reader = _itk().ImageFileReader()
    reader.SetFileName(str(path))
    _guarded(path, reader.ReadImageInformation)
    shape = _three(path, reader.GetSize())
    if reader.GetNumberOfComponents() != 1:
        raise NotCTError("several values per voxel: no CT image", path=path)

    dtype = _real(path, _guarded(path, lambda: _itk_dtype(reader.GetPixelID())))

    def load() -> NDArray[Any]:
        check_length(path, math.prod(shape) * dtype.itemsize)
        return np.asarray(_itk().GetArrayFromImage(load_itk(path)).T).reshape(shape)

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
    if len(shape) < 2 or 0 in shape:
        raise ReadError(f"{' x '.join(map(str, shape))} voxels are no volume", path=path)
    if any(n != 1 for n in shape[3:]):
        raise NotCTError(
            f"{' x '.join(map(str, shape))} voxels are no single volume",
            path=path,
            remedy="Give one volume per file",
        )
    if math.prod(shape) > MAX_VOXELS:
        raise ReadError(
            f"{' x '.join(map(str, shape))} voxels are more than any CT has",
            path=path,
            remedy="Fetch it again, or part it",
        )
    first, second, third = (*shape[:3], 1)[:3]
    return int(first), int(second), int(third)


def _real(path: Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "iuf":
        raise NotCTError(f"values of type {dtype} are no CT image", path=path)
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
        MemoryError,
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
    """Take what says most of a message of several lines: where it was thrown, what, and a guess."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    facts = [line for line in lines if not line.startswith(NO_FACTS)] or lines
    return ITK_ORIGIN.sub("", facts[-1]) if facts else type(error).__name__
