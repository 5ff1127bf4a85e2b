"""The one place that turns an encoder's layout into a network."""

from __future__ import annotations

from ldct_clipdn.core.encoder import DenseEncoder, Encoder, EncoderLayout, EncoderNorm
from ldct_clipdn.core.encoder_resnet import PostActivationEncoder, PreActivationEncoder
from ldct_clipdn.core.vit import ViTEncoder

__all__ = ["TOKEN_FACTOR", "make_encoder"]

TOKEN_FACTOR = 12
"""Channels of a ViT's tokens per base channel: 768 for 64."""


def make_encoder(layout: EncoderLayout, *, with_f5: bool, norm: EncoderNorm) -> DenseEncoder:
    """Make an encoder with random weights.

    Parameters
    ----------
    layout
        Kind, blocks and base width C.
    with_f5
        Give F5 too; only `clip` and `moco` have it.
    norm
        What BatchNorm does in training mode; see `Encoder`.

    Returns
    -------
    DenseEncoder
        Gives F1 to F4 (or F5), or of a ViT one map at 1/16.
    """
    if layout.family == "moco":
        return PostActivationEncoder(layout.blocks, layout.width, with_f5=with_f5, norm=norm)
    if layout.family == "imagenet":
        return PreActivationEncoder(layout.blocks, layout.width, norm=norm)
    if layout.family == "vit":
        return ViTEncoder(layout.blocks[0], TOKEN_FACTOR * layout.width)
    return Encoder(layout, with_f5=with_f5, norm=norm)
