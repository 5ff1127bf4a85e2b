"""How a study is denoised: every choice of a run."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path

from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.ct.strength import parse_strength
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.io.output import DEFAULT_OUTPUT, OutputOptions

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """How a study is denoised.

    Parameters
    ----------
    weights
        A name or file, as for `load_denoiser`.
    strength
        Share of the network's change that is applied: 0 to 1, `low`, `medium` or `high`, or `auto`,
        which chooses it for each series so that `target_noise` is left; 0 needs no weights and
        copies pixels.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.
    backend
        `auto`, or one of `inference.backends.BACKENDS`.
    wallclock
        False writes the study's date and time instead of today's, for data whose dates are shifted.
    accept
        Names in `io.accept.ADMISSIBLE` of images that are skipped by default.
    output
        How derived images are written.
    target_noise
        Noise in HU that the strength `auto` leaves; None takes that of the weights.
    precision
        `float32`, or `bfloat16` or `float16` where the device computes with it.
    batch_size
        Slices that are computed at once; `auto` is 1 on a CPU and 4 on CUDA.
    window
        Lowest and highest HU that the network sees, as 0 and 1; None is what the weights say they
        were trained on, else the published range. Metal above and what lies far below come back
        unchanged.
    series
        Which series are denoised, as `batch.select.parse_filters` reads it; none is all.

    Raises
    ------
    ConfigError
        When the strength is none, a target is given without `auto` or is not above 0, the window is
        empty, or the batch size is none.
    """

    weights: str | Path = "default"
    strength: float | str = 1.0
    device: str = "auto"
    backend: str = "auto"
    wallclock: bool = True
    accept: tuple[str, ...] = ()
    output: OutputOptions = DEFAULT_OUTPUT
    target_noise: float | None = None
    precision: str = "float32"
    batch_size: int | str = "auto"
    window: tuple[float, float] | None = None
    series: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if parse_strength(self.strength) is not None and self.target_noise is not None:
            raise ConfigError(
                "a target noise is only reached by choosing the strength",
                remedy="Give --strength auto, or no --target-noise",
            )
        if self.target_noise is not None and not 0 < self.target_noise < inf:
            raise ConfigError(
                f"no noise of {self.target_noise} HU can be aimed at",
                remedy="Give --target-noise in HU, above 0",
            )
        if self.window is not None:
            HURange(*self.window)  # raises where it is none
        size = str(self.batch_size)
        if size != "auto" and not (size.isdecimal() and int(size) > 0):
            raise ConfigError(
                f"{self.batch_size} slices cannot be computed at once",
                remedy="Give auto, or a number from 1",
            )
