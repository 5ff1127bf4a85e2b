"""Everything that may stand in a table: classic filters, networks, and any callable of the user's.

A classic filter's strength is chosen on validation pictures under the same noise, never on a test
picture; so, unlike the networks, it knows the noise.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ldct_clipdn.bench.peers import load_peer
from ldct_clipdn.core.benchmark import Denoise, Picture, denoise_pictures
from ldct_clipdn.core.metrics import psnr
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weights import open_denoiser
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Method", "Prepared", "choose_strength", "from_callable", "make_method"]

CPU: Final = torch.device("cpu")


class Prepared(NamedTuple):
    """A method ready for one condition.

    Parameters
    ----------
    denoise
        Noisy [B, 3, H, W] to denoised.
    setting
        What it was set to, or empty.
    """

    denoise: Denoise
    setting: str


@dataclass(frozen=True)
class Method:
    """One column of a table.

    Parameters
    ----------
    name
        Heading.
    prepare
        Gives the denoiser for a noise; None stands for photographs.
    settings
        What its results depend on, for the record.
    counterpart
        The printed method that it is compared with; empty for none.
    module
        The network, where it is one, for counting.
    """

    name: str
    prepare: Callable[[Noise | None], Prepared]
    settings: Mapping[str, Any] = field(default_factory=dict)
    counterpart: str = ""
    module: nn.Module | None = None


@dataclass(frozen=True)
class _Filter:
    """A classic filter and the strengths that are tried."""

    name: str
    apply: Callable[[NDArray[Any], float], NDArray[Any]]
    strengths: tuple[float, ...]


def _total_variation(image: NDArray[Any], strength: float) -> NDArray[Any]:
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(image, weight=strength, channel_axis=-1))


def _non_local_means(image: NDArray[Any], strength: float) -> NDArray[Any]:
    from skimage.restoration import denoise_nl_means

    return np.asarray(
        denoise_nl_means(
            image, patch_size=5, patch_distance=6, h=strength, fast_mode=True, channel_axis=-1
        )
    )


_FILTERS: Final = {
    one.name.lower(): one
    for one in (
        _Filter("TV", _total_variation, tuple(np.geomspace(0.03, 0.6, 12).round(4).tolist())),
        _Filter("NLM", _non_local_means, tuple(np.geomspace(0.02, 0.5, 10).round(4).tolist())),
    )
}

_PEERS: Final = ("dncnn", "restormer")


def make_method(text: str, device: torch.device, validation: Sequence[Picture] = ()) -> Method:
    """Make a method from how it is named on the command line.

    Parameters
    ----------
    text
        `noisy`; `tv` or `nlm` (strength chosen on `validation`) or `tv:0.1`; `dncnn:FILE` or
        `restormer:FILE`; `python:MODULE:NAME`; or a denoiser of this package as `weights:FILE`.
        Before FILE may stand `NAME=`, the heading.
    device
        Where networks go.
    validation
        Clean pictures to choose strengths on.

    Returns
    -------
    Method
        One column.

    Raises
    ------
    ConfigError
        When it names nothing that can be used.
    WeightsError
        When a weights file cannot be used.
    """
    kind, _, rest = text.partition(":")
    if text == "noisy":
        return Method("noisy", lambda _: Prepared(_identity, ""))
    if kind in _FILTERS:
        return _filter_method(_FILTERS[kind], rest, validation)
    if kind in _PEERS and rest:
        return _peer_method(kind, rest, device)
    if kind == "python" and rest:
        return _python_method(rest, device)
    if kind == "weights" and rest:
        return _denoiser_method(rest, device)
    raise ConfigError(
        f"there is no method {text!r}",
        remedy="Give noisy, tv, nlm, dncnn:FILE, restormer:FILE, weights:FILE or "
        "python:MODULE:NAME",
    )


def from_callable(
    name: str, denoise: Denoise | nn.Module, *, device: torch.device = CPU, counterpart: str = ""
) -> Method:
    """Let any network or function join a table.

    Parameters
    ----------
    name
        Heading.
    denoise
        Noisy [B, 3, H, W] in [0, 1], float32, to the same shape. A module is set to evaluation
        mode and moved to the device. Resuming knows another one by its source, layout and weights,
        but not by what a function or an object holds besides: give that another name.
    device
        Where a module goes.
    counterpart
        The printed method that it is compared with; empty for none.

    Returns
    -------
    Method
        One column.
    """
    module = denoise.to(device).eval() if isinstance(denoise, nn.Module) else None
    prepared = Prepared(denoise if module is None else module, "")
    return Method(name, lambda _: prepared, _identify(denoise), counterpart, module)


def _identify(denoise: Denoise | nn.Module) -> dict[str, str]:
    """Say what a denoiser is: where it stands, its source, and a network's layout and weights."""
    kind: Any = denoise if hasattr(denoise, "__qualname__") else type(denoise)
    digest = sha256()
    with suppress(OSError, TypeError):  # typed in, or not in Python
        digest.update(inspect.getsource(kind).encode())
    if isinstance(denoise, nn.Module):
        digest.update(repr(denoise).encode())
        for name, value in denoise.state_dict().items():
            digest.update(name.encode() + _stored(value))
    return {"callable": f"{kind.__module__}.{kind.__qualname__}", "sha256": digest.hexdigest()}


def _stored(value: Any) -> bytes:
    if not isinstance(value, Tensor):
        return repr(value).encode()  # what a module keeps besides tensors
    return value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()


def choose_strength(
    apply: Callable[[NDArray[Any], float], NDArray[Any]],
    strengths: Sequence[float],
    pictures: Sequence[Picture],
    noise: Noise | None,
) -> float:
    """Find the strength of the highest mean PSNR on validation pictures.

    Parameters
    ----------
    apply
        Filters [H, W, 3] with a strength.
    strengths
        What is tried.
    pictures
        Validation pictures.
    noise
        Their noise; None for pairs.

    Returns
    -------
    float
        One of the strengths.
    """
    return max(
        strengths,
        key=lambda strength: sum(
            psnr(after, clean, 1.0)
            for result in denoise_pictures(
                _on_tensors(apply, strength), pictures, noise, device=CPU
            )
            for after, clean in zip(result.denoised, result.clean, strict=True)
        ),
    )


def _filter_method(one: _Filter, strength: str, validation: Sequence[Picture]) -> Method:
    if strength:
        fixed = _number(strength, one.name)
        setting = Prepared(_on_tensors(one.apply, fixed), f"strength {fixed:g}")
        return Method(one.name, lambda _: setting, {"strength": fixed})
    if not validation:
        raise ConfigError(
            f"the strength of {one.name} has to be chosen on other pictures than the test's",
            remedy=f"Add --validation DIR, or give the strength: {one.name.lower()}:0.1",
        )

    def prepare(noise: Noise | None) -> Prepared:
        best = choose_strength(one.apply, one.strengths, validation, noise)
        return Prepared(_on_tensors(one.apply, best), f"strength {best:g}")

    chosen_on = {picture.name: _picture_sha256(picture) for picture in validation}
    return Method(one.name, prepare, {"strengths": list(one.strengths), "validation": chosen_on})


def _picture_sha256(picture: Picture) -> str:
    halves = (half for half in (picture.clean, picture.noisy) if half is not None)
    return sha256(b"".join(_stored(half) for half in halves)).hexdigest()


def _peer_method(kind: str, text: str, device: torch.device) -> Method:
    name, _, path = text.rpartition("=")
    peer = load_peer(Path(path))
    if peer.config.peer != kind:
        raise ConfigError(f"this is a {peer.config.title}, not a {kind}", path=path)
    _require_colour(peer.config.in_channels, path)
    method = _network_method(name or peer.config.title, peer, file_sha256(Path(path)), device)
    return replace(method, counterpart=peer.config.title if peer.config.as_published else "")


def _denoiser_method(text: str, device: torch.device) -> Method:
    name, _, path = text.rpartition("=")
    model, info = open_denoiser(path)
    _require_colour(model.config.in_channels, path)
    method = _network_method(name or Path(info.name).stem, model, info.sha256, device)
    about = {"encoder": info.encoder, "config": model.config.to_dict()}
    return replace(method, settings={**method.settings, **about}, counterpart="CLIPDenoising")


def _network_method(name: str, network: nn.Module, digest: str, device: torch.device) -> Method:
    prepared = Prepared(network.to(device).eval(), "")
    return Method(name, lambda _: prepared, {"sha256": digest}, module=network)


def _require_colour(channels: int, path: str) -> None:
    if channels != 3:
        raise ConfigError(
            "this denoiser takes one channel (CT), pictures have three",
            path=path,
            remedy="Give weights trained by the bundle image_clip_denoising",
        )


def _python_method(place: str, device: torch.device) -> Method:
    module_name, _, name = place.partition(":")
    try:
        thing = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"python:{place} cannot be imported ({error})",
            remedy="Give python:MODULE:NAME of something that can be imported from here",
        ) from error
    # a class makes the denoiser, anything else is one
    denoise = thing() if isinstance(thing, type) else thing
    if not callable(denoise):
        raise ConfigError(
            f"python:{place} is no denoiser: it cannot be called",
            remedy="Name a function, or a class without arguments, of noisy pictures [B, 3, H, W]",
        )
    return from_callable(name, denoise, device=device)


def _on_tensors(apply: Callable[[NDArray[Any], float], NDArray[Any]], strength: float) -> Denoise:
    def denoise(noisy: Tensor) -> Tensor:
        filtered = [
            apply(image.permute(1, 2, 0).double().cpu().numpy(), strength) for image in noisy
        ]
        return torch.from_numpy(np.stack(filtered)).permute(0, 3, 1, 2).to(noisy)

    return denoise


def _identity(noisy: Tensor) -> Tensor:
    return noisy


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise ConfigError(f"{name} has no strength {text!r}", remedy="Give a number above 0")
    return value
