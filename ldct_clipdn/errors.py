"""Every error of this package that a user can cause or mend.

::

    LdctError
    ├── ConfigError      a setting that cannot be used
    ├── WeightsError     a weights file that is missing, damaged or of another network
    ├── DataError        a data set that training or evaluation cannot use
    ├── ReadError        an image file that cannot be read
    │   ├── DecodeError  its header can be read, its pixels cannot
    │   └── NotCTError   a sound image file that is no CT image
    ├── WriteError       a result that could not be written, or failed its own checks
    └── BackendError     a device or engine that is not there or gave a wrong answer

Anything else that is raised is a bug and looks like one.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BackendError",
    "ConfigError",
    "DataError",
    "DecodeError",
    "LdctError",
    "NotCTError",
    "ReadError",
    "WeightsError",
    "WriteError",
]


class LdctError(Exception):
    """One thing that went wrong: what, where, and what to do about it.

    Parameters
    ----------
    reason
        What is wrong, in one sentence without a full stop.
    path
        The file or folder it concerns; None where there is none.
    remedy
        What the user can do; may be empty.
    """

    def __init__(self, reason: str, *, path: Path | str | None = None, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = None if path is None else Path(path)
        self.remedy = remedy

    def __str__(self) -> str:
        where = "" if self.path is None else f"{self.path}: "
        what_to_do = f". {self.remedy}" if self.remedy else ""
        # a file name may hold anything; an error stays one line
        return " ".join(f"{where}{self.reason}{what_to_do}".split())


class ConfigError(LdctError):
    """A setting that cannot be used."""


class WeightsError(LdctError):
    """A weights file that is missing, damaged or of another network."""


class DataError(LdctError):
    """A data set that training or evaluation cannot use."""


class ReadError(LdctError):
    """An image file that cannot be read."""


class DecodeError(ReadError):
    """An image file whose header can be read and whose pixels cannot."""


class NotCTError(ReadError):
    """A sound image file that is no CT image, such as one of colours or of several volumes."""


class WriteError(LdctError):
    """A result that could not be written, or that failed its own checks."""


class BackendError(LdctError):
    """A device or engine that is not there or gave a wrong answer."""
