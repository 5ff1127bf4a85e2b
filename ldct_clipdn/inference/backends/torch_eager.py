"""The network as PyTorch runs it, on the CPU or a CUDA device, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ldct_clipdn.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ldct_clipdn.core.denoiser import CLIPDenoiser
    from ldct_clipdn.core.weights import WeightsInfo

__all__ = ["TorchBackend"]


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
    """

    name = "torch"
    version = torch.__version__

    def __init__(self, model: CLIPDenoiser, weights: WeightsInfo, device: torch.device) -> None:
        self.model = model.to(device)
        self.weights = weights
        self.device = device
        self.device_class = f"{device.type}-fp32"

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
            with torch.inference_mode():
                return self.model(torch.from_numpy(batch).to(self.device)).cpu().numpy()  # type: ignore[no-any-return]
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"the memory of {self.device} is too small for {tuple(batch.shape)}",
                remedy="Give --device cpu, or free the device",
            ) from error
