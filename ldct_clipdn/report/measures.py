"""What was measured, as rows of a table that a radiographer can read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ldct_clipdn.core.metrics import RULERS

if TYPE_CHECKING:
    from ldct_clipdn.ct.flags import Flag, FlagCode
    from ldct_clipdn.ct.quality_record import QualityRecord

__all__ = ["Row", "flag_figures", "measure_rows", "score_rows"]

MINUS: Final = "\N{MINUS SIGN}"
NOT_MEASURED: Final = "not measured"
COUNTS: Final = ("NONFINITE", "MISSING_SLICES")
"""Flags whose texts say how many."""

TISSUE_NAMES: Final = {"lung": "lung", "fat": "fat", "soft": "soft tissue", "bone": "bone"}


@dataclass(frozen=True)
class Row:
    """One measure.

    Parameters
    ----------
    name
        What it is.
    before, after, change
        Figures with their units; empty where there is none.
    limit
        What is flagged; empty where nothing is.
    is_flagged
        Whether it is.
    meaning
        One sentence in plain words.
    """

    name: str
    before: str
    after: str
    change: str
    limit: str
    is_flagged: bool
    meaning: str


def measure_rows(record: QualityRecord) -> list[Row]:
    """Put a record into words.

    Parameters
    ----------
    record
        Of one series.

    Returns
    -------
    list of Row
        In the order in which one reads them.
    """
    return [_noise(record), *_bias(record), _edge(record), _texture(record), *_residual(record)]


def score_rows(record: QualityRecord) -> list[tuple[str, ...]]:
    """Show the comparison with a reference.

    Parameters
    ----------
    record
        Of one series.

    Returns
    -------
    list of tuple
        Range, who measures so, then PSNR, SSIM and RMSE, each before and after; empty where there
        is no reference.
    """
    origin = {ruler.name: ruler for ruler in RULERS}
    return [
        (
            f"{origin[name].low:g} to {origin[name].high:g} HU".replace("-", MINUS),
            origin[name].origin,
            *(
                _number(score[when][key], digits)
                for key, digits in (("psnr", 2), ("ssim", 4), ("rmse", 1))
                for when in ("before", "after")
            ),
        )
        for name, score in (record.scores or {}).items()
    ]


def flag_figures(flag: Flag) -> str:
    """Show what a flag was raised by.

    Parameters
    ----------
    flag
        One finding.

    Returns
    -------
    str
        What was measured and its limit, with units; empty where the flag is no matter of degree.
    """
    value, limit = flag.value, flag.threshold
    if value is None or limit is None or flag.code in COUNTS:
        return ""
    if flag.code == "HU_BIAS":
        return f"measured {_signed(value, 1, ' HU')}, limit {_within(f'{limit:g} HU')}"
    if flag.code == "TEXTURE_SHIFT":
        return f"measured {_signed(100 * value, 0, ' %')}, limit {_within(_percent(limit))}"
    if flag.code == "BLUR":
        return f"measured {_signed(100 * (value - 1), 0, ' %')}, limit {_percent(limit - 1)}"
    if flag.code == "STRUCTURE_IN_RESIDUAL":
        return f"measured {value:.3f}, limit {limit:g}"
    word = "aimed at" if flag.code == "NOISE_OFF_TARGET" else "limit"
    return f"measured {value:.1f} HU, {word} {limit:.1f} HU"


def _noise(record: QualityRecord) -> Row:
    before, after = record.noise_before, record.noise_after
    target = record.expected.target_hu
    less = record.noise_reduction
    return Row(
        "Noise in soft tissue",
        f"{before.hu:.1f} HU" if before else NOT_MEASURED,
        f"{after.hu:.1f} HU" if after else NOT_MEASURED,
        "" if less is None else _signed(-100 * less, 0, " %"),
        f"{target:.1f} HU \N{PLUS-MINUS SIGN} {_percent(record.thresholds.target_deviation)}"
        if target
        else "",
        _is_flagged(record, "NOISE_OFF_TARGET", "LOW_NOISE_INPUT", "NOISE_UNREAD"),
        "Standard deviation of the HU values where the tissue is even.",
    )


def _bias(record: QualityRecord) -> Iterator[Row]:
    first = next(iter(record.bias))
    flagged = {flag.value for flag in record.flags if flag.code == "HU_BIAS"}
    for tissue, bias in record.bias.items():
        name = f"Mean HU of {TISSUE_NAMES[tissue]}"
        meaning = "Should stay as it was." if tissue == first else ""
        if bias is None:
            yield Row(name, "", "", "none in these images", "", False, meaning)
            continue
        limit = (
            record.thresholds.soft_bias_hu if tissue == "soft" else record.thresholds.other_bias_hu
        )
        change = _signed(bias.hu, 1, " HU") + ("" if bias.is_judged else ", not judged")
        is_flagged = bias.hu in flagged
        yield Row(name, "", "", change, _within(f"{limit:g} HU"), is_flagged, meaning)


def _edge(record: QualityRecord) -> Row:
    ratio = record.edge_ratio
    return Row(
        "Sharpness of the skin's edge",
        _number(record.edge_before, 2, " / mm"),
        _number(record.edge_after, 2, " / mm"),
        NOT_MEASURED if ratio is None else _signed(100 * (ratio - 1), 0, " %"),
        f"at least {_percent(record.thresholds.edge_ratio - 1)}",
        _is_flagged(record, "BLUR"),
        "Finest detail that the edge still shows with half of its contrast.",
    )


def _texture(record: QualityRecord) -> Row:
    before, after, shift = record.nps_before, record.nps_after, record.nps_shift
    return Row(
        "Texture of the noise",
        NOT_MEASURED if before is None else _number(before.average, 2, " / mm"),
        NOT_MEASURED if after is None else _number(after.average, 2, " / mm"),
        "not enough even tissue" if shift is None else _signed(100 * shift, 0, " %"),
        _within(_percent(record.thresholds.texture_shift)),
        _is_flagged(record, "TEXTURE_SHIFT"),
        "Average frequency of the noise: lower is coarser and looks waxy.",
    )


def _residual(record: QualityRecord) -> Iterator[Row]:
    yield Row(
        "Anatomy in what was removed",
        "",
        "",
        _number(record.structure, 3),
        f"at most {record.thresholds.structure:g}",
        _is_flagged(record, "STRUCTURE_IN_RESIDUAL"),
        "0 is pure noise; above 0, outlines were removed; below 0, they were spared.",
    )
    yield Row(
        "Unsteadiness from slice to slice",
        "",
        "",
        _number(record.flicker_hu, 1, " HU"),
        "",
        False,
        "Variation along the patient of the mean change of 16 mm squares.",
    )
    share = record.large_changes
    yield Row(
        "Pixels changed by over 3 times the noise",
        "",
        "",
        NOT_MEASURED if share is None else f"{100 * share:.2f} %",
        "",
        False,
        f"Largest change of any pixel: {record.largest_change_hu:.0f} HU.",
    )
    yield Row(
        "Pixels whose change was held back",
        "",
        "",
        NOT_MEASURED if record.limited is None else str(record.limited),
        "",
        False,
        "No pixel may change by over 5 times the noise around it.",
    )


def _is_flagged(record: QualityRecord, *codes: FlagCode) -> bool:
    return any(flag.code in codes for flag in record.flags)


def _number(value: float | None, digits: int, unit: str = "") -> str:
    return NOT_MEASURED if value is None else f"{value:.{digits}f}{unit}".replace("-", MINUS)


def _signed(value: float, digits: int, unit: str) -> str:
    rounded = round(value, digits)
    if rounded == 0:
        return f"{0:.{digits}f}{unit}"
    sign = "+" if rounded > 0 else MINUS
    return f"{sign}{abs(rounded):.{digits}f}{unit}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %".replace("-", MINUS)


def _within(limit: str) -> str:
    return f"\N{PLUS-MINUS SIGN}{limit}"
