"""The network as PyTorch runs it, on the CPU or a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from typing import TYPE_CHECKING, Final

import torch

from ldct_clipdn.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ldct_clipdn.core.denoiser import CLIPDenoiser
    from ldct_clipdn.core.weights import WeightsInfo

__all__ = ["PRECISIONS", "TorchBackend"]

PRECISIONS: Final = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
"""What products are computed in, and its name in the recipe."""


ONEDNN_LIMITS: Final = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""By these a user keeps the library of the convolutions from newer instructions."""


class TorchBackend:
    """Runs a denoiser in PyTorch.

    Parameters
    ----------
    model
        A one-channel denoiser in evaluation mode.
    weights
        What its weights are.
    device
        Where to run it.
    precision
        Of the convolutions and products: a key of `PRECISIONS`.

    Raises
    ------
    BackendError
        When the device does not compute with it.
    """

    name = "torch"
    version = torch.__version__

    def __init__(
        self,
        model: CLIPDenoiser,
        weights: WeightsInfo,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        _check_precision(precision, device)
        self.model = model.to(device)
        self.weights = weights
        self.device = device
        self.device_class = f"{device.type}-{PRECISIONS[precision]}-{_hardware(device)}"
        self._precision = precision

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Denoise a batch.

        Parameters
        ----------
        batch
            float32 [B, 1, H, W] in [0, 1].

        Returns
        -------
        numpy.ndarray
            float32, same shape; not limited to [0, 1].

        Raises
        ------
        BackendError
            When the device's memory does not hold it.
        """
        try:
            with torch.inference_mode(), _exact(self.device), self._autocast():
                answer = self.model(torch.from_numpy(batch).to(self.device))
                return answer.float().cpu().numpy()  # type: ignore[no-any-return]
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"the memory of {self.device} is too small for {tuple(batch.shape)}",
                remedy="Give --batch-size 1 or --device cpu, or free the device",
            ) from error

    def _autocast(self) -> torch.autocast:
        is_full = self._precision == "float32"
        dtype = None if is_full else getattr(torch, self._precision)
        return torch.autocast(self.device.type, dtype, enabled=not is_full)


def _hardware(device: torch.device) -> str:
    """Say by what the same network gives other last bits on another machine: sums are split."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device).lower().replace(" ", "-")
    instructions, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    limits = [environ.get(name, "") for name in ONEDNN_LIMITS]
    return "-".join(filter(None, (instructions, f"{threads}-threads", *limits))).lower()


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Have CUDA compute the same in every run, and float32 be float32 and not TF32."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def _check_precision(precision: str, device: torch.device) -> None:
    if precision not in PRECISIONS:
        raise BackendError(
            f"there is no precision {precision!r}", remedy=f"Choose {', '.join(PRECISIONS)}"
        )
    is_cuda = device.type == "cuda"
    if precision == "float16" and not is_cuda:
        raise BackendError("a CPU does not compute in float16", remedy="Give --precision bfloat16")
    if precision == "bfloat16" and is_cuda and not torch.cuda.is_bf16_supported():
        raise BackendError(
            f"{device} does not compute in bfloat16", remedy="Give --precision float16"
        )
