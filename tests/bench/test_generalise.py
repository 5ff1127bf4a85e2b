"""What training on one noise is worth on others, from series to table."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from coloured import B30F, coloured_noise
from real_pairs import SIZE, body, save_pair, save_series

from ldct_clipdn.bench import cases
from ldct_clipdn.bench.cases import find_cases
from ldct_clipdn.bench.columns import Answer, Column, network_column
from ldct_clipdn.bench.generalise import WHITE_HU, measure_generalisation, to_markdown
from ldct_clipdn.bench.peers import build_peer
from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.errors import DataError, WriteError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return save_pair(tmp_path / "data")


def _column(name: str, denoise: Callable[[np.ndarray], np.ndarray]) -> Column:
    return Column(name, "network", lambda fair: Answer(denoise(fair.quarter)), {"sha256": name})


def test_shares_of_known_results(dataset, tmp_path, monkeypatch):
    def simulate(hu: np.ndarray, **_: object) -> np.ndarray:
        return hu + np.stack(
            [coloured_noise(B30F, SIZE, 40.0, seed=50 + k) for k in range(len(hu))]
        )

    monkeypatch.setattr(cases, "simulate_low_dose", simulate)
    seen: dict[str, list[float]] = {"noise": []}

    def half(hu: np.ndarray) -> np.ndarray:
        seen["noise"].append(float((hu - body())[:, 60:100, 30:70].std()))
        return (hu + body()) / 2

    networks = [_column("same", lambda hu: hu), _column("half", half)]
    target = tmp_path / "out" / "generalise.csv"
    scores = measure_generalisation(find_cases([dataset], (0.25,)), networks, target)
    by_place = {(one.network, one.noise): one for one in scores}
    assert list(by_place) == [(n, on) for on in ("real", "white", "0.25") for n in ("same", "half")]
    for noise in ("real", "white", "0.25"):
        assert by_place["same", noise].removed == 0
        assert by_place["half", noise].removed == pytest.approx(0.75, abs=0.08)
        assert by_place["half", noise].psnr > by_place["same", noise].psnr
    assert by_place["same", "white"].bias_hu == 0
    # the three noises, each on top of the slice's own 12 HU
    expected = np.hypot(12, [21, WHITE_HU, 40])
    np.testing.assert_allclose(seen["noise"], expected, rtol=0.15)
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["removed"]) for row in rows] == [one.removed for one in scores]
    assert [row["sha256"] for row in rows] == ["same", "half"] * 3


def test_the_table_has_a_line_per_network(dataset, tmp_path):
    networks = [_column("same", lambda hu: hu), _column("less", lambda hu: hu - 1)]
    scores = measure_generalisation(find_cases([dataset], ()), networks, tmp_path / "one.csv")
    head, _, *lines = to_markdown(scores).splitlines()
    assert head.count("B30f 2 mm") == 2  # real and white
    assert [line.split(" | ")[0] for line in lines] == ["| same", "| less"]
    assert lines[0].split(" | ")[1:] == ["0.000", "0.000 |"]
    assert all(one.bias_hu == pytest.approx(-1) for one in scores if one.network == "less")


def test_a_trained_peer_takes_part(dataset, tmp_path):
    peer = build_peer("red_cnn", in_channels=1, width=8)
    path = tmp_path / "last.pt"
    torch.save({"network": peer.state_dict(), "config": peer.config.to_dict()}, path)
    column = network_column(f"redcnn={path}", torch.device("cpu"))
    (real, white) = measure_generalisation(find_cases([dataset], ()), [column], tmp_path / "a.csv")
    assert (real.network, real.sha256) == ("redcnn", file_sha256(path))
    assert real.removed == pytest.approx(0, abs=1e-3)  # it has not learnt anything yet
    assert white.noise == "white"


def test_a_target_that_cannot_be_written_is_said(dataset):
    with pytest.raises(WriteError, match="cannot be written"):
        measure_generalisation(
            find_cases([dataset], (), 1), [_column("same", np.copy)], Path("/proc/nope/x.csv")
        )


def test_without_soft_tissue_there_is_nothing(tmp_path):
    folder = save_series(tmp_path / "L002", [np.full((SIZE, SIZE), -1000.0)])
    said: list[str] = []
    with pytest.raises(DataError, match="no series with uniform soft tissue"):
        measure_generalisation(find_cases([folder], (0.25,)), [], tmp_path / "no.csv", said.append)
    assert "left out" in said[-1]


def test_a_damaged_file_is_left_out_and_the_rest_goes_on(dataset, tmp_path):
    damaged = save_series(tmp_path / "damaged" / "L003", [body()])
    for path in damaged.iterdir():
        path.write_bytes(path.read_bytes()[:-SIZE])
    said: list[str] = []
    cases = [*find_cases([damaged], (0.25,)), *find_cases([dataset], ())]
    networks = [_column("same", np.copy)]
    scores = measure_generalisation(cases, networks, tmp_path / "a.csv", said.append)
    assert [one.noise for one in scores] == ["real", "white"]
    assert "left out" in said[0]
