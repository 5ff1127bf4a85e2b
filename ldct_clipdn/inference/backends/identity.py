"""The engine that changes nothing, for tests of everything around the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldct_clipdn.core.weights import WeightsInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["IdentityBackend"]


class IdentityBackend:
    """Returns its input."""

    name = "identity"
    version = "1"
    device_class = "none"
    weights = WeightsInfo(name="none", sha256="", encoder="none: pixels are copied")

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the batch.

        Parameters
        ----------
        batch
            float32 [B, 1, H, W].

        Returns
        -------
        numpy.ndarray
            The same array.
        """
        return batch
