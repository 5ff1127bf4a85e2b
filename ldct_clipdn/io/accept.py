"""Which files can be denoised, and why the others cannot (docs/conformance.md, 1)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydicom.uid import (
    CTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
)

from ldct_clipdn.errors import DecodeError, ReadError
from ldct_clipdn.io.attributes import VALUE_ERRORS, items, number, text, texts
from ldct_clipdn.io.codecs import check_decoder, lossy_method
from ldct_clipdn.io.codes import (
    LOSSY_COMPRESSION,
    PROCESSING_EQUIPMENT,
    PRODUCT,
    SYNTHESIZING_EQUIPMENT,
    Code,
    read_codes,
)
from ldct_clipdn.io.dicom_read import rescale
from ldct_clipdn.io.frames import frame_count, is_multiframe, split_frames
from ldct_clipdn.io.pixel_layout import pixel_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set

    from pydicom import Dataset

__all__ = ["ADMISSIBLE", "Verdict", "admitted", "is_ct", "judge"]

ADMISSIBLE: Final = {
    "averages": "average images",
    "burned-in": "images into which text is burned",
    "derived": "images that another maker derived",
    "monoenergetic": "virtual monoenergetic images",
    "no-air": "volumes without a value near air, taken as HU",
    "own": "images that this package denoised",
    "reformats": "reformats (MPR, CPR)",
    "us": "images of unspecified units (RescaleType US), taken as HU",
}
"""What is skipped unless it is asked for, by the name that asks for it."""

OTHER_CLASSES: Final = {
    MediaStorageDirectoryStorage: "a DICOMDIR, no image",
    SecondaryCaptureImageStorage: "a secondary capture",
    LegacyConvertedEnhancedCTImageStorage: (
        "Legacy Converted CT (multi-frame) is not read: denoise its single-frame sources"
    ),
}

MADE_IMAGES: Final = {
    "REFORMATTED": "a reformat",
    "MPR": "a reformat",
    "CPR": "a reformat",
    "MIP": "a maximum intensity projection",
    "MAXIMUM": "a maximum intensity projection",
    "MINIP": "a minimum intensity projection",
    "MIN_IP": "a minimum intensity projection",
    "MINIMUM": "a minimum intensity projection",
    "AVERAGE": "an average image",
    "MEAN": "an average image",
    "SUBTRACTION": "a subtraction image",
    "VRT": "a volume rendering",
    "VOLUME_RENDERED": "a volume rendering",
    "SSD": "a surface rendering",
    "PERFUSION": "a perfusion map",
    "VNC": "a virtual non-contrast image",
    "VIRTUAL_NON_CONTRAST": "a virtual non-contrast image",
    "IODINE": "an iodine image",
    "IODINE_MAP": "an iodine image",
    "MAT_SPECIFIC": "a material map",
    "MAT_FRACTIONAL": "a material map",
    "MAT_VALUE_BASED": "a material map",
    "MAT_REMOVED": "an image from which a material was removed",
    "MAT_MODIFIED": "an image in which a material was modified",
    "EFF_ATOMIC_NUM": "an effective atomic number map",
    "ELECTRON_DENSITY": "an electron density map",
    "VMI": "a virtual monoenergetic image",
    "MONOENERGETIC": "a virtual monoenergetic image",
}
"""Words in ImageType, from its third value on, that tell of something else than a CT slice."""


MADE_BY_CHOICE: Final = {
    "a reformat": "reformats",
    "a virtual monoenergetic image": "monoenergetic",
    "an average image": "averages",
}


PLAIN_CONTRASTS: Final = ("", "NONE", *MADE_IMAGES)
"""Fourth values of an Enhanced CT frame's type that are judged by their words, or mean nothing."""


class Verdict(NamedTuple):
    """Why a file is not denoised."""

    outcome: Literal["skipped", "failed"]
    reason: str


class Objection(NamedTuple):
    """What speaks against denoising an image, and the name in `ADMISSIBLE` that overrules it."""

    reason: str
    unless: str = ""


def judge(header: Dataset, admit: Set[str] = frozenset()) -> Verdict | None:
    """Say why a DICOM file cannot be denoised.

    Parameters
    ----------
    header
        Its header, with file meta information.
    admit
        Names in `ADMISSIBLE` of what is asked for.

    Returns
    -------
    Verdict or None
        `skipped` where it is sound and no CT slice in HU, `failed` where it is one and cannot be
        used; None where it can be denoised.
    """
    if is_multiframe(header):
        return _judge_frames(header, admit)
    for objection in _objections(header):
        if objection.unless not in admit:
            return Verdict("skipped", objection.reason)
    for look in FAIL_RULES:
        if reason := look(header):
            return Verdict("failed", reason)
    return None


def _judge_frames(header: Dataset, admit: Set[str]) -> Verdict | None:
    """Judge an Enhanced CT image: every frame must be a CT slice, or none is taken."""
    if text(header, "ConcatenationUID"):
        return Verdict("skipped", "one part of a concatenation")
    if not frame_count(header):
        return Verdict("failed", "the number of frames is not that of their descriptions")
    try:
        frames = split_frames(Path(), header)
    except VALUE_ERRORS as error:
        return Verdict("failed", f"its frames cannot be told apart: {error}")
    for instance in frames:
        contrast = "".join(texts(instance.header, "ImageType")[3:4])
        if contrast not in PLAIN_CONTRASTS:
            return Verdict("skipped", f"a map or a combination of images ({contrast})")
        verdict = judge(instance.header, admit)
        if verdict:
            return verdict._replace(reason=f"frame {(instance.frame or 0) + 1}: {verdict.reason}")
    return None


def admitted(header: Dataset, admit: Set[str]) -> list[str]:
    """Say what of an image is odd and was asked for.

    Parameters
    ----------
    header
        Its header.
    admit
        Names in `ADMISSIBLE` of what is asked for.

    Returns
    -------
    list of str
        Reasons that were overruled.
    """
    return [one.reason for one in _objections(header) if one.unless in admit]


def is_ct(header: Dataset) -> bool:
    """Say whether a file is a CT image of the single-frame class.

    Parameters
    ----------
    header
        Its header, with file meta information.

    Returns
    -------
    bool
        True for CT Image Storage; where no class is given, for Modality CT.
    """
    sop_class = _sop_class(header)
    return sop_class == CTImageStorage or (not sop_class and text(header, "Modality") == "CT")


def _sop_class(header: Dataset) -> str:
    return text(header, "SOPClassUID") or text(header.file_meta, "MediaStorageSOPClassUID")


def _objections(header: Dataset) -> Iterator[Objection]:
    for look in SKIP_RULES:
        found = look(header)
        if isinstance(found, str):
            found = Objection(found)
        if found.reason:
            yield found


def _other_class(header: Dataset) -> str:
    modality = text(header, "Modality")
    if not is_ct(header):
        sop_class = _sop_class(header)
        names = {str(uid): name for uid, name in OTHER_CLASSES.items()}
        return names.get(sop_class, f"no CT image ({modality or _class_name(sop_class)})")
    return "" if modality in ("", "CT") else f"no CT image ({modality})"


def _class_name(sop_class: str) -> str:
    from pydicom.uid import UID

    return UID(sop_class).name if sop_class else "neither class nor modality"


def _other_image(header: Dataset) -> Objection:
    terms = [_words(value) for value in texts(header, "ImageType")[2:]]
    if any("_LOCALIZER_" in term for term in terms):
        return Objection("a localizer")
    found = (what for word, what in MADE_IMAGES.items() for t in terms if f"_{word}_" in t)
    reason = next(found, "")
    return Objection(reason, MADE_BY_CHOICE.get(reason, ""))


def _words(value: str) -> str:
    """Turn `CSA MPR` or `MIN IP` into `_CSA_MPR_`, `_MIN_IP_`, to look for whole words."""
    return "_" + re.sub(r"[^A-Z0-9]+", "_", value.upper()) + "_"


def _own_result(header: Dataset) -> Objection:
    own = PROCESSING_EQUIPMENT in _own_roles(header)
    return Objection(f"already denoised by {PRODUCT}" if own else "", "own")


def _own_roles(header: Dataset) -> list[Code]:
    """Read in which roles this package worked on the image."""
    return [
        code
        for item in items(header, "ContributingEquipmentSequence")
        if text(item, "ManufacturerModelName") == PRODUCT
        for code in read_codes(items(item, "PurposeOfReferenceCodeSequence"))
    ]


def _derived(header: Dataset) -> Objection:
    """Object to DERIVED, except for what lossy compression or our own dose simulation made so."""
    image_type = texts(header, "ImageType")
    if image_type[:1] != ["DERIVED"] or SYNTHESIZING_EQUIPMENT in _own_roles(header):
        return Objection("")
    codes = {code.value for code in read_codes(items(header, "DerivationCodeSequence"))}
    is_lossy = text(header, "LossyImageCompression") == "01" or lossy_method(header)
    if is_lossy and codes <= {LOSSY_COMPRESSION.value}:
        return Objection("")
    other, own = _other_image(header), _own_result(header)
    # who asks for a reformat or for own results asks for what is derived by nature
    unless = "own" if own.reason else other.unless if other.reason else "derived"
    return Objection(f"a derived image ({'/'.join(image_type)})", unless)


def _burned_in(header: Dataset) -> Objection:
    burned_in = text(header, "BurnedInAnnotation") == "YES"
    return Objection("text is burned into it" if burned_in else "", "burned-in")


def _no_hu(header: Dataset) -> Objection:
    unit = text(header, "RescaleType").upper()
    if items(header, "ModalityLUTSequence"):
        return Objection("its values are no HU (ModalityLUTSequence)")
    if unit == "US":
        return Objection("the unit of its values is unspecified (RescaleType US)", "us")
    return Objection("" if unit in ("", "HU") else f"its values are no HU (RescaleType {unit})")


def _not_one_grey_frame(header: Dataset) -> str:
    frames = number(header, "NumberOfFrames") or 1
    if frames > 1:
        return f"{frames:.0f} frames in one file are not read by this version"
    colour = text(header, "PhotometricInterpretation")
    grey = colour in ("", "MONOCHROME1", "MONOCHROME2")
    single = (number(header, "SamplesPerPixel") or 1) == 1
    return "" if grey and single else f"a colour image ({colour})"


def _no_rescale(header: Dataset) -> str:
    try:
        rescale(header)
    except ReadError as error:
        return error.reason
    return ""


def _no_layout(header: Dataset) -> str:
    try:
        pixel_layout(header)
    except DecodeError as error:
        return error.reason
    return ""


def _no_decoder(header: Dataset) -> str:
    try:
        check_decoder(header)
    except DecodeError as error:
        return error.reason
    return ""


SKIP_RULES: Final[tuple[Callable[[Dataset], str | Objection], ...]] = (
    _other_class,
    _other_image,
    _own_result,
    _derived,
    _burned_in,
    _no_hu,
    _not_one_grey_frame,
)
FAIL_RULES: Final[tuple[Callable[[Dataset], str], ...]] = (_no_rescale, _no_layout, _no_decoder)
