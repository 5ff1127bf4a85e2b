"""The public interface: what `import ldct_clipdn` offers, and at what price."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import ldct_clipdn
from ldct_clipdn import errors
from ldct_clipdn.batch.run import RunOptions

EMPTY = inspect.Parameter.empty

SIGNATURES: dict[str, dict[str, Any]] = {
    "build_denoiser": {
        "in_channels": 1,
        "encoder": "RN50",
        "width": None,
        "pretrained": None,
        "encoder_norm": "frozen",
        "encoder_training": "frozen",
        "augmentation": 0.025,
        "use_image": True,
        "use_f5": False,
        "start": "random",
    },
    "load_denoiser": {"weights": "default"},
    "denoise_hu": {
        "hu": EMPTY,
        "weights": "default",
        "strength": 1.0,
        "device": "auto",
        "backend": "auto",
    },
    "denoise_study": {"source": EMPTY, "target": EMPTY, "options": RunOptions()},
    "assess_quality": {"before": EMPTY, "after": EMPTY, "spacing_mm": EMPTY, "reference": None},
    "psnr": {"a": EMPTY, "b": EMPTY, "data_range": EMPTY},
    "ssim": {"a": EMPTY, "b": EMPTY, "data_range": EMPTY},
}
KEYWORD_ONLY = {"build_denoiser": list(SIGNATURES["build_denoiser"]), "denoise_hu": ["strength"]}


def test_all_names_what_can_be_reached_and_nothing_else() -> None:
    assert set(ldct_clipdn.__all__) == set(ldct_clipdn._HOMES)
    assert len(set(ldct_clipdn.__all__)) == len(ldct_clipdn.__all__)
    for name in ldct_clipdn.__all__:
        assert getattr(ldct_clipdn, name).__name__ == name
        assert name in dir(ldct_clipdn)
    with pytest.raises(AttributeError, match="no attribute 'undo'"):
        _ = ldct_clipdn.undo


def test_every_error_can_be_caught_by_name() -> None:
    assert set(errors.__all__) <= set(ldct_clipdn.__all__)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_hold(name: str) -> None:
    """Others build on them: more may come at the end, nothing may go or change its default."""
    parameters = inspect.signature(getattr(ldct_clipdn, name)).parameters
    given = {key: one.default for key, one in parameters.items()}
    assert list(given)[: len(SIGNATURES[name])] == list(SIGNATURES[name])
    assert {key: given[key] for key in SIGNATURES[name]} == SIGNATURES[name]
    added = list(parameters)[len(SIGNATURES[name]) :]
    assert all(parameters[key].default is not EMPTY for key in added)
    for key in KEYWORD_ONLY.get(name, []):
        assert parameters[key].kind is inspect.Parameter.KEYWORD_ONLY


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = """
import sys
import ldct_clipdn
dir(ldct_clipdn)
print([name for name in ("torch", "numpy", "pydicom") if name in sys.modules])
ldct_clipdn.HURange
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_denoising_never_loads_the_training_libraries() -> None:
    """A machine that only denoises needs neither MONAI nor open_clip."""
    script = """
import sys
import numpy as np
import ldct_clipdn
ldct_clipdn.build_denoiser(encoder="tiny")
ldct_clipdn.denoise_hu(np.zeros((4, 4)), backend="identity")
ldct_clipdn.denoise_study
print([name for name in ("monai", "ignite", "open_clip", "torchvision", "matplotlib")
       if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
