"""One page per series of a run, beside the series' folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.batch.manifest import tool_versions
from ldct_clipdn.report.facts import series_facts
from ldct_clipdn.report.html import SeriesPage, write_page

if TYPE_CHECKING:
    from ldct_clipdn.batch.watch import Watched
    from ldct_clipdn.io.uids import Recipe

__all__ = ["write_series_page"]


def write_series_page(target: Path, watched: Watched, *, identifiers: bool = False) -> Path:
    """Write the page of one series.

    Parameters
    ----------
    target
        Output folder of the run.
    watched
        The series.
    identifiers
        Whether to name the patient and the study.

    Returns
    -------
    pathlib.Path
        `TARGET/<UID of the derived series>.html`.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    instances = watched.scan.instances
    page = SeriesPage(
        before=watched.example.before,
        after=watched.example.after,
        spacing_mm=watched.scan.spacing_mm,
        place=f"Slice {watched.example.index + 1} of {len(instances)}",
        quality=watched.quality,
        series=series_facts([one.header for one in instances], identifiers=identifiers),
        settings={**_settings(watched.recipe), "Derived series": watched.uid},
        versions=tool_versions(),
        notes=watched.scan.notes,
    )
    return write_page(target / f"{watched.uid}.html", page)


def _settings(recipe: Recipe) -> dict[str, str]:
    return {
        "Strength": f"{recipe.strength:g}",
        "Weights": recipe.weights,
        "SHA-256 of the weights": recipe.sha256 or "none",
        "Encoder": recipe.encoder,
        "Computed by": f"{recipe.backend} {recipe.backend_version}, {recipe.device_class}",
        "HU that the network sees": f"{recipe.hu_low:g} to {recipe.hu_high:g}",
    }
