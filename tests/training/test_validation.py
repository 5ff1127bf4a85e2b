"""Scores of slices by patient, against scikit-image; the files they go to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from by_scikit_image import slice_scores
from monai.engines import SupervisedEvaluator

from ldct_clipdn.training.inferer import CTInferer
from ldct_clipdn.training.progress import CsvLog
from ldct_clipdn.training.validation import SliceScores, ValidationLog


def batches(count: int = 4) -> list[dict[str, Any]]:
    rng = torch.Generator().manual_seed(0)
    made = []
    for k in range(count):
        label = torch.rand(1, 1, 24, 24, generator=rng) * 0.3 + 0.2
        noise = 0.02 * torch.randn(label.shape, generator=rng)
        kind, patient = ("synthetic", f"P{k % 2}") if k < 3 else ("low_dose", "P1")
        made.append({"image": label + noise, "label": label, "set": [kind], "patient": [patient]})
    made[0]["image"][0, 0, 0, 0] = 2.0  # beyond 3072 HU: it is limited to the range first
    return made


class Halving(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2


def evaluate(data: list[dict[str, Any]], log: ValidationLog) -> SupervisedEvaluator:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=data,
        network=Halving(),
        inferer=CTInferer(),
        key_val_metric={"val_psnr": log.scores},
        val_handlers=[log],
        decollate=False,
    )
    evaluator.run()
    return evaluator


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_slice_against_scikit_image(tmp_path: Path) -> None:
    data = batches()
    log = ValidationLog(SliceScores(), str(tmp_path), by_slice="slices.csv")
    evaluator = evaluate(data, log)
    rows = read(tmp_path / "slices.csv")
    assert len(rows) == 4

    def hu(unit: torch.Tensor) -> np.ndarray:
        return np.clip(unit[0, 0].double().numpy() * 4096 - 1024, -1024, 3072)

    for row, batch in zip(rows, data, strict=True):
        clean = hu(batch["label"])
        for name, image in (("", hu(batch["image"] / 2)), ("input_", hu(batch["image"]))):
            for measure, expected in slice_scores(clean, image).items():
                assert float(row[name + measure]) == pytest.approx(expected, abs=1e-4)
    synthetic = [float(row["psnr"]) for row in rows if row["set"] == "synthetic"]
    assert evaluator.state.metrics["val_psnr"] == pytest.approx(np.mean(synthetic))
    assert evaluator.state.metrics["val_psnr_low_dose"] == pytest.approx(float(rows[3]["psnr"]))


def test_patients_are_averaged_apart(tmp_path: Path) -> None:
    log = ValidationLog(SliceScores(), str(tmp_path), by_slice="slices.csv")
    evaluate(batches(), log)
    slices, patients = read(tmp_path / "slices.csv"), read(tmp_path / "validation.csv")
    assert [(row["set"], row["patient"], row["slices"]) for row in patients] == [
        ("low_dose", "P1", "1"),
        ("synthetic", "P0", "2"),
        ("synthetic", "P1", "1"),
    ]
    of_p0 = [
        float(row["psnr"]) for row in slices if (row["set"], row["patient"]) == ("synthetic", "P0")
    ]
    assert float(patients[1]["psnr"]) == pytest.approx(np.mean(of_p0), abs=1e-5)
    assert "synthetic: PSNR" in log.summary()
    assert "(1 slice)" in log.summary()


def test_pairs_alone_are_the_key_metric(tmp_path: Path) -> None:
    log = ValidationLog(SliceScores(), str(tmp_path))
    evaluator = evaluate(batches()[3:], log)
    assert evaluator.state.metrics["val_psnr"] == evaluator.state.metrics["val_psnr_low_dose"]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    log = ValidationLog(SliceScores(), None)
    log.begin(0)
    assert evaluate(batches(), log).state.metrics["val_psnr"] > 0
    assert not list(tmp_path.iterdir())


def test_a_log_goes_on_where_the_run_does(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "a" / "log.csv", ("iteration", "loss"))
    log.begin(0)
    assert not log.path.exists()
    log.add(*({"iteration": k, "loss": k / 10} for k in range(1, 6)))
    log.begin(3)
    log.add({"iteration": 4, "loss": 9})
    assert [(row["iteration"], row["loss"]) for row in read(log.path)] == [
        ("1", "0.1"),
        ("2", "0.2"),
        ("3", "0.3"),
        ("4", "9"),
    ]
    log.begin(0)
    assert not log.path.exists()


def test_volumes_go_through_slice_by_slice() -> None:
    """MONAI Deploy's volumes run columns first; the network sees rows first."""
    seen = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x + 1

    volume = torch.rand(1, 1, 6, 4, 3)  # columns, rows, slices
    found = CTInferer()(volume, network)
    assert torch.equal(found, volume + 1)
    assert [one.shape for one in seen] == [(1, 1, 4, 6)] * 3
    assert torch.equal(seen[2][0, 0, 1, 5], volume[0, 0, 5, 1, 2])
    flat = torch.rand(2, 1, 4, 6)
    assert torch.equal(CTInferer()(flat, network), flat + 1)
