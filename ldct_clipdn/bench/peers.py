"""The networks that the paper compares with and that can be trained here: DnCNN and Restormer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from ldct_clipdn.core.weight_files import read_weights_file
from ldct_clipdn.errors import ConfigError, WeightsError

__all__ = ["Peer", "PeerConfig", "build_peer", "load_peer"]

PeerName = Literal["dncnn", "restormer"]

PUBLISHED_WIDTH: Final[dict[PeerName, int]] = {"dncnn": 64, "restormer": 48}

DNCNN_LAYERS: Final = 20
"""As for colour in the original; gives the 0.67 M parameters of the paper's Table 6."""

RESTORMER_BLOCKS: Final = (4, 6, 6, 8)
RESTORMER_HEADS: Final = (1, 2, 4, 8)
RESTORMER_MULTIPLE: Final = 16
"""Sizes are padded to this: three halvings, and MONAI's Restormer wants more than 16 pixels."""


@dataclass(frozen=True)
class PeerConfig:
    """What decides what a peer computes, but its weights.

    Parameters
    ----------
    peer
        `dncnn` or `restormer`.
    in_channels
        1 or 3.
    width
        Channels of DnCNN's layers, or of Restormer's first level; None takes the published 64
        and 48.
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
        self.body = _dncnn(config) if config.peer == "dncnn" else _restormer(config)

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
        if self.config.peer == "dncnn":
            return x + self.body(x)  # type: ignore[no-any-return]
        height, width = x.shape[-2:]
        padded = _pad(x)
        return (padded + self.body(padded))[..., :height, :width]  # type: ignore[no-any-return]

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Give what an optimiser may change.

        Returns
        -------
        list of torch.nn.Parameter
            Everything.
        """
        return list(self.parameters())


def build_peer(peer: PeerName, *, in_channels: int = 3, width: int | None = None) -> Peer:
    """Build a network to train.

    Parameters
    ----------
    peer
        `dncnn` (20 layers with BatchNorm) or `restormer` (MONAI's, with the original's blocks and
        heads, and the original's addition of the input, which MONAI's leaves out).
    in_channels
        1 or 3.
    width
        As for `PeerConfig`.

    Returns
    -------
    Peer
        In training mode.
    """
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
            "this is no DnCNN or Restormer trained by this package",
            path=path,
            remedy="Give best.pt or last.pt of its run",
        )
    peer = Peer(PeerConfig(**config))
    try:
        peer.load_state_dict(file.state)
    except RuntimeError as error:
        raise WeightsError("its tensors do not fit its configuration", path=path) from error
    return peer.eval()


def _dncnn(config: PeerConfig) -> nn.Module:
    width = config.channels
    layers: list[nn.Module] = [nn.Conv2d(config.in_channels, width, 3, padding=1), nn.ReLU()]
    for _ in range(DNCNN_LAYERS - 2):
        layers += [
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    last = nn.Conv2d(width, config.in_channels, 3, padding=1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)  # begins by passing the image through, as our own may
    return nn.Sequential(*layers, last)


def _restormer(config: PeerConfig) -> nn.Module:
    from monai.networks.nets.restormer import Restormer

    return Restormer(
        in_channels=config.in_channels,
        out_channels=config.in_channels,
        dim=config.channels,
        num_blocks=RESTORMER_BLOCKS,
        heads=RESTORMER_HEADS,
    )


def _pad(x: Tensor) -> Tensor:
    missing = [
        max(-size % RESTORMER_MULTIPLE, 2 * RESTORMER_MULTIPLE - size) for size in x.shape[-2:]
    ]
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
