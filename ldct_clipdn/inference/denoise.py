"""HU in, HU out: range, network, strength, and what lies outside the range."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ldct_clipdn.core.weight_store import find_weights
from ldct_clipdn.ct.hu import HURange, begins_with_air, blend_weight, checked_hu
from ldct_clipdn.ct.residual import limit_change
from ldct_clipdn.ct.strength import parse_strength
from ldct_clipdn.errors import BackendError, ConfigError
from ldct_clipdn.inference.engine import open_engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ldct_clipdn.core.weights import WeightsInfo
    from ldct_clipdn.inference.backends import Backend

__all__ = ["denoise_hu", "denoise_slices", "trained_range"]


def denoise_hu(
    hu: NDArray[np.floating | np.integer],
    weights: str | Path = "default",
    *,
    strength: float | str = 1.0,
    device: str = "auto",
    backend: str = "auto",
) -> NDArray[np.float32]:
    """Denoise CT values; no pixel changes by more than five times the noise around it.

    Parameters
    ----------
    hu
        One slice [H, W] or several [Z, H, W], in HU; padding as air (-1024).
    weights
        As for `load_denoiser`; the network sees the HU range that they were trained on.
    strength
        Share of the network's change that is applied: 0 to 1, `low`, `medium` or `high`; 0 needs
        no weights.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.
    backend
        `auto`, or one of `inference.backends.BACKENDS`.

    Returns
    -------
    numpy.ndarray
        float32, same shape, in HU.

    Raises
    ------
    ConfigError
        When shape, values or strength cannot be used.
    WeightsError
        When the weights do not load.
    BackendError
        When the device is not there or the network's answer is not finite.
    """
    share = parse_strength(strength)
    if share is None:
        raise ConfigError(
            "the strength auto is chosen for a whole series",
            remedy="Give a number or a name here, or denoise files by denoise_study",
        )
    slices = checked_hu(hu)
    if share == 0:
        return slices.copy()
    engine = _engine(*_as_it_is_now(weights, backend), device, backend)
    volume = slices if slices.ndim == 3 else slices[None]
    result = np.concatenate([denoise_slices(one[None], engine, strength=share) for one in volume])
    limited = [limit_change(old, new)[0] for old, new in zip(volume, result, strict=True)]
    return np.stack(limited).reshape(slices.shape)


def denoise_slices(
    hu: NDArray[np.float32],
    backend: Backend,
    *,
    hu_range: HURange | None = None,
    strength: float = 1.0,
) -> NDArray[np.float32]:
    """Denoise slices as one batch: x + w s (net(clip x) - clip x).

    Noisy air that lies below the range is clipped like all else that the network sees; there the
    result is x + w s (net(clip x) - x), or the mean of denoised air would sink by what was clipped.

    Parameters
    ----------
    hu
        float32 [Z, H, W] in HU; padding as air.
    backend
        The engine.
    hu_range
        What the network sees as 0 to 1; None is what it was trained on.
    strength
        Share s of the network's change that is applied, 0 to 1.

    Returns
    -------
    numpy.ndarray
        float32 [Z, H, W] in HU; far outside the range unchanged.

    Raises
    ------
    BackendError
        When the network's answer is not finite.
    """
    hu_range = hu_range or trained_range(backend.weights)
    inside = hu_range.clip(hu)
    unit = hu_range.to_unit(inside).astype(np.float32)
    answer = backend(unit[:, None])[:, 0]
    if not np.isfinite(answer).all():
        raise BackendError(
            f"the network's answer holds NaN or infinite values (back-end {backend.name})",
            remedy="Take float32 if it was another precision, else other weights: these are finite "
            "numbers, but what they compute is not",
        )
    # the difference is taken in units, so that an unchanged unit gives exactly no change
    change = (answer - unit) * np.float32(hu_range.width)
    if begins_with_air(hu_range):
        change += np.where(change != 0, np.maximum(inside - hu, 0), 0)
    weight = blend_weight(hu, hu_range) * np.float32(strength)
    return (hu + weight * change).astype(np.float32)


def trained_range(weights: WeightsInfo) -> HURange:
    """Give the HU that a network was trained on.

    Parameters
    ----------
    weights
        Of the network.

    Returns
    -------
    HURange
        What their file says; the published range where it says nothing.
    """
    return HURange() if weights.hu_range is None else HURange(*weights.hu_range)


def _as_it_is_now(weights: str | Path, backend: str) -> tuple[str, tuple[int, int] | None]:
    """Name the file, and when it was written and how long it is: it may be another one by now."""
    if backend == "identity":
        return str(weights), None
    path = find_weights(weights).absolute()
    try:
        status = path.stat()
    except OSError:  # opening it will say what is wrong
        return str(path), None
    return str(path), (status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _engine(weights: str, _written: tuple[int, int] | None, device: str, backend: str) -> Backend:
    """Keep the last engine, so that slice after slice does not open it anew."""
    return open_engine(weights, device=device, backend=backend)
