"""Which file is behind an encoder's name or tag, and whether it may be called by that tag."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ldct_clipdn.core.weight_store import known_encoder, stored_encoder, stored_weights
from ldct_clipdn.errors import WeightsError

__all__ = ["ENCODER_VARIABLE", "EncoderFile", "fetch_encoder", "find_encoder", "promised_sha256"]

ENCODER_VARIABLE: Final = "LDCT_CLIPDN_ENCODER"
"""Environment variable that names an encoder file, used wherever a tag is asked for."""

NETWORK_TIMEOUT_S: Final = 10.0

_HASH_IN_ADDRESS: Final = re.compile(r"/([0-9a-f]{64})/[^/]+$|-([0-9a-f]{8})\.\w+$")
"""Where open_clip's addresses say the SHA-256 of the file, or how it begins."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderFile:
    """A file that serves as an encoder's weights, and how it was come by.

    Parameters
    ----------
    path
        The file.
    tag
        The tag that was asked for; empty where a file or imported weights were.
    promised
        SHA-256 of that tag's own file, or how it begins; empty where nobody says.
    way
        How the tag led to this file, in words.
    """

    path: Path
    tag: str = ""
    promised: str = ""
    way: str = ""

    def described(self, sha256: str) -> str:
        """Say what the weights are: by the tag if the file is that tag's own, else by the file.

        Parameters
        ----------
        sha256
            Of the file's bytes.

        Returns
        -------
        str
            Goes into checkpoints, logs and DICOM files, so it claims no more than the bytes prove.
        """
        if self.promised and sha256.startswith(self.promised):
            return f"{self.tag} ({self.path.name}, SHA-256 {sha256})"
        kind = "" if self.path.suffix else "file "  # a bare word would read as a tag
        return f"{kind}{self.path.name} (SHA-256 {sha256}{self.way})"


def find_encoder(encoder: str, pretrained: str) -> EncoderFile:
    """Find the file behind a file name, the name of imported weights, or a tag.

    Parameters
    ----------
    encoder
        A key of `ENCODERS`.
    pretrained
        What was asked for; a tag of the table of known weights is never taken for a file.

    Returns
    -------
    EncoderFile
        Not opened yet; where a file was asked for, it may not exist.

    Raises
    ------
    WeightsError
        When nobody knows such a tag, or its file cannot be had.
    """
    path = Path(pretrained)
    known = known_encoder(encoder, pretrained)
    if known is None:
        if path.is_file() or len(path.parts) != 1:
            return EncoderFile(path)
        if stored := stored_weights(pretrained):
            return EncoderFile(stored)
        if path.suffix:
            return EncoderFile(path)
    if named := os.environ.get(ENCODER_VARIABLE):
        logger.info("Encoder weights from %s (environment variable)", named)
        # without open_clip nobody knows the tag; the file's own name claims nothing
        can_ask = known or find_spec("open_clip")
        promised = promised_sha256(encoder, pretrained) if can_ask else ""
        return EncoderFile(Path(named), pretrained, promised, f", named by {ENCODER_VARIABLE}")
    promised = promised_sha256(encoder, pretrained)
    found = stored_encoder(encoder, pretrained) or fetch_encoder(encoder, pretrained)
    return EncoderFile(found, pretrained, promised, f", fetched by open_clip as {pretrained}")


def promised_sha256(encoder: str, tag: str) -> str:
    """Say by what SHA-256 a tag's own file is known.

    Parameters
    ----------
    encoder
        A key of `ENCODERS`.
    tag
        Such as `openai`.

    Returns
    -------
    str
        In hexadecimal, or its first digits; empty where the tag is known and its file's is not.

    Raises
    ------
    WeightsError
        When neither the table of known weights nor open_clip knows the tag.
    """
    if known := known_encoder(encoder, tag):
        return known[1]
    address = str(_in_open_clip(encoder, tag).get("url", ""))
    match = _HASH_IN_ADDRESS.search(address)
    return (match[1] or match[2]) if match else ""


def fetch_encoder(encoder: str, tag: str) -> Path:
    """Get a CLIP encoder's file through open_clip, from its cache or the internet.

    Parameters
    ----------
    encoder
        One of CLIP's ResNets, such as `RN50`.
    tag
        open_clip's tag, such as `openai`.

    Returns
    -------
    pathlib.Path
        The file; open_clip keeps it in `~/.cache/clip`.

    Raises
    ------
    WeightsError
        When open_clip is not installed, knows no such tag, or the internet is out of reach.
    """
    entry = _in_open_clip(encoder, tag)
    from open_clip import pretrained as registry

    try:
        with _network_timeout():
            # OpenAI's own address first: that file's SHA-256 is known
            return Path(registry.download_pretrained(entry, prefer_hf_hub=False))
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"the weights {encoder} {tag!r} could not be fetched ({error})",
            remedy="Three ways to give them: the tag on a machine with internet; a local file "
            "instead of the tag (RN50.pt); or the environment variable "
            f"{ENCODER_VARIABLE}=FILE",
        ) from error


def _in_open_clip(encoder: str, tag: str) -> dict[str, Any]:
    try:
        from open_clip import pretrained as registry
    except ImportError as error:
        raise WeightsError(
            f"the tag {tag!r} needs open_clip, which is not installed here",
            remedy="pip install 'ldct_clipdn[clip]', or name a local file",
        ) from error
    entry: dict[str, Any] = registry.get_pretrained_cfg(encoder, tag)
    if not entry:
        tags = ", ".join(registry.list_pretrained_tags_by_model(encoder)) or "none"
        raise WeightsError(
            f"{tag!r} is neither a file nor a tag that open_clip knows for {encoder}",
            remedy=f"Name a file or one of its tags: {tags}",
        )
    return entry


@contextmanager
def _network_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
