"""Engines: what opens, on which device, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weight_files import file_sha256
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.errors import BackendError, WeightsError
from ldct_clipdn.inference.backends import BACKENDS
from ldct_clipdn.inference.engine import open_engine, pick_device


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_denoiser(build_denoiser(encoder="tiny"), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_back_end_says_what_it_is_and_keeps_shape_and_type(
    weights: Path, backend: str
) -> None:
    engine = open_engine(weights, device="cpu", backend=backend)
    assert engine.name == backend
    assert engine.version
    assert engine.device_class
    batch = np.random.default_rng(0).random((2, 1, 33, 20), dtype=np.float32)
    kept = batch.copy()
    answer = engine(batch)
    assert (answer.shape, answer.dtype) == (batch.shape, np.float32)
    np.testing.assert_array_equal(batch, kept)


def test_auto_is_torch_and_knows_its_weights(weights: Path) -> None:
    engine = open_engine(weights, device="cpu")
    assert (engine.name, engine.version) == ("torch", torch.__version__)
    instructions = torch.backends.cpu.get_cpu_capability().lower()
    threads = torch.get_num_threads()
    assert engine.device_class.startswith(f"cpu-fp32-{instructions}-{threads}-threads")
    assert engine.weights.name == "w.safetensors"
    assert engine.weights.sha256 == file_sha256(weights)
    assert "random" in engine.weights.encoder  # a random encoder is said everywhere


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_other_instructions_or_threads_are_another_device(
    weights: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plain = open_engine(weights, device="cpu").device_class
    with monkeypatch.context() as limited:
        limited.setenv(name, "SSE41")
        assert open_engine(weights, device="cpu").device_class == f"{plain}-sse41"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert "-77-threads" in open_engine(weights, device="cpu").device_class
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ZVECTOR")
    assert open_engine(weights, device="cpu").device_class.startswith("cpu-fp32-zvector")


def test_a_batch_is_its_images(weights: Path) -> None:
    engine = open_engine(weights, device="cpu")
    batch = np.random.default_rng(0).random((3, 1, 32, 32), dtype=np.float32)
    together = engine(batch)
    for image, answer in zip(batch, together, strict=True):
        np.testing.assert_allclose(engine(image[None])[0], answer, atol=1e-6)


def test_the_identity_needs_no_weights() -> None:
    engine = open_engine("nowhere.pt", device="cuda:99", backend="identity")
    assert engine.weights.sha256 == ""


def test_colour_weights_are_not_for_ct(tmp_path: Path) -> None:
    save_denoiser(build_denoiser(encoder="tiny", in_channels=3), tmp_path / "rgb.pt")
    with pytest.raises(WeightsError, match="colour") as caught:
        open_engine(tmp_path / "rgb.pt", device="cpu")
    assert caught.value.path == tmp_path / "rgb.pt"


def test_unknown_back_ends_and_devices_are_named_with_what_there_is(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match="'abacus'.*Choose auto, torch, identity"):
        open_engine(weights, backend="abacus")
    with pytest.raises(BackendError, match="'tpu' is no device"):
        open_engine(weights, device="tpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("cuda:1", "mps"):
        with pytest.raises(BackendError, match=f"'{name}' is not available here .1 CUDA devices"):
            pick_device(name)
    assert pick_device("cuda") == torch.device("cuda")
    assert pick_device("cuda:0") == torch.device("cuda:0")


@pytest.mark.parametrize(("there", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_cuda_where_it_is(
    monkeypatch: pytest.MonkeyPatch, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device("auto").type == expected


def test_too_little_memory_is_said(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(weights, device="cpu")

    def fail(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine, "model", fail)
    with pytest.raises(BackendError, match=r"memory of cpu is too small for \(1, 1, 8, 8\)"):
        engine(np.zeros((1, 1, 8, 8), np.float32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(tmp_path: Path) -> None:
    """To 0.08 HU; factors rounded to TF32, as tried on a CPU, would make 17 HU at most."""
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny", width=32, encoder_training="scratch").eval()
    batch = np.random.default_rng(0).random((2, 1, 64, 64), dtype=np.float32)
    with torch.no_grad():  # a random network's answer is far weaker than an image
        model.last.weight.div_(model(torch.from_numpy(batch)).std())
    save_denoiser(model, tmp_path / "w.safetensors")
    on_cpu, on_gpu = (
        open_engine(tmp_path / "w.safetensors", device=one)(batch) for one in ("cpu", "cuda")
    )
    assert on_cpu.std() > 0.5
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=2e-5)
