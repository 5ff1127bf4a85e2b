"""How the bundle runs the network: slices as they come, volumes slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer
from torch import Tensor, nn

from ldct_clipdn.training.checkpoint import denoiser_in

__all__ = ["CTInferer", "HalfInferer"]


class CTInferer(Inferer):
    """Accepts slices [B, 1, H, W], and volumes [B, 1, W, H, D] as MONAI Deploy hands them over.

    Deploy's volumes run columns first; each slice is turned to rows by columns, as in training,
    and back.
    """

    def __call__(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Run the network.

        Parameters
        ----------
        inputs
            [B, 1, H, W] or [B, 1, W, H, D] in [0, 1].
        network
            The denoiser.
        *args
            Handed on to the network.
        **kwargs
            Handed on to the network.

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        if inputs.ndim == 4:
            return network(inputs, *args, **kwargs)
        slices = [network(one.mT, *args, **kwargs).mT for one in inputs.unbind(-1)]
        return torch.stack(slices, dim=-1)


class HalfInferer(SimpleInferer):
    """Computes in bfloat16, but the last block and convolution in float32.

    Two thirds of the time on CPUs that have bfloat16. What it tells apart in soft tissue are steps
    of 4 HU: as noise of 1 HU on the input they do no harm, on the output they would. A network that
    only adds to the image (`bench.peers`) computes in bfloat16 throughout, but for that sum.

    Parameters
    ----------
    network
        The denoiser that will be trained.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        denoiser = denoiser_in(network)
        if not hasattr(denoiser, "up_path"):
            return
        for part in (denoiser.up_path[-1].get_submodule("conv_block"), denoiser.last):
            # bound to the part: a deep copy of the network has parts of its own
            part.forward = MethodType(_in_float32, part)

    def __call__(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Run the network.

        Parameters
        ----------
        inputs
            [B, C, H, W] in [0, 1].
        network
            The denoiser.
        *args
            Handed on to the network.
        **kwargs
            Handed on to the network.

        Returns
        -------
        torch.Tensor
            Same shape, float32.
        """
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return network(inputs, *args, **kwargs)


def _in_float32(part: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        result: Tensor = type(part).forward(part, x.float())
        return result
