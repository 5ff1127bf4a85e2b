"""How derived images are written, where there is a choice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ldct_clipdn.errors import ConfigError

__all__ = ["COMPRESSIONS", "DEFAULT_OUTPUT", "OutputOptions", "PrivateTag"]

COMPRESSIONS: Final[dict[str, tuple[UID, str]]] = {
    "none": (ExplicitVRLittleEndian, ""),
    "jpeg-ls": (JPEGLSLossless, "pyjpegls"),
    "jpeg-2000": (JPEG2000Lossless, "pylibjpeg"),
    "rle": (RLELossless, "pylibjpeg"),
}
"""Transfer syntax and encoder of each kind; all lossless."""

PRIVATE_TAG: Final = re.compile(
    r'\(?([0-9A-Fa-f]{4}),\s*"?([^"\\]{1,64}?)"?,\s*([0-9A-Fa-f]{2})\)?'
)

PrivateTag = tuple[int, str, int]
"""Group, private creator, and the last byte of the element."""


@dataclass(frozen=True)
class OutputOptions:
    """How derived images are written; part of the recipe, so of their UIDs.

    Parameters
    ----------
    compression
        `none` (Explicit VR Little Endian), `jpeg-ls`, `jpeg-2000` or `rle`.
    keep_private
        Private attributes that stay, as `0019,"GEMS_ACQU_01",02`; all others are dropped.
    image_type
        Second value of ImageType: `SECONDARY`, made after the examination, or `PRIMARY`.

    Raises
    ------
    ConfigError
        When one of them is none of these.
    """

    compression: str = "none"
    keep_private: tuple[str, ...] = ()
    image_type: str = "SECONDARY"

    def __post_init__(self) -> None:
        if self.compression not in COMPRESSIONS:
            raise ConfigError(
                f"there is no compression {self.compression!r}",
                remedy=f"Give one of {', '.join(COMPRESSIONS)}",
            )
        if self.image_type not in ("SECONDARY", "PRIMARY"):
            raise ConfigError(
                f"the image type {self.image_type!r} is unknown",
                remedy="Give SECONDARY or PRIMARY",
            )
        _ = self.private_tags

    @property
    def transfer_syntax(self) -> UID:
        """Name the transfer syntax of the files.

        Returns
        -------
        pydicom.uid.UID
            Of the compression.
        """
        return COMPRESSIONS[self.compression][0]

    @property
    def private_tags(self) -> frozenset[PrivateTag]:
        """Read which private attributes stay.

        Returns
        -------
        frozenset of PrivateTag
            Empty by default.

        Raises
        ------
        ConfigError
            When one cannot be read.
        """
        return frozenset(_private_tag(one) for one in self.keep_private)


DEFAULT_OUTPUT: Final = OutputOptions()


def _private_tag(words: str) -> PrivateTag:
    found = PRIVATE_TAG.fullmatch(words.strip())
    if not found or int(found[1], 16) % 2 == 0:
        raise ConfigError(
            f"{words!r} is no private attribute",
            remedy='Give group, creator and element, such as 0019,"GEMS_ACQU_01",02',
        )
    return int(found[1], 16), found[2], int(found[3], 16)
