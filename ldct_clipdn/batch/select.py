"""Chooses series by their DICOM attributes: `--series ConvolutionKernel=B30*`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydicom.datadict import tag_for_keyword

from ldct_clipdn.errors import ConfigError
from ldct_clipdn.io.attributes import texts
from ldct_clipdn.io.scan import Found, Unused

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Scan

__all__ = ["parse_filters", "select_series"]


def parse_filters(words: Sequence[str]) -> dict[str, list[str]]:
    """Read filters as a user writes them.

    Parameters
    ----------
    words
        Each `Keyword=pattern`, with `*` and `?` for any characters, such as `SeriesNumber=2`.

    Returns
    -------
    dict
        Patterns by DICOM keyword.

    Raises
    ------
    ConfigError
        When one is written otherwise, or DICOM has no such keyword.
    """
    patterns: dict[str, list[str]] = defaultdict(list)
    for one in words:
        keyword, equals, pattern = (part.strip() for part in one.partition("="))
        if not (keyword and equals) or tag_for_keyword(keyword) is None:
            raise ConfigError(
                f"{one!r} chooses no series",
                remedy="Give a DICOM keyword and its value, such as ConvolutionKernel=B30*",
            )
        patterns[keyword].append(pattern)
    return dict(patterns)


def select_series(found: Found, words: Sequence[str]) -> Found:
    """Keep the series that are asked for; the others are skipped, with the reason.

    Parameters
    ----------
    found
        As `find_series` gives it.
    words
        As for `parse_filters`: a series must match every keyword, by any of its patterns.

    Returns
    -------
    Found
        The same files.

    Raises
    ------
    ConfigError
        When a filter makes no sense.
    """
    patterns = parse_filters(words)
    scans: list[Scan] = []
    unused = list(found.unused)
    for scan in found.scans:
        reason = _mismatch(scan, patterns)
        if reason:
            paths = dict.fromkeys(one.path for one in scan.instances)  # frames share a file
            unused += [Unused(path, "skipped", reason, scan.source_uid) for path in paths]
        else:
            scans.append(scan)
    return Found(tuple(scans), tuple(sorted(unused, key=lambda one: str(one.path))))


def _mismatch(scan: Scan, patterns: Mapping[str, Sequence[str]]) -> str:
    """Say why a series was not asked for; empty where it was."""
    header = scan.instances[0].header
    for keyword, wanted in patterns.items():
        values = texts(header, keyword) or [""]
        candidates = [*values, "\\".join(values)]
        if not any(fnmatchcase(value, pattern) for value in candidates for pattern in wanted):
            return f"not asked for: its {keyword} is {candidates[-1] or 'empty'}"
    return ""
