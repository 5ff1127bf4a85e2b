"""A second CT, of scikit-image: nothing in it is shared with `ct/lowdose.py`.

The whole image is projected, quanta are counted ray by ray, and everything is reconstructed. Our
own simulator adds noise to a given image; a network trained on it might know its habits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["SecondScanner"]

WATER_PER_MM: Final = 0.0192
"""At 70 keV."""

VIEWS: Final = 720

QUANTA: Final = 2.5e5
"""Per unattenuated ray at full dose."""

ELECTRONIC: Final = 8.0
"""Standard deviation of the electronic noise, in quanta."""


class SecondScanner:
    """Scan a known image.

    Parameters
    ----------
    hu
        Square [N, N] in HU; what lies outside of the inscribed circle is taken away.
    pixel_mm
        Distance of pixels in mm.
    kernel
        One of scikit-image's filters, such as `hann` or `shepp-logan`.
    """

    def __init__(self, hu: Plane, pixel_mm: float, kernel: str) -> None:
        from skimage.transform import radon

        self.pixel_mm, self.kernel = pixel_mm, kernel
        self.angles = np.linspace(0, 180, VIEWS, endpoint=False)
        middle = len(hu) // 2
        axis = np.arange(len(hu)) - middle
        self.inside = axis[:, None] ** 2 + axis[None, :] ** 2 < (middle - 1) ** 2
        attenuation = np.where(self.inside, (1 + hu / 1000).clip(0) * WATER_PER_MM, 0)
        self.lengths = radon(attenuation, self.angles, circle=True) * pixel_mm

    def truth(self) -> Plane:
        """Reconstruct without noise: the blur of this scanner is not the denoiser's fault."""
        return self._reconstruct(self.lengths)

    def scan(self, dose: float, seed: int) -> Plane:
        """Reconstruct what was counted.

        Parameters
        ----------
        dose
            Share of the dose, above 0 to 1.
        seed
            Start of the generator.

        Returns
        -------
        numpy.ndarray
            float32 [N, N] in HU.
        """
        rng = np.random.default_rng(seed)
        sent = dose * QUANTA
        counted = rng.poisson(sent * np.exp(-self.lengths)) + rng.normal(
            0, ELECTRONIC, self.lengths.shape
        )
        return self._reconstruct(-np.log(np.maximum(counted, 1) / sent))

    def _reconstruct(self, lengths: NDArray[np.floating]) -> Plane:
        from skimage.transform import iradon

        image = iradon(lengths / self.pixel_mm, self.angles, filter_name=self.kernel, circle=True)
        hu = np.where(self.inside, 1000 * (image / WATER_PER_MM - 1), -1000)
        return hu.astype(np.float32)
