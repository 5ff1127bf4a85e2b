"""Opens the engine that denoising runs on: weights, device and back-end put together once."""

from __future__ import annotations

from pathlib import Path

import torch

from ldct_clipdn.core.weight_checks import check_channels
from ldct_clipdn.core.weights import open_denoiser
from ldct_clipdn.errors import BackendError
from ldct_clipdn.inference.backends import BACKENDS, Backend
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.inference.backends.torch_eager import TorchBackend

__all__ = ["open_engine", "pick_device"]


def open_engine(
    weights: str | Path = "default",
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "float32",
) -> Backend:
    """Open an engine for CT.

    Parameters
    ----------
    weights
        As for `load_denoiser`; not read by `identity`.
    device
        `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
    backend
        `auto`, or one of `BACKENDS`.
    precision
        `float32`, or `bfloat16` or `float16` where the device computes with it.

    Returns
    -------
    Backend
        Ready to run.

    Raises
    ------
    BackendError
        When back-end or device is not there, or the device has not this precision.
    WeightsError
        When the weights do not load, or are not for one-channel images.
    """
    if backend == "identity":
        return IdentityBackend()
    if backend not in ("auto", *BACKENDS):
        raise BackendError(
            f"there is no back-end named {backend!r}", remedy=f"Choose auto, {', '.join(BACKENDS)}"
        )
    torch_device = pick_device(device)
    model, info = open_denoiser(weights)
    check_channels(Path(weights), model.config.in_channels, 1)
    return TorchBackend(model, info, torch_device, precision)


def pick_device(device: str) -> torch.device:
    """Turn a device's name into a device that is there.

    Parameters
    ----------
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    BackendError
        When there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise BackendError(
            f"{device!r} is no device", remedy="Give auto, cpu, cuda or cuda:N"
        ) from error
    if chosen.type == "cpu":
        return chosen
    if chosen.type != "cuda" or (chosen.index or 0) >= torch.cuda.device_count():
        raise BackendError(
            f"the device {device!r} is not available here "
            f"({torch.cuda.device_count()} CUDA devices)",
            remedy="Give --device cpu, or auto",
        )
    return chosen
