"""Transforms: ranges, turns, noise, pairs, and the files at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import monai
import numpy as np
import pytest
import torch
from builders import make_series
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data import MetaTensor
from monai.transforms import Compose

from ldct_clipdn.data.cache import Source, open_cache
from ldct_clipdn.data.noise import AddWhiteNoise, NoisyPaird, noise_named
from ldct_clipdn.data.slice_files import (
    LoadImageCTd,
    SaveImageCTd,
    read_hu,
    read_through,
    slice_items,
)
from ldct_clipdn.data.slices import read_frames
from ldct_clipdn.data.transforms import (
    HUToUnit,
    HUToUnitd,
    TurnOrFlip,
    TurnOrFlipd,
    UnitToHU,
    UnitToHUd,
)
from ldct_clipdn.errors import ConfigError, DataError, ReadError, WriteError

PIXELS = hnp.arrays(
    np.float32, (1, 3, 5), elements=st.floats(-1024, 3072, width=32, allow_nan=False)
)


@pytest.fixture(params=[True, False], ids=["meta", "plain"])
def tracking(request: pytest.FixtureRequest) -> Iterator[bool]:
    monai.data.set_track_meta(request.param)
    yield request.param
    monai.data.set_track_meta(True)


@given(PIXELS)
def test_hu_come_back_within_a_thousandth(hu: np.ndarray) -> None:
    unit = HUToUnit()(hu)
    assert unit.dtype == torch.float32
    assert unit.min() >= 0
    assert unit.max() <= 1
    assert np.abs(UnitToHU()(unit).numpy() - hu).max() < 1e-3


def test_the_range_is_the_published_one() -> None:
    hu = torch.tensor([-2000.0, -1024.0, 0.0, 1024.0, 3072.0, 5000.0])
    assert HUToUnit()(hu).tolist() == [0.0, 0.0, 0.25, 0.5, 1.0, 1.0]
    assert HUToUnit(clip=False)(hu)[[0, 5]].tolist() == [-976 / 4096, 6024 / 4096]
    assert UnitToHU(0, 100)(torch.tensor([0.0, 0.5])).tolist() == [0.0, 50.0]
    with pytest.raises(ConfigError, match="empty"):
        HUToUnit(10, 10)


def test_the_range_is_invertible_in_monais_sense(tracking: bool) -> None:
    """`Compose.inverse` undoes it, and takes its record off the stack."""
    chain = Compose([HUToUnitd("image")])
    hu = torch.tensor([[[-1000.0, 40.0], [900.0, 3071.0]]])
    item = chain({"image": hu, "other": 7})
    assert isinstance(item["image"], MetaTensor) == tracking
    assert item["other"] == 7
    if tracking:
        assert item["image"].applied_operations[-1]["class"] == "HUToUnit"
        back = chain.inverse(item)
        assert back["image"].applied_operations == []
        assert (back["image"] - hu).abs().max() < 1e-3
    else:
        assert (UnitToHUd("image")(item)["image"] - hu).abs().max() < 1e-3
    assert hu[0, 0, 1] == 40  # the input stays


def test_invertd_takes_the_prediction_back() -> None:
    """MONAI's own `ScaleIntensityRanged` is not undone by it; ours is."""
    chain = Compose([HUToUnitd("image")])
    item = chain({"image": torch.full((1, 4, 4), 40.0)})
    item["pred"] = item["image"].clone()
    invert = monai.transforms.Invertd(
        "pred", transform=chain, orig_keys="image", nearest_interp=False
    )
    assert (invert(item)["pred"] - 40).abs().max() < 1e-3


def test_missing_entries() -> None:
    assert HUToUnitd(["image", "low_dose"], allow_missing_keys=True)({"image": torch.zeros(1)})
    with pytest.raises(KeyError):
        HUToUnitd(["image", "low_dose"])({"image": torch.zeros(1)})


def test_turns_and_flips_are_the_eight_of_the_square() -> None:
    image = torch.arange(9.0).reshape(1, 3, 3)
    turn = TurnOrFlip()
    turn.set_random_state(seed=0)
    seen = [tuple(turn(image).flatten().tolist()) for _ in range(400)]
    turned = [np.rot90(image[0].numpy(), k) for k in range(4)]
    expected = {tuple(part.ravel()) for one in turned for part in (one, np.flipud(one))}
    assert set(seen) == expected
    assert len(expected) == 8
    assert min(seen.count(one) for one in expected) > 25  # 50 on average


def test_turns_follow_the_seed() -> None:
    image = torch.rand(1, 4, 4)
    turn = TurnOrFlipd("image")

    def draw(seed: int) -> list[torch.Tensor]:
        turn.set_random_state(seed=seed)
        return [turn({"image": image})["image"] for _ in range(10)]

    assert all(torch.equal(a, b) for a, b in zip(draw(1), draw(1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(draw(1), draw(2), strict=True))


def test_sigma_5_is_80_hu_in_every_crop() -> None:
    """The measured standard deviation, within 2 %, every time."""
    noise = AddWhiteNoise(5)
    clean = torch.full((1, 128, 128), 0.26)
    for seed in range(100):
        noise.set_random_state(seed=seed)
        added = (noise(clean) - clean).numpy() * 4096
        assert added.std() == pytest.approx(80.3, rel=0.02)
        assert abs(added.mean()) < 80.3 * 4 / 128
        assert abs(np.corrcoef(added[0, :, :-1].ravel(), added[0, :, 1:].ravel())[0, 1]) < 0.04
    assert clean.unique().tolist() == [pytest.approx(0.26)]


@pytest.mark.parametrize("sigma", [-1, 256, float("nan")])
def test_impossible_noise(sigma: float) -> None:
    with pytest.raises(ConfigError, match="sigma"):
        noise_named("gaussian", sigma)


def test_unknown_noise() -> None:
    with pytest.raises(ConfigError, match="pink"):
        noise_named("pink", 5)


def test_a_pair_is_noisy_and_clean() -> None:
    pair = NoisyPaird("image", AddWhiteNoise(5))
    pair.set_random_state(seed=3)
    clean = torch.rand(1, 8, 8)
    item = pair({"image": clean, "label": "a label map of MONAILabel"})
    assert torch.equal(item["label"], clean)
    assert not torch.equal(item["image"], clean)
    real = pair({"image": clean, "low_dose": clean + 1})
    assert torch.equal(real["image"], clean + 1)
    assert torch.equal(real["label"], clean)
    assert "low_dose" not in real


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_noise_follows_the_seed(seed: int) -> None:
    pair, clean = NoisyPaird("image", AddWhiteNoise(5)), torch.zeros(1, 4, 4)
    drawn = []
    for _ in range(2):
        pair.set_random_state(seed=seed)
        drawn.append(pair({"image": clean})["image"])
    assert torch.equal(*drawn)


def test_slices_are_read_rows_by_columns(tmp_path: Path) -> None:
    """A marker at row 2, column 5 of 64 x 48 stays there."""
    hu = np.full((64, 48), 40.0)
    hu[2, 5] = 1000.0
    (path,) = make_series(tmp_path, slices=1, rows=64, columns=48, hu=lambda _: hu)
    item = LoadImageCTd("image")({"image": str(path)})
    assert item["image"].shape == (64, 48)
    assert item["image"].dtype == torch.float32
    assert item["image"][2, 5] == 1000
    assert item["image"].max() == item["image"][2, 5]


def test_items_of_a_folder(tmp_path: Path) -> None:
    make_series(tmp_path / "a", slices=2)
    make_series(tmp_path / "b", slices=1, series_uid="1.2.3", names="same.dcm")
    make_series(tmp_path / "b", slices=1, series_uid="1.2.4", names="same.ima")
    items = slice_items(tmp_path)
    assert len({one["output"] for one in items}) == len(items) == 4
    assert {Path(one["image"]).relative_to(tmp_path).parts[0] for one in items} == {"a", "b"}
    assert slice_items(items[0]["image"])[0]["output"].endswith("_denoised")
    with pytest.raises(DataError, match="no data is given"):
        slice_items(None)


def test_what_the_cache_lacks_is_read_from_its_file(tmp_path: Path) -> None:
    one, other = make_series(tmp_path / "in", slices=2)
    cache = open_cache(tmp_path / "cache", [Source(one, (1, 32, 32), (one,))], read_frames)
    read = read_through(cache)
    assert np.array_equal(read(one, 0), read_hu(one))
    assert np.array_equal(read(other, 0), read_hu(other))
    other.unlink()
    with pytest.raises(ReadError):
        read(other, 0)


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (path,) = make_series(tmp_path / "in", slices=1)
    (tmp_path / "out").write_text("a file where the folder should be")
    item = {"pred": torch.zeros(1, 32, 32), "source": str(path), "frame": 0, "output": "x"}
    with pytest.raises(WriteError, match="cannot be written"):
        SaveImageCTd("pred", tmp_path / "out")(item)
