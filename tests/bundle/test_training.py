"""Training through the bundle: it runs, saves, repeats itself, goes on exactly, stops well."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bundle_runs import (
    BUNDLE,
    SMALL,
    command,
    interrupt_after,
    our_error,
    rows,
    run_bundle,
    start_process,
)
from ct_layouts import make_mayo
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import load_denoiser
from ldct_clipdn.errors import ConfigError

Train = Callable[..., Path]


def weights_of(run_dir: Path, name: str = "last.pt") -> dict[str, torch.Tensor]:
    return torch.load(run_dir / name, weights_only=True)["network"]


def assert_equal_runs(one: Path, other: Path) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in ("train.csv", "validation.csv"):
        assert rows(one / name) == rows(other / name)


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_a_real_process_in_a_foreign_folder(dataset: Path, tmp_path: Path) -> None:
    """Nothing is written but what was asked for, and where."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = files_in(BUNDLE)
    settings = {
        **SMALL,
        "dataset_dir": dataset,
        "cache_dir": tmp_path / "c",
        "run_dir": tmp_path / "r",
    }
    process = start_process(
        command("train.json", "training", **settings), elsewhere, MONAI_FAIL_ON_DUPLICATE_CONFIG="1"
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Setting logging properties based on config" in output
    assert "The tiny encoder has random weights: this is not CLIP" in output
    assert "4/4" in output
    assert "loss=" in output
    assert "lr=" in output
    assert {path.name for path in (tmp_path / "r").iterdir() if "tfevents" not in path.name} == {
        "last.pt",
        "best.pt",
        "train.csv",
        "validation.csv",
    }
    assert torch.load(tmp_path / "r" / "last.pt", weights_only=True)["step"] == 4
    assert not list(elsewhere.iterdir())
    assert files_in(BUNDLE) == before


def test_both_ids_train_the_same(train: Train) -> None:
    """`run` and `training`; one seed, one result."""
    assert_equal_runs(train("a", "run"), train("b", "training"))
    other = train("c", seed=5)
    last = weights_of(other)["last.weight"]
    assert not torch.equal(last, weights_of(other.with_name("a"))["last.weight"])


def test_the_last_rate_and_the_steps_of_validation(train: Train) -> None:
    """The rate ends at 1e-6; TensorBoard counts validations from 1."""
    run_dir = train(max_iterations=25, validation_interval=10)
    saved = torch.load(run_dir / "last.pt", weights_only=True)
    assert saved["step"] == 25
    assert saved["optimizer"]["param_groups"][0]["lr"] == pytest.approx(1e-6, rel=1e-9)
    events = EventAccumulator(str(run_dir)).Reload()
    assert [one.step for one in events.Scalars("val_psnr")] == [1, 2, 3]
    assert [one.step for one in events.Scalars("val_rmse_hu_low_dose")] == [1, 2, 3]
    assert [one.step for one in events.Scalars("train_loss")] == [10, 20]
    train_rows = rows(run_dir / "train.csv")
    assert [row["iteration"] for row in train_rows] == [str(k) for k in range(1, 26)]
    assert float(train_rows[0]["learning_rate"]) == 3e-4
    assert {row["iteration"] for row in rows(run_dir / "validation.csv")} == {"10", "20", "25"}


def test_validation_is_by_patient_on_synthetic_noise_and_real_pairs(train: Train) -> None:
    run_dir = train(test_patients="L506,L096")
    found = [
        (row["set"], row["patient"], row["slices"]) for row in rows(run_dir / "validation.csv")
    ]
    assert found[: len(found) // 2] == [
        ("low_dose", "L506", "3"),
        ("synthetic", "L096", "3"),
        ("synthetic", "L506", "3"),
    ]


def test_the_range_of_the_training_is_kept_and_evaluated(
    dataset: Path, cache_dir: Path, evaluation: list[str], tmp_path: Path, train: Train
) -> None:
    """White noise is of the range, PSNR too; an evaluation by the weights alone measures as it."""
    settings = {"hu_range": (-160, 240), "sigma": 25}
    run_dir = train(**settings, max_iterations=2)
    assert load_denoiser(run_dir / "best.pt").config.hu_range == (-160.0, 240.0)
    measured = {row["set"]: row for row in rows(run_dir / "validation.csv")}
    assert 0 < float(measured["synthetic"]["input_rmse_hu"]) < 25 / 255 * 400
    run_bundle(
        evaluation,
        "evaluate",
        dataset_dir=str(dataset),
        cache_dir=str(cache_dir),
        weights=str(run_dir / "best.pt"),
        output_dir=str(tmp_path / "out"),
        device="cpu",
        sigma=25,
    )
    for row in rows(tmp_path / "out" / "patients.csv"):
        for name in ("psnr", "rmse_hu", "input_rmse_hu"):
            expected = float(measured[row["set"]][name])
            assert float(row[name]) == pytest.approx(expected, rel=1e-4)
    train(**settings, max_iterations=2, resume=True)
    with pytest.raises(RuntimeError) as caught:
        train(resume=True, max_iterations=2, sigma=25)
    assert "hu_range was (-160.0, 240.0), now (-1024.0, 3072.0)" in our_error(caught.value).reason


def test_a_run_from_before_the_range_was_stored_goes_on(train: Train) -> None:
    run_dir = train()
    saved = torch.load(run_dir / "last.pt", weights_only=True)
    del saved["config"]["hu_range"], saved["settings"]["network"]["hu_range"]
    torch.save(saved, run_dir / "last.pt")
    train(resume=True)
    with pytest.raises(RuntimeError) as caught:
        train(resume=True, hu_range=(-160, 240))
    assert "hu_range was" in our_error(caught.value).reason


def test_images_of_other_channels_leave_nothing(train: Train, tmp_path: Path) -> None:
    """Not even empty TensorBoard files: the same folder is free for the next try."""
    with pytest.raises(RuntimeError) as caught:
        train(**{"network_def#in_channels": 3, "network_def#hu_range": "$None", "start": "random"})
    assert "takes images of 3 channels, and these have 1" in our_error(caught.value).reason
    assert not any((tmp_path / "run").iterdir())


def test_the_frozen_encoder_stays(train: Train) -> None:
    """Weights and statistics of the encoder are those it began with."""
    after = weights_of(train(max_iterations=6, learning_rate=0.01))
    run = train("again", max_iterations=1, validation_interval=1, learning_rate=1e-6)
    before = weights_of(run)
    encoder = [name for name in after if name.startswith("encoder.")]
    assert len(encoder) > 20
    assert all(torch.equal(after[name], before[name]) for name in encoder)
    assert not torch.equal(
        after["up_path.0.conv_block.block.0.weight"], before["up_path.0.conv_block.block.0.weight"]
    )


def test_as_published_lets_the_statistics_drift(
    dataset: Path, cache_dir: Path, tmp_path: Path
) -> None:
    run_bundle(
        ["train.json", "as_published.json"],
        "run",
        **{
            **SMALL,
            "dataset_dir": str(dataset),
            "cache_dir": str(cache_dir),
            "run_dir": str(tmp_path / "r"),
        },
    )
    after = weights_of(tmp_path / "r")
    assert int(after["encoder.bn1.num_batches_tracked"]) == 4
    assert load_denoiser(tmp_path / "r" / "best.pt").config.encoder_norm == "adapt"


@pytest.mark.slow
@pytest.mark.parametrize(("cut", "workers"), [(8, 0), (5, 0), (5, 2)])
def test_a_run_goes_on_bit_for_bit(
    cut: int, workers: int, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at a validation or between two, with and without workers."""
    length = {"max_iterations": 14, "validation_interval": 4, "encoder_norm": "adapt", "gamma": 0.2}
    whole = train("whole", **length)
    with monkeypatch.context() as patch:
        interrupt_after(cut, patch)
        with pytest.raises(SystemExit) as stopped:
            train("cut", num_workers=workers, **length)
    assert stopped.value.code == 130
    assert torch.load(whole.with_name("cut") / "last.pt", weights_only=True)["step"] == cut
    resumed = train("cut", num_workers=workers, resume=True, **length)
    assert_equal_runs(whole, resumed)
    assert weights_of(whole, "best.pt").keys() == weights_of(resumed, "best.pt").keys()


def test_a_run_of_other_settings_does_not_go_on(train: Train) -> None:
    train()
    with pytest.raises(RuntimeError) as caught:
        train(resume=True, sigma=6, max_iterations=8)
    error = our_error(caught.value)
    assert isinstance(error, ConfigError)
    assert "sigma was 5, now 6" in error.reason
    assert "iterations was 4, now 8" in error.reason


def test_a_run_goes_on_with_its_own_slices_alone(
    dataset: Path, train: Train, tmp_path: Path
) -> None:
    """Wherever they lie, and of older code that did not keep which they were."""
    run_dir = train()
    moved = tmp_path / "moved"
    shutil.copytree(dataset, moved)
    train(resume=True, dataset_dir=str(moved))
    shutil.rmtree(moved / "full_1mm" / "L067")
    make_mayo(moved / "full_1mm" / "L067", "L067", "full", size=48, seed=77)
    with pytest.raises(RuntimeError) as caught:
        train(resume=True, dataset_dir=str(moved))
    assert our_error(caught.value).reason.startswith(
        "a resumed run must keep its settings: training_files was "
    )
    saved = torch.load(run_dir / "last.pt", weights_only=True)
    del saved["settings"]["training_files"]
    torch.save(saved, run_dir / "last.pt")
    train(resume=True, dataset_dir=str(moved))


def test_a_new_run_never_overwrites(train: Train, tmp_path: Path) -> None:
    run_dir = train()
    before = (run_dir / "last.pt").read_bytes()
    with pytest.raises(RuntimeError) as caught:
        train(seed=1)
    assert "not empty" in our_error(caught.value).reason
    assert (run_dir / "last.pt").read_bytes() == before
    with pytest.raises(RuntimeError) as caught:
        train("elsewhere", resume=True)
    assert "no run to resume" in our_error(caught.value).reason


def test_runs_get_folders_of_their_own(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `bundle_root`: two runs within one second, and nothing in the cwd."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    for _ in range(2):
        run_bundle(
            "train.json",
            "run",
            **{
                **SMALL,
                "dataset_dir": str(dataset),
                "bundle_root": str(tmp_path / "root"),
                "max_iterations": 2,
            },
        )
    runs = [path for path in (tmp_path / "root" / "runs").iterdir() if path.name != "cache"]
    assert len(runs) == 2
    assert all((run / "best.pt").is_file() for run in runs)
    assert not list((tmp_path / "cwd").iterdir())


def test_one_patient_trains_without_validation(
    dataset: Path, train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = train(dataset_dir=str(dataset / "full_1mm" / "L067"))
    assert (run_dir / "best.pt").is_file()
    assert not (run_dir / "validation.csv").exists()
    assert caplog.text.count("validation") >= 1


def test_validation_from_another_folder(dataset: Path, train: Train) -> None:
    run_dir = train(
        dataset_dir=str(dataset / "full_1mm" / "L067"),
        validation_dir=str(dataset / "full_1mm" / "L096"),
    )
    assert {row["patient"] for row in rows(run_dir / "validation.csv")} == {"L096"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_signals_leave_a_usable_checkpoint(
    kind: signal.Signals,
    dataset: Path,
    cache_dir: Path,
    tmp_path: Path,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {
        **SMALL,
        "dataset_dir": dataset,
        "cache_dir": cache_dir,
        "run_dir": tmp_path / "run",
        "max_iterations": 100_000,
        "validation_interval": 5,
    }
    with start_process(command("train.json", "run", **settings), tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Iteration 10:" in line:
                process.send_signal(kind)
                break
        rest = process.stdout.read()
    assert process.returncode == (130 if kind == signal.SIGINT else -signal.SIGKILL)
    step = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"]
    assert step >= 5
    assert load_denoiser(tmp_path / "run" / "best.pt").config.encoder == "tiny"
    if kind == signal.SIGINT:
        assert f"Interrupted after iteration {step}; go on with: --resume True" in rest
        assert "Traceback" not in rest
    interrupt_after(step + 2, monkeypatch)
    with pytest.raises(SystemExit):
        train(resume=True, max_iterations=100_000, validation_interval=5)
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == step + 2


@pytest.mark.slow
def test_two_processes_train_as_one_of_double_batch(
    dataset: Path, cache_dir: Path, tmp_path: Path, train: Train
) -> None:
    """`multi_gpu_train` over gloo: same data, same gradient, same weights but for rounding."""
    settings = {
        **SMALL,
        "dataset_dir": dataset,
        "cache_dir": cache_dir,
        "run_dir": tmp_path / "two",
        "gamma": 0,
        "mixup": 0,
        "learning_rate": 0.01,
    }
    words = command(["train.json", "multi_gpu_train.json"], "training", **settings)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--"]
    process = start_process([*launcher, *words[1:]], tmp_path, CUDA_VISIBLE_DEVICES="")
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert output.count("Iteration 4:") == 1
    one = train("one", gamma=0, mixup=0, learning_rate=0.01, batch_size=4)
    for name, value in weights_of(one).items():
        torch.testing.assert_close(weights_of(tmp_path / "two")[name], value, atol=1e-5, rtol=1e-4)
    assert rows(one / "validation.csv")[0]["patient"] == "L506"
    start = build_denoiser(encoder="tiny", encoder_training="scratch").state_dict()
    assert not torch.equal(start["last.weight"], weights_of(one)["last.weight"])


def test_slices_smaller_than_a_crop_train(train: Train) -> None:
    """48 x 48 is mirrored as often as it takes, which MONAI's `reflect` does not do."""
    run_dir = train(crop_size=160, max_iterations=1, validation_interval=1, validation_slices=1)
    assert (run_dir / "last.pt").is_file()
