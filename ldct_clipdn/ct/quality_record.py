"""What was measured on one series, as it is stored and shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ldct_clipdn.ct.flags import Expected, Flag, Thresholds
from ldct_clipdn.ct.nps import Spectrum

if TYPE_CHECKING:
    from ldct_clipdn.ct.noise_meter import Unread

__all__ = ["Bias", "Noise", "QualityRecord"]

SCHEMA: Final = "ldct_clipdn/quality/1"


@dataclass(frozen=True)
class Noise:
    """The noise of a series in HU, by `ct.noise_meter`.

    Parameters
    ----------
    hu
        Mode of the windows of all slices together.
    p5, p95
        5th and 95th percentile of the slices' own readings; NaN where no slice has one. `hu` may
        lie outside: slices count there by their windows, also those with too few for a reading.
    """

    hu: float
    p5: float
    p95: float


@dataclass(frozen=True)
class Bias:
    """The mean change of one tissue.

    Parameters
    ----------
    hu
        Mean of after minus before in HU.
    error_hu
        Its standard error in HU.
    pixels
        How many were averaged.
    is_judged
        False where pixels are too few, or over 1 % of them lie at the lowest value that can be
        stored: there noise is cut off on one side, and removing it must move the mean.
    """

    hu: float
    error_hu: float
    pixels: int
    is_judged: bool


@dataclass(frozen=True)
class QualityRecord:
    """What denoising did to one series; None where something could not be measured.

    Parameters
    ----------
    slices, measured
        Slices that were seen, and on which everything was measured.
    noise_before, noise_after
        Noise in HU.
    noise_unread
        Why there is no `noise_before`: `too noisy` to find soft tissue, `no noise` in it, or
        `no tissue`, which is too little of it; None where there is a reading.
    noise_reduction
        1 - after / before.
    bias
        Mean change in HU by tissue: lung, fat, soft, bone.
    nps_before, nps_after, nps_change
        Noise power spectra before, after, and of what was taken away, in the same regions.
    nps_shift
        Relative change of the average frequency f_av.
    edge_before, edge_after
        Frequency in 1/mm at which the transfer of the skin's edge falls to one half.
    edge_ratio
        After / before.
    flicker_hu
        Standard deviation along z of the mean change of blocks of 16 mm, in HU.
    structure
        Correlation of the change with the edges of the anatomy, median of the slices.
    largest_change_hu
        Of any pixel, in HU.
    large_changes
        Share of pixels that changed by over three times the noise.
    limited
        Pixels whose change was limited to five times the local noise; None where a finished series
        was measured again, since its files do not tell.
    nonfinite
        Pixels that came out as NaN or infinite.
    scores
        With a reference: by ruler of `core.metrics`, `before` and `after`, the mean PSNR in dB,
        SSIM and RMSE in HU.
    expected
        What was known before.
    thresholds
        When something is flagged.
    flags
        What should be looked at. None: no automatic finding, never "safe".
    schema
        Version of this record.
    """

    slices: int
    measured: int
    noise_before: Noise | None
    noise_after: Noise | None
    noise_reduction: float | None
    bias: Mapping[str, Bias | None]
    nps_before: Spectrum | None
    nps_after: Spectrum | None
    nps_change: Spectrum | None
    nps_shift: float | None
    edge_before: float | None
    edge_after: float | None
    edge_ratio: float | None
    flicker_hu: float | None
    structure: float | None
    largest_change_hu: float
    large_changes: float | None
    noise_unread: Unread | None = None
    limited: int | None = 0
    nonfinite: int = 0
    scores: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None
    expected: Expected = field(default_factory=Expected)
    thresholds: Thresholds = field(default_factory=Thresholds)
    flags: tuple[Flag, ...] = ()
    schema: str = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Turn the record into what JSON can hold.

        Returns
        -------
        dict
            Plain numbers, texts, lists and dictionaries; an infinite PSNR becomes None.
        """
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    """Replace tuples by lists, and what is no finite number by None."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
