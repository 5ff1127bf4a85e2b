"""What a weights file is; and weights put where they are to be used: imported, or promoted."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.core.encoder import ENCODERS, layout_of
from ldct_clipdn.core.encoder_files import promised_sha256
from ldct_clipdn.core.weight_checks import fitting_encoder, is_denoiser, visual_tower
from ldct_clipdn.core.weight_files import (
    WeightsFile,
    check_known_name,
    file_sha256,
    known_weights,
    read_weights_file,
    write_weights_file,
)
from ldct_clipdn.core.weight_store import (
    DEFAULT,
    find_weights,
    imported_weights,
    weights_folder,
)
from ldct_clipdn.core.weights import load_denoiser, open_denoiser, save_denoiser
from ldct_clipdn.core.whole_file import system_words, whole_file
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = ["WeightsReport", "export_denoiser", "identify_weights", "import_weights"]


@dataclass(frozen=True)
class WeightsReport:
    """What a weights file turned out to be.

    Parameters
    ----------
    path
        The file.
    sha256
        Of its bytes.
    form
        `safetensors`, `torchscript` or `checkpoint`.
    kind
        `denoiser`: can denoise. `encoder`: can start a training.
    what
        Encoder, width and origin, in words, and the HU that it sees as far as the file says.
    known_as
        Name in the table of known weights; empty where its SHA-256 is not there.
    """

    path: Path
    sha256: str
    form: str
    kind: Literal["denoiser", "encoder"]
    what: str
    known_as: str


def identify_weights(weights: str | Path, *, trust_torchscript: bool = False) -> WeightsReport:
    """Check a weights file as strictly as loading does, and say what it is.

    Parameters
    ----------
    weights
        A file, or the name of imported weights.
    trust_torchscript
        As for `read_weights_file`.

    Returns
    -------
    WeightsReport
        What it is.

    Raises
    ------
    WeightsError
        When it is neither exactly a denoiser nor exactly an encoder.
    """
    file = read_weights_file(find_weights(weights), trust_torchscript=trust_torchscript)
    known = (name for name, entry in known_weights().items() if entry["sha256"] == file.sha256)
    if is_denoiser(file):
        kind: Literal["denoiser", "encoder"] = "denoiser"
        what = open_denoiser(file.path)[1].described
    else:
        kind, encoder = "encoder", fitting_encoder(file)
        is_clips = layout_of(encoder).family in ("clip", "vit") and encoder != "tiny"
        what = f"layout of {'CLIP ' if is_clips else ''}{encoder}"
    return WeightsReport(file.path, file.sha256, file.form, kind, what, next(known, ""))


def import_weights(
    path: Path, name: str | None = None, *, trust_torchscript: bool = False
) -> WeightsReport:
    """Check a file and copy it into the weights folder, so that its name serves from then on.

    A TorchScript archive of unknown SHA-256 is kept as safetensors, which need no trust.

    Parameters
    ----------
    path
        The file.
    name
        What it is to be called; None takes the known name, else the file's own, without ending.
        `default`, a tag and the names of known weights are kept for the files they mean.
    trust_torchscript
        As for `read_weights_file`.

    Returns
    -------
    WeightsReport
        Of the file in the weights folder.

    Raises
    ------
    ConfigError
        When the name cannot be one, stands for other weights, or other weights have it.
    WeightsError
        When the file is no weights file, or cannot be copied.
    """
    report = identify_weights(path, trust_torchscript=trust_torchscript)
    if name is None and report.known_as:
        name = Path(report.known_as).stem
    name = _free_name(name or report.path.stem, report)
    if name.startswith(".") or len(Path(name).parts) != 1 or Path(name).suffix:
        raise ConfigError(f"weights cannot be named {name!r}", remedy="Give a plain word")
    convert = report.form == "torchscript" and not report.known_as
    target = weights_folder() / f"{name}{'.safetensors' if convert else report.path.suffix}"
    taken = imported_weights(name)
    if taken and (convert or taken != target or file_sha256(taken) != report.sha256):
        raise ConfigError(
            f"there are weights named {name!r} already",
            path=taken,
            remedy="Give another --name, or remove that file",
        )
    if convert:
        file = read_weights_file(report.path, trust_torchscript=True)
        write_weights_file(target, visual_tower(file), {"origin": _origin(file)})
    else:
        _copy(report.path, target)
    return identify_weights(name)


def _free_name(name: str, report: WeightsReport) -> str:
    """Refuse a name that stands for other weights; known weights keep the name of the table."""
    known = DEFAULT if name == "default" else name
    meant = {entry["sha256"] for file, entry in known_weights().items() if Path(file).stem == known}
    for encoder in ENCODERS:
        with suppress(WeightsError):  # no such tag
            meant.add(promised_sha256(encoder, name))
    if meant and not any(sha256 and report.sha256.startswith(sha256) for sha256 in meant):
        raise ConfigError(
            f"{name!r} means other weights than this file of SHA-256 {report.sha256}",
            path=report.path,
            remedy="Give another --name",
        )
    return Path(report.known_as).stem if meant and report.known_as else name


def export_denoiser(source: str | Path, target: Path) -> WeightsReport:
    """Promote a run's checkpoint to weights alone; what was written is checked before it is there.

    Parameters
    ----------
    source
        A run's `best.pt` or `last.pt`, or any other denoiser.
    target
        `.safetensors` (keeps the configuration) or `.pt` (a bare state dict, as MONAI's bundles
        have it).

    Returns
    -------
    WeightsReport
        Of the new file.

    Raises
    ------
    ConfigError
        When `target` has another ending.
    WeightsError
        When `source` is no denoiser, or the new file would not load back to the same tensors: a
        bare state dict tells CLIP's ResNets alone.
    """
    file = read_weights_file(find_weights(source))
    model, _ = open_denoiser(file.path)
    notes = {k: v for k, v in file.extra.items() if k != "config"}
    save_denoiser(model, target, notes, lambda written: _check_export(model, written, target))
    return identify_weights(target)


def _check_export(model: CLIPDenoiser, written: Path, target: Path) -> None:
    check_known_name(target, file_sha256(written))
    try:
        found = load_denoiser(written).state_dict()
    except WeightsError as error:
        if target.suffix == ".safetensors":
            raise
        config = model.config
        raise WeightsError(
            f"a bare state dict would not load again: it does not say that its encoder is "
            f"{config.encoder} and its decoder {config.decoder}",
            path=target,
            remedy="Give a name that ends in .safetensors, which keeps the configuration",
        ) from error
    for key, value in model.state_dict().items():
        if not torch.equal(found[key], value):
            raise WeightsError(f"{key} was not written as it is", path=target)


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target, shared=True) as partial:
            shutil.copyfile(source, partial)
    except OSError as error:
        raise WeightsError(
            f"cannot be written ({system_words(error)})",
            path=target,
            remedy="Check rights and free space, or name a folder in LDCT_CLIPDN_WEIGHTS",
        ) from error


def _origin(file: WeightsFile) -> str:
    return f"{file.path.name}, TorchScript archive of SHA-256 {file.sha256}"
