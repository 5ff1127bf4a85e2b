"""CLIP's ViT-B/16 as the paper's Table 8 uses it: the middle layer's tokens as one feature map."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldct_clipdn.core.encoder import DenseEncoder

__all__ = ["TokenMixer", "ViTBlock", "ViTEncoder"]

PATCH: Final = 16
TRAINED_GRID: Final = 14
"""CLIP's positions are those of a 224 x 224 image; other sizes interpolate them."""

HEADS: Final = 12


class QuickGELU(nn.Module):
    """The activation of OpenAI's CLIP models."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute x times the sigmoid of 1.702 x.

        Parameters
        ----------
        x
            Any shape.

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        return x * torch.sigmoid(1.702 * x)


class ViTBlock(nn.Module):
    """Self-attention and a two-layer network, each added to what came in.

    Parameters
    ----------
    width
        Channels of a token.
    heads
        Attention heads.
    """

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=QuickGELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block.

        Parameters
        ----------
        x
            Tokens [B, N, width].

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        query = self.ln_1(x)
        x = x + self.attn(query, query, query, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))  # type: ignore[no-any-return]


class ViTEncoder(DenseEncoder):
    """The first layers of CLIP's ViT-B/16.

    Parameters
    ----------
    layers
        How many; the paper takes the 7th layer's output.
    width
        Channels of a token.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__("frozen")  # there is no BatchNorm
        self.conv1 = nn.Conv2d(3, width, PATCH, stride=PATCH, bias=False)
        self.class_embedding = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positional_embedding = nn.Parameter(
            width**-0.5 * torch.randn(TRAINED_GRID**2 + 1, width)
        )
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.ModuleDict(
            {"resblocks": nn.ModuleList(ViTBlock(width) for _ in range(layers))}
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the middle layer's feature map.

        Parameters
        ----------
        x
            Image [B, 3, H, W] in [0, 1]; H and W multiples of 16.

        Returns
        -------
        list of torch.Tensor
            One map [B, width, H/16, W/16], without the class token.
        """
        patches = self.conv1(x)
        height, width = patches.shape[-2:]
        first = self.class_embedding.expand(len(x), 1, -1)
        tokens = torch.cat([first, patches.flatten(2).mT], dim=1)
        tokens = self.ln_pre(tokens + self._positions(height, width))
        for block in self.transformer["resblocks"]:  # type: ignore[attr-defined]
            tokens = block(tokens)
        return [tokens[:, 1:].mT.unflatten(2, (height, width))]

    def _positions(self, height: int, width: int) -> Tensor:
        first, grid = self.positional_embedding[:1], self.positional_embedding[1:]
        if (height, width) != (TRAINED_GRID, TRAINED_GRID):
            square = grid.mT.unflatten(1, (TRAINED_GRID, TRAINED_GRID))[None]
            grid = F.interpolate(square, (height, width), mode="bicubic", antialias=True)
            grid = grid[0].flatten(1).mT
        return torch.cat([first, grid])


class TokenMixer(nn.Module):
    """Learnable ViT blocks on a feature map, the first part of Table 8's decoder.

    Parameters
    ----------
    width
        Channels.
    blocks
        How many.
    """

    def __init__(self, width: int, blocks: int = 4) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ViTBlock(width) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Mix the positions.

        Parameters
        ----------
        x
            [B, width, H, W].

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        return self.blocks(x.flatten(2).mT).mT.unflatten(2, x.shape[-2:])  # type: ignore[no-any-return]
