"""The pages of a run: each is written as its result is done, and one that fails stops no other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.batch.exit_codes import ExitCode
from ldct_clipdn.errors import WriteError

if TYPE_CHECKING:
    from ldct_clipdn.batch.watch import Watched

__all__ = ["Pages"]


class Pages:
    """Writes the page of each result, if they are wanted.

    Parameters
    ----------
    target
        Output folder of the run.
    wanted
        Whether there are to be pages.
    identifiers
        Whether they name patient and study.
    """

    def __init__(self, target: Path, *, wanted: bool, identifiers: bool) -> None:
        self._target = target
        self._wanted = wanted
        self._identifiers = identifiers
        self.exit_code: int = ExitCode.DONE

    def write(self, watched: Watched) -> None:
        """Write the page of one result; what goes wrong is printed and makes the exit code 1.

        Parameters
        ----------
        watched
            The result.
        """
        from ldct_clipdn.report.pages import write_series_page

        if not self._wanted:
            return
        try:
            write_series_page(self._target, watched, identifiers=self._identifiers)
        except WriteError as error:
            print(f"ldct-clipdn denoise: {error}", file=sys.stderr)
            self.exit_code = ExitCode.FAILED

    def is_written(self, uid: str) -> bool:
        """Say whether the page of what an earlier run finished is there, or not wanted.

        Parameters
        ----------
        uid
            SeriesInstanceUID of the result; of a volume, its file's name.

        Returns
        -------
        bool
            False where it is to be written.
        """
        from ldct_clipdn.report.pages import has_page

        return not self._wanted or has_page(self._target, uid, identifiers=self._identifiers)
