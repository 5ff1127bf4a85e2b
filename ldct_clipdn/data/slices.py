"""What CT slices lie in a folder, of whom and at which dose; headers only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from ldct_clipdn.ct.hu import AIR_HU, HURange
from ldct_clipdn.data.names import Dose, header_dose, header_traits, mayo_patient, path_traits
from ldct_clipdn.errors import DataError, ReadError
from ldct_clipdn.io.accept import admitted
from ldct_clipdn.io.attributes import number
from ldct_clipdn.io.dicom_read import read_header, read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.frames import is_multiframe, split_frames
from ldct_clipdn.io.geometry import along_normal
from ldct_clipdn.io.scan import Instance, Scan, Unused
from ldct_clipdn.io.volume import hu_doubt
from ldct_clipdn.io.volumes import data_files, is_volume, open_volume, stem_and_suffix

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CTSlice",
    "FoundSlices",
    "dicom_images",
    "find_slices",
    "read_frames",
    "source_files",
]

PREPARED: Final = re.compile(r"^(?P<patient>.+)_(?P<index>\d+)_(?P<role>target|input)$")
"""Names of slices prepared as the published scripts do it: `L506_0_input.npy`."""

PREPARED_RANGE: Final = HURange(-1024.0, 3072.0)
"""HU that prepared slices hold as 0 and 1."""

PREPARED_LIMIT: Final = 8.0
"""No HU, metal included, goes beyond this on that scale."""

DERIVED: Final = frozenset({"derived"})

PROJECTIONS: Final = "projections"
"""In the name of a TCIA folder: some 30,000 files of raw measurements per patient, no images."""

Kind = Literal["dicom", "volume", "prepared"]


@dataclass(frozen=True)
class CTSlice:
    """One CT slice that training or evaluation can use.

    Parameters
    ----------
    path
        Its file.
    frame
        Which slice of a volume or of an Enhanced CT image; 0 in a file of one slice.
    kind
        `dicom`, `volume`, or `prepared` (`L506_0_target.npy`).
    patient, dose, kernel, thickness_mm
        As `data.names` reads them.
    place
        Position along the slice normal in mm; of a prepared slice its number; None where unknown.
    shape
        Rows and columns.
    frames
        How many slices its file holds.
    """

    path: Path
    frame: int
    kind: Kind
    patient: str
    dose: Dose
    kernel: str
    thickness_mm: float | None
    place: float | None
    shape: tuple[int, int]
    frames: int = 1


@dataclass(frozen=True)
class FoundSlices:
    """What lies in a folder.

    Parameters
    ----------
    root
        The folder.
    slices
        By patient, kernel, thickness, dose and place.
    unused
        Every other file, with its reason.
    """

    root: Path
    slices: tuple[CTSlice, ...]
    unused: tuple[Unused, ...]

    @property
    def failed(self) -> tuple[Unused, ...]:
        """Pick the files that say they are CT and cannot be read.

        Returns
        -------
        tuple of Unused
            Out of `unused`.
        """
        return tuple(one for one in self.unused if one.outcome == "failed")


def find_slices(root: Path | str) -> FoundSlices:
    """Look what CT slices lie in a folder.

    Understood are the layouts of the 2016 AAPM challenge (`full_1mm/L067/*.IMA` or
    `L067/full_1mm/*.IMA`, `quarter_1mm` beside), of TCIA's LDCT-and-Projection-data
    (`L067/<study>/1.000000-Full dose images-59704/*.dcm`; made after public code, not tried on real
    files), slices prepared as `L506_0_target.npy` and `L506_0_input.npy` in (HU + 1024) / 4096, and
    any other folder of CT DICOM, NIfTI, NRRD, MHA or MHD, which counts as normal dose.

    Parameters
    ----------
    root
        A folder, or one file.

    Returns
    -------
    FoundSlices
        Slices, and every other file with the reason.

    Raises
    ------
    DataError
        When there is no such folder.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100  # a link stays a link: its name tells more
    if not root.exists():
        raise DataError("there is no such file or folder", path=root, remedy="Check the name")
    slices: list[CTSlice] = []
    unused: list[Unused] = []
    others: list[Unused] = []
    for part in _without_projections(root):
        if isinstance(part, Unused):
            unused.append(part)
            continue
        found = find_series(part, admit=DERIVED)
        for scan in found:
            reason = _objection(scan)
            if reason:
                unused += [Unused(one.path, "skipped", reason) for one in scan.instances]
            else:
                slices += _dicom_slices(root, scan)
        others += found.unused
    volumes = [one.path for one in others if is_volume(one.path)]
    for other in others:
        made = _other_slices(root, other, one_folder=len({one.parent for one in volumes}) == 1)
        (unused.append(made) if isinstance(made, Unused) else slices.extend(made))
    return FoundSlices(root, tuple(sorted(slices, key=_order)), tuple(unused))


def read_frames(path: Path, doubts: dict[Path, str] | None = None) -> Iterator[NDArray[np.float32]]:
    """Read all slices of one file.

    Parameters
    ----------
    path
        A file that `find_slices` found.
    doubts
        Takes a sentence for a file that seems to hold no HU, once it is read to its end.

    Yields
    ------
    numpy.ndarray
        HU, float32 [H, W]; padding, whatever lies below, and NaN are -1024: some scanners write a
        second padding that no tag names.

    Raises
    ------
    ReadError
        When the file cannot be read.
    """
    low, high = np.inf, -np.inf
    for raw in _frames(path):
        hu = np.fmax(raw, np.float32(AIR_HU))  # not maximum: of NaN, fmax makes air
        low, high = min(low, float(hu.min())), max(high, float(hu.max()))
        yield hu
    if doubts is not None and is_volume(path) and (doubt := hu_doubt(low, high)):
        doubts[path] = doubt


def source_files(path: Path) -> tuple[Path, ...]:
    """List the files whose change changes the slices of one file.

    Parameters
    ----------
    path
        A file that `find_slices` found.

    Returns
    -------
    tuple of Path
        The file, and the pixels beside a detached header; of an archive's member, the archive.
    """
    if not path.is_file():
        return tuple(one for one in path.parents if one.is_file())
    return data_files(path)


def _frames(path: Path) -> Iterator[NDArray[np.float32]]:
    if path.suffix == ".npy":
        yield _prepared_hu(path)
    elif is_volume(path):
        yield from open_volume(path).frames()
    else:
        yield from (read_slice(one).hu for one in dicom_images(path))


def dicom_images(path: Path) -> tuple[Instance, ...]:
    """Open the images of a DICOM file, each frame of an Enhanced CT image as one of its own.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple of Instance
        In the order of the frames; their pixels are not read yet.

    Raises
    ------
    ReadError
        When the file cannot be read.
    """
    header = read_header(path)
    if is_multiframe(header):
        return split_frames(path, header)
    return (Instance(path, header),)


def _without_projections(root: Path) -> Iterator[Path | Unused]:
    """Yield the largest parts of a folder that hold no raw projections."""
    if not root.is_dir() or not _has_projections(root):
        yield root
        return
    for child in sorted(root.iterdir()):
        if child.is_dir() and PROJECTIONS in child.name.lower():
            yield Unused(child, "skipped", "a folder of raw projections, no images")
        else:
            yield from _without_projections(child)


def _has_projections(root: Path) -> bool:
    return any(
        PROJECTIONS in name.lower()
        for _, names, _ in os.walk(root, followlinks=True)
        for name in names
    )


def _objection(scan: Scan) -> str:
    """Refuse what was derived, unless its header names a dose: inserted noise is derived too."""
    header = scan.instances[0].header
    reasons = admitted(header, DERIVED)
    return "" if not reasons or header_dose(header) else reasons[0]


def _dicom_slices(root: Path, scan: Scan) -> Iterator[CTSlice]:
    for one in scan.instances:
        header = one.header
        parts = _parts(root, one.path)
        traits = header_traits(header, parts)
        rows, columns = number(header, "Rows") or 0, number(header, "Columns") or 0
        yield CTSlice(
            path=one.path,
            frame=one.frame or 0,
            kind="dicom",
            patient=traits.patient or _folder(root, one.path),
            dose=traits.dose,
            kernel=traits.kernel,
            thickness_mm=traits.thickness_mm,
            place=along_normal(header),
            shape=(int(rows), int(columns)),
            frames=1 if one.frame is None else len(scan.instances),
        )


def _other_slices(root: Path, other: Unused, *, one_folder: bool) -> list[CTSlice] | Unused:
    """Look at what is no DICOM file: volumes and prepared slices."""
    path = other.path
    if (is_volume(path) or path.suffix == ".npy") and not path.is_file():
        return Unused(path, "skipped", "in an archive: to be used it must be unpacked")
    try:
        if is_volume(path):
            return _volume_slices(root, path, one_folder=one_folder)
        prepared = PREPARED.match(path.stem) if path.suffix == ".npy" else None
        return [_prepared_slice(path, prepared)] if prepared else other
    except ReadError as error:
        return Unused(path, "failed", error.reason)


def _volume_slices(root: Path, path: Path, *, one_folder: bool) -> list[CTSlice]:
    """Make the slices of a volume; where all lie in one folder, each is a patient of its own."""
    volume = open_volume(path)
    count, rows, columns = volume.shape
    traits = path_traits(_parts(root, path))
    stem = stem_and_suffix(path)[0]
    return [
        CTSlice(
            path=path,
            frame=frame,
            kind="volume",
            patient=traits.patient or (stem if one_folder else _folder(root, path)),
            dose="normal",
            kernel=traits.kernel,
            thickness_mm=volume.step_mm,
            place=frame * volume.step_mm,
            shape=(rows, columns),
            frames=count,
        )
        for frame in range(count)
    ]


def _prepared_slice(path: Path, name: re.Match[str]) -> CTSlice:
    values = _load_prepared(path)
    return CTSlice(
        path=path,
        frame=0,
        kind="prepared",
        patient=mayo_patient(name["patient"]) or name["patient"],
        dose="normal" if name["role"] == "target" else "low",
        kernel="",
        thickness_mm=None,
        place=float(name["index"]),
        shape=(values.shape[0], values.shape[1]),
    )


def _prepared_hu(path: Path) -> NDArray[np.float32]:
    unit = _load_prepared(path).astype(np.float32)
    if not (np.isfinite(unit).all() and np.abs(unit).max() <= PREPARED_LIMIT):
        raise ReadError(
            f"values from {unit.min():g} to {unit.max():g} are not in (HU + 1024) / 4096",
            path=path,
            remedy="Prepare it again",
        )
    return PREPARED_RANGE.from_unit(unit)


def _load_prepared(path: Path) -> NDArray[np.floating]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, OSError, ValueError) as error:
        raise ReadError(f"no NumPy array: {error}", path=path, remedy="Prepare it again") from error
    if values.ndim != 2 or values.dtype.kind != "f":
        raise ReadError(
            f"a {values.dtype} array of shape {values.shape} is no slice in (HU + 1024) / 4096",
            path=path,
            remedy="Prepare it again",
        )
    return np.asarray(values)


def _parts(root: Path, path: Path) -> tuple[str, ...]:
    """Name folders and file from the root down, the root's own name first."""
    below = path.relative_to(root).parts if path != root else ()
    return (root.name, *below)


def _folder(root: Path, path: Path) -> str:
    """Name the patient by the first folder below the root: coarse, so that none is split."""
    parts = _parts(root, path)
    return parts[1] if len(parts) > 2 else root.parent.name if path == root else root.name


def _order(one: CTSlice) -> tuple[str, str, float, str, float, str, int]:
    return (
        one.patient,
        one.kernel,
        one.thickness_mm or 0.0,
        one.dose,
        one.place if one.place is not None else 0.0,
        str(one.path),
        one.frame,
    )
