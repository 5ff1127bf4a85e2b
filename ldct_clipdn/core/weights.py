"""Every way to weights: the encoder's by tag or file, a denoiser's from file; strict in all."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ldct_clipdn.core.denoiser import CLIPDenoiser, DenoiserConfig
from ldct_clipdn.core.encoder import ENCODERS, Encoder, EncoderLayout, EncoderNorm
from ldct_clipdn.core.weight_files import WeightsFile, read_weights_file, write_weights_file
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = [
    "ENCODER_VARIABLE",
    "EncoderWeights",
    "WeightsInfo",
    "fetch_encoder",
    "load_denoiser",
    "open_denoiser",
    "read_encoder_weights",
    "save_denoiser",
]

ENCODER_VARIABLE: Final = "LDCT_CLIPDN_ENCODER"
"""Environment variable that names an encoder file, used wherever a tag is asked for."""

NETWORK_TIMEOUT_S: Final = 10.0

NOT_RECORDED: Final = "not recorded in the file"

NOT_DENSE: Final = ("attnpool.",)
"""Keys of CLIP's visual tower that dense features do not need."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsInfo:
    """What a denoiser's weights are, for logs, manifests and DICOM files.

    Parameters
    ----------
    name
        File name.
    sha256
        Of the file.
    encoder
        Encoder, width and where its weights came from, in words.
    """

    name: str
    sha256: str
    encoder: str


@dataclass(frozen=True)
class EncoderWeights:
    """Weights for one `Encoder`.

    Parameters
    ----------
    state
        Complete state dict, float32.
    source
        Where they came from, with the SHA-256.
    """

    state: dict[str, Tensor]
    source: str


def load_denoiser(
    weights: str | Path = "default", *, encoder_norm: EncoderNorm | None = None
) -> CLIPDenoiser:
    """Load a trained denoiser.

    Parameters
    ----------
    weights
        A file: our own safetensors, a run's `best.pt` or `last.pt`, a bare state dict, or a
        checkpoint of the published code.
    encoder_norm
        What BatchNorm does if training goes on; None keeps what the file says.

    Returns
    -------
    CLIPDenoiser
        In evaluation mode, on the CPU.

    Raises
    ------
    WeightsError
        When the file is not there or is not exactly a denoiser's.
    """
    return open_denoiser(weights, encoder_norm=encoder_norm)[0]


def open_denoiser(
    weights: str | Path = "default", *, encoder_norm: EncoderNorm | None = None
) -> tuple[CLIPDenoiser, WeightsInfo]:
    """Load a trained denoiser and say what it is.

    Parameters
    ----------
    weights
        As for `load_denoiser`.
    encoder_norm
        As for `load_denoiser`.

    Returns
    -------
    CLIPDenoiser
        In evaluation mode, on the CPU.
    WeightsInfo
        Name, SHA-256 and encoder.

    Raises
    ------
    WeightsError
        When the file is not there or is not exactly a denoiser's.
    """
    if str(weights) == "default":
        raise WeightsError(
            "this version comes without default weights",
            remedy="Name a file with --weights (Python: weights=...); README.md says how to train",
        )
    file = read_weights_file(Path(weights))
    config = _config_of(file)
    if encoder_norm is not None:
        config = replace(config, encoder_norm=encoder_norm)
    model = CLIPDenoiser(config)
    state = _without_unused_layer4(file.state, config, "encoder.")
    _check_fit(file.path, state, model.state_dict(), f"a {config.encoder} denoiser")
    model.load_state_dict(state)
    width = config.layout.width
    encoder = f"{config.encoder}, width {width}, encoder weights: {config.encoder_source}"
    return model.eval(), WeightsInfo(file.path.name, file.sha256, encoder)


def save_denoiser(model: CLIPDenoiser, path: Path) -> None:
    """Write a denoiser's weights.

    Parameters
    ----------
    model
        The denoiser.
    path
        `.safetensors` (with its configuration inside) or `.pt` (a bare state dict, for MONAI).

    Raises
    ------
    ConfigError
        When the name has another ending.
    WeightsError
        When it cannot be written.
    """
    if path.suffix not in {".safetensors", ".pt"}:
        raise ConfigError(
            f"weights cannot be written as {path.suffix or 'a file without ending'}",
            path=path,
            remedy="Give a name that ends in .safetensors or .pt",
        )
    write_weights_file(path, model.state_dict(), {"config": model.config.to_dict()})


def read_encoder_weights(
    pretrained: str, config: DenoiserConfig, *, trust_torchscript: bool = False
) -> EncoderWeights:
    """Read a CLIP ResNet's visual weights, by open_clip tag or from a file.

    Parameters
    ----------
    pretrained
        A file, or a tag of open_clip such as `openai`. Where the environment variable
        `LDCT_CLIPDN_ENCODER` names a file, that file is used in place of any tag.
    config
        Says which encoder, and whether layer4 is needed.
    trust_torchscript
        As for `read_weights_file`.

    Returns
    -------
    EncoderWeights
        For `Encoder.load_state_dict`.

    Raises
    ------
    WeightsError
        When they cannot be had, or any key or shape does not fit.
    """
    path = Path(pretrained)
    is_tag = not path.is_file() and not path.suffix and len(path.parts) == 1
    if is_tag and os.environ.get(ENCODER_VARIABLE):
        path = Path(os.environ[ENCODER_VARIABLE])
        logger.info("Encoder weights from %s (environment variable)", path)
    elif is_tag:
        path = fetch_encoder(config.encoder, pretrained)
    file = read_weights_file(path, trust_torchscript=trust_torchscript)
    state = _visual_tower(file)
    state = _without_unused_layer4(state, config, "")
    expected = _expected_encoder(config.layout, with_f5=config.use_f5)
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):  # some savers leave these counters out
            state.setdefault(name, torch.zeros_like(value, device="cpu"))
    _check_fit(path, state, expected, f"a CLIP {config.encoder} visual encoder")
    label = f"{pretrained} ({path.name}," if is_tag else f"{path.name} ("
    source = f"{label} SHA-256 {file.sha256})".replace("( ", "(")
    return EncoderWeights({k: v.to(expected[k].dtype) for k, v in state.items()}, source)


def fetch_encoder(encoder: str, tag: str) -> Path:
    """Get a CLIP encoder's file through open_clip, from its cache or the internet.

    Parameters
    ----------
    encoder
        `RN50`, `RN50x4` or `RN50x16`.
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
    try:
        from open_clip import pretrained as registry
    except ImportError as error:
        raise WeightsError(
            f"the tag {tag!r} needs open_clip, which is not installed here",
            remedy="pip install 'ldct_clipdn[clip]', or name a local file",
        ) from error
    entry = registry.get_pretrained_cfg(encoder, tag)
    if not entry:
        tags = ", ".join(registry.list_pretrained_tags_by_model(encoder)) or "none"
        raise WeightsError(
            f"{tag!r} is neither a file nor a tag that open_clip knows for {encoder}",
            remedy=f"Name a file or one of its tags: {tags}",
        )
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


@contextmanager
def _network_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _expected_encoder(layout: EncoderLayout, *, with_f5: bool) -> dict[str, Tensor]:
    with torch.device("meta"):
        return Encoder(layout, with_f5=with_f5, norm="frozen").state_dict()


def _visual_tower(file: WeightsFile) -> dict[str, Tensor]:
    """Pick the visual encoder's tensors out of whatever they were saved within."""
    for prefix in ("visual.", "encoder.", ""):
        if f"{prefix}conv1.weight" in file.state:
            inside = {
                name.removeprefix(prefix): value
                for name, value in file.state.items()
                if name.startswith(prefix)
            }
            return {k: v for k, v in inside.items() if not k.startswith(NOT_DENSE)}
    raise WeightsError(
        f"this is no CLIP ResNet: it has no visual.conv1.weight but {_some(file.state)}",
        path=file.path,
        remedy="Give RN50.pt or the state dict of open_clip's visual tower",
    )


def _without_unused_layer4(
    state: Mapping[str, Tensor], config: DenoiserConfig, prefix: str
) -> dict[str, Tensor]:
    """Drop layer4 where F5 is not used: published files hold it, and it changes nothing."""
    if config.use_f5:
        return dict(state)
    layer4 = {
        prefix + name: value.shape
        for name, value in _expected_encoder(config.layout, with_f5=True).items()
        if name.startswith("layer4.")
    }
    return {name: v for name, v in state.items() if layer4.get(name) != v.shape}


def _check_fit(
    path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str
) -> None:
    missing = [name for name in expected if name not in state]
    strangers = [name for name in state if name not in expected]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    findings = [
        f"{len(found)} {label}: {_some(found)}"
        for label, found in (
            ("missing", missing),
            ("unknown", strangers),
            ("of wrong shape", shapes),
        )
        if found
    ]
    if findings:
        raise WeightsError(
            f"the file does not hold exactly {what}: {'; '.join(findings)}",
            path=path,
            remedy=f"Give a file of {what} ({len(expected)} tensors)",
        )


def _some(names: Mapping[str, object] | list[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")


def _config_of(file: WeightsFile) -> DenoiserConfig:
    """Take the configuration from the file, or read it off the tensors' names and shapes."""
    saved: Any = file.extra.get("config")
    try:
        return DenoiserConfig(**saved) if saved else _inferred_config(file)
    except TypeError as error:
        raise WeightsError(
            f"its configuration is of another version ({error})",
            path=file.path,
            remedy="Use the version of ldct_clipdn that wrote the file",
        ) from error


def _inferred_config(file: WeightsFile) -> DenoiserConfig:
    state = file.state
    last = state.get("last.weight")
    blocks = tuple(_count(state, rf"encoder\.layer{k}\.(\d+)\.") for k in (1, 2, 3))
    names = [name for name, layout in ENCODERS.items() if layout.blocks[:3] == blocks]
    levels = _count(state, r"up_path\.(\d+)\.")
    top = state.get(f"up_path.{levels - 1}.conv_block.block.0.weight")
    if last is None or last.ndim != 4 or not names or top is None or top.ndim != 4:
        raise WeightsError(
            f"this is no denoiser: it holds {_some(state)}",
            path=file.path,
            remedy="Give a denoiser's weights; an encoder alone (such as RN50.pt) is for training",
        )
    width = int(last.shape[1])
    return DenoiserConfig(
        in_channels=int(last.shape[0]),
        encoder=names[0],
        width=None if width == ENCODERS[names[0]].width else width,
        use_image=int(top.shape[1]) == width + 3,
        use_f5=levels == 6,
        encoder_source=NOT_RECORDED,
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in state if (match := re.match(pattern, name))})
