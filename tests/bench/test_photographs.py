"""Tables 2 and 7 over made-up pairs, and Table 6's counts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from natural_images import save_pairs
from safetensors import safe_open
from skimage.metrics import peak_signal_noise_ratio

import ldct_clipdn
from ldct_clipdn.bench.efficiency import known_networks, measure_efficiency
from ldct_clipdn.bench.experiment import RunSettings, run_table
from ldct_clipdn.bench.methods import make_method
from ldct_clipdn.bench.peers import build_peer
from ldct_clipdn.bench.picture_tables import REAL
from ldct_clipdn.bench.sets import pair_set
from ldct_clipdn.cli.main import main
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.data.natural import read_rgb

ASSETS = Path(ldct_clipdn.__file__).parent / "assets"
CPU = torch.device("cpu")


def test_real_noise_beside_the_printed_figures(tmp_path):
    folder = save_pairs(tmp_path / "CC", 3)
    table = run_table(
        REAL, [pair_set(folder)], [make_method("noisy", CPU)], tmp_path / "out", RunSettings(CPU)
    )
    expected = [
        peak_signal_noise_ratio(
            read_rgb(folder / f"{k}_mean.png").numpy(), read_rgb(folder / f"{k}_real.png").numpy()
        )
        for k in range(3)
    ]
    cell = table.measured["", "CC"]["noisy"]
    assert cell.psnr == pytest.approx(sum(expected) / 3)
    assert "36.30/0.941" in table.to_markdown()


def test_derain_and_real_from_the_command_line(tmp_path, capsys):
    folder, other = save_pairs(tmp_path / "Rain12", 2), save_pairs(tmp_path / "other", 1, first=2)
    for table in ("derain", "real"):
        code = main(
            ["benchmark", table, str(folder), "--method", "noisy", "--method", "tv",
             "--validation", str(other), "--out", str(tmp_path / table), "-q"]
        )  # fmt: skip
        assert code == 0
    printed = capsys.readouterr().out
    assert "35.11/0.953" in printed
    assert "# Real sRGB noise (Table 2)" in printed


@pytest.mark.parametrize(
    ("encoder", "parameters", "gmac"),
    # of the published code's network: 19,551,456 parameters, 83.31 G multiply-adds
    [("RN50", 19.551456, 83.31)],
)
def test_cost_of_the_published_network(encoder, parameters, gmac):
    with torch.device("meta"):
        network = build_denoiser(in_channels=3, encoder=encoder, encoder_training="scratch")
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.rand(1, 3, 512, 512, device="meta"))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.005)


def test_measured_cost_scales_with_the_image():
    network = build_peer("dncnn", width=8)
    small, large = (
        measure_efficiency("DnCNN", network, CPU, side=side, repeats=1) for side in (16, 32)
    )
    assert large.gmac == pytest.approx(4 * small.gmac)
    weights = 9 * (3 * 8 + 18 * 8 * 8 + 8 * 3)
    assert small.gmac == pytest.approx(weights * 16 * 16 / 1e9)
    assert small.seconds > 0
    assert small.cpu_seconds > 0


class Doubling(torch.nn.Module):
    """Holds 3, then 6, 12, 24 channels; what a step was given is released when it is over."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(300, 1000))
        self.register_buffer("mean", torch.zeros(200, 1000))

    def forward(self, x):
        for _ in range(3):
            x = x.repeat(1, 2, 1, 1)
        return x


def test_peak_memory_is_what_is_held_at_once():
    cost = measure_efficiency("doubling", Doubling(), CPU, side=256, repeats=1)
    image, steps, held = 3, 12 + 24, (300 + 200) * 1000
    expected = 4 * ((image + steps) * 256 * 256 + held) / 1e9
    assert cost.peak_gb == pytest.approx(expected, rel=1e-3)  # small change of PyTorch's own


def test_peak_memory_of_a_network_is_of_the_order_of_its_layers():
    wide = torch.nn.Sequential(*(torch.nn.Conv2d(k, 64, 1) for k in (3, 64)))
    cost = measure_efficiency("wide", wide, CPU, side=128, repeats=1)
    held = 2 * 64 * 128 * 128 * 4 / 1e9  # input and output of the second layer
    assert held < cost.peak_gb < 4 * held  # convolutions may reorder what they are given


def test_efficiency_from_the_command_line(tmp_path, capsys, monkeypatch):
    few = {"DnCNN": build_peer("dncnn", width=8)}
    monkeypatch.setattr("ldct_clipdn.bench.efficiency.known_networks", lambda: dict(few))
    assert (
        main(
            [
                "benchmark",
                "efficiency",
                "--side",
                "32",
                "--repeats",
                "2",
                "--out",
                str(tmp_path / "new/t.md"),
            ]
        )
        == 0
    )
    assert "| 0.67 | 176.1 | 0.034 |" in capsys.readouterr().out
    text = (tmp_path / "new/t.md").read_text()
    assert "3 x 32 x 32" in text
    assert f"torch {torch.__version__}; median of 2 runs" in text
    assert "| HAT |  |  |  |  |  | 0.67 | 176.1 | 0.034 |" in text
    rows = list(csv.DictReader((tmp_path / "new/t.csv").read_text().splitlines()))
    assert [row["network"] for row in rows] == [
        "DnCNN", "Restormer", "MaskedDenoising", "HAT", "DIL", "CLIPDenoising"
    ]  # fmt: skip
    assert (rows[0]["paper_gmac"], rows[1]["gmac"], rows[4]["paper_gmac"]) == (
        "176.1",
        "",
        "4360.0",
    )
    assert float(rows[0]["seconds"]) > 0
    record = json.loads((tmp_path / "new/t.json").read_text())
    assert (record["side"], record["repeats"], record["networks"][0]["network"]) == (32, 2, "DnCNN")
    assert {"torch", "ldct_clipdn"} <= set(record["versions"])
    assert main(["benchmark", "efficiency", "--side", "32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"][0]["network"] == "DnCNN"
    (tmp_path / "file").touch()
    refused = ["benchmark", "efficiency", "--out", str(tmp_path / "file" / "t.md"), "--side", "32"]
    assert main(refused) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert main(["benchmark", "efficiency", "--network", "unet"]) == 2
    assert "no network is named 'unet'" in capsys.readouterr().err


def test_every_network_of_the_package_is_there():
    with torch.device("meta"):
        networks = known_networks()
    assert {"DnCNN", "Restormer", "RED-CNN", "CLIPDenoising"} <= set(networks)
    variants = {name: networks[f"CLIPDenoising, {name}"].config
                for name in ("with F5", "Restormer decoder")}  # fmt: skip
    assert variants["with F5"].use_f5
    assert variants["Restormer decoder"].decoder == "restormer"
    small = networks["CLIPDenoising, C = 32"]
    with safe_open(ASSETS / "scratch-w32.safetensors", "pt") as file:
        shipped = json.loads(file.metadata()["ldct_clipdn"])["config"]
    assert all(
        shipped[setting] == getattr(small.config, setting)
        for setting in ("encoder", "width", "use_f5", "use_image", "decoder")
    )
