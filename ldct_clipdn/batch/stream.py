"""The slices of one series on their way: read in one thread, denoised in another."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ldct_clipdn.batch.ahead import ahead
from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.ct.residual import limit_change
from ldct_clipdn.errors import ReadError
from ldct_clipdn.inference.denoise import denoise_slices
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.scan import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.inference.backends import Backend
    from ldct_clipdn.io.journal import SeriesWriter
    from ldct_clipdn.io.scan import Instance, Kept, Scan, Slice
    from ldct_clipdn.io.uids import Recipe

__all__ = ["Step", "denoised", "limited_slices", "seen_range"]

T = TypeVar("T")


class Step(NamedTuple):
    """One slice, and what is to be done with it: written, unless an earlier run has kept it."""

    result: Result
    kept: Kept | None


def denoised(
    scan: Scan, writer: SeriesWriter, engine: Backend, recipe: Recipe
) -> Generator[Step, None, None]:
    """Read and denoise the slices of a series ahead of the one that is being written.

    A few slices are in memory at a time.

    Parameters
    ----------
    scan
        The series.
    writer
        Says what is finished already.
    engine
        The network.
    recipe
        With strength and the number of slices that are computed at once.

    Returns
    -------
    Generator
        Every slice in order; close it.
    """
    return ahead(_compute(scan, writer, engine, recipe))


def limited_slices(
    hu: list[NDArray[np.float32]], engine: Backend, recipe: Recipe
) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Denoise slices as one batch, and limit the change of each.

    Parameters
    ----------
    hu
        Slices, float32 [H, W] in HU, padding as air.
    engine
        The network.
    recipe
        With the HU that the network sees, and the strength.

    Returns
    -------
    list of tuple
        For each slice its new HU, and where its change was limited.
    """
    new = denoise_slices(
        np.stack(hu), engine, hu_range=seen_range(recipe), strength=recipe.strength
    )
    return [limit_change(before, after) for before, after in zip(hu, new, strict=True)]


def seen_range(recipe: Recipe) -> HURange:
    """Give the HU that the network sees.

    Parameters
    ----------
    recipe
        Of the run.

    Returns
    -------
    HURange
        Its lowest and highest.
    """
    return HURange(recipe.hu_low, recipe.hu_high)


def _read(scan: Scan) -> Generator[tuple[Instance, Slice], None, None]:
    for instance in scan.instances:
        try:
            yield instance, read_slice(instance)
        except (ReadError, OSError) as error:  # it was read a moment ago
            cause = error.reason if isinstance(error, ReadError) else system_words(error)
            raise ReadError(
                f"it can no longer be read: {cause}",
                path=instance.path,
                remedy="Keep the input in place until the run ends",
            ) from error


def _compute(
    scan: Scan, writer: SeriesWriter, engine: Backend, recipe: Recipe
) -> Generator[Step, None, None]:
    """Denoise block by block; blocks begin at fixed slices, so that a resumed run has the same."""
    for block in _blocks(ahead(_read(scan)), recipe.batch):
        kept = [writer.kept(instance, before) for instance, before in block]
        hu = [before.hu for _, before in block]
        # what is kept has been denoised: it is not done again unless its block is
        new = None if all(kept) else limited_slices(hu, engine, recipe)
        for index, (instance, before) in enumerate(block):
            after, limited = (before.hu, None) if new is None else new[index]
            count = 0 if limited is None else int((limited & ~before.padding).sum())
            yield Step(Result(instance, before, after, count), kept[index])


def _blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block
