"""Chooses series by their DICOM attributes: `--series ConvolutionKernel=B30*`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydicom.datadict import tag_for_keyword

from ldct_clipdn.errors import ConfigError
from ldct_clipdn.io.attributes import texts
from ldct_clipdn.io.scan import Found, Unused, study_and_number

if TYPE_CHECKING:
    from pydicom import Dataset

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

    What failed is skipped too where its series, or its own header, was not asked for. A file that
    cannot be read far enough to tell has failed still: it may be part of what was asked for.

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
    if not patterns:
        return found
    scans: list[Scan] = []
    skipped: list[Unused] = []
    others: dict[str, str] = {}
    for scan in found.scans:
        reason = _mismatch(scan.instances[0].header, patterns)
        if reason:
            others[scan.source_uid] = reason
            paths = dict.fromkeys(one.path for one in scan.instances)  # frames share a file
            taken = study_and_number(scan.instances[0].header)
            skipped += [
                Unused(path, "skipped", reason, scan.source_uid, taken=taken) for path in paths
            ]
        else:
            scans.append(scan)
    asked = {one.source_uid for one in scans}
    failed = [_without_failure(one, patterns, asked, others) for one in found.unused]
    unused = sorted([*failed, *skipped], key=lambda one: str(one.path))
    return Found(tuple(scans), tuple(unused))


def _without_failure(
    one: Unused, patterns: Mapping[str, Sequence[str]], asked: Set[str], others: Mapping[str, str]
) -> Unused:
    """Turn the failure of what was not asked for into a skip that still tells of it."""
    if one.outcome != "failed" or one.series_uid in asked:
        return one
    reason = others.get(one.series_uid, "")
    if not reason and one.header is not None:
        reason = _mismatch(one.header, patterns)
    if not reason:
        return one
    return replace(one, outcome="skipped", reason=f"{reason}; it would have failed: {one.reason}")


def _mismatch(header: Dataset, patterns: Mapping[str, Sequence[str]]) -> str:
    """Say why what has this header was not asked for; empty where it was.

    Values are not named: they may be a patient's, and the reason is printed and kept.
    """
    for keyword, wanted in patterns.items():
        values = texts(header, keyword) or [""]
        candidates = [*values, "\\".join(values)]
        if not any(fnmatchcase(value, pattern) for value in candidates for pattern in wanted):
            return f"not asked for: its {keyword} is another"
    return ""
