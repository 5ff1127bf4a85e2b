"""The denoiser: adapter, frozen encoder, feature augmentation (Eq. 2), decoder; and its builder."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from ldct_clipdn.core.config import DenoiserConfig, EncoderTraining, Start
from ldct_clipdn.core.decoder import (
    DecoderKind,
    build_up_path,
    build_up_path_of_tokens,
    decode,
    start_from_identity,
)
from ldct_clipdn.core.encoder import EncoderNorm, layout_of
from ldct_clipdn.core.encoders import TOKEN_FACTOR, make_encoder
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from ldct_clipdn.core.weights import WeightsInfo

__all__ = ["CLIPDenoiser", "FeatureAugmentation", "build_denoiser"]

SIZE_MULTIPLE: Final = 32
"""Images are padded to a multiple of this, as published; with align_corners it shows everywhere."""

logger = logging.getLogger(__name__)


class FeatureAugmentation(nn.Module):
    """Progressive feature augmentation, Eq. (2): F_i times noise of mean 1 and SD gamma i.

    Every element has its own draw; only in training mode. The draws come from a generator of its
    own, so that nothing else that draws changes them.

    Parameters
    ----------
    gamma
        Standard deviation at level 1; 0 switches it off.
    seed
        Start of the generator.
    """

    def __init__(self, gamma: float, seed: int) -> None:
        super().__init__()
        self.gamma = gamma
        self.seed = seed
        self._generator: torch.Generator | None = None

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Multiply each feature by its noise, in training mode.

        Parameters
        ----------
        features
            F1, F2, ..., all computed before any of them is changed.

        Returns
        -------
        list of torch.Tensor
            Same shapes.
        """
        if not self.training or self.gamma == 0:
            return features
        return [
            feature * (1 + self.gamma * level * self._draw(feature))
            for level, feature in enumerate(features, start=1)
        ]

    def reseed(self, seed: int) -> None:
        """Start the generator anew; training does so at every iteration, and can resume exactly.

        Parameters
        ----------
        seed
            Start of the generator.
        """
        self.seed = seed
        if self._generator is not None:
            self._generator.manual_seed(seed)

    def _draw(self, like: Tensor) -> Tensor:
        return torch.randn(
            like.shape, generator=self._generator_on(like.device), device=like.device
        ).to(like.dtype)

    def _generator_on(self, device: torch.device) -> torch.Generator:
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device).manual_seed(self.seed)
        return self._generator

    def __getstate__(self) -> dict[str, Any]:
        # a generator can be neither copied nor pickled; a copy starts from the seed
        return {**self.__dict__, "_generator": None}


class CLIPDenoiser(nn.Module):
    """CLIP features and the noisy image in, the clean image out.

    Parameters
    ----------
    config
        Layout and rules; `build_denoiser` is the way to make one.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        layout = config.layout
        if config.in_channels == 1:
            # its output feeds the encoder and is what the decoder takes as the image
            self.first = nn.Conv2d(1, 3, 1, bias=False)
        self.encoder = make_encoder(layout, with_f5=config.use_f5, norm=config.encoder_norm)
        self.augment = FeatureAugmentation(config.augmentation, torch.initial_seed())
        self.up_path = _up_path_for(config)
        self.last = nn.Conv2d(layout.width, config.in_channels, 3, padding=1, bias=False)
        if config.encoder_training == "frozen":
            self.encoder.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise a batch.

        Parameters
        ----------
        x
            Noisy images [B, C, H, W], about [0, 1], C as configured, any H and W from 1.

        Returns
        -------
        torch.Tensor
            Clean images, same shape; not limited to [0, 1].
        """
        height, width = x.shape[-2:]
        x = _pad(x)
        image = self.first(x) if self.config.in_channels == 1 else x
        features = self.augment(self.encoder(image))
        x = decode(self.up_path, features, image if self.config.use_image else None)
        return self.last(x)[..., :height, :width]  # type: ignore[no-any-return]

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Give what an optimiser may change.

        Returns
        -------
        list of torch.nn.Parameter
            Adapter and decoder; the encoder too where it is trained.
        """
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def _up_path_for(config: DenoiserConfig) -> nn.ModuleList:
    layout = config.layout
    if layout.family == "vit":
        return build_up_path_of_tokens(
            layout.width, TOKEN_FACTOR * layout.width, use_image=config.use_image
        )
    return build_up_path(
        layout.width, use_image=config.use_image, use_f5=config.use_f5, kind=config.decoder
    )


def build_denoiser(  # noqa: PLR0913 - the one builder shows all its parts
    *,
    in_channels: int = 1,
    encoder: str = "RN50",
    width: int | None = None,
    pretrained: str | Path | None = None,
    encoder_norm: EncoderNorm = "frozen",
    encoder_training: EncoderTraining = "frozen",
    augmentation: float = 0.025,
    use_image: bool = True,
    use_f5: bool = False,
    start: Start = "random",
    decoder: DecoderKind = "conv",
    continue_from: str | Path | None = None,
    hu_range: tuple[float, float] | None = None,
) -> CLIPDenoiser:
    """Build a denoiser to train.

    Parameters
    ----------
    in_channels
        1 for CT (adds the learnable 1x1 adapter), 3 for RGB.
    encoder
        `RN50`, `RN50x4`, `RN50x16`, `RN101`, `RN50x64` or `ViT-B-16` of CLIP; for contrast
        `MoCo-v3-RN50` or `ImageNet-RN50v2`; or `tiny` (for tests).
    width
        Base channels C of encoder and decoder; None takes the encoder's own (64 of RN50). Another
        value builds the same layout narrower or wider and refuses `pretrained`.
    pretrained
        The encoder's weights: an open_clip tag such as `"openai"`, or a file; None leaves it
        random, which is logged as a warning.
    encoder_norm
        `frozen` (default: the encoder is one fixed function, the same in training and use),
        `adapt` (statistics follow the batches, as in the published code, whose numbers come from
        it), or `calibrate` (statistics measured on the first training batches, then frozen).
    encoder_training
        `frozen`; `finetune` trains the given weights; `scratch` trains from random.
    augmentation
        Gamma of Eq. (2); 0 switches it off.
    use_image
        Give the decoder the noisy image.
    use_f5
        Give the decoder F5 too.
    start
        `identity` begins by passing the image through; a short training needs it.
    decoder
        `conv` as published, or `restormer`: a Restormer block in each Conv-block's place
        (section 5).
    continue_from
        Weights of a denoiser of the same parts, as for `load_denoiser`, to go on from: to adapt
        the default weights to one's own scanners, say. Adapter, encoder with its BatchNorm
        statistics, and decoder are taken as they are; `pretrained` and `start` then say nothing,
        and `calibrate` does not measure again.
    hu_range
        HU that are 0 and 1 in the training, stored with the weights; None is the published -1024
        and 3072 of CT. Colour images have none.

    Returns
    -------
    CLIPDenoiser
        In training mode.

    Raises
    ------
    ConfigError
        When settings contradict each other.
    WeightsError
        When the encoder's weights cannot be had or do not fit.
    """
    config = DenoiserConfig(
        in_channels=in_channels,
        encoder=encoder,
        width=width,
        encoder_norm=encoder_norm,
        encoder_training=encoder_training,
        augmentation=augmentation,
        use_image=use_image,
        use_f5=use_f5,
        start=start,
        decoder=decoder,
        hu_range=hu_range,
    )
    if continue_from is not None:
        return _with_weights_of(continue_from, config)
    if pretrained is not None:
        return _begun(_with_pretrained_encoder(config, str(pretrained)))
    if encoder_training != "scratch":
        logger.warning("The %s encoder has random weights: this is not CLIP", encoder)
    return _begun(CLIPDenoiser(config))


def _begun(model: CLIPDenoiser) -> CLIPDenoiser:
    """Bring what is not given as weights to where its training begins."""
    if model.config.encoder_norm == "calibrate":
        model.encoder.start_calibration()
    if model.config.start == "identity":
        if model.config.in_channels == 1:
            nn.init.ones_(model.first.weight)
        start_from_identity(model.up_path, model.last)
    return model


def _with_weights_of(weights: str | Path, config: DenoiserConfig) -> CLIPDenoiser:
    from ldct_clipdn.core.weights import open_denoiser  # weights knows this module

    trained, info = open_denoiser(weights)
    _check_same_parts(trained.config, config, info)
    model = CLIPDenoiser(
        replace(
            config,
            start=trained.config.start,
            encoder_source=trained.config.encoder_origin,
            continues=f"{info.name} (SHA-256 {info.sha256})",
        )
    )
    model.load_state_dict(trained.state_dict())
    if config.encoder_norm == "calibrate" and not model.encoder.is_calibrated():
        raise ConfigError(
            "calibrate cannot go on from these weights: their statistics were never measured anew, "
            "and doing so now would undo their training",
            path=info.name,
            remedy="Give encoder_norm frozen",
        )
    logger.info("Training goes on from %s (%s)", info.name, info.encoder)
    return model


def _check_same_parts(there: DenoiserConfig, here: DenoiserConfig, info: WeightsInfo) -> None:
    pairs = {
        name: (getattr(there, name), getattr(here, name))
        for name in ("in_channels", "encoder", "use_image", "use_f5", "decoder", "hu_range")
    }
    pairs["width"] = there.layout.width, here.layout.width
    if here.encoder_training == "scratch":  # it would be stored, and shown, as no CLIP
        pairs["encoder_training"] = there.encoder_training, here.encoder_training
    differing = [
        f"{name} is {old!r}, not {new!r}" for name, (old, new) in pairs.items() if old != new
    ]
    if differing:
        raise ConfigError(
            f"training cannot go on from these weights: their {'; their '.join(differing)}",
            path=info.name,
            remedy="Build the network as they are, or start without them",
        )


def _with_pretrained_encoder(config: DenoiserConfig, pretrained: str) -> CLIPDenoiser:
    from ldct_clipdn.core.weights import read_encoder_weights  # weights knows this module

    if config.encoder == "tiny" or config.width not in (None, layout_of(config.encoder).width):
        raise ConfigError(
            f"there are no pretrained weights for encoder {config.encoder} of width {config.width}",
            remedy="Take another encoder, without `width`, or leave out `pretrained`",
        )
    if config.encoder_training == "scratch":
        raise ConfigError(
            "encoder_training cannot be 'scratch' where `pretrained` is given",
            remedy="Give frozen or finetune",
        )
    weights = read_encoder_weights(pretrained, config)
    model = CLIPDenoiser(replace(config, encoder_source=weights.source))
    model.encoder.load_state_dict(weights.state)
    return model


def _pad(x: Tensor) -> Tensor:
    """Reflect at the right and bottom up to a multiple of 32, repeatedly where x is smaller."""
    for axis in (-2, -1):
        size = x.shape[axis]
        missing = -size % SIZE_MULTIPLE
        if missing:
            period = max(2 * size - 2, 1)
            index = torch.arange(size + missing, device=x.device) % period
            x = x.index_select(axis, torch.minimum(index, period - index))
    return x
