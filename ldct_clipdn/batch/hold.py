"""Keeps the output folder for one run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import ConfigError

__all__ = ["LOCK_FILE", "hold_folder", "unusable"]

LOCK_FILE: Final = ".ldct-clipdn.lock"
"""Lies in the output folder while a run lasts; that of a run that was killed holds no one up."""


@contextmanager
def hold_folder(target: Path) -> Iterator[None]:
    """Make the output folder, and keep others out of it.

    Parameters
    ----------
    target
        Output folder.

    Yields
    ------
    None
        While the folder is held.

    Raises
    ------
    ConfigError
        When it cannot be used: another run holds it, or it cannot be made or written.
    """
    lock = FileLock(target / LOCK_FILE, timeout=0, thread_local=False)
    try:
        target.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            "another run is writing into this folder",
            path=target,
            remedy="Wait until it ends, or give another folder",
        ) from error
    except OSError as error:
        raise unusable(target, error) from error
    try:
        yield
    finally:
        (target / LOCK_FILE).unlink(missing_ok=True)  # while it is held: see filelock on st_nlink
        lock.release()


def unusable(target: Path, error: OSError) -> ConfigError:
    """Word why an output folder cannot be one.

    Parameters
    ----------
    target
        Output folder.
    error
        What the system says.

    Returns
    -------
    ConfigError
        To be raised.
    """
    return ConfigError(
        f"the output folder cannot be used: {system_words(error)}",
        path=target,
        remedy="Give another folder",
    )
