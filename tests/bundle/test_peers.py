"""Networks that ours is compared with, trained on CT by the bundle: peer.json."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle_runs import our_error, run_bundle

from ldct_clipdn.bench.peers import build_peer, load_peer
from ldct_clipdn.training.inferer import HalfInferer


@pytest.mark.filterwarnings("ignore:parsing config_file")
@pytest.mark.parametrize("peer", ["dncnn", "red_cnn"])
def test_peers_train_by_the_same_recipe(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peer: str
) -> None:
    monkeypatch.setattr("ldct_clipdn.ct.lowdose.FIELD_VIEWS", 60)
    files = ["train.json", "scratch.json", "peer.json"]
    run_bundle(
        files, "training", dataset_dir=str(dataset), run_dir=str(tmp_path / "run"),
        cache_dir=str(tmp_path / "cache"), max_iterations=2, validation_interval=2, fall=1,
        peer=peer, crop_size=32, margin=4, batch_size=2, device="cpu", **{"network_def#width": 8},
    )  # fmt: skip
    network = load_peer(tmp_path / "run" / "last.pt")
    assert (network.config.peer, network.config.in_channels, network.config.width) == (peer, 1, 8)
    image = torch.rand(1, 1, 32, 32)
    assert not torch.equal(network(image), image)  # it has learnt something


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_peers_know_no_range_but_the_published(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        run_bundle(
            ["train.json", "peer.json"], "training", dataset_dir=str(dataset),
            run_dir=str(tmp_path / "run"), cache_dir=str(tmp_path / "cache"), device="cpu",
            hu_range=(-160, 240), **{"network_def#width": 8},
        )  # fmt: skip
    assert "which it does not store" in our_error(caught.value).reason
    assert not any((tmp_path / "run").iterdir())


def test_half_precision_of_a_peer_touches_only_what_it_adds() -> None:
    peer = build_peer("dncnn", in_channels=1, width=8)
    image = torch.rand(1, 1, 32, 32)
    assert torch.equal(HalfInferer(peer)(image, peer), image)


@pytest.mark.parametrize(("channels", "added"), [(1, 100 / 4096), (3, 1.0)])
def test_what_a_body_says_counts_in_units_of_100_hu_on_ct(channels: int, added: float) -> None:
    network = build_peer("dncnn", in_channels=channels, width=8)
    network.body[-1].bias.data.fill_(1)
    image = torch.rand(1, channels, 16, 16)
    torch.testing.assert_close(network(image) - image, torch.full_like(image, added))
