"""Parts of the proof where the truth is known; here, so that `--help` names them without torch."""

from __future__ import annotations

from typing import Final

__all__ = ["PARTS"]

PARTS: Final = ("phantom", "discs", "edges", "draws", "clean")
