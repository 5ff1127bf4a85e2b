"""One CT slice from its file, one denoised slice to its own: the ends of the bundle's transforms.

MONAI Deploy hands over pixels itself and leaves out every transform whose name holds `LoadImage` or
`SaveImage`, so these are named like that. MONAI's own readers swap rows and columns, and change
with what else is installed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch.utils.data import IterableDataset, get_worker_info

from ldct_clipdn.ct.hu import AIR_HU
from ldct_clipdn.data.cache import Cache
from ldct_clipdn.data.slices import CTSlice, FoundSlices, dicom_images, find_slices, read_frames
from ldct_clipdn.errors import DataError, ReadError
from ldct_clipdn.io.dicom_read import is_dicom, read_slice
from ldct_clipdn.io.slice_nifti import affine_from_header, affine_in_volume, write_slice
from ldct_clipdn.io.volume import Volume
from ldct_clipdn.io.volumes import is_volume, open_volume, stem_and_suffix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.io.scan import Instance

__all__ = [
    "LoadImageCTd",
    "ReadableSlices",
    "SaveImageCTd",
    "read_hu",
    "read_through",
    "slice_items",
]

Item = dict[Hashable, Any]

log = logging.getLogger(__name__)


def slice_items(source: Path | str | None) -> list[dict[str, Any]]:
    """List the CT slices below a folder, each as what `LoadImageCTd` and `SaveImageCTd` need.

    Parameters
    ----------
    source
        Folder or file; see `find_slices` for what is understood.

    Returns
    -------
    list of dict
        `image` and `source` (the slice's file), `frame`, and `output`, a name below the folder of
        the results that no other slice has.

    Raises
    ------
    DataError
        When no folder is given, or it holds no CT slice.
    """
    if source is None:
        raise DataError("no data is given", remedy="Give --dataset_dir with a folder of CT series")
    found = find_slices(source)
    if not found.slices:
        why = f": {found.unused[0].path.name}: {found.unused[0].reason}" if found.unused else ""
        raise DataError(
            f"there is no CT slice{why}",
            path=found.root,
            remedy="`ldct-clipdn data check DIR` lists every file and what it is",
        )
    names: Counter[str] = Counter()
    return [_item(found, one, names) for one in found.slices]


def read_hu(path: Path, frame: int = 0) -> NDArray[np.float32]:
    """Read one slice from its file.

    Parameters
    ----------
    path
        A DICOM file, a volume or a prepared slice.
    frame
        Which slice of a volume, from the feet up, or of an Enhanced CT image.

    Returns
    -------
    numpy.ndarray
        HU, float32 [H, W], padding and what lies below as air (-1024).

    Raises
    ------
    ReadError
        When the file cannot be read.
    """
    if path.suffix == ".npy":
        return next(read_frames(path))
    if is_volume(path):
        hu = _last_volume(path).frame(frame)
    else:
        hu = read_slice(_last_images(path)[frame]).hu
    return np.fmax(hu, np.float32(AIR_HU))  # not maximum: of NaN, fmax makes air


def read_through(cache: Cache) -> Callable[[Path, int], NDArray[np.float32]]:
    """Make a reader that takes what the cache has, and everything else from its file.

    MONAILabel puts lists of its own in the place of ours.

    Parameters
    ----------
    cache
        Of the training sets.

    Returns
    -------
    callable
        As `read_hu`; can be sent to worker processes.
    """
    return partial(_read_through, cache)


class LoadImageCTd(MapTransform):
    """Read one CT slice in HU from its file, rows by columns as DICOM stores them.

    Parameters
    ----------
    keys
        Entries that hold a path; the entry `frame` says which slice of a volume.
    read
        Gives float32 [H, W] in HU, padding as air, for a path and a frame; None reads the file.
    allow_missing_keys
        Let an entry be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        read: Callable[[Path, int], NDArray[np.float32]] | None = None,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.read = read or read_hu

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Read the entries.

        Parameters
        ----------
        data
            Paths under the keys.

        Returns
        -------
        dict
            A copy with float32 tensors [H, W] in HU in their place.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            hu = self.read(Path(item[key]), int(item.get("frame", 0)))
            item[key] = torch.from_numpy(np.array(hu, dtype=np.float32))
        return item


class SaveImageCTd(MapTransform):
    """Write one denoised slice as NIfTI (float32 HU), at its place in the patient.

    A result for research: `ldct-clipdn denoise` is what writes DICOM series.

    Parameters
    ----------
    keys
        The entry with the slice, one key.
    output_dir
        Where to; the entry `output` names the file below it, `source` and `frame` the slice that
        it came from.
    """

    def __init__(self, keys: KeysCollection, output_dir: Path | str) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        """Write the slice.

        Parameters
        ----------
        data
            Slice [1, H, W] in HU under the key.

        Returns
        -------
        dict
            A copy with the path of the written file under `saved`.

        Raises
        ------
        WriteError
            When it cannot be written.
        """
        path = self.output_dir / f"{data['output']}.nii.gz"
        hu = data[self.keys[0]].detach().cpu().numpy().astype(np.float32)[0]
        write_slice(path, hu, _affine(Path(data["source"]), int(data["frame"])))
        return {**data, "saved": str(path)}


class ReadableSlices(IterableDataset[Item]):
    """Yield the slices that can be read, one after the other; the others are named in the log.

    Parameters
    ----------
    data
        As `slice_items` gives them.
    transform
        Reads one; its `ReadError` leaves the slice out, every other error ends the run.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], transform: Callable[[Mapping[str, Any]], Item]
    ) -> None:
        self.data = data
        self.transform = transform

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for item in self.data[first::step]:
            try:
                read = self.transform(item)
            except Exception as error:
                reason = _read_error(error)
                if reason is None:
                    raise
                log.warning("%s", reason)
            else:
                yield read


def _read_error(error: BaseException | None) -> ReadError | None:
    """Take our error out of those that MONAI's Compose wraps around it."""
    while error is not None and not isinstance(error, ReadError):
        error = error.__cause__
    return error


def _read_through(cache: Cache, path: Path, frame: int) -> NDArray[np.float32]:
    return cache.read(path, frame) if path in cache.names else read_hu(path, frame)


@lru_cache(maxsize=1)
def _last_volume(path: Path) -> Volume:
    """Keep the volume whose slices are asked for one after the other."""
    return open_volume(path)


@lru_cache(maxsize=1)
def _last_images(path: Path) -> tuple[Instance, ...]:
    """Keep the headers of the file whose frames are asked for one after the other."""
    return dicom_images(path)


def _item(found: FoundSlices, one: CTSlice, names: Counter[str]) -> dict[str, Any]:
    root = found.root if found.root.is_dir() else found.root.parent
    folder, stem = one.path.relative_to(root).parent, stem_and_suffix(one.path)[0]
    stem = stem.removesuffix(one.path.suffix) if one.kind != "volume" else stem
    if one.kind == "volume" or one.frames > 1:
        stem = f"{stem}_{one.frame:04d}"
    name = str(folder / f"{stem}_denoised")
    names[name] += 1
    if names[name] > 1:
        name = f"{name}_{names[name]}"
    path = str(one.path)
    return {"image": path, "source": path, "frame": one.frame, "output": name}


def _affine(path: Path, frame: int) -> NDArray[np.float64]:
    if is_volume(path):
        return affine_in_volume(_last_volume(path), frame)
    return affine_from_header(_last_images(path)[frame].header) if is_dicom(path) else np.eye(4)
