"""The learnable decoder: from the encoder's features and the noisy image to the clean image."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor, nn

from ldct_clipdn.core.restormer import RestormerBlock
from ldct_clipdn.core.vit import TokenMixer

__all__ = [
    "DecoderKind",
    "build_up_path",
    "build_up_path_of_tokens",
    "decode",
    "start_from_identity",
]

DecoderKind = Literal["conv", "restormer"]

NEGATIVE_SLOPE: Final = 0.2

CHANNELS_PER_HEAD: Final = 48
"""Restormer's own ratio, where it divides the channels."""


class _ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each with LeakyReLU; no bias, no normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.LeakyReLU(NEGATIVE_SLOPE),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)  # type: ignore[no-any-return]


class _TransformerBlock(nn.Sequential):
    """The Restormer block in a Conv-block's place (section 5); a convolution sets the channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        heads = max(1, out_channels // CHANNELS_PER_HEAD)
        while out_channels % heads:
            heads -= 1
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            RestormerBlock(out_channels, heads),
        )


_BLOCKS: Final[dict[DecoderKind, type[nn.Module]]] = {
    "conv": _ConvBlock,
    "restormer": _TransformerBlock,
}


class _UpBlock(nn.Module):
    """Double the size, put the skip feature behind, convolve.

    The extra level (`conv_block`) gives the published checkpoint's key names.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        kind: DecoderKind = "conv",
    ) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv_block = _BLOCKS[kind](in_channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.up(x)
        return self.conv_block(x if skip is None else torch.cat([x, skip], dim=1))  # type: ignore[no-any-return]


class _FirstBlock(nn.Module):
    """The deepest block: no doubling and no skip feature."""

    def __init__(self, in_channels: int, out_channels: int, kind: DecoderKind) -> None:
        super().__init__()
        self.conv_block = _BLOCKS[kind](in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block(x)  # type: ignore[no-any-return]


def build_up_path(
    width: int, *, use_image: bool, use_f5: bool, kind: DecoderKind = "conv"
) -> nn.ModuleList:
    """Make the decoder's blocks, deep to shallow, as in the published CLIPDenoising_arch.py.

    Parameters
    ----------
    width
        Base channels C.
    use_image
        Concatenate the noisy image at full size (False is the paper's Table 4, "w/o input").
    use_f5
        Begin one level deeper, at F5 (Table 4, "+F5").
    kind
        `conv` as published, or `restormer`: a Restormer block in each Conv-block's place.

    Returns
    -------
    torch.nn.ModuleList
        Blocks for `decode`; the last one gives C channels at full size.
    """
    c = width
    deepest: list[nn.Module] = [_FirstBlock(16 * c, 8 * c, kind)]
    if use_f5:
        deepest = [_FirstBlock(32 * c, 16 * c, kind), _UpBlock(16 * c, 16 * c, 8 * c, kind)]
    return nn.ModuleList(
        [
            *deepest,
            _UpBlock(8 * c, 8 * c, 4 * c, kind),
            _UpBlock(4 * c, 4 * c, 2 * c, kind),
            _UpBlock(2 * c, c, c, kind),
            _UpBlock(c, 3 if use_image else 0, c, kind),
        ]
    )


def build_up_path_of_tokens(width: int, token_channels: int, *, use_image: bool) -> nn.ModuleList:
    """Make the decoder for a ViT: 4 learnable ViT blocks, then 4 upsampling blocks (Table 8).

    The paper gives no channel numbers: here they are those of the usual decoder. Only the noisy
    image is put in, at full size, since a ViT has no shallow features.

    Parameters
    ----------
    width
        Base channels C.
    token_channels
        Channels of the ViT's map.
    use_image
        Concatenate the noisy image at full size.

    Returns
    -------
    torch.nn.ModuleList
        Blocks for `decode`; the last one gives C channels at full size.
    """
    c = width
    return nn.ModuleList(
        [
            TokenMixer(token_channels),
            _UpBlock(token_channels, 0, 8 * c),
            _UpBlock(8 * c, 0, 4 * c),
            _UpBlock(4 * c, 0, 2 * c),
            _UpBlock(2 * c, 3 if use_image else 0, c),
        ]
    )


def decode(up_path: nn.ModuleList, features: list[Tensor], image: Tensor | None) -> Tensor:
    """Run the blocks from the deepest feature to full size.

    Parameters
    ----------
    up_path
        What `build_up_path` or `build_up_path_of_tokens` made.
    features
        The encoder's features, shallow to deep; a ViT's one map.
    image
        The encoder's own input [B, 3, H, W]; None where the decoder takes no image.

    Returns
    -------
    torch.Tensor
        [B, C, H, W].
    """
    *shallow, deepest = features
    first, *rest = up_path
    x: Tensor = first(deepest)
    skips: list[Tensor | None] = [*reversed(shallow), image]
    without_skip: list[Tensor | None] = [None] * (len(rest) - len(skips))
    for block, skip in zip(rest, without_skip + skips, strict=True):
        x = block(x, skip)
    return x


def start_from_identity(up_path: nn.ModuleList, last: nn.Conv2d) -> None:
    """Set the last block so that the noisy image passes through, one channel per output channel.

    A short training needs it: from a random start thousands of iterations go by before the output
    beats its input. What is below zero passes with the LeakyReLU's slope.

    Parameters
    ----------
    up_path
        The decoder's blocks; the last takes the image as its last three channels.
    last
        The convolution that makes the output image.
    """
    block = up_path[-1].get_submodule("conv_block.block")
    weight1, weight2 = block.get_parameter("0.weight"), block.get_parameter("2.weight")
    colours = last.out_channels
    with torch.no_grad():
        last.weight.zero_()
        for k in range(colours):
            weight1[k].zero_()
            weight2[k].zero_()
            if colours == 1:
                weight1[k, -3:, 1, 1] = 1 / 3  # the adapter hands the one channel over three times
            else:
                weight1[k, k - 3, 1, 1] = 1
            weight2[k, k, 1, 1] = 1
            last.weight[k, k, 1, 1] = 1
