"""One page per series or volume of a run, beside the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ldct_clipdn.batch.manifest import tool_versions
from ldct_clipdn.io.volume import Volume
from ldct_clipdn.report.facts import series_facts, volume_facts
from ldct_clipdn.report.html import SeriesPage, read_identifiers, write_page

if TYPE_CHECKING:
    from ldct_clipdn.batch.watch import Watched
    from ldct_clipdn.io.scan import Scan

__all__ = ["has_page", "write_series_page"]


def has_page(target: Path, uid: str, *, identifiers: bool = False) -> bool:
    """Say whether a result has its page.

    Parameters
    ----------
    target
        Output folder of the run.
    uid
        SeriesInstanceUID of the result; of a volume, its file's name.
    identifiers
        Whether patient and study are to be named on it.

    Returns
    -------
    bool
        False also where the page names them and should not, or the reverse.
    """
    path = _place(target, uid)
    return path.is_file() and read_identifiers(path) is identifiers


def write_series_page(target: Path, watched: Watched, *, identifiers: bool = False) -> Path:
    """Write the page of one series or volume.

    Parameters
    ----------
    target
        Output folder of the run.
    watched
        The series or volume.
    identifiers
        Whether to name the patient, the study and a volume's file.

    Returns
    -------
    pathlib.Path
        `TARGET/<UID of the derived series>.html`, `TARGET/<name of the volume>.html`.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    source = watched.source
    slices, facts, result = (
        _of_volume(source, identifiers=identifiers)
        if isinstance(source, Volume)
        else _of_scan(source, watched.uid, identifiers=identifiers)
    )
    page = SeriesPage(
        before=watched.example.before,
        after=watched.example.after,
        spacing_mm=source.spacing_mm,
        place=f"Slice {watched.example.index + 1} of {slices}",
        quality=watched.quality,
        series=facts,
        settings={**_settings(watched), **result},
        versions=tool_versions(),
        notes=watched.notes,
        names_patient=identifiers,
    )
    return write_page(_place(target, watched.uid), page)


def _place(target: Path, uid: str) -> Path:
    return target / f"{uid}.html"


class _Source(NamedTuple):
    """What a page says of its source."""

    slices: int
    facts: dict[str, str]
    result: dict[str, str]


def _of_scan(scan: Scan, uid: str, *, identifiers: bool) -> _Source:
    headers = [one.header for one in scan.instances]
    facts = series_facts(headers, identifiers=identifiers)
    return _Source(len(headers), facts, {"Derived series": uid})


def _of_volume(volume: Volume, *, identifiers: bool) -> _Source:
    return _Source(volume.shape[0], volume_facts(volume, identifiers=identifiers), {})


def _settings(watched: Watched) -> dict[str, str]:
    recipe, target = watched.recipe, watched.quality.expected.target_hu
    chosen = f", chosen to leave {target:g} HU of noise" if target else ""
    limits = f"{recipe.hu_low:g} to {recipe.hu_high:g} HU"
    return {
        "Strength": f"{recipe.strength:g}{chosen}",
        "Weights": recipe.weights,
        "SHA-256 of the weights": recipe.sha256 or "none",
        "Encoder": recipe.encoder,
        "Computed by": f"{recipe.backend} {recipe.backend_version}, {recipe.device_class}",
        "Range that the network sees": limits.replace("-", "\N{MINUS SIGN}"),
    }
