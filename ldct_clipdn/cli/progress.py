"""Progress of a command on stderr: a bar for those who look, lines of JSON for machines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

__all__ = ["progress_bar", "show_progress"]

Progress = Callable[[int, int], None]
"""To be called with the number of those that are done, and of all."""


@contextmanager
def show_progress(args: argparse.Namespace, words: str) -> Iterator[Progress]:
    """Show how many slices are done: a bar, or lines of JSON with --json.

    Parameters
    ----------
    args
        As parsed: `json` asks for lines of JSON, `quiet` for nothing.
    words
        What is done, before the bar.

    Yields
    ------
    Progress
        To be called as slices are done.
    """
    if args.json and not args.quiet:
        yield _JsonLines().progress
        return
    shown = not args.quiet and not args.json and sys.stderr.isatty()
    with progress_bar(words, "slices", shown=shown) as progress:
        yield progress


@contextmanager
def progress_bar(words: str, unit: str, *, shown: bool) -> Iterator[Progress]:
    """Show a bar.

    Parameters
    ----------
    words
        What is done, before the bar.
    unit
        What is counted.
    shown
        False shows nothing.

    Yields
    ------
    Progress
        To be called as something is done.
    """
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", desc=words, disable=not shown, leave=False) as bar:

        def progress(done: int, count: int) -> None:
            bar.total = count
            bar.update(done - bar.n)

        yield progress


class _JsonLines:
    """Writes one line a second at most, and the last."""

    def __init__(self) -> None:
        self._start = monotonic()
        self._written = -1.0
        self._last = -1

    def progress(self, done: int, slices: int) -> None:
        seconds = monotonic() - self._start
        is_new_end = done == slices != self._last
        if not is_new_end and seconds - self._written < 1 and self._written >= 0:
            return
        self._written, self._last = seconds, done
        left = round(seconds / done * (slices - done), 1) if done else None
        line = {"done": done, "slices": slices, "seconds": round(seconds, 1), "seconds_left": left}
        print(json.dumps(line), file=sys.stderr, flush=True)
