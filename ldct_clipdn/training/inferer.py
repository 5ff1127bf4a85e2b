"""How the bundle runs the network: slices as they come, volumes slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

__all__ = ["CTInferer"]


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
