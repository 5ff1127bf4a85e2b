"""A data loader whose workers' errors say what they said where they were raised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from torch.utils.data import DataLoader

from ldct_clipdn.errors import DataError, LdctError

__all__ = ["PlainErrorLoader"]

OURS: Final = re.compile(r"^ldct_clipdn\.errors\.\w+: (.+)$", re.MULTILINE)
ANOTHER: Final = "During handling of the above exception, another exception occurred:"


class PlainErrorLoader(DataLoader[Any]):
    """PyTorch's data loader, but that an error of ours in a worker comes out as one line.

    PyTorch hands on what a worker raised as text alone: its whole traceback.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except (LdctError, RuntimeError) as error:  # as it was, or as MONAI's transforms wrap it
            line = _line_of_ours(str(error))
            if line is None:
                raise
            raise DataError(line) from error


def _line_of_ours(traceback: str) -> str | None:
    """Find our error among the causes; a bug in the handling of one has no cause and is none."""
    found = OURS.findall(traceback.rpartition(ANOTHER)[2])
    return found[-1] if found else None
