"""Which comparison strips are there, and of which methods: a resumed run may have others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ldct_clipdn.bench.results import file_stem, write_text
from ldct_clipdn.bench.strips import Panel, write_strip

__all__ = ["keep_strip"]

RECORD: Final = "strips.json"

logger = logging.getLogger(__name__)


def keep_strip(
    folder: Path,
    name: str,
    title: str,
    methods: Sequence[str],
    draw: Callable[[], Sequence[Panel]],
) -> None:
    """Draw a strip, unless it is there and shows all of these methods, or others too.

    Parameters
    ----------
    folder
        Output folder: `strips/` gets the picture, `strips.json` says which methods each shows.
    name
        Of the picture, in any letters.
    title
        Above the strip.
    methods
        What it is to show.
    draw
        Gives the panels.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    path = folder / "strips" / f"{file_stem(name)}.png"
    record = folder / RECORD
    drawn = _drawn(record)
    shown = set(drawn.get(path.name, ()))
    if path.exists() and not shown < set(methods):
        if not set(methods) <= shown:
            logger.warning("%s shows %s: give these too", path, ", ".join(sorted(shown)))
        return
    write_strip(draw(), path, title)
    write_text(record, json.dumps({**drawn, path.name: list(methods)}, indent=2) + "\n")


def _drawn(record: Path) -> dict[str, list[str]]:
    """Give the methods by picture; of none where that is not known, so that it is drawn anew."""
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
