"""How alike two feature maps are: cosine, centred cosine, linear CKA.

Plain cosine misleads here: rectified features share a large mean, so a random network scores higher
than a trained one (measured; data/weights/README.md). The centred measures stand beside it, and a
random network is the control of every figure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import Tensor
from torch.nn import functional as F

from ldct_clipdn.errors import DataError

__all__ = ["MEASURES", "centred_cosine", "cosine", "linear_cka"]


def cosine(a: Tensor, b: Tensor) -> float:
    """Compute the cosine of the angle between two feature maps, each taken as one vector.

    Parameters
    ----------
    a, b
        [C, H, W].

    Returns
    -------
    float
        -1 to 1; 0 where one of them is zero.

    Raises
    ------
    DataError
        When the shapes differ or are no feature map.
    """
    a, b = _pair(a, b)
    return float(F.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def centred_cosine(a: Tensor, b: Tensor) -> float:
    """Compute `cosine` after each map's own channel means are removed.

    Parameters
    ----------
    a, b
        [C, H, W].

    Returns
    -------
    float
        -1 to 1; 0 where one of them is constant.

    Raises
    ------
    DataError
        When the shapes differ or are no feature map.
    """
    a, b = _pair(a, b)
    return cosine(*(one - one.mean(dim=(1, 2), keepdim=True) for one in (a, b)))


def linear_cka(a: Tensor, b: Tensor) -> float:
    """Compute linear centred kernel alignment (Kornblith et al., ICML 2019, eq. 4).

    The examples are the positions of the map, since one image is compared with one image.

    Parameters
    ----------
    a, b
        [C, H, W]; the channel counts may differ.

    Returns
    -------
    float
        0 to 1; unchanged by rotation of the channels and by scale. 0 where one of them is constant.

    Raises
    ------
    DataError
        When the positions differ or they are no feature map.
    """
    if a.ndim != 3 or b.ndim != 3 or a.shape[1:] != b.shape[1:]:
        raise _misfit(a, b)
    x, y = (_centred_columns(one) for one in (a, b))
    shared = (x.mT @ y).square().sum()
    own = (x.mT @ x).norm() * (y.mT @ y).norm()
    return float(shared / own) if own > 0 else 0.0


MEASURES: Final[dict[str, Callable[[Tensor, Tensor], float]]] = {
    "cosine": cosine,
    "centred cosine": centred_cosine,
    "linear CKA": linear_cka,
}
"""All measures by name."""


def _centred_columns(features: Tensor) -> Tensor:
    columns = features.double().flatten(1).mT
    return columns - columns.mean(dim=0)


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 3 or a.shape != b.shape:
        raise _misfit(a, b)
    return a.double(), b.double()


def _misfit(a: Tensor, b: Tensor) -> DataError:
    return DataError(
        f"features of shape {list(a.shape)} and {list(b.shape)} cannot be compared",
        remedy="Give two maps [C, H, W]",
    )
