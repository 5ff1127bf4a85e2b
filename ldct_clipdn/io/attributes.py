"""Values out of DICOM headers as plain Python, whatever the file holds; never raises."""

from __future__ import annotations

import logging
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import pydicom
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

__all__ = ["VALUE_ERRORS", "items", "number", "numbers", "quiet_pydicom", "text", "texts"]

VALUE_ERRORS = (
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises on values that are not what their VR says."""


TALKATIVE: Final = ("pydicom", "openjpeg")
"""Loggers of pydicom and of a decoder behind it."""


class _Quiet:
    """Silence of pydicom while anyone wants it: warning filters belong to all threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted = 0
        self._restore = ExitStack()

    def begin(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted > 1:
                return
            self._restore.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", category=UserWarning)
            for logger in map(logging.getLogger, TALKATIVE):
                self._restore.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL)

    def end(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                self._restore.close()


_QUIET: Final = _Quiet()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from talking about odd headers and failing decoders: we judge and report."""
    _QUIET.begin()
    try:
        yield
    finally:
        _QUIET.end()


def texts(header: Dataset, keyword: str) -> list[str]:
    """Read all values of an attribute as text.

    Parameters
    ----------
    header
        The data set.
    keyword
        DICOM keyword.

    Returns
    -------
    list of str
        Stripped; empty where the attribute is absent, empty or cannot be parsed.
    """
    try:
        with quiet_pydicom():  # a value is parsed, and complained of, when it is first asked for
            value = header.get(keyword)
        values = value if isinstance(value, MultiValue) else [value]
        return [] if value is None or value == "" else [str(one).strip() for one in values]
    except VALUE_ERRORS:
        return []


def text(header: Dataset, keyword: str) -> str:
    r"""Read an attribute as one text.

    Parameters
    ----------
    header
        The data set.
    keyword
        DICOM keyword.

    Returns
    -------
    str
        Stripped, several values joined by a blank; empty where there is none.
    """
    return " ".join(texts(header, keyword)).strip()


def numbers(header: Dataset, keyword: str) -> list[float]:
    """Read all values of an attribute as finite numbers.

    Parameters
    ----------
    header
        The data set.
    keyword
        DICOM keyword.

    Returns
    -------
    list of float
        Empty where the attribute is absent or any value is no finite number.
    """
    try:
        values = [float(one) for one in texts(header, keyword)]
    except ValueError:
        return []
    return values if all(math.isfinite(value) for value in values) else []


def number(header: Dataset, keyword: str) -> float | None:
    """Read an attribute as one finite number.

    Parameters
    ----------
    header
        The data set.
    keyword
        DICOM keyword.

    Returns
    -------
    float or None
        The first value; None where there is none.
    """
    values = numbers(header, keyword)
    return values[0] if values else None


def items(header: Dataset, name: str | BaseTag) -> list[Dataset]:
    """Read the items of a sequence.

    Parameters
    ----------
    header
        The data set.
    name
        DICOM keyword or tag.

    Returns
    -------
    list of Dataset
        Empty where the sequence is absent, empty or no sequence.
    """
    try:
        value: Any = header[name].value if name in header else None
        return [item for item in value or [] if isinstance(item, pydicom.Dataset)]
    except VALUE_ERRORS:
        return []
