"""Noise fields of every training slice, made once and kept in files.

Each was filtered and back-projected through its slice's own anatomy (`ct.lowdose`): where the body
is thick it is stronger, and it runs along the thick direction.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ldct_clipdn.core.whole_file import whole_file
from ldct_clipdn.ct.kernel import USUAL_KERNEL, OwnNoise, own_noise
from ldct_clipdn.ct.lowdose import noise_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NoiseLibrary", "Read"]

STRANGER: Final = 0.3
"""Share of the crops whose noise went through another slice's anatomy."""

VERSION: Final = 1
"""Counts changes of what the library's files hold."""

Read = Callable[[Path, int], "NDArray[np.float32]"]

logger = logging.getLogger(__name__)


class NoiseLibrary:
    """Noise fields of every training slice, made once and kept in files.

    Parameters
    ----------
    items
        Training items with `image` (path) and `frame`.
    read
        Gives a slice in HU, as for `LoadImageCTd`.
    folder
        Where the files are kept.
    draws
        Fields per slice.
    seed
        Start of the generator.
    noiseless
        Patterns of `patient`: slices without noise of their own, such as phantoms.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        read: Read,
        folder: str | Path,
        *,
        draws: int = 2,
        seed: int = 0,
        noiseless: Sequence[str] = (),
    ) -> None:
        self.draws = draws
        self._paths: list[Path] = []
        self._own: list[OwnNoise] = []
        self._numbers: dict[tuple[str, int], int] = {}
        self._by_shape: dict[tuple[int, ...], list[int]] = {}
        for item in items:
            hu = read(Path(item["image"]), int(item.get("frame", 0)))
            number = len(self._paths)
            self._numbers[_name(item)] = number
            self._by_shape.setdefault(hu.shape, []).append(number)
            made = any(fnmatch(str(item.get("patient")), one) for one in noiseless)
            self._own.append(OwnNoise(0.0, USUAL_KERNEL) if made else own_noise(hu))
            self._paths.append(_make_fields(hu, Path(folder), draws, seed))
        logger.info("Noise library: %d slices in %s", len(self._paths), folder)

    def draw(self, item: Mapping[Hashable, Any], rng: np.random.RandomState) -> NDArray[np.float32]:
        """Draw a field for a slice, mostly one of its own.

        Parameters
        ----------
        item
            The slice's item.
        rng
            Decides.

        Returns
        -------
        numpy.ndarray
            float32 [H, W], standard deviation about 1 in soft tissue.
        """
        number = self._numbers[_name(item)]
        which = int(rng.randint(self.draws))
        fields = np.load(self._paths[number], mmap_mode="r")
        if rng.random_sample() < STRANGER:
            others = self._by_shape[fields.shape[1:]]
            fields = np.load(self._paths[others[int(rng.randint(len(others)))]], mmap_mode="r")
        return np.asarray(fields[which], dtype=np.float32)

    def own(self, item: Mapping[Hashable, Any]) -> OwnNoise:
        """Look up the noise that a slice had from the scanner.

        Parameters
        ----------
        item
            The slice's item.

        Returns
        -------
        OwnNoise
            As measured.
        """
        return self._own[self._numbers[_name(item)]]


def _name(item: Mapping[Any, Any]) -> tuple[str, int]:
    return str(item["image"]), int(item.get("frame", 0))


def _make_fields(hu: NDArray[np.float32], folder: Path, draws: int, seed: int) -> Path:
    content = hashlib.sha256(np.ascontiguousarray(hu).tobytes())
    content.update(f"{hu.shape} {draws} {seed} {VERSION}".encode())
    path = folder / f"{content.hexdigest()[:24]}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fields = noise_fields(hu, draws=draws, seed=[seed, int(content.hexdigest()[:8], 16)])
        with whole_file(path, shared=True) as partial, partial.open("wb") as file:
            np.save(file, fields.astype(np.float16))
    return path
