"""Camera noise: an sRGB image back to raw, noise there, and forward again.

The chain is that of the published code (basicsr/data/ISP_implement.py), after CBDNet's. The raw
noise is the published variant: at a mosaic value m its standard deviation is
sqrt((0.04 m)^2 + 0.03^2), which grows with the signal and is not Poisson. CBDNet's Python code and
its PyTorch port take sqrt(s m + c), physics sqrt(s m + c^2). The noisy image that comes out also
carries the chain's own loss (clipping, one demosaicing, table look-up), and the training target is
the untouched original, as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldct_clipdn.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Camera",
    "ResponseCurves",
    "Stages",
    "add_camera_noise",
    "demosaic",
    "draw_camera",
    "read_curves",
    "run_chain",
]

Pattern = Literal["GRBG", "RGGB", "GBRG", "BGGR"]

PATTERNS: Final[tuple[Pattern, ...]] = get_args(Pattern)
"""Bayer patterns; the letters stand at (0, 0), (0, 1), (1, 0), (1, 1)."""

SIGNAL_SHARE: Final = 0.04
"""sigma_s: noise that is proportional to the raw signal."""

CONSTANT_NOISE: Final = 0.03
"""sigma_c: noise that is the same everywhere."""

CURVE_FILES: Final = {
    "forward": ("201_CRF_data.mat", "B"),
    "inverse": ("dorfCurvesInv.mat", "invI"),
}
"""Grossberg and Nayar's camera curves, as CBDNet ships them (Apache-2.0): file and variable."""

XYZ_OF_RGB: Final = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)

CAMERA_OF_XYZ: Final = (
    ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406)),
    ((0.4913, -0.0541, -0.0202), (-0.613, 1.3513, 0.2906), (-0.1564, 0.2151, 0.7183)),
    ((0.838, -0.263, -0.0639), (-0.2887, 1.0725, 0.2496), (-0.0627, 0.1427, 0.5438)),
    ((0.6596, -0.2079, -0.0562), (-0.4782, 1.3016, 0.1933), (-0.097, 0.1581, 0.5181)),
)

# Malvar, He and Cutler, ICASSP 2004, figure 2, times 8
_GREEN: Final = (
    (0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0)
)  # fmt: skip
_SAME_ROW: Final = (
    (0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0)
)  # fmt: skip
_SAME_COLUMN: Final = tuple(zip(*_SAME_ROW, strict=True))
_DIAGONAL: Final = (
    (0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0)
)  # fmt: skip


@dataclass(frozen=True)
class ResponseCurves:
    """Camera response curves: irradiance to brightness, and back.

    Parameters
    ----------
    forward
        [curves, 1024]: brightness at irradiance i / 1023, both 0 to 1.
    inverse
        [curves, 1024]: irradiance at brightness i / 1023.
    """

    forward: Tensor
    inverse: Tensor

    def __post_init__(self) -> None:
        if self.forward.ndim != 2 or self.forward.shape != self.inverse.shape:
            raise DataError(
                f"response curves of shape {list(self.forward.shape)} and "
                f"{list(self.inverse.shape)} do not belong together",
                remedy="Give forward and inverse curves [curves, samples]",
            )

    def __len__(self) -> int:
        return len(self.forward)


@dataclass(frozen=True)
class Camera:
    """What one picture was taken with.

    Parameters
    ----------
    curve
        Number of the response curve, used in both directions.
    matrix_weights
        Shares of the four colour matrices; they are divided by their sum.
    pattern
        Bayer pattern.
    red_gain, blue_gain
        Factors of the inverse white balance, 0.75 to 1.
    """

    curve: int
    matrix_weights: tuple[float, float, float, float]
    pattern: Pattern
    red_gain: float
    blue_gain: float

    @property
    def matrix(self) -> Tensor:
        """XYZ to camera RGB, [3, 3], float64; each row sums to 1."""
        shares = torch.tensor(self.matrix_weights, dtype=torch.float64)
        mixed = torch.tensordot(
            shares / shares.sum(), torch.tensor(CAMERA_OF_XYZ, dtype=torch.float64), dims=1
        )
        rows: Tensor = mixed / mixed.sum(dim=1, keepdim=True)
        return rows


class Stages(NamedTuple):
    """What the chain computed, stage by stage.

    Parameters
    ----------
    irradiance
        After the inverse response curve, [3, H, W].
    xyz
        CIE XYZ, [3, H, W].
    camera
        Camera colours, [3, H, W].
    mosaic
        Bayer mosaic after the inverse white balance, [H, W].
    noisy_mosaic
        The same with noise, [H, W].
    clean
        The noise-free mosaic developed to sRGB, [3, H, W].
    noisy
        The noisy mosaic developed to sRGB, [3, H, W].
    """

    irradiance: Tensor
    xyz: Tensor
    camera: Tensor
    mosaic: Tensor
    noisy_mosaic: Tensor
    clean: Tensor
    noisy: Tensor


def read_curves(folder: Path) -> ResponseCurves:
    """Read the 201 response curves of CBDNet's two MATLAB files.

    Parameters
    ----------
    folder
        Holds `201_CRF_data.mat` and `dorfCurvesInv.mat`.

    Returns
    -------
    ResponseCurves
        float64.

    Raises
    ------
    DataError
        When a file is missing or holds something else.
    """
    return ResponseCurves(
        **{
            direction: torch.from_numpy(_read_variable(folder / name, variable))
            for direction, (name, variable) in CURVE_FILES.items()
        }
    )


def draw_camera(generator: torch.Generator, curves: int) -> Camera:
    """Draw a camera as the published code does.

    Parameters
    ----------
    generator
        On any device.
    curves
        How many response curves there are; 0 for none.

    Returns
    -------
    Camera
        Each choice uniform.
    """
    draws = torch.rand(8, generator=generator, device=generator.device).tolist()
    return Camera(
        curve=min(int(draws[0] * curves), max(curves - 1, 0)),
        matrix_weights=(draws[1], draws[2], draws[3], draws[4]),
        pattern=PATTERNS[min(int(draws[5] * len(PATTERNS)), len(PATTERNS) - 1)],
        red_gain=0.75 + 0.25 * draws[6],
        blue_gain=0.75 + 0.25 * draws[7],
    )


def add_camera_noise(
    clean: Tensor, generator: torch.Generator, curves: ResponseCurves | None
) -> Tensor:
    """Photograph each image of a batch with a camera and noise of its own.

    Parameters
    ----------
    clean
        sRGB [B, 3, H, W] in [0, 1].
    generator
        On the same device; cameras and noise follow from it.
    curves
        Response curves; None takes a camera whose response is linear.

    Returns
    -------
    torch.Tensor
        Noisy images, same shape and device, rounded to 8 bits as the published files are.

    Raises
    ------
    DataError
        When `clean` is no batch of RGB images.
    """
    if clean.ndim != 4 or clean.shape[1] != 3:
        raise DataError(
            f"a tensor of shape {list(clean.shape)} is no batch of RGB images",
            remedy="Give [B, 3, H, W]",
        )
    noisy = []
    for image in clean:
        camera = draw_camera(generator, 0 if curves is None else len(curves))
        draws = torch.randn(
            (2, *image.shape[-2:]), generator=generator, device=clean.device, dtype=clean.dtype
        )
        noisy.append(run_chain(image, camera, draws, curves).noisy)
    return (torch.stack(noisy) * 255).round() / 255


def run_chain(
    image: Tensor, camera: Camera, draws: Tensor, curves: ResponseCurves | None
) -> Stages:
    """Take one image to raw, add noise, and develop it again.

    Parameters
    ----------
    image
        sRGB [3, H, W] in [0, 1]; its precision is kept.
    camera
        What it is taken with.
    draws
        Standard normal numbers [2, H, W]: for the noise that follows the signal, then for the
        constant one.
    curves
        Response curves; None for a linear response.

    Returns
    -------
    Stages
        Every stage; `noisy` is the result, not yet rounded.
    """
    irradiance = image if curves is None else _look_up(image, curves.inverse[camera.curve])
    xyz = _mix(XYZ_OF_RGB, _decode_gamma(irradiance))
    colours = _mix(camera.matrix, xyz).clamp(0, 1)
    sites = _sites(camera.pattern, image)
    gains = image.new_tensor([camera.red_gain, 1.0, camera.blue_gain])[:, None, None]
    mosaic = (colours * gains * sites).sum(dim=0)
    deviation = draws[0] * (SIGNAL_SHARE * mosaic) + draws[1] * CONSTANT_NOISE
    noisy_mosaic = (mosaic + deviation).clamp(0, 1)
    clean, noisy = (_develop(one, camera, curves, sites / gains) for one in (mosaic, noisy_mosaic))
    return Stages(irradiance, xyz, colours, mosaic, noisy_mosaic, clean, noisy)


def _develop(
    mosaic: Tensor, camera: Camera, curves: ResponseCurves | None, balance: Tensor
) -> Tensor:
    balanced = (mosaic * balance.sum(dim=0)).clamp(0, 1)
    colours = demosaic(balanced, camera.pattern).clamp(0, 1)
    xyz = _mix(torch.linalg.inv(camera.matrix), colours).clamp(0, 1)
    to_rgb = torch.linalg.inv(torch.tensor(XYZ_OF_RGB, dtype=torch.float64))
    rgb = _encode_gamma(_mix(to_rgb, xyz)).clamp(0, 1)
    return rgb if curves is None else _look_up(rgb, curves.forward[camera.curve])


def demosaic(mosaic: Tensor, pattern: Pattern) -> Tensor:
    """Fill in the missing colours by Malvar, He and Cutler's linear filters (ICASSP 2004).

    The border repeats the edge pixel, as the published code's convolution does.

    Parameters
    ----------
    mosaic
        Bayer mosaic [H, W].
    pattern
        Colours at (0, 0), (0, 1), (1, 0), (1, 1).

    Returns
    -------
    torch.Tensor
        RGB [3, H, W].
    """
    filters = mosaic.new_tensor([_GREEN, _SAME_ROW, _SAME_COLUMN, _DIAGONAL])[:, None] / 8
    green, in_row, in_column, diagonal = F.conv2d(_with_border(mosaic)[None, None], filters)[0]
    red_here, green_here, blue_here = _sites(pattern, mosaic)
    red_row = red_here.any(dim=1, keepdim=True)
    in_red_row, in_blue_row = (torch.where(red_row, a, b) for a, b in (
        (in_row, in_column), (in_column, in_row)
    ))  # fmt: skip
    return torch.stack(
        [
            torch.where(red_here, mosaic, torch.where(blue_here, diagonal, in_red_row)),
            torch.where(green_here, mosaic, green),
            torch.where(blue_here, mosaic, torch.where(red_here, diagonal, in_blue_row)),
        ]
    )


def _with_border(mosaic: Tensor) -> Tensor:
    """Widen by two pixels: d c b a | a b c d, SciPy's `reflect`."""
    for axis in (0, 1):
        size = mosaic.shape[axis]
        index = torch.arange(-2, size + 2, device=mosaic.device) % (2 * size)
        mosaic = mosaic.index_select(axis, torch.minimum(index, 2 * size - 1 - index))
    return mosaic


def _sites(pattern: Pattern, like: Tensor) -> Tensor:
    """Say where each colour's pixels are: bool [3, H, W]."""
    sites = torch.zeros((3, *like.shape[-2:]), dtype=torch.bool, device=like.device)
    for place, letter in enumerate(pattern):
        sites["RGB".index(letter), place // 2 :: 2, place % 2 :: 2] = True
    return sites


def _look_up(image: Tensor, curve: Tensor) -> Tensor:
    """Take the nearest entry, the upper one on a tie, and never entry 0, as published."""
    last = len(curve) - 1
    return curve.to(image)[(image * last + 0.5).floor().long().clamp(1, last)]


def _mix(matrix: Tensor | Sequence[Sequence[float]], colours: Tensor) -> Tensor:
    weights = torch.as_tensor(matrix, dtype=colours.dtype, device=colours.device)
    mixed: Tensor = torch.tensordot(weights, colours, dims=1)
    return mixed


def _decode_gamma(rgb: Tensor) -> Tensor:
    return torch.where(rgb > 0.04045, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def _encode_gamma(linear: Tensor) -> Tensor:
    bright = 1.055 * linear.clamp(min=0) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bright, linear * 12.92)


def _read_variable(path: Path, name: str) -> NDArray[Any]:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"the response curves cannot be read ({error})",
            path=path,
            remedy="Give the folder with 201_CRF_data.mat and dorfCurvesInv.mat of CBDNet",
        ) from error
    if name not in content:
        raise DataError(f"it holds no variable {name}", path=path)
    return np.asarray(content[name], dtype=np.float64)
