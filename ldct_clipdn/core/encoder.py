"""The image encoder of CLIP's ResNets, as far as dense features need it.

A short trunk of our own whose state-dict keys are those of open_clip's visual tower, so that its
weights load without renaming; tests prove equal features. Attention pooling is left out: the
method takes feature maps (paper, section 3.1).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Self

import torch
from torch import Tensor, nn

from ldct_clipdn.errors import ConfigError

__all__ = [
    "ENCODERS",
    "DenseEncoder",
    "Encoder",
    "EncoderFamily",
    "EncoderLayout",
    "EncoderNorm",
    "layout_of",
]

EncoderNorm = Literal["frozen", "adapt", "calibrate"]
EncoderFamily = Literal["clip", "moco", "imagenet", "vit"]

CALIBRATION_BATCHES: Final = 6
"""Training batches whose statistics `calibrate` averages before it freezes them."""


@dataclass(frozen=True)
class EncoderLayout:
    """Kind and size of one encoder.

    Parameters
    ----------
    blocks
        Bottleneck blocks in layer1 to layer4; of a ViT, the layers up to the one that is taken.
    width
        Base channels C: the stem has C, layer1 to layer4 have 4C, 8C, 16C and 32C; a ViT's tokens
        have 12C.
    family
        `clip` (this module), `moco` and `imagenet` (`encoder_resnet`), `vit` (`vit`).
    """

    blocks: tuple[int, ...]
    width: int
    family: EncoderFamily = "clip"


ENCODERS: Final = {
    "RN50": EncoderLayout((3, 4, 6, 3), 64),
    "RN50x4": EncoderLayout((4, 6, 10, 6), 80),
    "RN50x16": EncoderLayout((6, 8, 18, 8), 96),
    "RN101": EncoderLayout((3, 4, 23, 3), 64),
    "RN50x64": EncoderLayout((3, 15, 36, 10), 128),
    "ViT-B-16": EncoderLayout((7,), 64, "vit"),
    "MoCo-v3-RN50": EncoderLayout((3, 4, 6, 3), 64, "moco"),
    "ImageNet-RN50v2": EncoderLayout((3, 4, 6), 64, "imagenet"),
    "tiny": EncoderLayout((1, 1, 1, 1), 2),
}
"""Encoders by name; MoCo-v3-RN50, ImageNet-RN50v2 and `tiny` (for tests) are no CLIP networks."""


def layout_of(encoder: str) -> EncoderLayout:
    """Look up an encoder's size.

    Parameters
    ----------
    encoder
        A key of `ENCODERS`.

    Returns
    -------
    EncoderLayout
        Its blocks and base width.

    Raises
    ------
    ConfigError
        When there is no such encoder.
    """
    if encoder not in ENCODERS:
        raise ConfigError(
            f"there is no encoder named {encoder!r}", remedy=f"Choose one of {', '.join(ENCODERS)}"
        )
    return ENCODERS[encoder]


class Bottleneck(nn.Module):
    """Residual block of CLIP's ResNets: every stride is an average pooling.

    Parameters
    ----------
    in_channels
        Channels of the input.
    planes
        Channels of the inner convolutions; the output has four times as many.
    stride
        1 or 2.
    """

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * planes
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            parts: dict[str, nn.Module] = {
                "-1": nn.AvgPool2d(stride),
                "0": nn.Conv2d(in_channels, out_channels, 1, bias=False),
                "1": nn.BatchNorm2d(out_channels),
            }
            self.downsample = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block.

        Parameters
        ----------
        x
            Features [B, in_channels, H, W].

        Returns
        -------
        torch.Tensor
            Features [B, 4 planes, H / stride, W / stride].
        """
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(self.pool(out)))
        return torch.relu(out + self.downsample(x))


class DenseEncoder(nn.Module):
    """What every encoder shares: what its BatchNorm does in training mode.

    Parameters
    ----------
    norm
        As for `Encoder`.
    """

    def __init__(self, norm: EncoderNorm) -> None:
        super().__init__()
        self.norm = norm

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode, as far as `norm` lets it.

        MONAI's trainer calls this on the whole network at every iteration; a frozen encoder
        must not notice.

        Parameters
        ----------
        mode
            True for training.

        Returns
        -------
        DenseEncoder
            Itself.
        """
        adapting = self.norm == "adapt" or (self.norm == "calibrate" and not self.is_calibrated())
        super().train(mode and adapting)
        return self

    def start_calibration(self) -> None:
        """Forget the stored statistics, so that the first training batches set them."""
        for module in self._batch_norms():
            module.momentum = None  # a plain average over all batches seen
            module.reset_running_stats()

    def is_calibrated(self) -> bool:
        """Say whether the statistics come from enough batches for `calibrate` to freeze them.

        Returns
        -------
        bool
            True also where there is no BatchNorm.
        """
        first = next(self._batch_norms(), None)
        seen = None if first is None else first.num_batches_tracked
        return seen is None or int(seen) >= CALIBRATION_BATCHES

    def _batch_norms(self) -> Iterator[nn.BatchNorm2d]:
        return (module for module in self.modules() if isinstance(module, nn.BatchNorm2d))


class Encoder(DenseEncoder):
    """Dense features F1 to F4, and F5 on request, each before the pooling that follows it.

    The input is the image in [0, 1] as it is, without CLIP's mean and standard deviation, as in the
    published code.

    Parameters
    ----------
    layout
        Blocks and base width C.
    with_f5
        Build layer4 and return F5 too.
    norm
        What BatchNorm does in training mode; in evaluation mode it always uses its stored
        statistics. `frozen`: the same in training, so that the encoder is one fixed function.
        `adapt`: normalise by the batch and update the stored statistics (the published code).
        `calibrate`: adapt during the first batches, then frozen.
    """

    def __init__(self, layout: EncoderLayout, *, with_f5: bool, norm: EncoderNorm) -> None:
        super().__init__(norm)
        width = layout.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        self.layer1 = _make_layer(width, width, layout.blocks[0], stride=1)
        self.layer2 = _make_layer(4 * width, 2 * width, layout.blocks[1], stride=2)
        self.layer3 = _make_layer(8 * width, 4 * width, layout.blocks[2], stride=2)
        if with_f5:
            self.layer4 = _make_layer(16 * width, 8 * width, layout.blocks[3], stride=2)
        self.with_f5 = with_f5
        self._initialise()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the feature pyramid.

        Parameters
        ----------
        x
            Image [B, 3, H, W] in [0, 1]; H and W multiples of 32.

        Returns
        -------
        list of torch.Tensor
            F1 [B, C, H/2, W/2], F2 [B, 4C, H/4, W/4], F3 [B, 8C, H/8, W/8],
            F4 [B, 16C, H/16, W/16], and with F5 [B, 32C, H/32, W/32].
        """
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        f1 = torch.relu(self.bn3(self.conv3(x)))
        f2 = self.layer1(self.avgpool(f1))
        f3 = self.layer2(f2)
        f4 = self.layer3(f3)
        return [f1, f2, f3, f4, self.layer4(f4)] if self.with_f5 else [f1, f2, f3, f4]

    def _initialise(self) -> None:
        # PyTorch's default would let the signal of a random encoder die out within a few blocks
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, Bottleneck):
                # each block adds to what passes by: a small share keeps deep features in range
                nn.init.constant_(module.bn3.weight, 0.3)


def _make_layer(in_channels: int, planes: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, planes, stride)
    return nn.Sequential(first, *(Bottleneck(4 * planes, planes, 1) for _ in range(blocks - 1)))
