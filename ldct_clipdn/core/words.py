"""Numbers in sentences for people."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str) -> str:
    """Say how many.

    Parameters
    ----------
    count
        How many.
    noun
        One of them, a word whose plural has an s more.

    Returns
    -------
    str
        `1 slice`, `2 slices`, `0 slices`.
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
