"""The table of the fair error, from files to rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import make_series
from coloured import B30F, coloured_noise
from real_pairs import SIZE, body, save_pair

from ldct_clipdn.bench import cases, proof
from ldct_clipdn.bench.classic import CLASSIC
from ldct_clipdn.bench.columns import Answer, Column
from ldct_clipdn.bench.proof import proof_table, run_proof
from ldct_clipdn.cli.main import main
from ldct_clipdn.errors import DataError


@pytest.fixture(autouse=True)
def _few_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    few = tuple(replace(one, strengths=one.strengths[-6:-5] or (0.8,)) for one in CLASSIC)
    monkeypatch.setattr("ldct_clipdn.bench.columns.CLASSIC", few)


def _column(name: str, denoise: Callable[[np.ndarray], np.ndarray]) -> Column:
    return Column(name, "network", lambda fair: Answer(denoise(fair.quarter)))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return save_pair(tmp_path / "data")


def test_rows_of_a_real_pair(dataset: Path, tmp_path: Path) -> None:
    perfect = _column("perfect", lambda hu: np.stack([body()] * len(hu)))
    rows = run_proof(dataset, perfect, tmp_path / "out")
    by_method = {row.method: row for row in rows}
    assert set(by_method) == {"input", "Gaussian", "TV", "NLM", "Wiener", "truth", "perfect"}
    assert {row.dose for row in rows} == {"real"}
    assert by_method["input"].removed == 0
    assert by_method["perfect"].removed == pytest.approx(1, abs=0.12)
    assert by_method["perfect"].gain == pytest.approx(by_method["truth"].gain, rel=0.12)
    assert by_method["perfect"].worst_gain > 1
    assert max(by_method[one.name].gain for one in CLASSIC) == pytest.approx(1)
    assert re.fullmatch(r"a = 0\.\d{3} ± 0\.\d{3}, \d+ blocks", by_method["truth"].setting)
    with (tmp_path / "out" / "fair.csv").open(newline="") as file:
        assert [row["method"] for row in csv.DictReader(file)] == [row.method for row in rows]


def test_there_is_no_gain_over_filters_that_all_do_harm(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmful = Column("TV (oracle)", "oracle", lambda fair: Answer(fair.quarter + 30))
    monkeypatch.setattr(proof, "oracle_columns", lambda: [harmful])
    perfect = _column("perfect", lambda hu: np.stack([body()] * len(hu)))
    rows = {row.method: row for row in run_proof(dataset, perfect, tmp_path)}
    assert rows["TV"].removed < 0 < rows["perfect"].removed
    assert np.isnan(
        [getattr(row, gain) for row in rows.values() for gain in ("gain", "worst_gain")]
    ).all()
    lines = proof_table([*rows.values()]).splitlines()
    assert f"| perfect | {rows['perfect'].removed:.3f} |  |  |" in lines[-1]


def test_simulated_doses(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def simulate(hu: np.ndarray, *, dose: float, **_: object) -> np.ndarray:
        asked.append(dose)
        return hu + np.stack([coloured_noise(B30F, SIZE, 20.0, seed=k) for k in range(len(hu))])

    monkeypatch.setattr(cases, "simulate_low_dose", simulate)
    rows = run_proof(dataset, _column("same", np.copy), tmp_path, doses=(0.5, 0.25), limit=1)
    assert asked == [0.5, 0.25]
    assert [row.dose for row in rows if row.method == "same"] == ["real", "0.5", "0.25"]
    assert all(row.removed == 0 for row in rows if row.method == "same")
    assert all(row.slices == 1 for row in rows)


def test_nothing_to_measure_is_an_error(tmp_path: Path) -> None:
    make_series(tmp_path / "air", slices=1, hu=lambda _: np.full((32, 32), -1000.0))
    with pytest.raises(DataError):
        run_proof(tmp_path / "air", _column("none", np.copy), tmp_path / "out", doses=(0.5,))


def test_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ldct_clipdn.core.denoiser import build_denoiser
    from ldct_clipdn.core.weights import save_denoiser

    save_denoiser(build_denoiser(encoder="tiny", start="identity"), tmp_path / "t.safetensors")
    given = ["benchmark", "fair", str(dataset), "--weights", str(tmp_path / "t.safetensors")]
    assert main([*given, "--out", str(tmp_path / "out"), "-q"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("| series | dose | method |")
    assert "| t |" in table
    assert "| truth | 1.000 |" in table
    assert "nan" not in table
    assert re.search(r"\| a = 0\.\d{3} ± 0\.\d{3}, \d+ blocks \|\n", table)
