from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from ldct_clipdn.cli.main import main
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weight_store import FOLDER_VARIABLE
from ldct_clipdn.core.weights import save_denoiser


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command line in this process."""

    def call(*argv: object) -> Done:
        capsys.readouterr()
        try:
            code = main([str(one) for one in argv])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a tiny denoiser that changes the image a little."""
    torch.manual_seed(0)
    model = build_denoiser(encoder="tiny", start="identity")
    with torch.no_grad():
        model.last.weight.mul_(0.99)
    path = tmp_path / "tiny.safetensors"
    save_denoiser(model, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder of this test's own; it does not exist yet."""
    path = tmp_path / "store"
    monkeypatch.setenv(FOLDER_VARIABLE, str(path))
    return path
