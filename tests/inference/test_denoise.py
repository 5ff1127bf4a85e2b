"""HU in, HU out: the formula, what passes through, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ldct_clipdn.core.denoiser import CLIPDenoiser, build_denoiser
from ldct_clipdn.core.weights import WeightsInfo, save_denoiser
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.errors import BackendError, ConfigError, LdctError, WeightsError
from ldct_clipdn.inference import denoise
from ldct_clipdn.inference.backends import Backend
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.inference.denoise import denoise_hu, denoise_slices
from ldct_clipdn.inference.engine import open_engine

SLICES = arrays.arrays(np.float32, (2, 6, 7), elements=st.floats(-4000, 20000, width=32))


class Halving:
    """A network that halves the unit scale."""

    name, version, device_class = "halving", "1", "none"
    weights = WeightsInfo("none", "", "none")

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.seen.append(batch)
        return batch / 2


@pytest.fixture(scope="module")
def model() -> CLIPDenoiser:
    torch.manual_seed(0)
    return build_denoiser(encoder="tiny").eval()


@pytest.fixture(scope="module")
def weights(model: CLIPDenoiser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_denoiser(model, path)
    return path


# --- the formula -----------------------------------------------------------------------------


def test_the_network_sees_the_range_as_0_to_1_and_its_answer_comes_back_in_hu() -> None:
    backend = Halving()
    hu = np.array([[[-1024.0, 0.0, 3072.0]]], dtype=np.float32)
    result = denoise_slices(hu, backend)
    np.testing.assert_allclose(backend.seen[0], [[[[0, 0.25, 1]]]])
    assert backend.seen[0].dtype == result.dtype == np.float32
    np.testing.assert_allclose(result, [[[-1024, -512, 1024]]])


@given(SLICES, st.floats(0, 1))
def test_strength_and_blend_are_those_of_the_formula(hu: np.ndarray, strength: float) -> None:
    result = denoise_slices(hu, Halving(), strength=strength)
    x = hu.astype(np.float64)
    inside = x.clip(-1024, 3072)
    net = (inside + 1024) / 2 - 1024
    share = np.interp(x, [-1424, -1324, 3072, 3272], [0, 1, 1, 0])
    # float32: a thousandth HU in 20,000
    np.testing.assert_allclose(result, x + share * strength * (net - inside), rtol=1e-6, atol=2e-3)


@given(SLICES)
def test_far_outside_the_range_nothing_changes(hu: np.ndarray) -> None:
    result = denoise_slices(hu, Halving())
    outside = (hu < -1424) | (hu > 3272)
    np.testing.assert_array_equal(result[outside], hu[outside])


class Air(Halving):
    """Answers that all is air, -1000 HU of the published range."""

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return np.full_like(batch, 24 / 4096)


def test_noisy_air_below_the_range_is_denoised_like_that_above_it() -> None:
    """Else the mean of denoised air sinks by what clipping took from the noise."""
    at = {
        -900.0: -1000,
        -1024.0: -1000,
        -1300.0: -1000,
        -1374.0: -1187,
        -1424.0: -1424,
        -3024: -3024,
    }
    hu = np.array([[list(at)]], dtype=np.float32)
    np.testing.assert_allclose(denoise_slices(hu, Air())[0, 0], list(at.values()), atol=1e-3)
    half = denoise_slices(hu, Air(), strength=0.5)[0, 0]
    np.testing.assert_allclose(half, (hu[0, 0] + list(at.values())) / 2, atol=1e-3)


def test_below_a_range_that_begins_above_air_is_tissue_and_stays() -> None:
    hu = np.array([[[-250.0, -300.0]]], dtype=np.float32)
    result = denoise_slices(hu, Air(), hu_range=HURange(-160, 240))[0, 0]
    # a tenth of what the network changes at the range's lower end, and nothing
    np.testing.assert_allclose(result, [-250 + 0.1 * 400 * 24 / 4096, -300], atol=1e-3)


def test_default_weights_leave_the_mean_of_noisy_air() -> None:
    noise = np.random.default_rng(0).normal(-1000, 80, (128, 128)).astype(np.float32)
    result = denoise_hu(noise)
    assert result.mean() == pytest.approx(-1000, abs=3)  # it was -1024
    assert result.std() < 8  # it was 46


@given(SLICES)
def test_identity_changes_nothing_at_all(hu: np.ndarray) -> None:
    np.testing.assert_array_equal(denoise_slices(hu, IdentityBackend()), hu)


def test_another_range_is_an_argument() -> None:
    backend = Halving()
    denoise_slices(np.full((1, 2, 2), 50, np.float32), backend, hu_range=HURange(0, 100))
    assert backend.seen[0].max() == 0.5


def test_weights_that_are_no_numbers_are_named(model: CLIPDenoiser, tmp_path: Path) -> None:
    state = {**model.state_dict(), "last.weight": torch.full_like(model.last.weight, torch.nan)}
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match=r"last\.weight is not finite") as caught:
        denoise_hu(np.zeros((8, 8), np.float32), tmp_path / "bad.pt")
    assert caught.value.path == tmp_path / "bad.pt"


@pytest.mark.parametrize("name", ["strength", "device", "backend", "weights"])
def test_none_is_one_clear_error(name: str, weights: Path) -> None:
    with pytest.raises(LdctError, match="None"):
        denoise_hu(np.zeros((8, 8), np.float32), **{"weights": weights, name: None})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_refused(value: float) -> None:
    class Broken(Halving):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            answer = batch.copy()
            answer[0, 0, 0, 0] = value
            return answer

    with pytest.raises(BackendError, match="NaN or infinite values.*halving"):
        denoise_slices(np.zeros((1, 4, 4), np.float32), Broken())


# --- denoise_hu ------------------------------------------------------------------------------


def test_a_slice_equals_the_network_by_hand(model: CLIPDenoiser, weights: Path) -> None:
    hu = np.random.default_rng(0).uniform(-1000, 2000, (40, 33)).astype(np.float32)
    with torch.no_grad():
        unit = model(torch.from_numpy((hu + 1024) / 4096)[None, None])[0, 0].numpy()
    result = denoise_hu(hu, weights)
    assert (result.shape, result.dtype) == (hu.shape, np.float32)
    np.testing.assert_allclose(result, unit * 4096 - 1024, atol=0.01)


def test_the_range_is_the_one_that_was_trained_on(tmp_path: Path) -> None:
    model = build_denoiser(encoder="tiny", hu_range=(-160, 240)).eval()
    save_denoiser(model, tmp_path / "narrow.safetensors")
    hu = np.random.default_rng(0).uniform(-160, 240, (40, 33)).astype(np.float32)
    with torch.no_grad():
        unit = model(torch.from_numpy((hu + 160) / 400)[None, None])[0, 0].numpy()
    result = denoise_hu(hu, tmp_path / "narrow.safetensors")
    np.testing.assert_allclose(result, unit * 400 - 160, atol=0.01)


def test_a_volume_is_its_slices(weights: Path) -> None:
    volume = np.random.default_rng(1).uniform(-1000, 2000, (3, 20, 35))
    whole = denoise_hu(volume, weights)
    assert whole.shape == volume.shape
    for slice_, one in zip(volume, whole, strict=True):
        np.testing.assert_array_equal(denoise_hu(slice_, weights), one)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70))
def test_any_size_from_one_pixel(weights: Path, height: int, width: int) -> None:
    result = denoise_hu(np.zeros((height, width)), weights)
    assert result.shape == (height, width)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float64, np.float32])
def test_any_number_type_and_the_input_stays(weights: Path, dtype: type) -> None:
    hu = np.arange(64, dtype=dtype).reshape(8, 8)
    kept = hu.copy()
    result = denoise_hu(hu, weights)
    np.testing.assert_array_equal(hu, kept)
    np.testing.assert_array_equal(result, denoise_hu(hu.astype(np.float32), weights))


def test_what_is_read_only_or_not_contiguous_is_taken(weights: Path) -> None:
    hu = np.arange(512, dtype=np.float32).reshape(16, 32)
    hu.flags.writeable = False
    np.testing.assert_array_equal(
        denoise_hu(hu.T[::2], weights), denoise_hu(hu.T[::2].copy(), weights)
    )


def test_strength_0_is_a_copy_and_needs_no_weights() -> None:
    hu = np.random.default_rng(0).normal(0, 9000, (8, 8)).astype(np.float32)
    result = denoise_hu(hu, "nowhere.pt", strength=0)
    np.testing.assert_array_equal(result, hu)
    assert not np.shares_memory(result, hu)


def test_strength_is_a_line_between_input_and_output(weights: Path) -> None:
    hu = np.random.default_rng(0).uniform(-1000, 2000, (16, 16)).astype(np.float32)
    half = denoise_hu(hu, weights, strength=0.5)
    np.testing.assert_allclose(half, (hu + denoise_hu(hu, weights)) / 2, atol=1e-3)


@pytest.mark.parametrize(
    ("hu", "reason"),
    [
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((1, 1, 4, 4)), r"shape \(1, 1, 4, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.zeros((0, 4, 4)), r"shape \(0, 4, 4\)"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), 1j), "complex128"),
        (np.full((4, 4), "a"), "no HU"),
        (np.full((4, 4), np.inf), "infinite"),
    ],
)
def test_what_is_no_image_is_refused(hu: np.ndarray, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        denoise_hu(hu, backend="identity")


def test_strength_by_name(weights: Path) -> None:
    hu = np.random.default_rng(0).normal(0, 50, (9, 11)).astype(np.float32)
    np.testing.assert_array_equal(
        denoise_hu(hu, weights, strength="medium"), denoise_hu(hu, weights, strength=0.7)
    )


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan"), "auto", "strong"])
def test_strength_outside_0_to_1_is_refused(strength: float | str) -> None:
    with pytest.raises(ConfigError, match="strength"):
        denoise_hu(np.zeros((4, 4)), backend="identity", strength=strength)


def test_without_weights_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    denoise._engine.cache_clear()  # another test may have opened the default weights last
    monkeypatch.setattr("ldct_clipdn.core.weight_store.SHIPPED", tmp_path)
    with pytest.raises(WeightsError, match="without default weights"):
        denoise_hu(np.zeros((4, 4)))


def test_the_last_engine_is_kept_and_another_takes_its_place(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, str, str]] = []

    def spy(weights: str, *, device: str, backend: str) -> Backend:
        opened.append((weights, device, backend))
        return open_engine(weights, device=device, backend=backend)

    monkeypatch.setattr(denoise, "open_engine", spy)
    denoise._engine.cache_clear()
    hu = np.zeros((4, 4))
    denoise_hu(hu, weights)
    denoise_hu(hu, str(weights))
    denoise_hu(hu, weights, strength=0.3)
    assert len(opened) == 1
    denoise_hu(hu, weights, device="cpu")
    denoise_hu(hu, weights, backend="identity")
    denoise_hu(hu, weights)
    assert len(opened) == 4


def test_weights_written_anew_under_their_name_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a training does with best.pt; and a relative path is another file in another folder."""
    hu = np.random.default_rng(0).normal(40, 20, (32, 32))
    model, answers = build_denoiser(encoder="tiny", start="identity"), []
    for _ in range(3):
        with torch.no_grad():
            model.last.weight.mul_(0.999)
        save_denoiser(model, tmp_path / "best.safetensors")
        answers.append(denoise_hu(hu, tmp_path / "best.safetensors"))
    (tmp_path / "other").mkdir()
    (tmp_path / "best.safetensors").rename(tmp_path / "other" / "best.safetensors")
    monkeypatch.chdir(tmp_path / "other")
    np.testing.assert_array_equal(denoise_hu(hu, "best.safetensors"), answers[-1])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="cannot be read"):
        denoise_hu(hu, "best.safetensors")
    assert not np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[1], answers[2])


def test_no_pixel_changes_by_more_than_five_times_the_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def invent(_: IdentityBackend, batch: np.ndarray) -> np.ndarray:
        answer = batch.copy()
        answer[..., 20, 20] += 0.2  # 819 HU
        return answer

    monkeypatch.setattr(IdentityBackend, "__call__", invent)
    hu = np.random.default_rng(0).normal(40, 20, (40, 40)).astype(np.float32)
    change = denoise_hu(hu, backend="identity") - hu
    assert 60 < change[20, 20] < 140
    assert (change != 0).sum() == 1
