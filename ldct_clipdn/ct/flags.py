"""What a measurement should make a person look at, in words; thresholds are project choices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from ldct_clipdn.ct.noise_meter import Unread
    from ldct_clipdn.ct.quality_record import QualityRecord

__all__ = ["Expected", "Flag", "FlagCode", "Thresholds", "find_flags"]

FlagCode = Literal[
    "NONFINITE",
    "MISSING_SLICES",
    "OUT_OF_DISTRIBUTION",
    "LOW_NOISE_INPUT",
    "NOISE_UNREAD",
    "NOISE_OFF_TARGET",
    "HU_BIAS",
    "BLUR",
    "STRUCTURE_IN_RESIDUAL",
    "TEXTURE_SHIFT",
]

UNREAD: Final[dict[Unread, str]] = {
    "too noisy": "The noise could not be read: there is too much of it, or of fine structure, to "
    "tell where soft tissue is. It may be more than any that the network was trained for.",
    "no noise": "There is no noise in soft tissue: denoising can only take detail away.",
    "no tissue": "The noise could not be read: too little soft tissue was found. Whether it is "
    "noise that the network was trained for is not known.",
}
"""What it means that the noise could not be read."""


@dataclass(frozen=True)
class Thresholds:
    """When something is flagged (docs/quality.md): choices of this project and no standard.

    Parameters
    ----------
    soft_bias_hu
        Largest mean change of soft tissue in HU, beyond twice its standard error.
    other_bias_hu
        The same of lung, fat and bone.
    texture_shift
        Largest relative change of the average frequency of the noise.
    edge_ratio
        Least sharpness of the skin's edge, in units of what it was.
    structure
        Largest correlation of the change with the edges of the anatomy. The 99th percentile of
        pure noise is 0.007 (coloured and white, 10 to 60 HU, on 75 slices of 18 scanners; real
        noise of Mayo L192 alike); a Gaussian blur of one pixel is above 0.05 on 99 % of them.
    target_deviation
        Largest relative deviation of the noise from the target.
    """

    soft_bias_hu: float = 2.0
    other_bias_hu: float = 3.0
    texture_shift: float = 0.2
    edge_ratio: float = 0.9
    structure: float = 0.03
    target_deviation: float = 0.1


@dataclass(frozen=True)
class Expected:
    """What was known before the measurement.

    Parameters
    ----------
    slices
        Images of the series; None where they are as many as were measured.
    strength
        Share of the network's change that was applied; None where that is unknown.
    target_hu
        Noise that was aimed at in HU; None where no noise was.
    noise_hu
        Lowest and highest noise in HU that the weights were trained for; None where unknown.
    unusual
        What else about the series lies outside of what the weights were trained for, one line each.
    """

    slices: int | None = None
    strength: float | None = None
    target_hu: float | None = None
    noise_hu: tuple[float, float] | None = None
    unusual: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flag:
    """One finding.

    Parameters
    ----------
    code
        Short name, as docs/quality.md lists them.
    text
        What it means, for the person who looks at the images.
    value
        What was measured; None where the flag is no matter of degree.
    threshold
        What it was compared with.
    """

    code: FlagCode
    text: str
    value: float | None = None
    threshold: float | None = None


def find_flags(record: QualityRecord) -> tuple[Flag, ...]:
    """Compare a series' measurements with the thresholds.

    Parameters
    ----------
    record
        With everything but its flags.

    Returns
    -------
    tuple of Flag
        None means that nothing was found automatically, and never that the images are safe.
    """
    return (*_input_flags(record), *_bias_flags(record), *_image_flags(record))


def _input_flags(record: QualityRecord) -> Iterator[Flag]:
    expected, noise = record.expected, record.noise_before
    if record.nonfinite:
        text = f"{record.nonfinite} pixels came out as no number at all."
        yield Flag("NONFINITE", text, float(record.nonfinite), 0.0)
    missing = (expected.slices or record.slices) - record.slices
    if missing > 0:
        text = f"{missing} of {expected.slices} images of this series are missing."
        yield Flag("MISSING_SLICES", text, float(missing), 0.0)
    for line in expected.unusual:
        yield Flag("OUT_OF_DISTRIBUTION", f"The network was not trained for this: {line}.")
    if noise and expected.noise_hu and noise.hu > expected.noise_hu[1]:
        text = "The images are noisier than any that the network was trained for."
        yield Flag("OUT_OF_DISTRIBUTION", text, noise.hu, expected.noise_hu[1])
    if noise and expected.noise_hu and noise.hu < expected.noise_hu[0]:
        text = "There is little noise in these images: denoising can only take detail away."
        yield Flag("LOW_NOISE_INPUT", text, noise.hu, expected.noise_hu[0])
    if record.noise_unread and expected.noise_hu:
        yield Flag("NOISE_UNREAD", UNREAD[record.noise_unread])


def _bias_flags(record: QualityRecord) -> Iterator[Flag]:
    limits = record.thresholds
    for name, bias in record.bias.items():
        limit = limits.soft_bias_hu if name == "soft" else limits.other_bias_hu
        if bias and bias.is_judged and abs(bias.hu) - 2 * bias.error_hu > limit:
            tissue = "soft tissue" if name == "soft" else name
            way = "higher" if bias.hu > 0 else "lower"
            text = f"HU values of {tissue} are {way} than in the original images on average."
            yield Flag("HU_BIAS", text, bias.hu, limit)


def _image_flags(record: QualityRecord) -> Iterator[Flag]:
    limits = record.thresholds
    if record.edge_ratio is not None and record.edge_ratio < limits.edge_ratio:
        text = "Edges are less sharp than in the original images."
        yield Flag("BLUR", text, record.edge_ratio, limits.edge_ratio)
    if record.structure is not None and record.structure > limits.structure:
        text = (
            "What was removed follows the outlines of the anatomy, so some of it was anatomy and "
            "not noise. Look at the difference image."
        )
        yield Flag("STRUCTURE_IN_RESIDUAL", text, record.structure, limits.structure)
    if record.nps_shift is not None and abs(record.nps_shift) > limits.texture_shift:
        way = "coarser" if record.nps_shift < 0 else "finer"
        looks = ": they may look smeared or waxy" if record.nps_shift < 0 else ""
        text = f"The noise that is left is {way} than in the original images{looks}."
        yield Flag("TEXTURE_SHIFT", text, record.nps_shift, limits.texture_shift)
    yield from _target_flags(record)


def _target_flags(record: QualityRecord) -> Iterator[Flag]:
    target, noise = record.expected.target_hu, record.noise_after
    if target and noise and abs(noise.hu / target - 1) > record.thresholds.target_deviation:
        way = "more" if noise.hu > target else "less"
        text = f"There is {way} noise left than the {target:.1f} HU that were aimed at."
        if record.expected.strength == 0:
            text = f"There was less noise than the {target:.1f} HU aimed at: nothing was changed."
        yield Flag("NOISE_OFF_TARGET", text, noise.hu, target)
