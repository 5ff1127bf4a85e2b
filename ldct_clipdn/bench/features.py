"""Figures 1, 2, 3, 9, 10, 11, 13: how much an encoder's features change under noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from ldct_clipdn.bench.peers import Peer, load_peer
from ldct_clipdn.bench.results import write_rows
from ldct_clipdn.core.benchmark import Picture
from ldct_clipdn.core.config import DenoiserConfig
from ldct_clipdn.core.encoder import ENCODERS
from ldct_clipdn.core.encoders import make_encoder
from ldct_clipdn.core.noise import PEAK, Noise, add_noise
from ldct_clipdn.core.similarity import MEASURES
from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weights import read_encoder_weights
from ldct_clipdn.errors import ConfigError, DataError

__all__ = [
    "GAUSSIAN_LEVELS",
    "POISSON_LEVELS",
    "FeatureNet",
    "Similarity",
    "embed_features",
    "measure_similarity",
    "open_encoders",
    "write_embedding",
    "write_similarity",
]

Features = Callable[[Tensor], list[Tensor]]

GAUSSIAN_LEVELS: Final = tuple(Noise("gaussian", PEAK * std) for std in (0.1, 0.2, 0.3, 0.4, 0.5))
"""Standard deviations 0.1 to 0.5 of the [0, 1] scale."""

POISSON_LEVELS: Final = tuple(Noise("poisson", alpha) for alpha in (1, 2, 3, 4, 5))
"""The paper's Figure 10 does not print its levels; these are ours."""

RANDOM: Final = "random"
MULTIPLE: Final = 32


@dataclass(frozen=True)
class FeatureNet:
    """An encoder under study.

    Parameters
    ----------
    name
        For figures.
    features
        Picture [1, 3, H, W] in [0, 1] to its features, shallow to deep.
    source
        Where its weights came from.
    """

    name: str
    features: Features
    source: str


@dataclass(frozen=True)
class Similarity:
    """One measured point.

    Parameters
    ----------
    encoder, picture
        Which.
    noise
        Its label.
    feature
        1 for F1, and so on.
    measure
        A key of `core.similarity.MEASURES`.
    value
        The similarity of clean and noisy features.
    """

    encoder: str
    picture: str
    noise: str
    feature: int
    measure: str
    value: float


def open_encoders(texts: Sequence[str], device: torch.device, seed: int = 0) -> list[FeatureNet]:
    """Open encoders, and for each the same network with random weights as its control.

    Parameters
    ----------
    texts
        Each `NAME=WEIGHTS`, NAME a key of `ENCODERS`, WEIGHTS a file or open_clip tag, or `random`;
        or `restormer=FILE`, a Restormer trained by this package.
    device
        Where it goes.
    seed
        Of the control's weights.

    Returns
    -------
    list of FeatureNet
        Each encoder, then its control; the control alone for `random`, and once for encoders of
        one layout, which are then named with their files.

    Raises
    ------
    ConfigError
        When there is no such encoder.
    WeightsError
        When the weights cannot be used.
    """
    nets = [net for text in texts for net in _open_encoder(text, device, seed)]
    nets = list({(net.name, net.source): net for net in nets}.values())
    names = Counter(net.name for net in nets)
    return [
        net if names[net.name] == 1 else replace(net, name=f"{net.name}, {net.source.split()[0]}")
        for net in nets
    ]


def _open_encoder(text: str, device: torch.device, seed: int) -> list[FeatureNet]:
    name, _, weights = text.partition("=")
    if name == "restormer":
        trained = load_peer(Path(weights)).to(device)
        torch.manual_seed(seed)
        control, title = Peer(trained.config).to(device).eval(), trained.config.title
        return [
            FeatureNet(
                title,
                _restormer_features(trained),
                f"{weights} (SHA-256 {file_sha256(Path(weights))})",
            ),
            FeatureNet(f"{title}, random", _restormer_features(control), RANDOM),
        ]
    if name not in ENCODERS or not weights:
        raise ConfigError(
            f"{text!r} names no encoder with weights",
            remedy=f"Give NAME=FILE, NAME=TAG or NAME=random; NAME is one of "
            f"{', '.join(ENCODERS)}, restormer",
        )
    control_net = FeatureNet(f"{name}, random", _random_encoder(name, device, seed), RANDOM)
    if weights == RANDOM:
        return [control_net]
    layout = ENCODERS[name]
    has_f5 = layout.family in ("clip", "moco")
    read = read_encoder_weights(weights, DenoiserConfig(3, name, use_f5=has_f5))
    encoder = make_encoder(layout, with_f5=has_f5, norm="frozen")
    encoder.load_state_dict(read.state)
    return [FeatureNet(name, encoder.to(device).eval(), read.source), control_net]


@torch.inference_mode()
def measure_similarity(
    nets: Iterable[FeatureNet],
    pictures: Sequence[Picture],
    noises: Sequence[Noise],
    *,
    device: torch.device,
    seed: int = 0,
) -> list[Similarity]:
    """Compare the features of each clean picture with those of its noisy copies.

    Parameters
    ----------
    nets
        Encoders.
    pictures
        Clean pictures; cut at the right and bottom to a multiple of 32.
    noises
        Kinds and levels.
    device
        Where.
    seed
        Of the noise; every encoder sees the same.

    Returns
    -------
    list of Similarity
        Every measure of every feature.

    Raises
    ------
    DataError
        When a picture is smaller than 32 x 32.
    """
    found = []
    for net in nets:
        for picture in pictures:
            clean = _unit(picture, device)
            before = net.features(clean)
            for noise in noises:
                after = net.features(_noisy(clean, noise, seed))
                found += [
                    Similarity(
                        net.name, picture.name, noise.label, level, name, measure(a[0], b[0])
                    )
                    for level, (a, b) in enumerate(zip(before, after, strict=True), start=1)
                    for name, measure in MEASURES.items()
                ]
    return found


@torch.inference_mode()
def embed_features(
    net: FeatureNet,
    pictures: Sequence[Picture],
    noises: Sequence[Noise],
    *,
    device: torch.device,
    copies: int = 20,
    seed: int = 0,
) -> dict[tuple[str, int], Any]:
    """Lay the features of many noisy copies out in two dimensions by t-SNE (Figure 3).

    Parameters
    ----------
    net
        The encoder; F1 to F4 are taken, each flattened whole.
    pictures
        Clean pictures of one size.
    noises
        Levels.
    device
        Where.
    copies
        Noisy copies of each picture.
    seed
        Of the noise and of t-SNE.

    Returns
    -------
    dict
        By noise's label and feature's number: [pictures * copies, 2], picture after picture.

    Raises
    ------
    DataError
        When the pictures differ in size.
    """
    from sklearn.manifold import TSNE

    _require_one_size(pictures)
    found = {}
    for noise in noises:
        rows: dict[int, list[Tensor]] = {}
        for k, picture in enumerate(pictures):
            clean = _unit(picture, device)
            for copy in range(copies):
                features = net.features(_noisy(clean, noise, seed + 1000 * k + copy))
                for level, one in enumerate(features[:4], start=1):
                    rows.setdefault(level, []).append(one.flatten().cpu())
        for level, vectors in rows.items():
            points = torch.stack(vectors).numpy()
            perplexity = min(30, (len(points) - 1) / 3)
            tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
            found[noise.label, level] = tsne.fit_transform(points)
    return found


def write_similarity(found: Sequence[Similarity], path: Path) -> None:
    """Write the points as CSV.

    Parameters
    ----------
    found
        What was measured.
    path
        The file.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    write_rows(path, [asdict(one) for one in found])


def write_embedding(
    points: Mapping[tuple[str, int], Any], pictures: Sequence[str], path: Path
) -> None:
    """Write what `embed_features` gives as CSV.

    Parameters
    ----------
    points
        By noise and feature.
    pictures
        Names, in the order of the points.
    path
        The file.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    rows = []
    for (noise, feature), places in points.items():
        copies = len(places) // len(pictures)
        rows += [
            {
                "noise": noise,
                "feature": feature,
                "picture": pictures[k // copies],
                "copy": k % copies,
                "x": float(x),
                "y": float(y),
            }
            for k, (x, y) in enumerate(places)
        ]
    write_rows(path, rows)


def _random_encoder(name: str, device: torch.device, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layout = ENCODERS[name]
    has_f5 = layout.family in ("clip", "moco")
    return make_encoder(layout, with_f5=has_f5, norm="frozen").to(device).eval()


def _restormer_features(peer: Peer) -> Features:
    """Take what each level of Restormer's encoder gives, and its deepest level."""
    levels = [*peer.body.encoder_levels, peer.body.latent]  # type: ignore[misc]

    def features(x: Tensor) -> list[Tensor]:
        caught: list[Tensor] = []
        hooks = [
            level.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
            for level in levels
        ]
        try:
            peer(x)
        finally:
            for hook in hooks:
                hook.remove()
        return caught

    return features


def _require_one_size(pictures: Sequence[Picture]) -> None:
    sizes = {" x ".join(map(str, picture.clean.shape[-2:])) for picture in pictures}
    if len(sizes) > 1:
        raise DataError(
            f"t-SNE compares pictures of one size, these have {', '.join(sorted(sizes))}",
            remedy="Add --crop N, no larger than the smallest",
        )


def _unit(picture: Picture, device: torch.device) -> Tensor:
    height, width = (size - size % MULTIPLE for size in picture.clean.shape[-2:])
    if not height or not width:
        raise DataError(
            f"{picture.name}: features need pictures of {MULTIPLE} x {MULTIPLE} pixels or more",
            remedy="Give a larger picture, or a larger --crop",
        )
    return picture.clean[None, :, :height, :width].to(device).float() / 255


def _noisy(clean: Tensor, noise: Noise, seed: int) -> Tensor:
    return add_noise(clean, noise, torch.Generator(clean.device).manual_seed(seed))
