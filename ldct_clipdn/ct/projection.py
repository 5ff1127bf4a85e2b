"""Parallel-beam line integrals and filtered back-projection, for noise only.

Why our own: the permissive libraries that project CT are scikit-image's `radon` (BSD; a detector
pitch of one whole pixel, no GPU; it is the independent check in the tests) and deepinv's (BSD; the
same pitch). ASTRA and torch-radon are GPL, LEAP and diffct need a GPU. A pitch of half a pixel is
what lets sharp kernels alias as they do on a scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from ldct_clipdn.errors import ConfigError

__all__ = ["Beam", "back_project", "line_integrals"]

SUBDIVISION: Final = 4
"""Finer samples per ray, made by Fourier transform; back-projection takes the nearest."""

HALF_DIAGONAL: Final = 0.7072


@dataclass(frozen=True)
class Beam:
    """Parallel beam over a square image.

    Parameters
    ----------
    size
        Rows and columns of the image.
    pixel_mm
        Distance of pixels in mm.
    views
        Directions, evenly over half a turn.
    rays_per_pixel
        Rays per pixel distance: 2 means a detector pitch of half a pixel.

    Raises
    ------
    ConfigError
        When a number is not positive.
    """

    size: int
    pixel_mm: float
    views: int = 720
    rays_per_pixel: int = 2

    def __post_init__(self) -> None:
        if min(self.size, self.views, self.rays_per_pixel) < 1 or not self.pixel_mm > 0:
            raise ConfigError(f"{self} is no beam", remedy="Give positive numbers")

    @property
    def rays(self) -> int:
        """Number of rays per view: enough to reach the image's corners."""
        return 2 * int(self.size * HALF_DIAGONAL + 1) * self.rays_per_pixel

    @property
    def pitch_mm(self) -> float:
        """Distance of rays in mm."""
        return self.pixel_mm / self.rays_per_pixel

    @property
    def angles(self) -> list[float]:
        """Direction of each view in radians."""
        return [torch.pi * view / self.views for view in range(self.views)]

    def frequencies(self, device: torch.device | str = "cpu") -> Tensor:
        """Give the frequencies at which `back_project` wants its filter.

        Parameters
        ----------
        device
            Where.

        Returns
        -------
        torch.Tensor
            In 1/mm, float32 [rays + 1]: rays are padded to twice their number.
        """
        frequencies: Tensor = torch.fft.rfftfreq(2 * self.rays, self.pitch_mm, device=device)
        return frequencies

    def offsets(self, device: torch.device | str = "cpu") -> Tensor:
        """Give the rays' distances from the centre.

        Parameters
        ----------
        device
            Where.

        Returns
        -------
        torch.Tensor
            In pixels, float32 [rays].
        """
        return _centred(self.rays, device) / self.rays_per_pixel


def line_integrals(image: Tensor, beam: Beam) -> Tensor:
    """Integrate along each ray, in steps of one pixel, linearly between pixels.

    Parameters
    ----------
    image
        [size, size] in 1/mm; beyond it there is nothing.
    beam
        Its geometry.

    Returns
    -------
    torch.Tensor
        [views, rays], without unit.
    """
    across = beam.offsets(image.device)[None, :] * (2 / beam.size)
    along = _centred(2 * int(beam.size * HALF_DIAGONAL + 1), image.device)[:, None] * (
        2 / beam.size
    )
    rows = []
    for angle in torch.tensor(beam.angles):
        cos, sin = angle.cos(), angle.sin()
        grid = torch.stack([across * cos - along * sin, across * sin + along * cos], dim=-1)
        sampled = F.grid_sample(image[None, None].float(), grid[None], align_corners=False)
        rows.append(sampled[0, 0].sum(0))
    return torch.stack(rows) * beam.pixel_mm


def back_project(rows: Tensor, beam: Beam, response: Tensor) -> Tensor:
    """Filter and back-project.

    Parameters
    ----------
    rows
        [views, rays], without unit.
    beam
        Their geometry.
    response
        The filter at `beam.frequencies()`, in 1/mm: the ramp |f| times the kernel's window.

    Returns
    -------
    torch.Tensor
        [size, size] in 1/mm.
    """
    spectrum = torch.fft.rfft(rows, 2 * beam.rays) * response
    fine = torch.fft.irfft(spectrum, 2 * beam.rays * SUBDIVISION) * SUBDIVISION
    fine = fine[:, : beam.rays * SUBDIVISION].contiguous()
    axis = _centred(beam.size, rows.device) * (beam.rays_per_pixel * SUBDIVISION)
    middle = (beam.rays - 1) / 2 * SUBDIVISION + 0.5  # half a step: truncation then rounds
    image = torch.zeros(beam.size, beam.size, device=rows.device)
    for row, angle in zip(fine, beam.angles, strict=True):
        turn = torch.tensor(angle)
        place = (axis * turn.cos())[None, :] + (axis * turn.sin() + middle)[:, None]
        image += row.take(place.long())
    return image * (torch.pi / beam.views)


def _centred(count: int, device: torch.device | str) -> Tensor:
    return torch.arange(count, dtype=torch.float32, device=device) - (count - 1) / 2
