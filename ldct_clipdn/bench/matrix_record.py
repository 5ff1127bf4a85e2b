"""What a matrix was computed with: every call that added to a folder, in `matrix.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ldct_clipdn.batch.manifest import tool_versions
from ldct_clipdn.bench.fair import NoiseShares
from ldct_clipdn.bench.results import write_text
from ldct_clipdn.errors import ConfigError

__all__ = ["CallRecord"]

FILE: Final = "matrix.json"


class CallRecord:
    """Keeps one call beside those before it: their rows are still in the table.

    Parameters
    ----------
    folder
        Of the matrix.
    columns
        Settings by name.
    settings
        Whatever else the call depends on.

    Raises
    ------
    ConfigError
        When the folder's record cannot be read.
    """

    def __init__(
        self, folder: Path, columns: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]
    ) -> None:
        self._path = folder / FILE
        self._earlier, self._shares = _known(self._path)
        own = {name: dict(one) for name, one in columns.items()}
        self._call = {"columns": own, **settings, "versions": tool_versions()}

    def write(self, left_out: Mapping[str, str], shares: Mapping[str, NoiseShares]) -> None:
        """Write all calls; a call like an earlier one is not told twice.

        Parameters
        ----------
        left_out
            What could not be measured, with the reason.
        shares
            By case: what of the added noise is taken off the full dose for the fair error, and how
            certain that is. Those of earlier calls stay.

        Raises
        ------
        WriteError
            When the folder cannot be written.
        """
        call = {**self._call, "left_out": dict(left_out)}
        calls = [*(one for one in self._earlier if one != call), call]
        columns = {name: one for each in calls for name, one in each["columns"].items()}
        known = {**self._shares, **{name: _share(one) for name, one in shares.items()}}
        text = json.dumps({"columns": columns, "shares": known, "calls": calls}, indent=2)
        write_text(self._path, text + "\n")


def _share(one: NoiseShares) -> dict[str, Any]:
    error = round(one.share_error, 4) if math.isfinite(one.share_error) else None
    return {"a": round(one.share, 4), "standard_error": error, "blocks": one.blocks}


def _known(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Give earlier calls and shares; of before shares were kept there are none."""
    if not path.exists():
        return [], {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return list(record["calls"]), dict(record.get("shares", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "this is no record of a matrix by this version",
            path=path,
            remedy="Name another folder",
        ) from error
