"""What a series is, for its page; who it is of, only when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ldct_clipdn.io.attributes import numbers, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom import Dataset

__all__ = ["series_facts"]

IDENTIFIERS: Final = {
    "Patient": "PatientName",
    "Patient ID": "PatientID",
    "Accession number": "AccessionNumber",
    "Study date": "StudyDate",
    "Study": "StudyDescription",
    "Series": "SeriesDescription",
}
"""Descriptions too: they are free text, and hold names where a site writes names there."""

DOSE: Final = {"Tube current": ("XRayTubeCurrent", "mA"), "Exposure": ("Exposure", "mAs")}


def series_facts(headers: Sequence[Dataset], *, identifiers: bool = False) -> dict[str, str]:
    """Name what matters for the noise of a series.

    Parameters
    ----------
    headers
        Of its images, one at least.
    identifiers
        Whether to name the patient and the study.

    Returns
    -------
    dict
        Name and value, in the order in which they are shown; what the headers do not say is left
        out.
    """
    return dict(_facts(headers, identifiers=identifiers))


def _facts(headers: Sequence[Dataset], *, identifiers: bool) -> Iterator[tuple[str, str]]:
    first = headers[0]
    if identifiers:
        yield from ((name, text(first, key)) for name, key in IDENTIFIERS.items() if key in first)
    yield "Images", str(len(headers))
    scanner = f"{text(first, 'Manufacturer')} {text(first, 'ManufacturerModelName')}".strip()
    kernel = text(first, "ConvolutionKernel")
    yield from ((k, v) for k, v in (("Scanner", scanner), ("Kernel", kernel)) if v)
    for name, keyword, unit in (
        ("Slice thickness", "SliceThickness", "mm"),
        ("Tube voltage", "KVP", "kV"),
        ("Pixel size", "PixelSpacing", "mm"),
        ("Field of view", "ReconstructionDiameter", "mm"),
    ):
        values = numbers(first, keyword)
        if values:
            yield name, f"{' x '.join(f'{one:.3g}' for one in dict.fromkeys(values))} {unit}"
    for name, (keyword, unit) in DOSE.items():
        values = [one for header in headers for one in numbers(header, keyword)[:1]]
        if values:
            yield name, f"{_span(values)} {unit}"


def _span(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
