"""Words from elsewhere, made fit for a terminal and a log."""

from __future__ import annotations

__all__ = ["printable"]


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
