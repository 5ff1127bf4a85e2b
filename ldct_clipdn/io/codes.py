"""The coded terms of derived images (PS3.16), written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pydicom import Dataset

from ldct_clipdn.io.attributes import text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LOSSY_COMPRESSION",
    "PROCESSING_EQUIPMENT",
    "PRODUCT",
    "SMOOTHING",
    "SOURCE_IMAGE",
    "SYNTHESIZING_EQUIPMENT",
    "Code",
    "read_codes",
]

PRODUCT: Final = "ldct_clipdn"
"""ManufacturerModelName in the equipment item of what this package writes."""


class Code(NamedTuple):
    """A coded term."""

    value: str
    scheme: str
    meaning: str

    def item(self) -> Dataset:
        """Make a sequence item of it.

        Returns
        -------
        pydicom.Dataset
            With CodeValue, CodingSchemeDesignator and CodeMeaning.
        """
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = self
        return item


SMOOTHING: Final = Code("113087", "DCM", "Smoothing")
LOSSY_COMPRESSION: Final = Code("113040", "DCM", "Lossy Compression")
SOURCE_IMAGE: Final = Code("121322", "DCM", "Source image for image processing operation")
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")
SYNTHESIZING_EQUIPMENT: Final = Code("109100", "DCM", "Synthesizing Equipment")


def read_codes(sequence: Iterable[Dataset]) -> list[Code]:
    """Read the codes of a code sequence.

    Parameters
    ----------
    sequence
        Its items.

    Returns
    -------
    list of Code
        One per item, with empty texts where something is missing.
    """
    names = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    return [Code(*(text(item, name) for name in names)) for item in sequence]
