"""Low-dose CT denoising with the frozen image encoder of CLIP.

Research use only, not a medical device. The public names load what they need when first used:
`import ldct_clipdn` itself loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ldct_clipdn.batch.run import RunOptions as RunOptions
    from ldct_clipdn.batch.run import denoise_study as denoise_study
    from ldct_clipdn.core.denoiser import CLIPDenoiser as CLIPDenoiser
    from ldct_clipdn.core.denoiser import build_denoiser as build_denoiser
    from ldct_clipdn.core.metrics import psnr as psnr
    from ldct_clipdn.core.metrics import ssim as ssim
    from ldct_clipdn.core.noise import add_published_noise as add_published_noise
    from ldct_clipdn.core.weights import load_denoiser as load_denoiser
    from ldct_clipdn.ct.hu import HURange as HURange
    from ldct_clipdn.ct.lowdose import simulate_low_dose as simulate_low_dose
    from ldct_clipdn.ct.quality import QualityRecord as QualityRecord
    from ldct_clipdn.ct.quality import assess_quality as assess_quality
    from ldct_clipdn.errors import BackendError as BackendError
    from ldct_clipdn.errors import ConfigError as ConfigError
    from ldct_clipdn.errors import DataError as DataError
    from ldct_clipdn.errors import DecodeError as DecodeError
    from ldct_clipdn.errors import LdctError as LdctError
    from ldct_clipdn.errors import NotCTError as NotCTError
    from ldct_clipdn.errors import ReadError as ReadError
    from ldct_clipdn.errors import WeightsError as WeightsError
    from ldct_clipdn.errors import WriteError as WriteError
    from ldct_clipdn.inference.denoise import denoise_hu as denoise_hu

__version__ = "0.2.0.dev0"

_HOMES = {
    "BackendError": "errors",
    "CLIPDenoiser": "core.denoiser",
    "ConfigError": "errors",
    "DataError": "errors",
    "DecodeError": "errors",
    "HURange": "ct.hu",
    "LdctError": "errors",
    "NotCTError": "errors",
    "QualityRecord": "ct.quality",
    "ReadError": "errors",
    "RunOptions": "batch.run",
    "WeightsError": "errors",
    "WriteError": "errors",
    "add_published_noise": "core.noise",
    "assess_quality": "ct.quality",
    "build_denoiser": "core.denoiser",
    "denoise_hu": "inference.denoise",
    "denoise_study": "batch.run",
    "load_denoiser": "core.weights",
    "psnr": "core.metrics",
    "simulate_low_dose": "ct.lowdose",
    "ssim": "core.metrics",
}

__all__ = [
    "BackendError",
    "CLIPDenoiser",
    "ConfigError",
    "DataError",
    "DecodeError",
    "HURange",
    "LdctError",
    "NotCTError",
    "QualityRecord",
    "ReadError",
    "RunOptions",
    "WeightsError",
    "WriteError",
    "add_published_noise",
    "assess_quality",
    "build_denoiser",
    "denoise_hu",
    "denoise_study",
    "load_denoiser",
    "psnr",
    "simulate_low_dose",
    "ssim",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ldct_clipdn' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ldct_clipdn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
