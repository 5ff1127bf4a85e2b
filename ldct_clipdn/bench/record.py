"""How results came about: `run.json`, what they depend on and every call that went on with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ldct_clipdn.batch.manifest import tool_versions
from ldct_clipdn.bench.results import Results, write_text
from ldct_clipdn.core.noise import PUBLISHED_SEED
from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import ConfigError, ReadError

__all__ = ["Contents", "files_sha256", "known_counterparts", "open_results", "require_same_run"]

RECORD_FILE: Final = "run.json"

Contents = Mapping[str, str]
"""What a set's pictures are: a hash of each by its name."""


def open_results(
    folder: Path,
    methods: Mapping[str, Mapping[str, Any]],
    sets: Mapping[str, Contents],
    *,
    counterparts: Mapping[str, str],
    device: str,
    resume: bool,
) -> Results:
    """Open the rows of an output folder, and record what those to come depend on.

    Parameters
    ----------
    folder
        Made where it is missing.
    methods
        What their rows depend on, by method.
    sets
        What their pictures are, by set.
    counterparts
        The printed method that each method is compared with.
    device
        In words.
    resume
        Keep the rows that are there and go on.

    Returns
    -------
    Results
        The rows that are there.

    Raises
    ------
    ConfigError
        When there are rows and `resume` is false, or they were made with other settings or of
        other pictures.
    WriteError
        When the folder cannot be written.
    """
    results = Results(folder, resume=resume)
    path = folder / RECORD_FILE
    known = _read(path, "settings") if len(results) else {}
    settings: dict[str, Any] = known.get("settings", {})
    pictures: dict[str, dict[str, str]] = known.get("sets", {})
    given = json.loads(json.dumps(methods, default=str))
    other = [name for name, one in given.items() if settings.get(name, one) != one]
    _require_none(path, [f"settings of {name}" for name in other], "settings")
    other = [name for name, one in sets.items() if not _one_set(pictures.get(name, {}), one)]
    _require_none(path, [f"pictures of {name}" for name in other], "pictures")
    call = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "methods": list(methods),
        "sets": list(sets),
        "device": device,
        "versions": tool_versions(),
    }
    record = {
        "settings": {**settings, **given},
        "counterparts": {**known.get("counterparts", {}), **counterparts},
        "sets": {**pictures, **{one: {**pictures.get(one, {}), **sets[one]} for one in sets}},
        "seed": PUBLISHED_SEED,
        "calls": [*_earlier_calls(known), call],
    }
    write_text(path, json.dumps(record, indent=2) + "\n")
    return results


def known_counterparts(folder: Path) -> dict[str, str]:
    """Say what the methods of a folder are compared with, those of earlier calls too.

    Parameters
    ----------
    folder
        As `open_results` left it.

    Returns
    -------
    dict
        The printed method by method; empty for none.
    """
    counterparts: dict[str, str] = _read(folder / RECORD_FILE)["counterparts"]
    return counterparts


def files_sha256(paths: Iterable[Path]) -> str:
    """Hash files, one after the other.

    Parameters
    ----------
    paths
        The files.

    Returns
    -------
    str
        SHA-256 in hexadecimal; of one file its own.

    Raises
    ------
    ReadError
        When one cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise ReadError(
                f"cannot be read ({system_words(error)})", path=path, remedy="Check the file"
            ) from error
    return digest.hexdigest()


def require_same_run(folder: Path, depends: Mapping[str, Any]) -> None:
    """Refuse a folder of other weights or settings; note those of an empty one in `run.json`.

    Parameters
    ----------
    folder
        Output folder, of results that are all made with one set of settings.
    depends
        What they depend on.

    Raises
    ------
    ConfigError
        When the folder's were made with others, or its record is damaged.
    WriteError
        When the folder cannot be written.
    """
    path = folder / RECORD_FILE
    given: dict[str, Any] = json.loads(json.dumps(depends))
    if path.exists():
        known = _read(path)
        other = [name for name in given if known.get(name) != given[name]]
        _require_none(path, other, "weights and settings")
    write_text(path, json.dumps(given, indent=2) + "\n")


def _read(path: Path, *needed: str) -> dict[str, Any]:
    try:
        known: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
        for name in needed:
            known[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "the record of these results is missing or damaged",
            path=path,
            remedy="Name another folder",
        ) from error
    return known


def _require_none(path: Path, differing: Sequence[str], what: str) -> None:
    if differing:
        raise ConfigError(
            f"these results were made with other {', '.join(differing)}",
            path=path,
            remedy=f"Give the same {what}, or name another folder",
        )


def _one_set(known: Contents, given: Contents) -> bool:
    """Say whether one is the other, or the beginning of it: a set may be measured bit by bit."""
    return known.items() <= given.items() or given.items() <= known.items()


def _earlier_calls(known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the calls; a record that was written before they were kept tells of the last alone."""
    last = {name: known[name] for name in ("device", "versions") if name in known}
    calls: list[dict[str, Any]] = known.get("calls", [last] if last else [])
    return calls
