"""Who and what an image is: patient, dose, kernel and thickness, by tags first, names second.

In Mayo's files PatientID is `Anonymous` for everybody and the study differs between doses: patient
and dose stand in PatientName (`L143_FD_3_SHARP`), in the file name (`L143_FD_3_1.CT.0001...IMA`)
and in the folders (`full_1mm/L143`). In the TCIA collection LDCT-and-Projection-data PatientID is
the patient (`L004`) and the series is called `Full dose images` or `Low Dose Images`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal

from ldct_clipdn.io.attributes import number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

__all__ = [
    "Dose",
    "Traits",
    "dose_word",
    "header_dose",
    "header_traits",
    "mayo_patient",
    "path_traits",
]

Dose = Literal["normal", "low"]

MAYO_NAME: Final = re.compile(r"^([LNC]\d{3})_(FD|QD)(?:_|$)")
"""PatientName and file names of the 2016 challenge."""

MAYO_PATIENT: Final = re.compile(r"(?:^|_)(L\d{3})(?=[_.]|$)")
MILLIMETRES: Final = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)mm(?![a-z])")
NOBODY: Final = frozenset({"", "anon", "anonymous", "anonymized", "anonymised", "none", "unknown"})
"""What PatientID says when it names no one."""

DOSE_WORDS: Final[dict[str, Dose]] = {
    "normal": "normal", "normal dose": "normal", "nd": "normal", "ndct": "normal",
    "low": "low", "low dose": "low", "low dose images": "low", "ldct": "low",
}  # fmt: skip
"""Names that say a dose as a whole; `LOW DOSE CHEST` is a protocol of its own, and normal here."""

FIRST_WORDS: Final[dict[str, Dose]] = {
    "full": "normal", "fd": "normal", "quarter": "low", "qd": "low",
}  # fmt: skip
"""Words that say a dose whatever follows, as in `quarter_3mm_sharp_sorted`."""

KERNEL_WORDS: Final = re.compile(r"(?:^|[^a-z0-9])(sharp|[bd]\d{2}[fs]?)(?![a-z0-9])")


@dataclass(frozen=True)
class Traits:
    """What is known of an image from its header and name.

    Parameters
    ----------
    patient
        Name of the patient; empty where nothing says it.
    dose
        `normal` where nothing says `low`.
    kernel
        As the header writes it; else what the name says (`sharp`); empty where nothing does.
    thickness_mm
        Slice thickness; None where nothing says it.
    """

    patient: str
    dose: Dose
    kernel: str
    thickness_mm: float | None


def header_traits(header: Dataset, parts: Sequence[str]) -> Traits:
    """Read a DICOM image's traits.

    Parameters
    ----------
    header
        Its header.
    parts
        Folders and file name below the data set's root.

    Returns
    -------
    Traits
        From the tags; from the names what these do not say.
    """
    named = path_traits(parts)
    mayo = MAYO_NAME.match(text(header, "PatientName"))
    patient_id = text(header, "PatientID")
    known = "" if _is_nobody(patient_id) else patient_id
    thickness = number(header, "SliceThickness")
    return Traits(
        patient=mayo[1] if mayo else known or named.patient,
        dose=header_dose(header) or named.dose,
        kernel=text(header, "ConvolutionKernel") or named.kernel,
        thickness_mm=named.thickness_mm if thickness is None else thickness,
    )


def header_dose(header: Dataset) -> Dose | None:
    """Read the dose off PatientName or SeriesDescription.

    Parameters
    ----------
    header
        The image's header.

    Returns
    -------
    str or None
        `normal`, `low`, or None where neither says it.
    """
    return _mayo_dose(text(header, "PatientName")) or dose_word(text(header, "SeriesDescription"))


def path_traits(parts: Sequence[str]) -> Traits:
    """Read traits off folder and file names, the nearest to the file first.

    Parameters
    ----------
    parts
        Folders and file name below the data set's root.

    Returns
    -------
    Traits
        What the names say.
    """
    nearest = [PurePath(parts[-1]).stem, *reversed(parts[:-1])] if parts else []
    doses = (_mayo_dose(part) or dose_word(part) for part in nearest)
    sizes = (MILLIMETRES.search(part.lower()) for part in nearest)
    size = next((one for one in sizes if one), None)
    return Traits(
        patient=next((name for part in nearest if (name := mayo_patient(part))), ""),
        dose=next((dose for dose in doses if dose), "normal"),
        kernel=_kernel_word(nearest),
        thickness_mm=float(size[1]) if size else None,
    )


def mayo_patient(name: str) -> str:
    """Find a patient of the challenge in a file or folder name.

    Parameters
    ----------
    name
        Such as `mayo_L143` or `L506_12_target`.

    Returns
    -------
    str
        Such as `L143`; empty where there is none.
    """
    found = MAYO_PATIENT.search(name)
    return found[1] if found else ""


def dose_word(name: str) -> Dose | None:
    """Understand a name that says a dose, and numbers, millimetres and kernel at most beside.

    Parameters
    ----------
    name
        Such as `quarter_3mm_sharp`, `1.000000-Full dose images-59704` or `Low Dose Images`.

    Returns
    -------
    str or None
        `normal`, `low`, or None where it says something else.
    """
    words = re.findall(r"[bd]\d\d[fs]?(?![a-z0-9])|[a-z]+|\d[\d.]*[a-z]*", name.lower())
    kept = [word for word in words if not word[0].isdigit() and not KERNEL_WORDS.match(word)]
    kept = [word for word in kept if word != "mm"]
    return DOSE_WORDS.get(" ".join(kept)) or (FIRST_WORDS.get(kept[0]) if kept else None)


def _mayo_dose(name: str) -> Dose | None:
    found = MAYO_NAME.match(name)
    return None if not found else "low" if found[2] == "QD" else "normal"


def _is_nobody(patient_id: str) -> bool:
    return patient_id.lower() in NOBODY or not patient_id.strip("0 ._-")


def _kernel_word(names: Sequence[str]) -> str:
    found = (KERNEL_WORDS.search(name.lower()) for name in names)
    return next((one[1] if one[1] == "sharp" else one[1].upper() for one in found if one), "")
