"""What a series is, for its page; who it is of, only when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ldct_clipdn.io.attributes import numbers, text
from ldct_clipdn.io.scan import pixel_spacing
from ldct_clipdn.io.volumes import stem_and_suffix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom import Dataset

    from ldct_clipdn.io.volume import Volume

__all__ = ["series_facts", "volume_facts"]

IDENTIFIERS: Final = {
    "Patient": "PatientName",
    "Patient ID": "PatientID",
    "Accession number": "AccessionNumber",
    "Study date": "StudyDate",
    "Study": "StudyDescription",
    "Series": "SeriesDescription",
}
"""Descriptions too: they are free text, and hold names where a site writes names there."""

FILE_TYPES: Final = {
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
}

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


def volume_facts(volume: Volume, *, identifiers: bool = False) -> dict[str, str]:
    """Name what the header of a volume says, and what it does not.

    Parameters
    ----------
    volume
        NIfTI, NRRD or MetaImage.
    identifiers
        Whether to name the file, which many name after the patient.

    Returns
    -------
    dict
        Name and value, in the order in which they are shown.
    """
    slices, rows, columns = volume.shape
    own = {"File": volume.path.name} if identifiers else {}
    return own | {
        "Slices": f"{slices} of {rows} x {columns} pixels",
        "Pixel size": _size(volume.spacing_mm),
        "Step from slice to slice": f"{volume.step_mm:.3g} mm",
        "File type": FILE_TYPES[stem_and_suffix(volume.path)[1]],
        "Scanner, kernel, dose": "not known: such a file does not say",
    }


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
        ("Field of view", "ReconstructionDiameter", "mm"),
    ):
        values = numbers(first, keyword)
        if values:
            yield name, f"{values[0]:.3g} {unit}"
    spacing = pixel_spacing(first)
    yield "Pixel size", _size(spacing) if spacing else "not known: what is in mm is not measured"
    for name, (keyword, unit) in DOSE.items():
        values = [one for header in headers for one in numbers(header, keyword)[:1]]
        if values:
            yield name, f"{_span(values)} {unit}"


def _size(spacing_mm: tuple[float, float]) -> str:
    """Name rows and columns apart only where they differ."""
    sizes = dict.fromkeys(f"{one:.3g}" for one in spacing_mm)
    return f"{' x '.join(sizes)} mm"


def _span(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
