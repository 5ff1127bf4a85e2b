"""One page per series for the people who look at the images; holds all it needs, inside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ldct_clipdn.core.whole_file import system_words, whole_file
from ldct_clipdn.ct.hu import WINDOWS, HURange
from ldct_clipdn.errors import WriteError
from ldct_clipdn.report.measures import flag_figures, measure_rows, score_rows
from ldct_clipdn.report.plots import Curve, line_plot
from ldct_clipdn.report.png import data_uri

if TYPE_CHECKING:
    from markupsafe import Markup
    from numpy.typing import NDArray

    from ldct_clipdn.ct.quality_record import QualityRecord

__all__ = ["SeriesPage", "read_identifiers", "render_page", "write_page"]

DIFFERENCE_WINDOW: Final = HURange(-50, 50)
"""100 HU wide about 0: most of what is removed is noise of less than 50 HU."""

WINDOW_NAMES: Final = {
    "abdomen": "Soft tissue",
    "lung": "Lung",
    "bone": "Bone",
    "brain": "Brain",
}

HISTOGRAM_HU: Final = np.arange(-950.0, 451.0, 10.0)
"""Edges of the bins; below them is the air around the body, which would press the rest flat."""


IDENTIFIERS: Final = re.compile(rb'<meta name="identifiers" content="(yes|no)">')
HEAD_BYTES: Final = 2000


@dataclass(frozen=True)
class SeriesPage:
    """What a page shows.

    Parameters
    ----------
    before, after
        One slice of the series, [H, W] in HU.
    spacing_mm
        Distance of rows and of columns in mm.
    place
        Which slice it is, in words.
    quality
        What was measured on the whole series.
    series
        What the series is: name and value. No patient identifiers unless they were asked for.
    settings
        How it was denoised: name and value.
    versions
        Of the software: name and value.
    notes
        What a person should know of the series beside what was measured, one line each.
    names_patient
        Whether `series` has patient identifiers.
    """

    before: NDArray[np.floating]
    after: NDArray[np.floating]
    spacing_mm: tuple[float, float]
    place: str
    quality: QualityRecord
    series: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    names_patient: bool = False


def write_page(path: str | Path, page: SeriesPage) -> Path:
    """Write a page, whole or not at all.

    Parameters
    ----------
    path
        The HTML file.
    page
        What it shows.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    path = Path(path)
    try:
        with whole_file(path) as partial:
            partial.write_text(render_page(page), encoding="utf-8")
    except OSError as error:
        raise WriteError(
            f"the report cannot be written: {system_words(error)}",
            path=path,
            remedy="Check free space and permissions",
        ) from error
    return path


def read_identifiers(path: Path) -> bool | None:
    """Say whether a page was written with patient identifiers.

    Parameters
    ----------
    path
        The page.

    Returns
    -------
    bool or None
        None where it is no page of ours, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    found = IDENTIFIERS.search(head)
    return found[1] == b"yes" if found else None


def render_page(page: SeriesPage) -> str:
    """Make the page.

    Parameters
    ----------
    page
        What it shows.

    Returns
    -------
    str
        HTML that loads nothing from anywhere.
    """
    environment = Environment(
        loader=PackageLoader("ldct_clipdn.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    height, width = page.before.shape
    return environment.get_template("page.html").render(
        page=page,
        quality=page.quality,
        figures=flag_figures,
        views=_views(page),
        difference=data_uri(page.after - page.before, DIFFERENCE_WINDOW),
        difference_window=DIFFERENCE_WINDOW,
        aspect=f"{width * page.spacing_mm[1]:.3f} / {height * page.spacing_mm[0]:.3f}",
        rows=measure_rows(page.quality),
        scores=score_rows(page.quality),
        plots=_plots(page),
    )


@dataclass(frozen=True)
class _View:
    """One window: the slice before and after, as pictures."""

    key: str
    name: str
    window: HURange
    before: str
    after: str


def _views(page: SeriesPage) -> list[_View]:
    return [
        _View(key, name, window, data_uri(page.before, window), data_uri(page.after, window))
        for key, name in WINDOW_NAMES.items()
        for window in (WINDOWS[key],)
    ]


def _plots(page: SeriesPage) -> list[tuple[str, str, Markup]]:
    """Draw: heading, explanation, picture."""
    plots = [_histogram(page)]
    quality = page.quality
    if quality.nps_before and quality.nps_after and quality.nps_change:
        curves = [
            Curve(name, style, spectrum.frequency, spectrum.power)
            for name, style, spectrum in (
                ("before", "before", quality.nps_before),
                ("after", "after", quality.nps_after),
                ("removed", "change", quality.nps_change),
            )
        ]
        rois, side = quality.nps_before.rois, quality.nps_before.roi_px
        text = (
            "How much noise there is from coarse (left) to fine (right), in "
            f"{rois} even regions of {side} \N{MULTIPLICATION SIGN} {side} pixels, "
            "detrended by a second-order polynomial. A curve of the same shape, only lower, means "
            "the same texture."
        )
        label = "power in HU\N{SUPERSCRIPT TWO} mm\N{SUPERSCRIPT TWO}"
        plots.insert(0, ("Noise power spectrum", text, line_plot(curves, "1 / mm", label)))
    return plots


def _histogram(page: SeriesPage) -> tuple[str, str, Markup]:
    middle = ((HISTOGRAM_HU[:-1] + HISTOGRAM_HU[1:]) / 2).tolist()
    curves = [
        Curve(name, name, middle, (100 * np.histogram(hu, HISTOGRAM_HU)[0] / hu.size).tolist())
        for name, hu in (("before", page.before), ("after", page.after))
    ]
    text = (
        "How often each HU value occurs in the slice shown. Tissues are peaks; less noise makes "
        "them narrower, and must not move them."
    )
    return "Histogram", text, line_plot(curves, "HU", "% of pixels")
