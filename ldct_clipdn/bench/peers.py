"""Networks that ours is compared with and that can be trained here: DnCNN, Restormer, RED-CNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from ldct_clipdn.core.config import PUBLISHED_HU
from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.core.weight_files import file_sha256, read_weights_file
from ldct_clipdn.core.weights import WeightsInfo, open_denoiser
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = ["Peer", "PeerConfig", "build_peer", "load_peer", "open_ct_network"]

PeerName = Literal["dncnn", "restormer", "red_cnn"]

TITLES: Final[dict[PeerName, str]] = {
    "dncnn": "DnCNN",
    "restormer": "Restormer",
    "red_cnn": "RED-CNN",
}

RESIDUAL_UNIT: Final = {1: 100 / 4096, 3: 1.0}
"""What a body's output of 1 adds, by channels: 100 HU to CT, whose noise is small on a scale of
4,096 HU. With a unit of 1, one step of Adam moves DnCNN's output by more than the noise, and
1,383 iterations at 5e-4 taught it nothing."""

PUBLISHED_WIDTH: Final[dict[PeerName, int]] = {"dncnn": 64, "restormer": 48, "red_cnn": 96}

DNCNN_LAYERS: Final = 20
"""As for colour in the original; gives the 0.67 M parameters of the paper's Table 6."""

RESTORMER_BLOCKS: Final = (4, 6, 6, 8)
RESTORMER_HEADS: Final = (1, 2, 4, 8)

RED_CNN_LAYERS: Final = 5
"""Of convolution, each 4 pixels smaller than the one before, and as many back."""

PADDING: Final[dict[PeerName, tuple[int, int]]] = {
    "dncnn": (1, 1),
    "restormer": (16, 32),  # three halvings, and MONAI's wants more than 16 pixels
    "red_cnn": (1, 4 * RED_CNN_LAYERS + 1),
}
"""Sizes are padded to a multiple of the first, and to at least the second."""


@dataclass(frozen=True)
class PeerConfig:
    """What decides what a peer computes, but its weights.

    Parameters
    ----------
    peer
        `dncnn`, `restormer` or `red_cnn`.
    in_channels
        1 or 3.
    width
        Channels of DnCNN's and RED-CNN's layers, or of Restormer's first level; None takes the
        published 64, 96 and 48.
    """

    peer: PeerName
    in_channels: int = 3
    width: int | None = None

    def __post_init__(self) -> None:
        if self.peer not in get_args(PeerName):
            raise ConfigError(
                f"there is no network named {self.peer!r}",
                remedy=f"Give one of {', '.join(get_args(PeerName))}",
            )
        if self.channels < 8 or self.channels % 8:
            raise ConfigError(
                f"{self.peer} cannot have width {self.width}", remedy="Give a multiple of 8"
            )

    @property
    def channels(self) -> int:
        """The width in use."""
        return self.width or PUBLISHED_WIDTH[self.peer]

    @property
    def as_published(self) -> bool:
        """Whether it is as wide as the published one."""
        return self.channels == PUBLISHED_WIDTH[self.peer]

    @property
    def title(self) -> str:
        """Name for tables: the published one's, with the width where that is another."""
        title = TITLES[self.peer]
        return title if self.as_published else f"{title} (width {self.channels})"

    @property
    def encoder(self) -> str:
        """Name for logs, where a denoiser of ours names its encoder."""
        return f"none ({self.peer}, width {self.channels})"

    @property
    def encoder_training(self) -> str:
        """The whole network is trained."""
        return "scratch"

    @property
    def encoder_source(self) -> str:
        """There are no given weights."""
        return "random"

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as numbers and strings.

        Returns
        -------
        dict
            One entry per field.
        """
        return asdict(self)


class Peer(nn.Module):
    """A residual denoiser: the network's output is added to the noisy image.

    Parameters
    ----------
    config
        Which network, and how wide.
    """

    def __init__(self, config: PeerConfig) -> None:
        super().__init__()
        self.config = config
        self.body = _BODIES[config.peer](config)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise a batch.

        Parameters
        ----------
        x
            Noisy images [B, C, H, W], about [0, 1].

        Returns
        -------
        torch.Tensor
            Clean images, same shape; not limited to [0, 1].
        """
        height, width = x.shape[-2:]
        padded = _pad(x, *PADDING[self.config.peer])
        residual = RESIDUAL_UNIT[self.config.in_channels] * self.body(padded)
        return (padded + residual)[..., :height, :width]  # type: ignore[no-any-return]

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Give what an optimiser may change.

        Returns
        -------
        list of torch.nn.Parameter
            Everything.
        """
        return list(self.parameters())


def build_peer(
    peer: PeerName,
    *,
    in_channels: int = 3,
    width: int | None = None,
    hu_range: Sequence[float] | None = None,
) -> Peer:
    """Build a network to train.

    Parameters
    ----------
    peer
        `dncnn` (20 layers with BatchNorm), `restormer` (MONAI's, with the original's blocks and
        heads, and the original's addition of the input, which MONAI's leaves out) or `red_cnn`
        (Chen et al. 2017, for CT).
    in_channels
        1 or 3.
    width
        As for `PeerConfig`.
    hu_range
        HU that are 0 and 1 in the training: the published range, which is not stored.

    Returns
    -------
    Peer
        In training mode.

    Raises
    ------
    ConfigError
        When it is another range, or the settings contradict each other.
    """
    if hu_range is not None and tuple(hu_range) != PUBLISHED_HU:
        low, high = PUBLISHED_HU
        raise ConfigError(
            f"{peer} cannot be trained on the HU range {tuple(hu_range)}, which it does not store",
            remedy=f"Leave out hu_range: networks are compared on {low:g} to {high:g} HU",
        )
    return Peer(PeerConfig(peer, in_channels, width))


def load_peer(path: Path) -> Peer:
    """Load what a training of this package left.

    Parameters
    ----------
    path
        `best.pt` or `last.pt`.

    Returns
    -------
    Peer
        In evaluation mode.

    Raises
    ------
    WeightsError
        When the file holds another network.
    """
    file = read_weights_file(path)
    config = file.extra.get("config", {})
    if "peer" not in config:
        raise WeightsError(
            "this is no DnCNN, Restormer or RED-CNN trained by this package",
            path=path,
            remedy="Give best.pt or last.pt of its run",
        )
    peer = Peer(PeerConfig(**config))
    try:
        peer.load_state_dict(file.state)
    except RuntimeError as error:
        raise WeightsError("its tensors do not fit its configuration", path=path) from error
    return peer.eval()


def open_ct_network(weights: str | Path) -> tuple[CLIPDenoiser | Peer, WeightsInfo]:
    """Load a denoiser of this package, or another network that the CT bundle trained.

    Parameters
    ----------
    weights
        As for `load_denoiser`, or as for `load_peer`.

    Returns
    -------
    CLIPDenoiser or Peer
        In evaluation mode, on the CPU, for one channel.
    WeightsInfo
        What it is.

    Raises
    ------
    WeightsError
        When the file cannot be used, or takes pictures.
    """
    path = Path(weights)
    network: CLIPDenoiser | Peer
    if path.is_file() and "peer" in read_weights_file(path).extra.get("config", {}):
        network = load_peer(path)
        info = WeightsInfo(path.name, file_sha256(path), network.config.encoder)
    else:
        network, info = open_denoiser(weights)
    if network.config.in_channels != 1:
        raise WeightsError(
            "these weights are for colour images (three channels), not for CT",
            path=weights,
            remedy="Give weights trained by the bundle ldct_clip_denoising",
        )
    return network, info


def _dncnn(config: PeerConfig) -> nn.Module:
    width = config.channels
    layers: list[nn.Module] = [nn.Conv2d(config.in_channels, width, 3, padding=1), nn.ReLU()]
    for _ in range(DNCNN_LAYERS - 2):
        layers += [
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, _silent(nn.Conv2d(width, config.in_channels, 3, padding=1)))


def _restormer(config: PeerConfig) -> nn.Module:
    from monai.networks.nets.restormer import Restormer

    return Restormer(
        in_channels=config.in_channels,
        out_channels=config.in_channels,
        dim=config.channels,
        num_blocks=RESTORMER_BLOCKS,
        heads=RESTORMER_HEADS,
    )


class _REDCNN(nn.Module):
    """RED-CNN (Chen et al., IEEE TMI 36(12), 2017, Fig. 1) but for the addition of the image.

    Five unpadded 5 x 5 convolutions and five transposed ones; what the second and the fourth give
    is added on the way back. The last ReLU of the original, after the addition, is left out: it
    would keep air from coming out a little below 0.
    """

    def __init__(self, config: PeerConfig) -> None:
        super().__init__()
        channels = (config.in_channels, *RED_CNN_LAYERS * (config.channels,))
        pairs = list(pairwise(channels))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 5) for a, b in pairs)
        self.deconvolutions = nn.ModuleList(nn.ConvTranspose2d(b, a, 5) for a, b in reversed(pairs))
        _silent(self.deconvolutions[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Give what is added to the image [B, C, H, W], H and W at least 21."""
        kept = []
        for convolution in self.convolutions:
            x = convolution(x).relu()
            kept.append(x)
        for back, deconvolution in enumerate(self.deconvolutions, start=1):
            x = deconvolution(x)
            if back in (1, 3):
                x = x + kept[-1 - back]
            if back < RED_CNN_LAYERS:
                x = x.relu()
        return x


_BODIES: Final[dict[PeerName, Callable[[PeerConfig], nn.Module]]] = {
    "dncnn": _dncnn,
    "restormer": _restormer,
    "red_cnn": _REDCNN,
}


def _silent(layer: nn.Module) -> nn.Module:
    """Let the network begin by passing the image through, as our own may."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _pad(x: Tensor, multiple: int, least: int) -> Tensor:
    missing = [max(-size % multiple, least - size) for size in x.shape[-2:]]
    mode = "reflect" if all(m < s for m, s in zip(missing, x.shape[-2:], strict=True)) else None
    pad = (0, missing[1], 0, missing[0])
    return F.pad(x, pad, mode=mode or "replicate") if any(missing) else x


def count_parameters(network: nn.Module) -> int:
    """Count the numbers that a network holds and a training could change.

    Parameters
    ----------
    network
        The network.

    Returns
    -------
    int
        Frozen ones too.
    """
    return sum(parameter.numel() for parameter in network.parameters())
