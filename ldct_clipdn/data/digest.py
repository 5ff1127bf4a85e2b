"""Are these the same files: told without reading them whole, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from ldct_clipdn.data.slices import source_files

__all__ = ["files_digest"]

SAMPLE_BYTES: Final = 4096


def files_digest(items: Iterable[Mapping[str, Any]]) -> str:
    """Sum up a list of slices or pictures: name, size and a part of each file, in their order.

    Folders do not count, so that data which was moved stays the same. The part is from the middle:
    prepared slices of two kernels have the same names and sizes, and the edges of a slice are air.

    Parameters
    ----------
    items
        Each with a file under `image`, that of a pair under `noisy` too, and maybe `frame`.

    Returns
    -------
    str
        16 hexadecimal digits, of a SHA-256.

    Raises
    ------
    OSError
        When a file is gone.
    """
    total = hashlib.sha256()
    of_source = cache(_of_source)  # a volume has many slices
    for item in items:
        files = (Path(item[key]) for key in ("image", "noisy") if key in item)
        line = [item.get("frame", 0), *map(of_source, files)]
        total.update(f"{line}\n".encode())
    return total.hexdigest()[:16]


def _of_source(path: Path) -> str:
    return " ".join([path.name, *map(_of_file, source_files(path))])


def _of_file(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size // 2 - SAMPLE_BYTES // 2, 0))
        return f"{size} {hashlib.sha256(file.read(SAMPLE_BYTES)).hexdigest()}"
