"""The Restormer block (Zamir et al., CVPR 2022), for the Transformer decoder of section 5."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["RestormerBlock"]

EXPANSION: Final = 2.66


class RestormerBlock(nn.Module):
    """Attention between channels and a gated network, each added to what came in.

    Parameters
    ----------
    channels
        Of input and output.
    heads
        Attention heads; divides `channels`.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = ChannelAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.ffn = GatedNetwork(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block.

        Parameters
        ----------
        x
            [B, C, H, W].

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        x = x + self.attn(_over_channels(self.norm1, x))
        return x + self.ffn(_over_channels(self.norm2, x))  # type: ignore[no-any-return]


class ChannelAttention(nn.Module):
    """Multi-Dconv head transposed attention.

    Parameters
    ----------
    channels
        Of input and output.
    heads
        Attention heads; divides `channels`.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(
            3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False
        )
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend from every channel to every channel of its head.

        Parameters
        ----------
        x
            [B, C, H, W].

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        query, key, value = (
            part.flatten(2).unflatten(1, (self.heads, -1))
            for part in self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        )
        likeness = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).mT
        mixed = (likeness * self.temperature).softmax(dim=-1) @ value
        return self.project_out(mixed.flatten(1, 2).view_as(x))  # type: ignore[no-any-return]


class GatedNetwork(nn.Module):
    """Gated-Dconv feed-forward network.

    Parameters
    ----------
    channels
        Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(channels * EXPANSION)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network.

        Parameters
        ----------
        x
            [B, C, H, W].

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        gate, passed = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * passed)  # type: ignore[no-any-return]


def _over_channels(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Normalise each pixel's channels, as the original does; MONAI's normalises each channel."""
    return norm(x.movedim(1, -1)).movedim(-1, 1)  # type: ignore[no-any-return]
