"""Every way to weights: the encoder's by tag or file, a denoiser's from file; strict in all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ldct_clipdn.core.config import PUBLISHED_HU, DenoiserConfig
from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.core.encoder import EncoderNorm
from ldct_clipdn.core.encoder_files import find_encoder
from ldct_clipdn.core.weight_checks import (
    check_fit,
    config_of,
    encoder_state,
    without_unused_layer4,
)
from ldct_clipdn.core.weight_files import WeightsFile, read_weights_file, write_weights_file
from ldct_clipdn.core.weight_store import find_weights
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = [
    "EncoderWeights",
    "WeightsInfo",
    "load_denoiser",
    "open_denoiser",
    "read_encoder_weights",
    "save_denoiser",
]


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
    target_noise_hu
        Noise that denoising with them should leave in HU, for `--strength auto`; None where the
        file does not say.
    trained_noise_hu
        Lowest and highest noise in HU that they were trained for; None where the file does not say.
    hu_range
        HU that the network sees as 0 and 1; None where the file does not say, and then it is the
        published range, and where there are none.
    """

    name: str
    sha256: str
    encoder: str
    target_noise_hu: float | None = None
    trained_noise_hu: tuple[float, float] | None = None
    hu_range: tuple[float, float] | None = None

    @property
    def described(self) -> str:
        """The encoder, and the HU that the network sees where the file says which."""
        if self.hu_range is None:
            return self.encoder
        low, high = self.hu_range
        return f"{self.encoder}, HU {low:g} to {high:g}"


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
        checkpoint of the published code; or the name of imported weights.
    encoder_norm
        What BatchNorm does if training goes on; None keeps what the file says.

    Returns
    -------
    CLIPDenoiser
        In evaluation mode, on the CPU. Of CT, `config.hu_range` says which HU are its 0 and 1.

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
        Name, SHA-256, encoder, and what the file says of HU.

    Raises
    ------
    WeightsError
        When the file is not there or is not exactly a denoiser's.
    """
    file = read_weights_file(find_weights(weights))
    config = config_of(file)
    if encoder_norm is not None:
        config = replace(config, encoder_norm=encoder_norm)
    model = CLIPDenoiser(config)
    state = without_unused_layer4(file.state, config, "encoder.")
    check_fit(file.path, state, model.state_dict(), f"a {config.encoder} denoiser")
    model.load_state_dict(state)
    width = config.layout.width
    encoder = f"{config.encoder}, width {width}, encoder weights: {config.encoder_origin}"
    says_range = "hu_range" in (file.extra.get("config") or {})
    info = WeightsInfo(
        file.path.name,
        file.sha256,
        encoder,
        *_noise_notes(file),
        hu_range=config.hu_range if says_range else None,
    )
    return model.eval(), info


def _noise_notes(file: WeightsFile) -> tuple[float | None, tuple[float, float] | None]:
    """Read what a file says of noise: `target_noise_hu`, and `trained_noise_hu` as two numbers."""
    target, trained = file.extra.get("target_noise_hu"), file.extra.get("trained_noise_hu")
    try:
        hu = None if target is None else float(target)
        if trained is None:
            return hu, None
        low, high = trained
        return hu, (float(low), float(high))
    except (TypeError, ValueError) as error:
        raise WeightsError(
            "what the file says of noise are no numbers", path=file.path, remedy="Write it anew"
        ) from error


def save_denoiser(
    model: CLIPDenoiser,
    path: Path,
    notes: Mapping[str, Any] | None = None,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write a denoiser's weights.

    Parameters
    ----------
    model
        The denoiser.
    path
        `.safetensors` (with its configuration inside) or `.pt` (a bare state dict, for MONAI, which
        stands for the published HU range).
    notes
        What else a safetensors file is to say, as JSON can hold it.
    check
        As for `write_weights_file`.

    Raises
    ------
    ConfigError
        When the name has another ending, or a bare state dict would lose the network's HU range.
    WeightsError
        When it cannot be written.
    """
    hu_range = model.config.hu_range
    if path.suffix not in {".safetensors", ".pt"}:
        raise ConfigError(
            f"weights cannot be written as {path.suffix or 'a file without ending'}",
            path=path,
            remedy="Give a name that ends in .safetensors or .pt",
        )
    if path.suffix == ".pt" and hu_range not in (None, PUBLISHED_HU):
        raise ConfigError(
            f"a bare state dict would not say that the network sees HU {hu_range[0]:g} to "
            f"{hu_range[1]:g}",
            path=path,
            remedy="Give a name that ends in .safetensors, which keeps the configuration",
        )
    write_weights_file(
        path, model.state_dict(), {**(notes or {}), "config": model.config.to_dict()}, check
    )


def read_encoder_weights(
    pretrained: str, config: DenoiserConfig, *, trust_torchscript: bool = False
) -> EncoderWeights:
    """Read a CLIP ResNet's visual weights, by open_clip tag or from a file.

    Parameters
    ----------
    pretrained
        A file, the name of imported weights, or a tag of open_clip such as `openai`. In place of
        any known tag serves the file that the environment variable `LDCT_CLIPDN_ENCODER` names,
        else that tag's file if it was imported.
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
    found = find_encoder(config.encoder, pretrained)
    file = read_weights_file(found.path, trust_torchscript=trust_torchscript)
    return EncoderWeights(encoder_state(file, config), found.described(file.sha256))
