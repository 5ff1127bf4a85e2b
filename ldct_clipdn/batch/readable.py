"""Reads a series through before anything is written, so that a bad image is known in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ldct_clipdn.batch.failure import explain_failure
from ldct_clipdn.errors import ReadError, WriteError
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.scan import Instance, Scan, Slice

__all__ = ["read_through"]


def read_through(
    scan: Scan, take: Callable[[Instance, Slice], None]
) -> tuple[Scan, dict[Path, str]]:
    """Read every image once; those that cannot be used are lost, and the others are taken.

    Parameters
    ----------
    scan
        The series.
    take
        Called with each image and its pixels; what it raises as below loses the image too.

    Returns
    -------
    Scan
        The images that can be used.
    dict
        Why not, by file, of the others: they cannot be read (ReadError, OSError), or their results
        could not be written (WriteError).
    """
    readable: list[Instance] = []
    failures: dict[Path, str] = {}
    for instance in scan.instances:
        try:
            take(instance, read_slice(instance))
        except (ReadError, WriteError, OSError) as error:
            failures[instance.path] = explain_failure(error, instance.path)[1]
        else:
            readable.append(instance)
    lost = scan.lost + len(failures)
    return replace(scan, instances=tuple(readable), lost=lost), failures
