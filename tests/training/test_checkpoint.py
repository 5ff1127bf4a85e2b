"""What a run keeps: whole or not at all, refused when it is another's, readable without trust."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Disk
from ignite.engine import Engine

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import load_denoiser
from ldct_clipdn.data.positions import PositionSampler
from ldct_clipdn.errors import ConfigError, WeightsError
from ldct_clipdn.training.checkpoint import RunState, denoiser_in
from ldct_clipdn.training.schedule import build_optimizer, cosine_schedule, hold_and_fall


def make_state(run_dir: Path, **changes: Any) -> RunState:
    network = build_denoiser(encoder="tiny", encoder_training="scratch")
    optimizer = build_optimizer(network, 1e-3)
    run_dir.mkdir(exist_ok=True)
    settings = {"seed": 1, "sigma": 5, "network": network.config.to_dict()}
    values: dict[str, Any] = {
        "run_dir": str(run_dir),
        "network": network,
        "optimizer": optimizer,
        "scheduler": cosine_schedule(optimizer, 10),
        "sampler": PositionSampler(4, batch_size=2, iterations=10, seed=1),
        "settings": settings,
        **changes,
    }
    return RunState(**values)


def make_trainer() -> Engine:
    trainer = Engine(lambda *_: None)
    trainer.state.epoch_length, trainer.state.max_epochs = 5, 2
    return trainer


def step(state: RunState) -> None:
    image = torch.rand(1, 1, 32, 32)
    state.network(image).square().mean().backward()
    state.optimizer.step()
    state.scheduler.step()


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    step(state)
    state.save_last(7)
    other = make_state(tmp_path, resume=True)
    trainer = make_trainer()
    assert other.restore(trainer) == 7
    assert (trainer.state.iteration, trainer.state.epoch) == (7, 1)
    assert other.sampler.start_iteration == 7
    saved, found = state.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(saved[name], found[name]) for name in saved)
    assert other.optimizer.param_groups[0]["lr"] == state.optimizer.param_groups[0]["lr"] < 1e-3
    moments = [one["exp_avg"] for one in other.optimizer.state.values()]
    assert moments
    assert any(one.any() for one in moments)


def test_a_new_run_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"anything")
    assert make_state(tmp_path).restore(make_trainer()) == 0


def test_the_best_is_kept(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    for iteration, score in enumerate((30.0, 29.0, 31.0, 31.0, float("nan"))):
        state.save_best(iteration, score)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["step"] == 2
    state.save_last(5)
    resumed = make_state(tmp_path, resume=True)
    resumed.restore(make_trainer())
    resumed.save_best(6, 30.5)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["step"] == 2


def test_without_a_score_the_newest_is_the_best(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    state.save_best(1, None)
    state.save_best(2, None)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["step"] == 2


def test_both_files_load_as_denoisers(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    state.save_last(3)
    loaded = load_denoiser(tmp_path / "last.pt")
    assert loaded.config == denoiser_in(state.network).config
    x = torch.rand(1, 1, 20, 20)
    with torch.no_grad():
        assert torch.equal(loaded(x), state.network.eval()(x))
    versions = torch.load(tmp_path / "last.pt", weights_only=True)["origin"]
    assert set(versions) == {"ldct_clipdn", "torch", "numpy", "python"}


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_a_damaged_file_is_one_clear_error(damage: str, tmp_path: Path) -> None:
    state = make_state(tmp_path)
    state.save_last(3)
    path = tmp_path / "last.pt"
    content = path.read_bytes()
    path.write_bytes(
        {"cut": content[: len(content) // 2], "empty": b"", "text": b"weights"}.get(damage, b"")
    )
    if damage == "other":
        torch.save({"model": {}}, path)
    with pytest.raises(WeightsError) as caught:
        make_state(tmp_path, resume=True).restore(make_trainer())
    assert caught.value.path == path
    assert caught.value.remedy


def test_other_settings_are_named(tmp_path: Path) -> None:
    make_state(tmp_path).save_last(3)
    changed = make_state(tmp_path, resume=True, settings={"seed": 2, "sigma": 5, "network": {}})
    with pytest.raises(ConfigError) as caught:
        changed.restore(make_trainer())
    assert "seed was 1, now 2" in caught.value.reason
    assert "sigma" not in caught.value.reason


def resave(path: Path, **changes: Any) -> None:
    saved = torch.load(path, weights_only=True)
    for name, change in changes.items():
        change(saved[name])
    torch.save(saved, path)


def test_a_run_of_older_code_goes_on(tmp_path: Path) -> None:
    """What a network's settings did not say then is as it was then: at its default."""
    make_state(tmp_path).save_last(3)
    path = tmp_path / "last.pt"
    resave(path, settings=lambda one: [one["network"].pop(k) for k in ("continues", "decoder")])
    assert make_state(tmp_path, resume=True).restore(make_trainer()) == 3
    resave(path, settings=lambda one: one["network"].update(augmentation=0.5))
    with pytest.raises(ConfigError) as caught:
        make_state(tmp_path, resume=True).restore(make_trainer())
    assert "network augmentation was 0.5, now 0.025" in caught.value.reason
    assert "encoder" not in caught.value.reason


@pytest.mark.parametrize("digit", ["a", "b"])
def test_the_same_encoder_under_another_label_goes_on(tmp_path: Path, digit: str) -> None:
    """As its file was called by a tag once, and is called by its own name since."""
    state = make_state(tmp_path)
    label = f"openai (mine.pt, SHA-256 {digit * 64})"
    config = {**state.settings["network"], "encoder_source": label}
    make_state(tmp_path, settings={**state.settings, "network": config}).save_last(7)
    later = make_state(tmp_path, resume=True)
    network = denoiser_in(later.network)
    network.config = replace(network.config, encoder_source=f"mine.pt (SHA-256 {'a' * 64})")
    later.settings = {**state.settings, "network": network.config.to_dict()}
    if digit == "a":
        assert later.restore(make_trainer()) == 7
    else:
        with pytest.raises(ConfigError, match="network encoder_source was 'openai"):
            later.restore(make_trainer())


def test_settings_that_came_since_may_be_anything_and_those_that_went_may_not(
    tmp_path: Path,
) -> None:
    make_state(tmp_path).save_last(3)
    now = make_state(tmp_path).settings
    later = make_state(tmp_path, resume=True, settings={**now, "margin": 8})
    assert later.restore(make_trainer()) == 3
    later.save_last(3)
    with pytest.raises(ConfigError, match="margin was 8, now None"):
        make_state(tmp_path, resume=True).restore(make_trainer())


def test_a_length_that_may_change_must_not_move_the_rate(tmp_path: Path) -> None:
    def state(iterations: int, **more: Any) -> RunState:
        network = build_denoiser(encoder="tiny", encoder_training="scratch")
        optimizer = build_optimizer(network, 1e-3)
        settings = {"iterations": iterations, "network": network.config.to_dict()}
        parts = {"network": network, "optimizer": optimizer, "may_change": ["iterations"]}
        scheduler = hold_and_fall(optimizer, iterations, 4)
        return make_state(tmp_path, **parts, scheduler=scheduler, settings=settings, **more)

    def resumed(iterations: int) -> RunState:
        again = state(iterations, resume=True)
        again.restore(make_trainer())
        return again

    first = state(10)
    for _ in range(6):
        step(first)
    first.save_last(6)  # the last iteration before the fall
    longer = resumed(30)
    with pytest.raises(ConfigError, match="jump from 1.00e-03 to 7.50e-04 after iteration 6"):
        resumed(9)
    # an older version stored a sentence in place of the number
    resave(tmp_path / "last.pt", settings=lambda one: one.update(iterations="may change"))
    step(resumed(10))
    step(longer)
    longer.save_last(7)
    resumed(12)
    step(again := resumed(11))
    again.save_last(8)
    with pytest.raises(ConfigError, match="the learning rate would jump"):
        resumed(12)


def test_a_run_of_another_network_does_not_go_on(tmp_path: Path) -> None:
    make_state(tmp_path).save_last(3)
    resave(tmp_path / "last.pt", settings=lambda one: one.update(network={"peer": "dncnn"}))
    with pytest.raises(ConfigError, match="network encoder was None, now 'tiny'"):
        make_state(tmp_path, resume=True).restore(make_trainer())


def test_a_full_disk_leaves_the_last_one(tmp_path: Path, full_disk: Disk) -> None:
    state = make_state(tmp_path)
    state.save_last(3)
    before = (tmp_path / "last.pt").read_bytes()

    step(state)
    with full_disk(len(before) // 2), pytest.raises(WeightsError, match="File too large"):
        state.save_last(4)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_network_of_another_kind() -> None:
    with pytest.raises(ConfigError, match="Linear"):
        denoiser_in(torch.nn.Linear(1, 1))
