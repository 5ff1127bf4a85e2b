"""Denoised volumes: the source's file type, data type, header and geometry, with other values."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ldct_clipdn.errors import ReadError, WriteError
from ldct_clipdn.io.volume import Volume
from ldct_clipdn.io.volumes import (
    NIFTI,
    data_files,
    load_itk,
    open_volume,
    stem_and_suffix,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["denoised_name", "write_volume_like"]


def denoised_name(source: Path) -> str:
    """Name the result of a volume.

    Parameters
    ----------
    source
        The volume's file.

    Returns
    -------
    str
        `<stem>_denoised.<suffix>`.
    """
    stem, suffix = stem_and_suffix(source)
    return f"{stem}_denoised{suffix}"


def write_volume_like(source: Volume, hu: Iterable[NDArray[np.float32]], target: Path) -> None:
    """Write a volume that differs from its source in the values alone.

    HU become stored values by the source's own scaling, rounded where these are whole numbers and
    limited to what their type holds. Of NIfTI every header field and extension stays; of NRRD and
    MetaImage what SimpleITK reads: geometry, type and the fields of its dictionary. What is
    written is read back and compared before it gets its name.

    Parameters
    ----------
    source
        As `open_volume` gives it.
    hu
        Slices in the order of `source.frames`, float32 [H, W].
    target
        The file, with the source's suffix; a file of that name is replaced.

    Raises
    ------
    WriteError
        When slices are missing or of another shape, the suffix is another, the file cannot be
        written, or does not read back as it should.
    """
    target = Path(target)
    suffix = stem_and_suffix(target)[1]
    if suffix != stem_and_suffix(source.path)[1]:
        raise WriteError(
            f"a volume like {source.path.name} cannot be written under this name",
            path=target,
            remedy=f"Name it {denoised_name(source.path)}",
        )
    stored = _stored(source, hu, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}.", suffix=".partial", dir=target.parent
        ) as folder:
            part = Path(folder, target.name)
            (_write_nifti if suffix in NIFTI else _write_itk)(source, stored, part)
            _check(source, stored, part)
            for path in reversed(data_files(part)):  # the header last: it makes the rest visible
                path.replace(target.with_name(path.name))
    except (OSError, RuntimeError) as error:
        raise WriteError(
            f"the volume cannot be written: {str(error).strip().splitlines()[-1]}",
            path=target,
            remedy="Give a folder with room that you may write",
        ) from error


def _stored(source: Volume, hu: Iterable[NDArray[np.float32]], target: Path) -> NDArray[Any]:
    """Collect the slices as stored values on the source's axes."""
    stored = np.zeros(source.stored_shape, source.dtype)
    shown = source.oriented(stored)
    count, expected = 0, source.shape
    for count, one in enumerate(hu, start=1):
        if count > expected[0] or one.shape != expected[1:]:
            raise WriteError(f"slices of {source.path.name} are not as in the source", path=target)
        shown[:, :, count - 1] = source.to_stored(one, count - 1).T
    if count < expected[0]:
        raise WriteError(f"only {count} of {expected[0]} slices are there", path=target)
    return stored


def _write_nifti(source: Volume, stored: NDArray[Any], path: Path) -> None:
    """Copy all that stands before the values byte by byte: nibabel would set some of it anew."""
    import nibabel
    from nibabel.openers import ImageOpener

    image: Any = nibabel.load(source.path)
    with ImageOpener(str(source.path), "rb") as file:
        head = file.read(image.dataobj.offset)
    with ImageOpener(str(path), "wb") as file:
        file.write(head)
        for plane in np.moveaxis(stored, -1, 0):
            file.write(plane.tobytes(order="F"))


def _write_itk(source: Volume, stored: NDArray[Any], path: Path) -> None:
    import SimpleITK

    like = load_itk(source.path)
    values = stored.reshape(like.GetSize())
    image: Any = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    image.CopyInformation(like)
    for key in like.GetMetaDataKeys():
        image.SetMetaData(key, like.GetMetaData(key))
    size_on_disk = sum(one.stat().st_size for one in data_files(source.path))
    SimpleITK.WriteImage(image, str(path), useCompression=size_on_disk < stored.nbytes)


def _check(source: Volume, stored: NDArray[Any], path: Path) -> None:
    """Read back what was written."""
    try:
        written = open_volume(path)
        same = (
            np.allclose(written.affine, source.affine, rtol=1e-6, atol=1e-5)
            and (written.dtype, written.slope, written.intercept)
            == (source.dtype, source.slope, source.intercept)
            and np.array_equal(written.stored, stored, equal_nan=source.dtype.kind == "f")
        )
    except ReadError as error:
        raise WriteError(f"what was written cannot be read: {error.reason}", path=path) from error
    if not same:
        raise WriteError("what was written does not read back as it should", path=path)
