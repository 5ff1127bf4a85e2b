"""ResNet-50 encoders that are not CLIP's, for the paper's contrasts: MoCo-v3's and ImageNet's.

Both give F1 to F4 of CLIP RN50's sizes, so the same decoder fits. Each takes the image in [0, 1]
and subtracts ImageNet's mean itself, as it was trained; the paper does not say whether it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from ldct_clipdn.core.encoder import DenseEncoder, EncoderNorm

__all__ = ["PostActivationEncoder", "PreActivationEncoder"]

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class _Normalise(nn.Module):
    """Subtract ImageNet's mean and divide by its standard deviation; has no state."""

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


class _PostActivationBlock(nn.Module):
    """torchvision's bottleneck: the stride is in the 3 x 3 convolution."""

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * planes
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        return torch.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class PostActivationEncoder(DenseEncoder):
    """The ResNet-50 of torchvision's keys, which MoCo-v3's public checkpoint has.

    Parameters
    ----------
    blocks
        Bottleneck blocks in layer1 to layer4.
    width
        Base channels C.
    with_f5
        Build layer4 and return F5 too.
    norm
        What BatchNorm does in training mode; see `Encoder`.
    """

    def __init__(
        self, blocks: Sequence[int], width: int, *, with_f5: bool, norm: EncoderNorm
    ) -> None:
        super().__init__(norm)
        self.normalise = _Normalise()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        for level in range(4 if with_f5 else 3):
            planes = width * 2**level
            first = _PostActivationBlock(channels, planes, 1 if level == 0 else 2)
            channels = 4 * planes
            rest = [_PostActivationBlock(channels, planes, 1) for _ in range(blocks[level] - 1)]
            self.add_module(f"layer{level + 1}", nn.Sequential(first, *rest))
        self.levels = 4 if with_f5 else 3

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the feature pyramid.

        Parameters
        ----------
        x
            Image [B, 3, H, W] in [0, 1]; H and W multiples of 32.

        Returns
        -------
        list of torch.Tensor
            F1 to F4, and F5 where built, as `Encoder` gives them.
        """
        features = [torch.relu(self.bn1(self.conv1(self.normalise(x))))]
        deep = self.maxpool(features[0])
        for level in range(1, self.levels + 1):
            deep = self.get_submodule(f"layer{level}")(deep)
            features.append(deep)
        return features


class _Unit(nn.Module):
    """Pre-activation bottleneck: BatchNorm and ReLU come before each convolution."""

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * planes
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.downsample: nn.Conv2d | None = None
        if stride > 1 or in_channels != out_channels:
            self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def activate(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn1(x))

    def forward(self, x: Tensor) -> Tensor:
        active = self.activate(x)
        out = self.conv1(active)
        out = self.conv2(torch.relu(self.bn2(out)))
        out = self.conv3(torch.relu(self.bn3(out)))
        return out + (x if self.downsample is None else self.downsample(active))  # type: ignore[no-any-return]


class PreActivationEncoder(DenseEncoder):
    """ResNet-50 v2 up to its third stage, as the ONNX Model Zoo's ImageNet weights have it.

    Parameters
    ----------
    blocks
        Units in stage1 to stage3.
    width
        Base channels C.
    norm
        What BatchNorm does in training mode; see `Encoder`.
    """

    def __init__(self, blocks: Sequence[int], width: int, *, norm: EncoderNorm) -> None:
        super().__init__(norm)
        self.normalise = _Normalise()
        self.input_bn = nn.BatchNorm2d(3)
        self.stem = nn.ModuleDict(
            {
                "conv": nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
                "bn": nn.BatchNorm2d(width),
            }
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage1 = _make_stage(width, width, blocks[0], stride=1)
        self.stage2 = _make_stage(4 * width, 2 * width, blocks[1], stride=2)
        self.stage3 = _make_stage(8 * width, 4 * width, blocks[2], stride=2)
        self.out_bn = nn.BatchNorm2d(16 * width)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the feature pyramid.

        Parameters
        ----------
        x
            Image [B, 3, H, W] in [0, 1]; H and W multiples of 32.

        Returns
        -------
        list of torch.Tensor
            F1 to F4 as `Encoder` gives them, each after the ReLU that follows its stage.
        """
        x = self.stem["conv"](self.input_bn(self.normalise(x)))
        f1 = torch.relu(self.stem["bn"](x))
        after1 = self.stage1(self.maxpool(f1))
        after2 = self.stage2(after1)
        after3 = self.stage3(after2)
        f2, f3 = _activated_by(self.stage2, after1), _activated_by(self.stage3, after2)
        return [f1, f2, f3, torch.relu(self.out_bn(after3))]


def _make_stage(in_channels: int, planes: int, units: int, *, stride: int) -> nn.Sequential:
    first = _Unit(in_channels, planes, stride)
    return nn.Sequential(first, *(_Unit(4 * planes, planes, 1) for _ in range(units - 1)))


def _activated_by(stage: nn.Sequential, x: Tensor) -> Tensor:
    first = stage[0]
    assert isinstance(first, _Unit)  # noqa: S101 - for the type checker
    return first.activate(x)
