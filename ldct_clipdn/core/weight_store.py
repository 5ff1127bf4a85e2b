"""Weights by name: those that come with the package, and the user's own folder of imported ones."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Final

from ldct_clipdn.core.weight_files import known_weights
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = [
    "FOLDER_VARIABLE",
    "find_weights",
    "imported_weights",
    "known_encoder",
    "stored_encoder",
    "stored_files",
    "stored_weights",
    "weights_folder",
]

FOLDER_VARIABLE: Final = "LDCT_CLIPDN_WEIGHTS"
"""Environment variable that names the weights folder."""

SHIPPED: Final = Path(str(resources.files("ldct_clipdn").joinpath("assets")))
"""Where the package's own weights lie."""

DEFAULT: Final = "scratch-w32"
"""The package's own weights that are used where none are named: docs/weights.md."""

SUFFIXES: Final = (".safetensors", ".pt", ".pth")


def weights_folder() -> Path:
    """Say where imported weights lie.

    Returns
    -------
    pathlib.Path
        `$LDCT_CLIPDN_WEIGHTS`, else `ldct_clipdn/weights` in the user's data folder
        (`$XDG_DATA_HOME`, else `~/.local/share`). It need not exist.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "ldct_clipdn" / "weights"


def stored_files() -> list[Path]:
    """List the imported weights.

    Returns
    -------
    list of pathlib.Path
        Sorted by name.
    """
    folder = weights_folder()
    if not folder.is_dir():
        return []
    return sorted(
        one for one in folder.iterdir() if one.suffix in SUFFIXES and not one.name.startswith(".")
    )


def stored_weights(name: str) -> Path | None:
    """Look up weights that were imported or come with the package.

    Parameters
    ----------
    name
        File name, with or without its ending; `default` are those of the package, whatever lies in
        the weights folder.

    Returns
    -------
    pathlib.Path or None
        The file.
    """
    if name == "default":
        name = DEFAULT
    return _named(name, sorted(SHIPPED.glob("*.safetensors"))) or imported_weights(name)


def imported_weights(name: str) -> Path | None:
    """Look up imported weights.

    Parameters
    ----------
    name
        File name, with or without its ending.

    Returns
    -------
    pathlib.Path or None
        The file.
    """
    return _named(name, stored_files())


def _named(name: str, files: list[Path]) -> Path | None:
    return next((one for one in files if name in (one.name, one.stem)), None)


def known_encoder(encoder: str, tag: str) -> tuple[str, str] | None:
    """Look up a tag in the table of known weights.

    Parameters
    ----------
    encoder
        Such as `RN50`.
    tag
        Of open_clip, such as `openai`.

    Returns
    -------
    tuple of str or None
        Name and SHA-256 of its file.
    """
    return next(
        (
            (name, entry["sha256"])
            for name, entry in known_weights().items()
            if (entry["encoder"], entry.get("tag")) == (encoder, tag)
        ),
        None,
    )


def stored_encoder(encoder: str, tag: str) -> Path | None:
    """Look up an imported file of a known encoder.

    Parameters
    ----------
    encoder
        Such as `RN50`.
    tag
        Of open_clip, such as `openai`.

    Returns
    -------
    pathlib.Path or None
        The file.
    """
    known = known_encoder(encoder, tag)
    return known and stored_weights(known[0])


def find_weights(weights: str | Path) -> Path:
    """Turn a name or file name into a file.

    Parameters
    ----------
    weights
        A file, or the name of weights; a file that is there goes first.

    Returns
    -------
    pathlib.Path
        The file; where `weights` is no bare name, it may not exist.

    Raises
    ------
    ConfigError
        When `weights` is neither text nor a path.
    WeightsError
        When there are no weights of that name.
    """
    if not isinstance(weights, str | os.PathLike):
        raise ConfigError(f"weights cannot be {weights!r}", remedy="Give a file or a name")
    path = Path(weights)
    if path.is_file() or len(path.parts) != 1:
        return path
    if stored := stored_weights(path.name):
        return stored
    if path.name == "default":
        raise WeightsError(
            "this installation comes without default weights",
            remedy="Install the package anew, or name a file with --weights (weights=...)",
        )
    if path.suffix:
        return path
    raise WeightsError(
        f"there are no weights named {path.name!r}",
        remedy="Name a file, or one of `ldct-clipdn weights list`",
    )
