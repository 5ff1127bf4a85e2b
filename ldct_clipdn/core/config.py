"""Everything that decides what a denoiser makes of an image, but its weights."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from ldct_clipdn.core.decoder import DecoderKind
from ldct_clipdn.core.encoder import EncoderLayout, EncoderNorm, layout_of
from ldct_clipdn.errors import ConfigError

__all__ = ["DenoiserConfig", "EncoderTraining", "Start"]

EncoderTraining = Literal["frozen", "finetune", "scratch"]
Start = Literal["random", "identity"]

RANDOM_ENCODER: Final = "random"
FINE_TUNED: Final = ", fine-tuned"
FROM_SCRATCH: Final = "trained from scratch, no CLIP"

PUBLISHED_HU: Final = (-1024.0, 3072.0)
"""The published HU range, `HURange()`: what every CT denoiser sees that says nothing else."""


@dataclass(frozen=True)
class DenoiserConfig:
    """Everything that decides what a denoiser computes, but its weights; stored beside them.

    The network itself takes values of about 0 to 1.

    Parameters
    ----------
    in_channels
        1 (CT, with the adapter) or 3 (RGB).
    encoder
        A key of `ENCODERS`.
    width
        Base channels C; None means the encoder's own.
    encoder_norm
        `frozen`, `adapt` or `calibrate`; see `Encoder`.
    encoder_training
        `frozen`, `finetune` or `scratch`.
    augmentation
        Gamma of Eq. (2).
    use_image
        Whether the decoder takes the noisy image.
    use_f5
        Whether the decoder takes F5.
    start
        Where the decoder's training began: `random` or `identity`.
    encoder_source
        Where the encoder's weights came from: `random`, or a tag or file with its SHA-256.
    decoder
        `conv`, or `restormer`.
    continues
        Name and SHA-256 of the weights whose training this one went on with.
    hu_range
        HU that the network sees as 0 and 1; for CT, None is the published -1024 and 3072. Colour
        images have none.
    """

    in_channels: int = 1
    encoder: str = "RN50"
    width: int | None = None
    encoder_norm: EncoderNorm = "frozen"
    encoder_training: EncoderTraining = "frozen"
    augmentation: float = 0.025
    use_image: bool = True
    use_f5: bool = False
    start: Start = "random"
    encoder_source: str = RANDOM_ENCODER
    decoder: DecoderKind = "conv"
    continues: str | None = None
    hu_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        layout_of(self.encoder)
        for name in ("use_image", "use_f5"):
            value = getattr(self, name)
            _require(isinstance(value, bool), name, value, "True or False")
        _require(
            _is_whole(self.in_channels) and self.in_channels in (1, 3),
            "in_channels",
            self.in_channels,
            "1 (CT) or 3 (RGB)",
        )
        _require(
            self.width is None
            or (_is_whole(self.width) and self.width >= 2 and self.width % 2 == 0),
            "width",
            self.width,
            "an even number from 2, or nothing for the encoder's own",
        )
        for name, allowed in (
            ("encoder_norm", get_args(EncoderNorm)),
            ("encoder_training", get_args(EncoderTraining)),
            ("start", get_args(Start)),
            ("decoder", get_args(DecoderKind)),
        ):
            value = getattr(self, name)
            _require(value in allowed, name, value, "one of " + ", ".join(allowed))
        _require(
            _is_number(self.augmentation) and 0 <= self.augmentation < 1,
            "augmentation",
            self.augmentation,
            "0 (off) to below 1",
        )
        _require(
            self.use_image or self.start == "random",
            "start",
            self.start,
            "random where use_image is false: there is no image to pass through",
        )
        _require(
            self.start == "random" or self.layout.width >= self.in_channels,
            "start",
            self.start,
            f"random with width {self.layout.width}, which has no room for the image's channels",
        )
        _require(
            self.decoder == "conv" or self.start == "random",
            "start",
            self.start,
            "random with a restormer decoder, which cannot pass an image through",
        )
        family = self.layout.family
        _require(
            not self.use_f5 or family in ("clip", "moco"),
            "use_f5",
            True,
            f"False: {self.encoder} has no F5 here",
        )
        _require(
            self.decoder == "conv" or family != "vit", "decoder", self.decoder, "conv with a ViT"
        )
        self._settle_range()

    def _settle_range(self) -> None:
        """Check the HU range, and have CT's written out as two floats, however it was given."""
        given = self.hu_range
        if self.in_channels != 1:
            if given is not None:
                raise ConfigError(
                    f"images of {self.in_channels} channels have no HU, and hu_range is {given!r}",
                    remedy="Give in_channels 1 for CT, and no hu_range for colour images",
                )
            return
        if given is None:
            given = PUBLISHED_HU
        _require(_is_range(given), "hu_range", given, "two numbers of HU, the lower first")
        low, high = given
        object.__setattr__(self, "hu_range", (float(low), float(high)))

    @property
    def layout(self) -> EncoderLayout:
        """The encoder's blocks and the base width in use."""
        layout = layout_of(self.encoder)
        return layout if self.width is None else replace(layout, width=self.width)

    @property
    def encoder_origin(self) -> str:
        """Where the encoder's weights are from, in words that also name what training did to them.

        Returns
        -------
        str
            Never more than is known: what was trained from random is no CLIP.
        """
        if self.encoder_training == "scratch":
            return FROM_SCRATCH
        if self.encoder_training == "finetune":
            return self.encoder_source.removesuffix(FINE_TUNED) + FINE_TUNED
        return self.encoder_source

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as numbers and strings.

        Returns
        -------
        dict
            One entry per field, but no `hu_range` where there is none.
        """
        settings = asdict(self)
        if self.hu_range is None:
            del settings["hu_range"]
        return settings


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _is_range(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))
    return is_pair and -math.inf < value[0] < value[1] < math.inf


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"{name} cannot be {value!r}", remedy=f"Give {allowed}")
