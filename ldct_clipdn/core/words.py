"""Sentences for people: how many of a thing, and words from elsewhere made fit to print."""

from __future__ import annotations

__all__ = ["counted", "printable"]


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


def printable(words: str) -> str:
    """Keep names and headers from breaking lines, or telling the terminal what to do.

    Parameters
    ----------
    words
        From a file name or header.

    Returns
    -------
    str
        With `?` for each character that cannot be printed.
    """
    return "".join(one if one.isprintable() else "?" for one in words)
