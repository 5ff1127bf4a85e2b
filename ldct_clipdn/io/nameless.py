"""Images without SeriesInstanceUID: which belong together, and what their series is called.

Never are images put together that may be of different patients.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldct_clipdn.io.attributes import text
from ldct_clipdn.io.uids import identity, source_series_uid

if TYPE_CHECKING:
    from pydicom import Dataset

    from ldct_clipdn.io.scan import Instance

__all__ = ["describe_missing", "name_series", "series_key"]

ONE_STUDY: Final = (
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "AccessionNumber",
    "PatientID",
    "StudyTime",
)
"""What two patients hardly share. Images that have none of it may be of anyone: each is alone."""

SHARED: Final = (
    *ONE_STUDY,
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyID",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "ProtocolName",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
)
"""What all images of one series have alike, even where it is empty."""


def series_key(path: Path, header: Dataset) -> str:
    """Name what the images of one series, and no others, have alike.

    Parameters
    ----------
    path
        The file.
    header
        Its header.

    Returns
    -------
    str
        The SeriesInstanceUID; where there is none, the folder and what the header says of patient,
        study and series; where it says nothing that tells patients apart, the file itself.
    """
    uid = text(header, "SeriesInstanceUID")
    if uid:
        return uid
    if not any(text(header, keyword) for keyword in ONE_STUDY):
        return json.dumps([str(path)])
    return json.dumps([str(path.parent), *(text(header, keyword) for keyword in SHARED)])


def name_series(instances: Iterable[Instance]) -> str:
    """Give a series its SeriesInstanceUID, or one that is made of what its images are.

    Parameters
    ----------
    instances
        Its images.

    Returns
    -------
    str
        The same wherever and in whatever order the files lie.
    """
    instances = list(instances)
    own = text(instances[0].header, "SeriesInstanceUID")
    return own or source_series_uid(identity(one) for one in instances)


def describe_missing(instances: Iterable[Instance]) -> list[str]:
    """Say what was made up for a series without UIDs.

    Parameters
    ----------
    instances
        Its images.

    Returns
    -------
    list of str
        One line for each UID that is missing.
    """
    headers = [one.header for one in instances]
    notes = []
    if not text(headers[0], "SeriesInstanceUID"):
        notes.append(
            "there is no SeriesInstanceUID: put together by folder, patient, study and series"
            if len(headers) > 1
            else "there is no SeriesInstanceUID: this image stands alone"
        )
    if not any(text(one, "StudyInstanceUID") for one in headers):
        notes.append("there is no StudyInstanceUID: the result becomes a study of its own")
    return notes
