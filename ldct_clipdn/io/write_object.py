"""Writes a derived Enhanced CT image, frame by frame: pixels wait on disk until all are known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.check_object import check_object
from ldct_clipdn.io.derive_object import derive_object
from ldct_clipdn.io.frames import frame_count
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.provenance import DerivedSeries
from ldct_clipdn.io.store import explained, refuse, store
from ldct_clipdn.io.stored import to_stored
from ldct_clipdn.io.uids import identity, object_uid, pixel_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.io.scan import Result, Scan

__all__ = ["write_object"]


def write_object(
    folder: Path, scan: Scan, results: Iterable[Result], series: DerivedSeries
) -> None:
    """Write a derived Enhanced CT image, read it again and check it.

    Parameters
    ----------
    folder
        Where to.
    scan
        The source: all frames of one Enhanced CT image.
    results
        New HU of every frame; is consumed frame by frame.
    series
        The derived series.

    Raises
    ------
    OSError
        When the disk is full, or the like.
    WriteError
        When a frame is missing or a check fails.
    """
    frames = scan.instances
    whole = frames[0].whole
    count = 0 if whole is None else frame_count(whole)
    if len(frames) != count:
        raise WriteError(
            f"only {len(frames)} of {count} frames can be read, and an Enhanced CT image is "
            "written whole or not at all",
            path=frames[0].path,
        )
    layout = pixel_layout(frames[0].header)
    waiting = folder / ".pixels"
    kind = "<i2" if layout.signed else "<u2"
    words = np.memmap(waiting, kind, "w+", shape=(count, layout.rows, layout.columns))
    digests = _fill(words, results)
    if len(digests) != count:
        raise WriteError(f"{len(digests)} of {count} frames came", path=frames[0].path)
    words.flush()
    extremes = int(words.min()), int(words.max())
    del words
    with waiting.open("rb") as file, explained(frames[0].path):
        uid = object_uid(digests, series.recipe, hashlib.file_digest(file, "sha256").hexdigest())
        path = folder / f"{uid}.dcm"
        ds = derive_object(frames, uid, extremes, series)
        file.seek(0)
        ds.PixelData = file.read() if series.recipe.output.transfer_syntax.is_compressed else file
        ds["PixelData"].VR = "OW"
        store(ds, path, series.recipe.output)
    waiting.unlink()
    refuse(check_object(frames, path, extremes, series.recipe.output), frames[0].path)


def _fill(words: NDArray[np.integer], results: Iterable[Result]) -> dict[str, str]:
    """Put each frame where it belongs; say what it was made of."""
    digests = {}
    for instance, before, hu in results:
        words[instance.frame] = to_stored(before, hu, instance.header)
        digests[identity(instance)] = pixel_digest(before.stored)
    return digests
