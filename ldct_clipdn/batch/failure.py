"""Why a series, volume or file of a run failed, in the one line that its user reads."""

from __future__ import annotations

import logging
from pathlib import Path

from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import LdctError

__all__ = ["explain_failure"]


def explain_failure(error: Exception, about: Path | None = None) -> tuple[int, str]:
    """Say how loudly an error that was caught is logged (a bug must look like one), and why.

    Parameters
    ----------
    error
        The error.
    about
        The file whose failure it is; need not be named again.

    Returns
    -------
    int
        Level of logging.
    str
        The reason in one sentence, the file or folder it concerns before it, and what to do about
        it behind.
    """
    if isinstance(error, LdctError | OSError):
        return logging.DEBUG, str(_without(about, _known(error)))
    return logging.ERROR, f"an error in ldct_clipdn itself: {type(error).__name__}: {error}"


def _known(error: LdctError | OSError) -> LdctError:
    """Give what a user can mend as an error of ours."""
    if isinstance(error, LdctError):
        return error
    return LdctError(system_words(error), path=error.filename)


def _without(about: Path | None, error: LdctError) -> LdctError:
    path = None if error.path == about else error.path
    return LdctError(error.reason, path=path, remedy=error.remedy)
