"""Which network a file's tensors are of, and whether they are exactly its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ldct_clipdn.core.config import DenoiserConfig
from ldct_clipdn.core.encoder import ENCODERS, EncoderFamily, EncoderLayout
from ldct_clipdn.core.encoders import make_encoder
from ldct_clipdn.core.weight_files import WeightsFile
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = [
    "broken_values",
    "check_channels",
    "check_fit",
    "config_of",
    "encoder_state",
    "fitting_encoder",
    "is_denoiser",
    "visual_tower",
    "without_unused_layer4",
]

NOT_RECORDED: Final = "not recorded in the file"

IMAGES: Final = {1: "CT", 3: "colour images"}
"""What a denoiser of so many channels is for."""

NOT_DENSE: Final = ("attnpool.",)
"""Keys of CLIP's visual tower that dense features do not need."""

_OTHER_TOWERS: Final[dict[EncoderFamily, tuple[tuple[str, ...], str, str]]] = {
    "vit": (("visual.", ""), "conv1.weight", r"proj$|ln_post\.|transformer\.resblocks\.\d+\."),
    "moco": (("base_encoder.", ""), "conv1.weight", r"fc\."),
    "imagenet": (("",), "stem.conv.weight", r"$^"),
}
"""Of the encoders that are no CLIP ResNets: prefixes, a key, and keys that may be left unused.

MoCo-v3's public checkpoint keeps its encoder under `base_encoder.`, beside the momentum encoder and
the predictor, which are not the encoder and are passed over with everything else outside.
"""


def check_fit(
    path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str
) -> None:
    """Refuse tensors that are not exactly those of a network, or that nothing can compute with.

    Parameters
    ----------
    path
        The file, for the error.
    state
        What it holds.
    expected
        What the network has.
    what
        The network, for the error.

    Raises
    ------
    WeightsError
        When keys are missing or unknown, shapes or kinds of numbers differ, or values are not
        finite; names the first three of each.
    """
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
    if broken := broken_values(state, expected):
        raise WeightsError(
            f"the file holds {what} whose values nothing can compute with: {_some(broken)}",
            path=path,
            remedy="Its training came to nothing or the file is damaged: take an earlier "
            "checkpoint, or copy or download it again",
        )


def check_channels(path: Path, found: int, wanted: int) -> None:
    """Refuse weights for the other kind of images.

    Parameters
    ----------
    path
        The file, for the error.
    found
        Channels of its denoiser.
    wanted
        Channels of the images.

    Raises
    ------
    WeightsError
        When they differ.
    """
    if found != wanted:
        raise WeightsError(
            f"these weights are for {IMAGES[found]}, not for {IMAGES[wanted]}",
            path=path,
            remedy=f"Give weights of a denoiser with in_channels {wanted}",
        )


def broken_values(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors that a network cannot compute with.

    Parameters
    ----------
    state
        Tensors by name.
    expected
        What the network has; where these are floating point, plain tensors of finite floating-point
        numbers are needed, and variances of at least 0.

    Returns
    -------
    list of str
        Each with what is wrong; empty where all is well.
    """
    faults = {name: _fault(name, state[name], like) for name, like in expected.items()}
    return [f"{name} {fault}" for name, fault in faults.items() if fault]


def _fault(name: str, value: Tensor, like: Tensor) -> str:
    if not like.is_floating_point():  # counters, which nothing computes with
        return ""
    if value.layout != torch.strided or not value.is_floating_point():
        return f"is {value.layout} {value.dtype}".replace("torch.", "").replace("strided ", "")
    numbers = value.to(like.dtype)  # as it will be loaded: what is too large becomes infinite
    if not numbers.isfinite().all():
        return "is not finite"
    if name.endswith("running_var") and (numbers < 0).any():
        return "is a negative variance"
    return ""


def is_denoiser(file: WeightsFile) -> bool:
    """Say whether a file looks like a denoiser's and not like an encoder's.

    Parameters
    ----------
    file
        An opened weights file.

    Returns
    -------
    bool
        Whether any tensor is of a decoder.
    """
    return any(name.startswith("up_path.") for name in file.state)


def visual_tower(file: WeightsFile) -> dict[str, Tensor]:
    """Pick the visual encoder's tensors out of whatever they were saved within.

    Parameters
    ----------
    file
        An opened weights file.

    Returns
    -------
    dict
        Tensors by their name in the tower, attention pooling left out.

    Raises
    ------
    WeightsError
        When it holds no CLIP ResNet.
    """
    for prefix in ("visual.", "encoder.", ""):
        if f"{prefix}conv1.weight" in file.state:
            inside = {
                name.removeprefix(prefix): value
                for name, value in file.state.items()
                if name.startswith(prefix)
            }
            return {k: v for k, v in inside.items() if not k.startswith(NOT_DENSE)}
    raise WeightsError(
        f"this is no CLIP ResNet: it has no visual.conv1.weight but {_some(list(file.state))}",
        path=file.path,
        remedy="Give RN50.pt or the state dict of open_clip's visual tower",
    )


def _other_tower(
    file: WeightsFile, family: EncoderFamily, expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    prefixes, key, unused = _OTHER_TOWERS[family]
    prefix = next((one for one in prefixes if one + key in file.state), "")
    inside = {k.removeprefix(prefix): v for k, v in file.state.items() if k.startswith(prefix)}
    return {k: v for k, v in inside.items() if k in expected or not re.match(unused, k)}


def encoder_state(file: WeightsFile, config: DenoiserConfig) -> dict[str, Tensor]:
    """Take exactly an encoder's tensors out of a file.

    Parameters
    ----------
    file
        An opened weights file.
    config
        Says which encoder, and whether layer4 is needed.

    Returns
    -------
    dict
        Complete state dict for `Encoder`, float32.

    Raises
    ------
    WeightsError
        When any key or shape does not fit.
    """
    family = config.layout.family
    expected = _expected_encoder(config.layout, with_f5=config.use_f5)
    tower = visual_tower(file) if family == "clip" else _other_tower(file, family, expected)
    state = without_unused_layer4(tower, config, "")
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):  # some savers leave these counters out
            state.setdefault(name, torch.zeros_like(value, device="cpu"))
    what = f"a CLIP {config.encoder} visual" if family in ("clip", "vit") else f"a {config.encoder}"
    check_fit(file.path, state, expected, f"{what} encoder")
    return {name: value.to(expected[name].dtype) for name, value in state.items()}


def fitting_encoder(file: WeightsFile) -> str:
    """Say whose tensors a file holds exactly.

    Parameters
    ----------
    file
        An opened weights file.

    Returns
    -------
    str
        A key of `ENCODERS`.

    Raises
    ------
    WeightsError
        When it is no encoder's; says what does not fit the encoder that comes nearest.
    """
    for name in ENCODERS:
        try:
            encoder_state(file, DenoiserConfig(encoder=name))
        except WeightsError:
            continue
        return name
    nearest = (_encoders_like(visual_tower(file), "") or ["RN50"])[0]
    encoder_state(file, DenoiserConfig(encoder=nearest))
    return nearest


def without_unused_layer4(
    state: Mapping[str, Tensor], config: DenoiserConfig, prefix: str
) -> dict[str, Tensor]:
    """Drop layer4 where F5 is not used: published files hold it, and it changes nothing.

    Parameters
    ----------
    state
        Tensors by name.
    config
        Says whether F5 is used.
    prefix
        Of the encoder's names.

    Returns
    -------
    dict
        Without layer4's tensors as far as their names and shapes are right.
    """
    if config.use_f5:
        return dict(state)
    layer4 = {
        prefix + name: value.shape
        for name, value in _expected_encoder(config.layout, with_f5=True).items()
        if name.startswith("layer4.")
    }
    return {name: v for name, v in state.items() if layer4.get(name) != v.shape}


def config_of(file: WeightsFile) -> DenoiserConfig:
    """Take a denoiser's configuration from its file, or read it off the tensors.

    Parameters
    ----------
    file
        An opened weights file.

    Returns
    -------
    DenoiserConfig
        What the network must be.

    Raises
    ------
    WeightsError
        When the file holds no denoiser, or its configuration is of another version.
    """
    saved: Any = file.extra.get("config")
    try:
        return DenoiserConfig(**saved) if saved else _inferred_config(file)
    except (TypeError, ConfigError) as error:
        raise WeightsError(
            f"its configuration is of another version ({error})",
            path=file.path,
            remedy="Use the version of ldct_clipdn that wrote the file",
        ) from error


def _inferred_config(file: WeightsFile) -> DenoiserConfig:
    state = file.state
    last = state.get("last.weight")
    names = _encoders_like(state, "encoder.")
    levels = _count(state, r"up_path\.(\d+)\.")
    top = state.get(f"up_path.{levels - 1}.conv_block.block.0.weight")
    if last is None or last.ndim != 4 or not names or top is None or top.ndim != 4:
        raise WeightsError(
            f"this is no denoiser: it holds {_some(list(state))}",
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


def _encoders_like(state: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Name the encoders that have as many blocks."""
    blocks = tuple(_count(state, rf"{re.escape(prefix)}layer{k}\.(\d+)\.") for k in (1, 2, 3))
    return [
        name
        for name, layout in ENCODERS.items()
        if layout.family == "clip" and layout.blocks[:3] == blocks
    ]


def _expected_encoder(layout: EncoderLayout, *, with_f5: bool) -> dict[str, Tensor]:
    with torch.device("meta"):
        return make_encoder(layout, with_f5=with_f5, norm="frozen").state_dict()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in state if (match := re.match(pattern, name))})
