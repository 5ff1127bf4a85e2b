"""The learnable decoder: from the encoder's features and the noisy image to the clean image."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

__all__ = ["build_up_path", "decode", "start_from_identity"]

NEGATIVE_SLOPE: Final = 0.2


class _ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each with LeakyReLU; no bias, no normalisation (PROTOCOL.md 3.2)."""

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


class _UpBlock(nn.Module):
    """Double the size, put the skip feature behind, convolve.

    The extra level (`conv_block`) gives the published checkpoint's key names.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv_block = _ConvBlock(in_channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.up(x)
        return self.conv_block(x if skip is None else torch.cat([x, skip], dim=1))  # type: ignore[no-any-return]


class _FirstBlock(nn.Module):
    """The deepest block: no doubling and no skip feature."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_block = _ConvBlock(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block(x)  # type: ignore[no-any-return]


def build_up_path(width: int, *, use_image: bool, use_f5: bool) -> nn.ModuleList:
    """Make the decoder's blocks, deep to shallow, as published (PROTOCOL.md 3.2).

    Parameters
    ----------
    width
        Base channels C.
    use_image
        Concatenate the noisy image at full size (False is the paper's Table 4, "w/o input").
    use_f5
        Begin one level deeper, at F5 (Table 4, "+F5").

    Returns
    -------
    torch.nn.ModuleList
        Blocks for `decode`; the last one gives C channels at full size.
    """
    c = width
    deepest: list[nn.Module] = [_FirstBlock(16 * c, 8 * c)]
    if use_f5:
        deepest = [_FirstBlock(32 * c, 16 * c), _UpBlock(16 * c, 16 * c, 8 * c)]
    return nn.ModuleList(
        [
            *deepest,
            _UpBlock(8 * c, 8 * c, 4 * c),
            _UpBlock(4 * c, 4 * c, 2 * c),
            _UpBlock(2 * c, c, c),
            _UpBlock(c, 3 if use_image else 0, c),
        ]
    )


def decode(up_path: nn.ModuleList, features: list[Tensor], image: Tensor | None) -> Tensor:
    """Run the blocks from the deepest feature to full size.

    Parameters
    ----------
    up_path
        What `build_up_path` made.
    features
        The encoder's features, shallow to deep.
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
    for block, skip in zip(rest, [*reversed(shallow), image], strict=True):
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
