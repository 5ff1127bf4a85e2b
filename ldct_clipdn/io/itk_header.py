"""What the header of an NRRD or MetaImage file says of its pixels: where they lie, and how many."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Final

from ldct_clipdn.errors import ReadError

__all__ = ["check_length", "check_names", "pixel_files"]

NAMED_PIXELS: Final = re.compile(
    rb"(?:ElementDataFile[^=:]*[=:]|data ?file:)[\s\0=:]*(?=([^\n]*))", re.I
)
"""ITK takes the key after any blanks and before `:` too; so whatever may name pixels is one."""

HEADER_BYTES: Final = 2**16
NRRD: Final = b"NRRD"
NRRD_END: Final = re.compile(rb"\n\r?\n|\r\r")
META_END: Final = re.compile(
    rb"^\w+[ \t]*[=:][^\n]*\S[^\n]*\n+[ \t]*ElementDataFile[ \t]*[=:][ \t]*(?i:LOCAL)[ \t\r]*$",
    re.M,
)
ATTACHED: Final = "LOCAL"
LISTED: Final = "LIST"

META_FIELD: Final = re.compile(rb"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", re.M)


def pixel_files(path: Path) -> tuple[Path, ...]:
    """List the files that hold the pixels of a header.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple of Path
        Those that it names and that are there; none where its own pixels follow it.
    """
    names = dict.fromkeys(_pixel_names(_header(path)[0]))
    named = [path.parent / one for one in names if one.upper() != ATTACHED]
    return tuple(one for one in named if os.path.isfile(one))  # noqa: PTH113 raises on no name


def check_names(path: Path) -> None:
    """Refuse a header whose pixels are, or may be, some other file of this machine.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReadError
        When a name leads out of its folder, or the header does not end.
    """
    header, is_whole = _header(path)
    if not is_whole:
        raise ReadError(
            "no readable volume: its header does not end within 64 KiB",
            path=path,
            remedy="Write it again as one .nrrd or .mha file",
        )
    for name in _pixel_names(header):
        one = PurePosixPath(name.replace("\\", "/"))
        if one.is_absolute() or ".." in one.parts:
            raise ReadError(
                f"its pixels lie outside its folder ({one})",
                path=path,
                remedy="Put them beside the header",
            )


def check_length(path: Path, size: int) -> None:
    """Refuse a MetaImage file that lacks pixels; ITK refuses it too, but prints, and says not why.

    Parameters
    ----------
    path
        The file; of any other kind, or where the header does not tell, nothing is checked.
    size
        Bytes that the pixels take when they are not compressed.

    Raises
    ------
    ReadError
        When the pixels, or a part of them, are not there.
    """
    header, _ = _header(path)
    fields = {key.decode(): value.decode("utf-8", "replace") for key, value in _fields(header)}
    if not _is_true(fields, "BinaryData") or "HeaderSize" in fields:
        return
    if _is_true(fields, "CompressedData"):
        packed = fields.get("CompressedDataSize", "")
        size = int(packed) if packed.isdecimal() else 0
    there = _bytes_there(path, header)
    if there is not None and there < size:
        raise ReadError(
            f"no readable volume: it was cut off, {there} of {size} bytes of pixels are there",
            path=path,
            remedy="Fetch it again",
        )


def _bytes_there(path: Path, header: bytes) -> int | None:
    """Count the bytes of pixels; None where they lie in several files, or it is not known."""
    if META_END.search(header):
        return path.stat().st_size - len(header) - 1  # and the end of its line
    name, *others = _pixel_names(header) or [ATTACHED]
    if others or name.upper() == ATTACHED or name.startswith(LISTED) or "%" in name:
        return None
    if not os.path.isfile(path.parent / name):  # noqa: PTH113 raises on no name
        raise ReadError(
            f"no readable volume: the file of its pixels is not there ({name})",
            path=path,
            remedy="Put it beside the header",
        )
    return (path.parent / name).stat().st_size


def _fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """Read what a MetaImage header says; nothing of an NRRD file, whose fields are others."""
    return [] if header.startswith(NRRD) else META_FIELD.findall(header)


def _is_true(fields: dict[str, str], key: str) -> bool:
    """Read as MetaIO does."""
    return fields.get(key, "")[:1] in ("T", "t", "1")


def _header(path: Path) -> tuple[bytes, bool]:
    """Read an ITK file's header, and say whether it is all there is: pixels may follow it."""
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
        is_whole = not file.read(1)
    end = (NRRD_END if start.startswith(NRRD) else META_END).search(start)
    return (start[: end.end()], True) if end else (start, is_whole)


def _pixel_names(header: bytes) -> list[str]:
    """List what a header may name as its pixels: files, `LOCAL`, or `LIST` and what follows."""
    names: list[bytes] = []
    for found in NAMED_PIXELS.finditer(header):
        is_list = found[1].startswith(LISTED.encode())
        names += [found[1], *(header[found.end(1) :].splitlines() if is_list else ())]
    return [one.strip().decode("utf-8", "surrogateescape") for one in names if one.strip()]
