"""How results came about: `run.json`, what they depend on and every call that went on with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ldct_clipdn.bench.results import Results, versions, write_text
from ldct_clipdn.core.noise import PUBLISHED_SEED
from ldct_clipdn.errors import ConfigError, ReadError

__all__ = ["Contents", "files_sha256", "known_counterparts", "open_results"]

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
    known = _read(path) if len(results) else {}
    settings: dict[str, Any] = known.get("settings", {})
    pictures: dict[str, dict[str, str]] = known.get("sets", {})
    given = json.loads(json.dumps(methods, default=str))
    other = [name for name, one in given.items() if settings.get(name, one) != one]
    _require_same(path, "settings", other)
    other = [name for name, one in sets.items() if not _one_set(pictures.get(name, {}), one)]
    _require_same(path, "pictures", other)
    call = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "methods": list(methods),
        "sets": list(sets),
        "device": device,
        "versions": versions(),
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
                f"cannot be read ({error.strerror})", path=path, remedy="Check the file"
            ) from error
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known["settings"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            "the record of these results is missing or damaged",
            path=path,
            remedy="Name another folder",
        ) from error
    return known


def _require_same(path: Path, what: str, differing: Iterable[str]) -> None:
    if names := ", ".join(differing):
        raise ConfigError(
            f"these results were made with other {what} of {names}",
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
