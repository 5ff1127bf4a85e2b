"""Works ahead: what comes next is made in a thread while what came last is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["ahead"]

T = TypeVar("T")

DEPTH: Final = 4
"""Slices that wait between two stages: what bounds the memory, however long a series is."""


def ahead(items: Generator[T, None, None], depth: int = DEPTH) -> Generator[T, None, None]:
    """Run a generator in a thread of its own, a bounded number of items ahead of its user.

    Parameters
    ----------
    items
        Is closed at the end.
    depth
        Items that may wait.

    Yields
    ------
    T
        Every item, in order; what `items` raises is raised in its place.
    """
    end = object()
    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]
    finally:
        thread.shutdown(cancel_futures=True)
        items.close()
