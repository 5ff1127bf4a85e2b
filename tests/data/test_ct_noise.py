"""Training noise of CT: levels, colours, the target, and that a seed decides all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from coloured import B30F, coloured_noise
from monai.transforms import Compose

from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.ct.kernel import Kernel
from ldct_clipdn.data import noise_library
from ldct_clipdn.data.ct_noise import (
    CropBodyd,
    CTNoise,
    CTNoisyPaird,
    LoadWithNoised,
    NoiseDraw,
    recorrupt,
)
from ldct_clipdn.data.noise import noise_named
from ldct_clipdn.data.noise_library import NoiseLibrary
from ldct_clipdn.data.positions import PositionDataset

SIZE = 128


def _ramp_field(size: int, seed: int) -> torch.Tensor:
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size)] * 2))
    white = np.random.default_rng(seed).standard_normal((size, size))
    field = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(f)).real
    return torch.from_numpy((field / field.std()).astype(np.float32))


@pytest.mark.parametrize("cutoff", [0.15, 0.3, 0.9])
@pytest.mark.parametrize("white", [0.0, 0.15])
def test_added_noise_is_as_strong_as_drawn(cutoff: float, white: float) -> None:
    draw = NoiseDraw(30.0, Kernel(cutoff, 1.7), white)
    own = NoiseDraw(10.0, Kernel(0.26, 1.5), 0.0)
    added, _ = recorrupt(_ramp_field(256, 0), draw, own, np.random.RandomState(0))
    assert float(added.std()) == pytest.approx(30, rel=0.06)


def test_same_colour_takes_the_ratio_of_variances() -> None:
    kernel = Kernel(0.3, 1.5)
    added, taken = recorrupt(
        _ramp_field(SIZE, 1),
        NoiseDraw(20.0, kernel, 0.0),
        NoiseDraw(10.0, kernel, 0.0),
        np.random.RandomState(0),
    )
    torch.testing.assert_close(taken, added * 0.25, atol=1e-2, rtol=1e-3)


def _common(draw: NoiseDraw, kernel: Kernel, level: float) -> dict[float, float]:
    """Measure what input and target have in common, in units of the slice's own noise, by ring."""
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE)] * 2))
    cross, power = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    for seed in range(60):
        own, _ = recorrupt(
            _ramp_field(SIZE, 1000 + seed),
            NoiseDraw(level, kernel, 0.0),
            NoiseDraw(1.0, kernel, 0.0),
            np.random.RandomState(seed),
        )
        added, taken = recorrupt(
            _ramp_field(SIZE, seed),
            draw,
            NoiseDraw(level, kernel, 0.0),
            np.random.RandomState(seed),
        )
        of_input, of_target = np.fft.fft2(own + added), np.fft.fft2(own - taken)
        cross += (of_input.conj() * of_target).real
        power += np.abs(np.fft.fft2(own)) ** 2
    rings = {low: (f > low) & (f < low + 0.05) for low in np.arange(0.05, 0.4, 0.05)}
    return {low: cross[ring].sum() / power[ring].sum() for low, ring in rings.items()}


def test_target_noise_is_uncorrelated_with_the_inputs_at_every_frequency() -> None:
    common = _common(NoiseDraw(30.0, Kernel(0.45, 2.0), 0.05), Kernel(0.3, 1.6), 12.0)
    assert max(map(abs, common.values())) < 0.12  # F itself as target: 1


def test_beyond_the_cutoff_of_a_softer_kernel_the_own_noise_stays_in_both() -> None:
    """There the noise that is added is too weak to make up for it."""
    common = _common(NoiseDraw(15.0, Kernel(0.13, 2.5), 0.0), Kernel(0.3, 1.6), 12.0)
    assert all(abs(share) < 0.12 for low, share in common.items() if low < 0.1)
    assert all(share > 0.85 for low, share in common.items() if low > 0.24)


def test_how_much_of_the_own_noise_stays_in_both() -> None:
    """The figures of `CTNoisyPaird`."""
    noise = CTNoise().set_random_state(0)
    own = NoiseDraw(12.0, Kernel(0.26, 1.5), 0.0).power((64, 64))
    added = (noise.draw(12.0).power((64, 64)) for _ in range(1000))
    left = torch.stack([(own - 1.5 * one).clamp(min=0).sum() / own.sum() for one in added])
    assert float(left.mean()) == pytest.approx(0.09, abs=0.01)
    assert float((left > 0.1).float().mean()) == pytest.approx(0.25, abs=0.03)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NoiseLibrary:
    monkeypatch.setattr("ldct_clipdn.ct.lowdose.FIELD_VIEWS", 60)
    items = [{"image": f"{name}.dcm", "frame": 0, "patient": name} for name in ("one", "phantom")]
    return NoiseLibrary(items, _read, tmp_path, draws=1, noiseless=["phantom*"])


def _clean() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    hu = np.where((x / 60) ** 2 + (y / 50) ** 2 < 1, 45.0, -1000.0)
    hu[(x - 20) ** 2 + y**2 < 300] = 120
    return hu.astype(np.float32)


def _read(path: Path, frame: int) -> np.ndarray:
    hu = _clean()
    return hu + (coloured_noise(B30F, SIZE, 15.0, seed=2) if path.stem == "one" else 0)


def _pipeline(library: NoiseLibrary) -> Compose:
    return Compose(
        [
            LoadWithNoised("image", _read, library),
            CropBodyd("image", 64),
            CTNoisyPaird("image", margin=8),
        ]
    )


def test_library_measures_own_noise_and_knows_who_has_none(library: NoiseLibrary) -> None:
    assert library.own({"image": "one.dcm"}).level_hu == pytest.approx(15, rel=0.25)
    assert library.own({"image": "phantom.dcm"}).level_hu == 0


def test_library_is_made_once(library: NoiseLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_library, "noise_fields", None)
    items = [{"image": "one.dcm", "frame": 0, "patient": "one"}]
    again = NoiseLibrary(items, _read, library._paths[0].parent, draws=1)
    assert again._paths == library._paths[:1]
    assert not list(library._paths[0].parent.glob("*.partial"))


def test_pair_follows_from_seed_and_position(library: NoiseLibrary) -> None:
    data = [{"image": "one.dcm", "frame": 0}, {"image": "phantom.dcm", "frame": 0}]
    first, second = (PositionDataset(data, _pipeline(library), seed=5) for _ in range(2))
    for where in ((0, 7), (1, 8)):
        one, again = first[where], second[where]
        assert one["image"].shape == one["label"].shape == (1, 48, 48)
        torch.testing.assert_close(one["image"], again["image"], rtol=0, atol=0)
        torch.testing.assert_close(one["label"], again["label"], rtol=0, atol=0)
    assert not torch.equal(first[0, 7]["image"], first[0, 9]["image"])


def test_noiseless_slices_are_their_own_target(library: NoiseLibrary) -> None:
    item = PositionDataset([{"image": "phantom.dcm"}], _pipeline(library), seed=1)[0, 3]
    clean = (_clean() + 1024) / 4096
    windows = np.lib.stride_tricks.sliding_window_view(clean, (48, 48)).reshape(-1, 48, 48)
    label = item["label"][0].numpy()
    assert min(np.abs(windows[k] - label).max() for k in range(len(windows))) < 1e-5


def test_crops_hold_body() -> None:
    image = torch.full((2, SIZE, SIZE), -1000.0)
    image[0, :40, :40] = 40
    crop = CropBodyd("image", 32)
    for seed in range(20):
        crop.set_random_state(seed)
        cut = crop({"image": image})["image"]
        assert cut.shape == (2, 32, 32)
    shares = []
    for seed in range(20):
        crop.set_random_state(seed)
        shares.append(float((crop({"image": image})["image"][0] > -500).float().mean()))
    assert np.mean(np.array(shares) >= 1 / 3) > 0.7


def test_noise_is_as_strong_in_hu_whatever_the_range(library: NoiseLibrary) -> None:
    image, narrow = torch.full((1, 64, 64), 0.5), HURange(-160, 240)
    added = [
        (CTNoise(one).set_random_state(3)(image) - image) * (one or HURange()).width
        for one in (None, narrow)
    ]
    torch.testing.assert_close(*added, atol=1e-2, rtol=1e-3)
    pairs = [
        Compose(
            [LoadWithNoised("image", _read, library), CTNoisyPaird("image", 8, one)]
        ).set_random_state(3)({"image": "one.dcm", "frame": 0, "patient": "one"})
        for one in (None, narrow)
    ]
    for name in ("image", "label"):
        whole, seen = (pair[name] for pair in pairs)
        in_hu = HURange().from_unit(whole)
        torch.testing.assert_close(narrow.from_unit(seen), narrow.clip(in_hu), atol=1e-2, rtol=1e-4)


def test_strength_is_at_least_what_the_slice_has() -> None:
    noise = CTNoise().set_random_state(0)
    draws = [noise.draw(12.0) for _ in range(200)]
    assert min(one.sd_hu for one in draws) >= 12
    assert {one.kernel.cutoff < 0.3 for one in draws} == {True, False}
    assert max(one.sd_hu for one in draws) <= 110
    louder = [noise.draw(40.0) for _ in range(300)]
    assert 22.5 <= min(one.sd_hu for one in louder) < 40  # soft kernels go to 45 HU
    assert all(one.sd_hu >= 40 for one in louder if one.kernel.cutoff > 0.3)


def test_stretched_kernel_passes_more_one_way_and_keeps_its_strength() -> None:
    added, _ = recorrupt(
        _ramp_field(256, 3),
        NoiseDraw(30.0, Kernel(0.25, 1.7), 0.0, 1.25),
        NoiseDraw(10.0, Kernel(0.26, 1.5), 0.0),
        np.random.RandomState(0),
    )
    across, down = (float((added * added.roll(1, axis)).mean() / added.var()) for axis in (1, 0))
    assert down - across > 0.1  # sharper across: neighbours there are less alike
    assert float(added.std()) == pytest.approx(30, rel=0.06)


def test_bundle_chooses_ct_noise_by_name() -> None:
    noise = noise_named("ct", sigma=5)
    assert isinstance(noise, CTNoise)
    noise.set_random_state(3)
    clean = torch.full((1, SIZE, SIZE), 0.25)
    added = (noise(clean) - clean) * 4096
    assert 4 < float(added.std()) < 120
    neighbours = float((added[..., 1:] * added[..., :-1]).mean() / added.var())
    assert abs(neighbours) > 0.02  # coloured
