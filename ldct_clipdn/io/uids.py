"""Names of derived images: same source, recipe and result, same UID; anything else, another."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.uid import UID

from ldct_clipdn import __version__
from ldct_clipdn.io.files import open_file
from ldct_clipdn.io.output import DEFAULT_OUTPUT, OutputOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ldct_clipdn.io.scan import Instance, Scan

__all__ = [
    "IMPLEMENTATION_UID",
    "IMPLEMENTATION_VERSION",
    "PATIENT_PART",
    "Recipe",
    "file_digest",
    "identity",
    "image_uid",
    "make_uid",
    "object_uid",
    "pixel_digest",
    "series_uid",
    "source_series_uid",
    "study_uid",
]

NAMESPACE: Final = uuid.UUID("6d1b2c0e-6f5f-4f0c-9a53-2f0d6b1f8c11")
"""Of this project, for ever: another one would rename every derived image."""

IMPLEMENTATION_UID: Final = UID(f"2.25.{NAMESPACE.int}")
IMPLEMENTATION_VERSION: Final = "LDCT_CLIPDN_1"

SCHEMA: Final = "ldct_clipdn/2"
"""What derived images look like; raised when the same pixels would be written otherwise."""


PATIENT_PART: Final = "patient "
"""How `Scan.split_key` begins where one SeriesInstanceUID holds images of several patients."""


@dataclass(frozen=True)
class Recipe:
    """Everything but the source that decides what a derived image is.

    Parameters
    ----------
    weights
        Name of the weights; for people, no part of the UIDs.
    encoder
        What the encoder is and where its weights came from; for people, no part of the UIDs.
    sha256
        Of the weights; empty where none were used.
    strength
        Share of the network's change that was applied, 0 to 1.
    backend, backend_version
        What computed.
    device_class
        Kind of device, precision and hardware, such as `cpu-fp32-avx512-8-threads`.
    hu_low, hu_high
        HU that the network saw as 0 and 1.
    output
        How the images are written.
    batch
        Slices that are computed at once, which may change the last bits.
    wallclock
        False writes the study's date and time: one UID must not bear two dates.
    """

    weights: str
    encoder: str
    sha256: str
    strength: float
    backend: str
    backend_version: str
    device_class: str
    hu_low: float
    hu_high: float
    output: OutputOptions = DEFAULT_OUTPUT
    batch: int = 1
    wallclock: bool = True

    def canonical(self) -> str:
        """Write the recipe as text that is the same whenever the recipe is.

        Returns
        -------
        str
            JSON with sorted keys and no blanks; another version of this package is another recipe.
        """
        parts = {**asdict(self), "schema": SCHEMA, "package": __version__}
        del parts["weights"], parts["encoder"]
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def identity(instance: Instance) -> str:
    """Say which source image this is.

    Parameters
    ----------
    instance
        The image.

    Returns
    -------
    str
        Its SOPInstanceUID, or the SHA-256 of the file where it has none; of a frame, with its
        number.
    """
    name = instance.sop_uid or file_digest(instance.path)
    return name if instance.frame is None else f"{name}#{instance.frame:06d}"


def file_digest(path: Path) -> str:
    """Hash a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        SHA-256 of its bytes, in hexadecimal.
    """
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pixel_digest(stored: NDArray[np.int32]) -> str:
    """Hash stored values, however the file encodes them.

    Parameters
    ----------
    stored
        Stored values, int32 [H, W].

    Returns
    -------
    str
        SHA-256 of shape and values, in hexadecimal.
    """
    digest = hashlib.sha256(repr(stored.shape).encode())
    digest.update(np.ascontiguousarray(stored, dtype="<i4").tobytes())
    return digest.hexdigest()


def image_uid(series: str, source: str, source_pixels: str, result: str) -> str:
    """Name a derived image.

    Parameters
    ----------
    series
        `series_uid` of the derived series, which holds the recipe: an image lies in one series.
    source
        `identity` of the source image.
    source_pixels
        `pixel_digest` of its stored values.
    result
        SHA-256 of the derived image's pixel data.

    Returns
    -------
    str
        A UID of the form 2.25.
    """
    return make_uid("sop", series, source, source_pixels, result)


def object_uid(series: str, frames: Mapping[str, str], result: str) -> str:
    """Name a derived image of many frames.

    Parameters
    ----------
    series
        `series_uid` of the derived series, which holds the recipe.
    frames
        `pixel_digest` of every source frame, by its `identity`.
    result
        SHA-256 of the derived image's pixel data.

    Returns
    -------
    str
        A UID of the form 2.25.
    """
    sources = [f"{name} {digest}" for name, digest in sorted(frames.items())]
    return make_uid("object", series, *sources, result)


def series_uid(scan: Scan, recipe: Recipe) -> str:
    """Name a derived series.

    Parameters
    ----------
    scan
        The source; what is lost of it makes another name than the whole.
    recipe
        What was done to it.

    Returns
    -------
    str
        A UID of the form 2.25.
    """
    sources = sorted(identity(instance) for instance in scan.instances)
    return make_uid(
        "series", scan.source_uid, scan.split_key, str(scan.lost), *sources, recipe.canonical()
    )


def source_series_uid(sources: Iterable[str]) -> str:
    """Name a source series that has no SeriesInstanceUID.

    Parameters
    ----------
    sources
        `identity` of each of its images.

    Returns
    -------
    str
        A UID of the form 2.25.
    """
    return make_uid("source series", *sorted(set(sources)))


def study_uid(scan: Scan) -> str:
    """Name the study of a derived series whose source has no StudyInstanceUID.

    Parameters
    ----------
    scan
        The source.

    Returns
    -------
    str
        A UID of the form 2.25, the same for all parts of one series that are of one patient, and
        for no other series, since these may be of another.
    """
    part = scan.split_key.partition(",")[0]
    return make_uid("study", scan.source_uid, *[part] * part.startswith(PATIENT_PART))


def make_uid(*parts: str) -> str:
    """Name something by what decides it.

    Parameters
    ----------
    *parts
        Its kind, and all that makes it another one.

    Returns
    -------
    str
        A UID of the form 2.25 (PS3.5 B.2), in this project's name space.
    """
    return f"2.25.{uuid.uuid5(NAMESPACE, json.dumps(parts)).int}"
