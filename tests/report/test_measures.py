"""The table of measurements, in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ldct_clipdn.ct.flags import Expected, Flag, find_flags
from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.ct.quality import QualityMeter, QualityRecord
from ldct_clipdn.report.measures import Row, flag_figures, measure_rows, score_rows

SIZE = 320


@pytest.fixture(scope="module")
def record() -> QualityRecord:
    """Of a blurred slice, with a target that it misses."""
    clean = abdomen_phantom(1, SIZE, 1)[0]
    noisy = clean + np.random.default_rng(0).normal(0, 20, clean.shape).astype(np.float32)
    meter = QualityMeter(spacing_mm(SIZE))
    meter.add(noisy, ndimage.gaussian_filter(noisy, 1), clean, limited=7)
    return meter.finish(Expected(target_hu=12.0))


def rows(record: QualityRecord) -> dict[str, Row]:
    return {row.name: row for row in measure_rows(record)}


def test_every_flag_marks_its_row(record: QualityRecord) -> None:
    marked = {name for name, row in rows(record).items() if row.is_flagged}
    assert {flag.code for flag in record.flags} >= {"BLUR", "STRUCTURE_IN_RESIDUAL"}
    expected = {
        "BLUR": "Sharpness of the skin's edge",
        "STRUCTURE_IN_RESIDUAL": "Anatomy in what was removed",
        "TEXTURE_SHIFT": "Texture of the noise",
        "NOISE_OFF_TARGET": "Noise in soft tissue",
    }
    assert {expected[f.code] for f in record.flags if f.code in expected} <= marked
    cleared = rows(replace(record, flags=()))
    assert not any(row.is_flagged for row in cleared.values())


@pytest.mark.parametrize("code", ["NOISE_UNREAD", "LOW_NOISE_INPUT", "NOISE_OFF_TARGET"])
def test_what_is_said_of_the_noise_marks_its_row(record: QualityRecord, code: str) -> None:
    said = rows(replace(record, flags=(Flag(code, ""),)))
    assert [name for name, row in said.items() if row.is_flagged] == ["Noise in soft tissue"]


def test_figures_have_their_sign_and_unit(record: QualityRecord) -> None:
    found = rows(record)
    noise = found["Noise in soft tissue"]
    assert noise.before == f"{record.noise_before.hu:.1f} HU"
    assert noise.change == f"\N{MINUS SIGN}{100 * record.noise_reduction:.0f} %"
    assert noise.limit == "12.0 HU \N{PLUS-MINUS SIGN} 10 %"
    assert found["Sharpness of the skin's edge"].limit == "at least \N{MINUS SIGN}10 %"
    assert found["Pixels whose change was held back"].change == "7"
    assert found["Mean HU of soft tissue"].limit == "\N{PLUS-MINUS SIGN}2 HU"


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (Flag("HU_BIAS", "", -3.26, 3.0), "measured \u22123.3 HU, limit ±3 HU"),
        (Flag("TEXTURE_SHIFT", "", -0.425, 0.2), "measured \u221242 %, limit ±20 %"),
        (Flag("BLUR", "", 0.85, 0.9), "measured \u221215 %, limit \u221210 %"),
        (Flag("STRUCTURE_IN_RESIDUAL", "", 0.0512, 0.03), "measured 0.051, limit 0.03"),
        (Flag("NOISE_OFF_TARGET", "", 15.04, 12.0), "measured 15.0 HU, aimed at 12.0 HU"),
        (Flag("LOW_NOISE_INPUT", "", 3.0, 5.0), "measured 3.0 HU, limit 5.0 HU"),
        (Flag("OUT_OF_DISTRIBUTION", "", 120.0, 110.0), "measured 120.0 HU, limit 110.0 HU"),
        (Flag("OUT_OF_DISTRIBUTION", ""), ""),
        (Flag("MISSING_SLICES", "", 2.0, 0.0), ""),
        (Flag("NONFINITE", "", 7.0, 0.0), ""),
    ],
)
def test_what_raised_a_flag_has_its_unit(flag: Flag, words: str) -> None:
    assert flag_figures(flag) == words


def test_a_count_that_is_not_known_is_none(record: QualityRecord) -> None:
    unknown = rows(replace(record, limited=None))
    assert unknown["Pixels whose change was held back"].change == "not measured"


def test_a_bias_marks_its_own_tissue(record: QualityRecord) -> None:
    bias = dict(record.bias)
    bias["fat"] = replace(bias["fat"], hu=-9.04, error_hu=0.1)
    shifted = replace(record, bias=bias)
    found = rows(replace(shifted, flags=find_flags(shifted)))
    assert found["Mean HU of fat"].is_flagged
    assert found["Mean HU of fat"].change == "\N{MINUS SIGN}9.0 HU"
    assert not found["Mean HU of soft tissue"].is_flagged
    unjudged = dict(bias, fat=replace(bias["fat"], is_judged=False))
    shifted = replace(shifted, bias=unjudged)
    row = rows(replace(shifted, flags=find_flags(shifted)))["Mean HU of fat"]
    assert row.change.endswith(", not judged")
    assert not row.is_flagged


def test_scores_are_named_by_their_range(record: QualityRecord) -> None:
    table = {row[1]: row for row in score_rows(record)}
    abdomen = table["RED-CNN's range, standard SSIM"]
    assert abdomen[0] == "\N{MINUS SIGN}160 to 240 HU"
    assert abdomen[2] == f"{record.scores['abdomen']['before']['psnr']:.2f}"
    assert len(abdomen) == 8
    assert score_rows(replace(record, scores=None)) == []
