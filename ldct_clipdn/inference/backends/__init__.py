"""Engines that run a network, one file each behind one Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ldct_clipdn.core.weights import WeightsInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BACKENDS", "Backend"]

BACKENDS = ("torch", "identity")
"""Names that `inference.engine.open_engine` knows; `identity` returns its input, for tests."""


class Backend(Protocol):
    """What denoising asks of an engine."""

    @property
    def name(self) -> str:
        """One of `BACKENDS`."""

    @property
    def version(self) -> str:
        """Version of the library that computes."""

    @property
    def device_class(self) -> str:
        """Device, precision, hardware: `cpu-fp32-avx512-8-threads`; part of the recipe of UIDs."""

    @property
    def weights(self) -> WeightsInfo:
        """What is run."""

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Denoise a batch.

        Parameters
        ----------
        batch
            float32 [B, 1, H, W] in [0, 1].

        Returns
        -------
        numpy.ndarray
            float32, same shape.
        """
