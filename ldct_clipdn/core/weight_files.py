"""Weights files as bytes on disk: which format one is, and its tensors, opened without trust."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ldct_clipdn.core.whole_file import system_words, whole_file
from ldct_clipdn.errors import WeightsError

__all__ = [
    "METADATA_KEY",
    "UNPICKLE_ERRORS",
    "WeightsFile",
    "check_archive",
    "check_known_name",
    "file_sha256",
    "known_weights",
    "read_weights_file",
    "write_weights_file",
]

METADATA_KEY: Final = "ldct_clipdn"
"""Where our safetensors files keep their configuration."""

WRAPPERS: Final = ("params", "network", "state_dict", "model")
"""Keys under which checkpoints keep their tensors: published, ours, open_clip's, MONAI's."""

UNPICKLE_ERRORS: Final = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What `torch.load` raises on bytes that are no checkpoint, as the unpickler stumbles over them."""

WHAT_WOULD_DO: Final = (
    "Give a .pt or .safetensors file of a denoiser or of a CLIP ResNet's visual encoder"
)


@dataclass(frozen=True)
class WeightsFile:
    """One opened weights file.

    Parameters
    ----------
    path
        The file.
    sha256
        Of its bytes, in hexadecimal.
    form
        `safetensors`, `torchscript` or `checkpoint`, for people.
    state
        Tensors by name, on the CPU; a leading `module.` is gone.
    extra
        What else the file says about itself: our configuration, versions.
    """

    path: Path
    sha256: str
    form: str
    state: dict[str, Tensor] = field(repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)


def known_weights() -> dict[str, dict[str, str]]:
    """Give the table of known weights.

    Returns
    -------
    dict
        File name to `sha256`, `kind` (`encoder` or `denoiser`), `encoder`, `what`.
    """
    table = resources.files("ldct_clipdn").joinpath("assets/known_weights.json")
    known: dict[str, dict[str, str]] = json.loads(table.read_text(encoding="utf-8"))
    return known


def file_sha256(path: Path) -> str:
    """Hash a file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        SHA-256 in hexadecimal.

    Raises
    ------
    WeightsError
        When it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"cannot be read ({system_words(error)})", path=path, remedy="Check the path"
        ) from error


def read_weights_file(path: Path, *, trust_torchscript: bool = False) -> WeightsFile:
    """Open a weights file of any known format.

    Pickles are read with `weights_only=True`. A TorchScript archive can run code when it is opened,
    so it is opened only when its SHA-256 is in the table of known weights.

    Parameters
    ----------
    path
        The file.
    trust_torchscript
        Open a TorchScript archive of unknown SHA-256 all the same.

    Returns
    -------
    WeightsFile
        Its tensors and what it says about itself.

    Raises
    ------
    WeightsError
        When it is missing, empty, truncated, unrelated or not trusted.
    """
    sha256 = file_sha256(path)
    if path.stat().st_size == 0:
        raise WeightsError("the file is empty", path=path, remedy="Copy or download it again")
    check_known_name(path, sha256)
    if not _is_known(sha256):
        check_archive(path)
    if _looks_like_safetensors(path):
        form, (content, extra) = "safetensors", _read_safetensors(path)
    elif _is_torchscript(path):
        form, content, extra = "torchscript", _read_torchscript(path, sha256, trust_torchscript), {}
    else:
        form, (content, extra) = "checkpoint", _read_checkpoint(path)
    state = {name.removeprefix("module."): value.detach() for name, value in content.items()}
    return WeightsFile(path, sha256, form, state, extra)


def check_archive(path: Path) -> None:
    """Compare the contents of a file that PyTorch saved with the checksums that it saved with them.

    PyTorch does not when it loads it. Files that are no zip archives have no checksums, nor have
    those that were saved without (`torch.serialization.set_crc32_options(False)`).

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    WeightsError
        When they differ, or the archive cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            has_checksums = any(one.CRC for one in archive.infolist())
            damaged = archive.testzip() if has_checksums else None
    except UNPICKLE_ERRORS as error:
        raise _damaged(path, "a damaged checkpoint or archive") from error
    if damaged:
        raise WeightsError(
            f"the file is damaged: {damaged} in it is not what was saved",
            path=path,
            remedy="Copy or download it again",
        )


def write_weights_file(
    path: Path,
    state: Mapping[str, Tensor],
    extra: Mapping[str, Any],
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write tensors whole or not at all.

    Parameters
    ----------
    path
        `.safetensors` keeps `extra` inside; any other name gets a bare PyTorch state dict, which
        is what MONAI's tools load.
    state
        Tensors by name.
    extra
        Configuration and origin, as JSON can hold it.
    check
        Looks at what was written before it gets its name; what it raises leaves everything as it
        was.

    Raises
    ------
    WeightsError
        When it cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, shared=True) as partial:
            if path.suffix == ".safetensors":
                save_file(tensors, partial, metadata={METADATA_KEY: json.dumps(dict(extra))})
            else:
                with partial.open("wb") as file:
                    torch.save(tensors, file)
            if check is not None:
                check(partial)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch's writer ends a full disk so
        raise WeightsError(
            f"cannot be written ({system_words(error)})",
            path=path,
            remedy="Check folder, rights and free space",
        ) from error


def check_known_name(path: Path, sha256: str) -> None:
    """Refuse a file that is called like known weights and is another.

    Parameters
    ----------
    path
        The file's name.
    sha256
        Of its bytes.

    Raises
    ------
    WeightsError
        When the table has another SHA-256 for this name.
    """
    entry = known_weights().get(path.name)
    if entry and entry["sha256"] != sha256:
        raise WeightsError(
            f"the file is named like {entry['what']} but its SHA-256 is {sha256}, "
            f"not {entry['sha256']}",
            path=path,
            remedy="Download it again; if it is another file, give it another name",
        )


def _is_known(sha256: str) -> bool:
    return any(entry["sha256"] == sha256 for entry in known_weights().values())


def _looks_like_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return content, dict(json.loads(metadata.get(METADATA_KEY, "{}")))
    except (SafetensorError, TypeError, ValueError, OSError) as error:
        raise _damaged(path, f"a damaged or truncated safetensors file ({error})") from error


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except UNPICKLE_ERRORS as error:
        raise _damaged(path, "a damaged checkpoint or archive") from error


def _read_torchscript(path: Path, sha256: str, trust: bool) -> dict[str, Tensor]:
    if not _is_known(sha256) and not trust:
        raise WeightsError(
            f"a TorchScript archive of unknown SHA-256 {sha256}; opening one can run code",
            path=path,
            remedy="Give a known file (`ldct-clipdn weights list`), or import it once with "
            "`ldct-clipdn weights import --trust-torchscript` if you trust its origin",
        )
    try:
        with warnings.catch_warnings():
            # OpenAI's files have this format and no other
            warnings.filterwarnings("ignore", message=r".torch\.jit\.load. is deprecated")
            module = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise _damaged(path, "a damaged TorchScript archive") from error
    return dict(module.state_dict())


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        # by the content: torch would go by the name
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _damaged(path, "no plain weights file: it holds objects or is damaged") from error
    except UNPICKLE_ERRORS as error:
        raise _damaged(path, "a damaged or truncated checkpoint, or no weights file") from error
    if not isinstance(content, Mapping):
        raise _damaged(path, f"no state dict but a {type(content).__name__}")
    wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    tensors = content if wrapper is None else content[wrapper]
    strangers = [str(key) for key, value in tensors.items() if not isinstance(value, Tensor)]
    if strangers or not tensors:
        raise _damaged(path, f"no state dict: {', '.join(strangers[:3]) or 'it is empty'}")
    extra = {
        key: content[key] for key in ("config", "origin", "step") if wrapper and key in content
    }
    return dict(tensors), extra


def _damaged(path: Path, what: str) -> WeightsError:
    return WeightsError(f"this is {what}", path=path, remedy=WHAT_WOULD_DO)
