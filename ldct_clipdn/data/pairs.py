"""Pairs of slices to compare: a result, what it should be, and perhaps what it was made from.

Whatever they are stored as: DICOM series, NIfTI, NRRD, MHA, or NumPy arrays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from ldct_clipdn.core.words import counted
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.errors import DataError, ReadError
from ldct_clipdn.io.accept import is_ct
from ldct_clipdn.io.attributes import number, text
from ldct_clipdn.io.dicom_read import is_dicom, read_header, read_slice
from ldct_clipdn.io.frames import is_multiframe, split_frames
from ldct_clipdn.io.geometry import along_normal
from ldct_clipdn.io.scan import Instance
from ldct_clipdn.io.volume import Volume
from ldct_clipdn.io.volumes import is_volume, open_volume, stem_and_suffix

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Pair", "find_pairs"]

Kind = Literal["DICOM", "arrays or volumes"]
Role = Literal["result", "reference", "input"]

ROLE_ENDINGS: Final[dict[Role, str]] = {
    "result": "_denoised",
    "reference": "_target",
    "input": "_input",
}
"""How files of one case are told apart: our own volumes, and the published preparation."""

SAME_PLACE_MM: Final = 0.1
"""Slices of two series that lie closer than this are the same slice."""

LARGEST_UNIT: Final = 3.0
"""Values that all lie within this are no HU: every CT image holds air or tissue beyond it."""

NAMES_SHOWN: Final = 3


class Pair(NamedTuple):
    """One slice as it is, as it should be, and as it was.

    Parameters
    ----------
    name
        Of the slice, for tables.
    result, reference, noisy
        Give the slice when called: float32 [H, W] in HU. `noisy` is None where there is none.
    """

    name: str
    result: Callable[[], NDArray[np.float32]]
    reference: Callable[[], NDArray[np.float32]]
    noisy: Callable[[], NDArray[np.float32]] | None


@dataclass(frozen=True)
class _Slice:
    """One slice of one side, and what it can be recognised by."""

    label: str
    key: tuple[str, int]
    read: Callable[[], NDArray[np.float32]]
    place_mm: float | None = None
    number: float | None = None


class _Side(NamedTuple):
    """Everything that one path holds."""

    path: Path
    kind: Kind
    slices: tuple[_Slice, ...]


def find_pairs(
    result: str | Path,
    reference: str | Path,
    noisy: str | Path | None = None,
    *,
    prepared: bool = False,
) -> list[Pair]:
    """Find which slices belong together; reads headers only.

    DICOM is paired by position along the slice normal, by InstanceNumber where positions are
    missing or not unique. Other files are paired by name without suffix and without the endings
    `_denoised`, `_target` and `_input`, and slice by slice within; two single files are paired
    whatever their names. In a folder that holds several kinds of one case, the result's files are
    those that end in `_denoised`, the reference's in `_target`, the input's in `_input`.

    Parameters
    ----------
    result, reference, noisy
        Each a DICOM series, a NIfTI, NRRD or MHA volume, a NumPy file ([H, W] or [Z, H, W]), or a
        folder of one of these kinds.
    prepared
        NumPy files hold (HU + 1024) / 4096, as the published preparation writes, and not HU.

    Returns
    -------
    list of Pair
        In the order of positions or names.

    Raises
    ------
    ReadError
        When a file cannot be read.
    DataError
        When there is nothing, too much, or not the same number of slices on each side, or slices
        do not belong together.
    """
    sides = [_look(Path(result), "result", prepared), _look(Path(reference), "reference", prepared)]
    if noisy is not None:
        sides.append(_look(Path(noisy), "input", prepared))
    kinds = {side.kind for side in sides}
    if len(kinds) > 1:
        raise DataError(
            f"DICOM cannot be paired with {_other_kind(sides)}",
            path=sides[1].path,
            remedy="Give both sides in one format",
        )
    first, *others = sides
    columns = [_matched(first, other) for other in others]
    ordered = columns[0][0]
    rows = zip(ordered, *(partners for _, partners in columns), strict=True)
    return [
        Pair(row[0].label, row[0].read, row[1].read, row[2].read if len(row) > 2 else None)
        for row in rows
    ]


def _other_kind(sides: Sequence[_Side]) -> str:
    return next(side.kind for side in sides if side.kind != "DICOM")


# --- what a path holds -----------------------------------------------------------------------


def _look(path: Path, role: Role, prepared: bool) -> _Side:
    if not path.exists():
        raise ReadError("there is no such file or folder", path=path, remedy="Check the name")
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    arrays = [one for one in files if one.suffix == ".npy" or is_volume(one)]
    dicom = [one for one in files if one not in arrays and is_dicom(one)]
    if arrays and dicom:
        raise DataError(
            "the folder holds both DICOM and arrays or volumes", path=path, remedy="Part them"
        )
    if dicom:
        return _Side(path, "DICOM", tuple(_dicom_slices(path, dicom)))
    if arrays:
        slices = _array_slices(path, _of_role(arrays, role), prepared)
        return _Side(path, "arrays or volumes", tuple(slices))
    raise DataError(
        "there is nothing here that can be compared",
        path=path,
        remedy="Give a DICOM series, a NIfTI, NRRD, MHA or .npy file, or a folder of these",
    )


def _dicom_slices(path: Path, files: Sequence[Path]) -> Iterator[_Slice]:
    instances = [one for file in files for one in _instances(file) if is_ct(one.header)]
    series = {text(one.header, "SeriesInstanceUID"): one.path.parent for one in instances}
    if len(series) != 1:
        folders = ", ".join(sorted({str(one) for one in series.values()})[:NAMES_SHOWN])
        raise DataError(
            f"the folder holds {len(series)} CT series" + (f" ({folders})" if series else ""),
            path=path,
            remedy="Name the folder of one series",
        )
    for one in instances:
        label = text(one.header, "InstanceNumber") or one.path.name
        label += "" if one.frame is None else f"[{one.frame}]"
        place, count = along_normal(one.header), number(one.header, "InstanceNumber")
        yield _Slice(label, (one.path.name, 0), partial(_read_dicom, one), place, count)


def _instances(path: Path) -> tuple[Instance, ...]:
    """Read the header of a file's one image, or of each frame of an Enhanced CT image."""
    header = read_header(path)
    return split_frames(path, header) if is_multiframe(header) else (Instance(path, header),)


def _read_dicom(instance: Instance) -> NDArray[np.float32]:
    return read_slice(instance).hu


def _of_role(files: list[Path], role: Role) -> list[Path]:
    """Take the files that say they are of this kind, all files where none does."""
    said = [one for one in files if _stem(one).endswith(ROLE_ENDINGS[role])]
    return said or files


def _array_slices(path: Path, files: Sequence[Path], prepared: bool) -> Iterator[_Slice]:
    names = ["" if path.is_file() else _case(one) for one in files]
    labels = [_stem(one) for one in files]
    if len(set(names)) < len(names):  # one name for all, and a folder for each patient
        folders = [one.relative_to(path).parent for one in files]
        names = [(folder / name).as_posix() for folder, name in zip(folders, names, strict=True)]
        labels = [(folder / one).as_posix() for folder, one in zip(folders, labels, strict=True)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"several files are of the case {twice[0]!r}", path=path)
    for file, name, stem in zip(files, names, labels, strict=True):
        frames = _frames(file, prepared)
        for index, read in enumerate(frames):
            label = stem if len(frames) == 1 else f"{stem}[{index}]"
            yield _Slice(label, (name, index), read)


def _stem(path: Path) -> str:
    return path.stem if path.suffix == ".npy" else stem_and_suffix(path)[0]


def _case(path: Path) -> str:
    stem = _stem(path)
    ending = next((one for one in ROLE_ENDINGS.values() if stem.endswith(one)), "")
    return stem.removesuffix(ending)


def _frames(path: Path, prepared: bool) -> list[Callable[[], NDArray[np.float32]]]:
    """Open a file and give one reader per slice."""
    if path.suffix == ".npy":
        array = _open_array(path)
        return [partial(_read_array, path, array, k, prepared) for k in range(len(array))]
    volume = open_volume(path)
    return [partial(_read_volume, volume, index) for index in range(volume.shape[0])]


def _open_array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ReadError(
            f"the file cannot be read as an array: {error}", path=path, remedy="Write it again"
        ) from error
    if array.ndim not in (2, 3) or 0 in array.shape or array.dtype.kind not in "iuf":
        raise DataError(
            f"an array of shape {array.shape} and type {array.dtype} is no CT slice or volume",
            path=path,
            remedy="Give numbers, [H, W] or [Z, H, W]",
        )
    return array if array.ndim == 3 else array[None]


def _read_array(path: Path, array: NDArray[Any], index: int, prepared: bool) -> NDArray[np.float32]:
    values = _finite(np.asarray(array[index], dtype=np.float32), path)
    if prepared == bool(np.abs(values).max() > LARGEST_UNIT):
        raise DataError(
            f"the values run from {values.min():.4g} to {values.max():.4g}: "
            + ("these are HU" if prepared else "these are no HU"),
            path=path,
            remedy="Leave out --prepared"
            if prepared
            else "Give --prepared where they are (HU + 1024) / 4096",
        )
    return HURange().from_unit(values) if prepared else values


def _read_volume(volume: Volume, index: int) -> NDArray[np.float32]:
    return _finite(volume.frame(index), volume.path)


def _finite(hu: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    if not np.isfinite(hu).all():
        raise DataError("the slice holds NaN or infinite values", path=path)
    return hu


# --- what belongs together -------------------------------------------------------------------


def _matched(first: _Side, other: _Side) -> tuple[list[_Slice], list[_Slice]]:
    """Bring two sides into one order, in which each slice stands beside its partner."""
    if len(first.slices) != len(other.slices):
        raise DataError(
            f"{counted(len(first.slices), 'slice')} cannot be paired with {len(other.slices)} "
            f"({other.path})",
            path=first.path,
            remedy="Give the same slices on each side",
        )
    if first.kind != "DICOM":
        return _by_key(first, other, lambda one: one.key)
    if _is_ordered(first, _place) and _is_ordered(other, _place):
        return _by_place(first, other)
    if _is_ordered(first, _number) and _is_ordered(other, _number):
        return _by_key(first, other, lambda one: ("InstanceNumber", int(one.number or 0)))
    raise DataError(
        "neither positions nor InstanceNumbers tell the slices apart",
        path=first.path,
        remedy=f"Check ImagePositionPatient and InstanceNumber here and in {other.path}",
    )


def _place(one: _Slice) -> float | None:
    return one.place_mm


def _number(one: _Slice) -> float | None:
    return one.number


def _is_ordered(side: _Side, value: Callable[[_Slice], float | None]) -> bool:
    """Say whether a value is there for all slices and different for each."""
    known = [value(one) for one in side.slices]
    there = sorted(one for one in known if one is not None)
    return len(there) == len(known) and all(a < b for a, b in pairwise(there))


def _by_place(first: _Side, other: _Side) -> tuple[list[_Slice], list[_Slice]]:
    ours, theirs = (
        sorted(side.slices, key=lambda one: one.place_mm or 0.0) for side in (first, other)
    )
    for a, b in zip(ours, theirs, strict=True):
        if abs((a.place_mm or 0.0) - (b.place_mm or 0.0)) > SAME_PLACE_MM:
            raise DataError(
                f"image {a.label} lies at {a.place_mm:.2f} mm and its partner, image {b.label} of "
                f"{other.path}, at {b.place_mm:.2f} mm",
                path=first.path,
                remedy="Give series of the same slices",
            )
    return ours, theirs


def _by_key(
    first: _Side, other: _Side, key: Callable[[_Slice], tuple[str, int]]
) -> tuple[list[_Slice], list[_Slice]]:
    partners = {key(one): one for one in other.slices}
    lonely = [one.label for one in first.slices if key(one) not in partners]
    if lonely:
        raise DataError(
            f"{counted(len(lonely), 'slice')} without a partner in {other.path}: "
            + ", ".join(lonely[:NAMES_SHOWN])
            + (", ..." if len(lonely) > NAMES_SHOWN else ""),
            path=first.path,
            remedy="Give files of the same names on each side",
        )
    ours = sorted(first.slices, key=key)
    return ours, [partners[key(one)] for one in ours]
