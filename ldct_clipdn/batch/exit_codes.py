"""How a command ended."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """The same for every command: all was done, something failed, bad usage, nothing to do."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING = 3
    INTERRUPTED = 130
