"""What is measured on a denoised series: made images with known answers, and each flag."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coloured import B30F, coloured_noise
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

import ldct_clipdn
from ldct_clipdn.ct import quality
from ldct_clipdn.ct.flags import Expected, Flag, Thresholds
from ldct_clipdn.ct.nps import SpectrumMeter
from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.ct.quality import QualityMeter, QualityRecord, assess_quality
from ldct_clipdn.errors import DataError

SIZE, SLICES, NOISE_HU = 320, 4, 25.0
MM = spacing_mm(SIZE)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return abdomen_phantom(SLICES, SIZE, 1)


@pytest.fixture(scope="module")
def noisy(clean: np.ndarray) -> np.ndarray:
    noise = [coloured_noise(B30F, SIZE, NOISE_HU, seed) for seed in range(SLICES)]
    return clean + np.stack(noise)


@pytest.fixture(scope="module")
def halved(clean: np.ndarray, noisy: np.ndarray) -> QualityRecord:
    """The record of a perfect denoiser that takes half of the noise."""
    return assess_quality(noisy, (clean + noisy) / 2, MM)


def codes(record: QualityRecord) -> list[str]:
    return [flag.code for flag in record.flags]


def test_known_noise_is_read_before_and_after(halved: QualityRecord) -> None:
    assert halved.slices == halved.measured == SLICES
    assert halved.noise_before.hu == pytest.approx(NOISE_HU, rel=0.1)
    assert halved.noise_after.hu == pytest.approx(NOISE_HU / 2, rel=0.12)
    assert halved.noise_before.p5 <= halved.noise_before.hu * 1.05
    assert halved.noise_reduction == pytest.approx(0.5, abs=0.04)


def test_what_is_in_mm_is_not_measured_where_the_size_of_a_pixel_is_not_known(
    clean: np.ndarray, noisy: np.ndarray, halved: QualityRecord
) -> None:
    record = assess_quality(noisy, (clean + noisy) / 2, None)
    assert {name for name, value in record.to_dict().items() if value is None} == {
        *("nps_before", "nps_after", "nps_change", "edge_before", "edge_after", "flicker_hu"),
        *("noise_unread", "scores"),
    }
    assert record.nps_shift == pytest.approx(halved.nps_shift, abs=1e-6)
    assert record.edge_ratio == pytest.approx(halved.edge_ratio)
    assert record.noise_after == halved.noise_after


def test_known_spectra_come_back(
    halved: QualityRecord, clean: np.ndarray, noisy: np.ndarray
) -> None:
    assert halved.nps_before.noise_hu == pytest.approx(NOISE_HU, rel=0.12)
    assert halved.nps_change.noise_hu == pytest.approx(NOISE_HU / 2, rel=0.12)
    truth = SpectrumMeter(MM[1:])
    truth.add((noisy - clean).reshape(-1, 20, 16, 20, 16).swapaxes(2, 3).reshape(-1, 16, 16))
    frequency = truth.spectrum().average
    assert halved.nps_before.average == pytest.approx(frequency, rel=0.06)
    assert halved.nps_change.average == pytest.approx(frequency, rel=0.06)
    assert abs(halved.nps_shift) < 0.2


def test_a_perfect_denoiser_raises_no_flag(halved: QualityRecord) -> None:
    assert codes(halved) == []
    assert abs(halved.structure) < 0.03
    assert halved.edge_ratio == pytest.approx(1, abs=0.02)
    assert abs(halved.bias["soft"].hu) < 1
    assert halved.large_changes < 1e-3


def test_identity_gives_zero_everywhere(noisy: np.ndarray) -> None:
    record = assess_quality(noisy, noisy, MM)
    assert record.noise_before == record.noise_after
    assert record.nps_before == record.nps_after
    assert record.nps_change.noise_hu == 0
    for value in (
        record.noise_reduction,
        record.nps_shift,
        record.edge_ratio - 1,
        record.flicker_hu,
        record.structure,
        record.largest_change_hu,
        record.large_changes,
        record.limited,
        record.nonfinite,
    ):
        assert value == 0
    judged = [one for one in record.bias.values() if one]
    assert len(judged) >= 2
    assert all(one.hu == 0 for one in judged)
    assert record.flags == ()


def test_a_shift_is_a_bias_of_every_tissue_and_nothing_else(noisy: np.ndarray) -> None:
    record = assess_quality(noisy, noisy - 3.5, MM)
    assert {flag.code for flag in record.flags} == {"HU_BIAS"}
    assert record.bias["soft"].hu == pytest.approx(-3.5, abs=1e-3)
    assert any("soft tissue are lower" in flag.text for flag in record.flags)
    assert record.largest_change_hu == pytest.approx(3.5, abs=1e-3)


@pytest.mark.parametrize(("shift", "flagged"), [(1.9, False), (2.1, True)])
def test_the_tolerance_of_soft_tissue_is_two_hu(
    noisy: np.ndarray, shift: float, flagged: bool
) -> None:
    record = assess_quality(noisy[0], noisy[0] + np.float32(shift), MM)
    assert (codes(record) == ["HU_BIAS"]) is flagged


def test_a_blur_is_called_a_blur(noisy: np.ndarray) -> None:
    record = assess_quality(noisy, ndimage.gaussian_filter(noisy, (0, 1, 1)), MM)
    assert {"BLUR", "STRUCTURE_IN_RESIDUAL", "TEXTURE_SHIFT"} <= set(codes(record))
    assert record.edge_ratio < 0.8
    assert record.nps_shift < -0.2
    blur = next(flag for flag in record.flags if flag.code == "BLUR")
    assert blur.value == record.edge_ratio
    assert blur.threshold == Thresholds().edge_ratio


def test_a_light_blur_shows_in_structure_first(noisy: np.ndarray) -> None:
    change = ndimage.gaussian_filter(noisy, (0, 1, 1)) - noisy
    record = assess_quality(noisy, noisy + change / 8, MM)
    assert "STRUCTURE_IN_RESIDUAL" in codes(record)
    assert "BLUR" not in codes(record)


def test_uneven_strength_along_z_flickers(clean: np.ndarray, noisy: np.ndarray) -> None:
    offsets = np.array([0, 4, 0, 4], dtype=np.float32)[:, None, None]
    record = assess_quality(noisy, noisy + offsets, MM)
    assert record.flicker_hu == pytest.approx(offsets.std(ddof=1), rel=1e-4)


def test_no_number_is_counted_and_flagged(noisy: np.ndarray) -> None:
    after = noisy[:1].copy()
    after[0, 160, 160], after[0, 10, 10] = np.nan, np.inf
    record = assess_quality(noisy[:1], after, MM)
    assert record.nonfinite == 2
    assert record.largest_change_hu == 0
    assert codes(record) == ["NONFINITE"]


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        (Expected(slices=5), "MISSING_SLICES"),
        (Expected(unusual=("a sharp kernel",)), "OUT_OF_DISTRIBUTION"),
        (Expected(noise_hu=(5, 20)), "OUT_OF_DISTRIBUTION"),
        (Expected(noise_hu=(30, 90)), "LOW_NOISE_INPUT"),
        (Expected(target_hu=20), "NOISE_OFF_TARGET"),
        (Expected(target_hu=32), "NOISE_OFF_TARGET"),
    ],
)
def test_what_was_expected_and_is_not(noisy: np.ndarray, expected: Expected, code: str) -> None:
    meter = QualityMeter(MM)
    for one in noisy:
        meter.add(one, one)
    assert codes(meter.finish(expected)) == [code]
    met = Expected(slices=SLICES, noise_hu=(5, 90), target_hu=meter.finish().noise_before.hu)
    assert codes(meter.finish(met)) == []


@pytest.mark.parametrize(
    ("hu", "sd", "why"), [(0, 300, "too much"), (0, 0, "no noise"), (-850, 30, "too little soft")]
)
def test_noise_that_cannot_be_read_is_a_finding_where_it_is_to_be_judged(
    hu: float, sd: float, why: str
) -> None:
    before = (hu + coloured_noise(B30F, 128, 1.0, 0) * sd).clip(-1024, 3071)
    meter = QualityMeter((1, 1))
    meter.add(before, before)
    [flag] = meter.finish(Expected(noise_hu=(2.5, 110))).flags
    assert flag.code == "NOISE_UNREAD"
    assert why in flag.text
    assert codes(meter.finish()) == []


def test_thresholds_are_the_callers(noisy: np.ndarray) -> None:
    meter = QualityMeter(MM, thresholds=replace(Thresholds(), soft_bias_hu=9, other_bias_hu=0.1))
    meter.add(noisy[0], noisy[0] + 3)
    flags: tuple[Flag, ...] = meter.finish().flags
    assert flags
    assert not any("soft" in flag.text for flag in flags)


def test_a_tissue_at_the_lowest_value_is_not_judged() -> None:
    """12-bit air: noise is cut off below, so removing it must move the mean."""
    lung = np.random.default_rng(0).normal(-900, 60, (128, 128)).astype(np.float32)
    stored = lung.clip(-1000, None)
    meter = QualityMeter((1, 1), floor_hu=-1000)
    meter.add(stored, stored + 10)
    record = meter.finish()
    assert record.bias["lung"].hu == pytest.approx(10, abs=1e-3)
    assert not record.bias["lung"].is_judged
    assert record.flags == ()
    free = assess_quality(stored, stored + 10, (1, 1))
    assert codes(free) == ["HU_BIAS"]


def test_few_pixels_are_not_judged() -> None:
    hu = np.full((64, 64), -1000, dtype=np.float32)
    hu[20:40, 20:40] = 50
    record = assess_quality(hu, hu + 20, (1, 1))
    assert record.bias["soft"].pixels < 500
    assert record.flags == ()


def test_what_cannot_be_measured_is_none() -> None:
    air = np.full((2, 64, 64), -1000, dtype=np.float32)
    record = assess_quality(air, air, (1, 1))
    assert (record.noise_before, record.noise_unread) == (None, "no tissue")
    assert record.noise_reduction is None
    assert record.nps_before is None
    assert record.nps_shift is None
    assert record.edge_ratio is None
    assert record.structure is None
    assert record.flicker_hu is None
    assert record.large_changes is None
    assert set(record.bias.values()) == {None}


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (64, 1), (16, 16), (2, 64, 64)])
@pytest.mark.parametrize("hu", [-1000.0, 50.0, 20000.0], ids=["air", "tissue", "metal"])
def test_odd_images_are_measured_or_not_and_never_flagged_by_chance(
    shape: tuple[int, ...], hu: float
) -> None:
    before = (hu + np.random.default_rng(0).normal(0, 20, shape)).astype(np.float32)
    for after in (before, np.full_like(before, before.mean())):
        record = assess_quality(before, after, (0.7, 0.7))
        assert codes(record) == []
        json.dumps(record.to_dict(), allow_nan=False)


def test_noise_that_is_gone_has_no_texture() -> None:
    before = 50 + coloured_noise(B30F, 128, 20.0, 0)
    record = assess_quality(before, np.full_like(before, 50), (1, 1))
    assert record.nps_shift is None
    assert codes(record) == []
    assert assess_quality(before, 50 + (before - 50) / 100, (1, 1)).nps_shift is not None


def test_what_was_no_number_before_is_no_image(noisy: np.ndarray) -> None:
    before, after = noisy[:1].copy(), noisy[:1] + 1
    before[:, :40] = np.nan
    record = assess_quality(before, after, MM)
    before[:, :40] = after[:, :40] = -1024
    assert record == assess_quality(before, after, MM)
    assert record.nonfinite == 0


@pytest.mark.parametrize(
    "mm", [(0.0, 1.0), (1.0, -1.0), (np.nan, 1.0), (np.inf, 1.0), (1.0,), (), 0.0, "wide"]
)
def test_pixels_without_a_size_are_refused(mm: object) -> None:
    with pytest.raises(DataError, match="pixels of"):
        assess_quality(np.zeros((8, 8)), np.zeros((8, 8)), mm)  # type: ignore[arg-type]


def test_an_error_of_the_caller_is_not_called_a_difference() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield np.zeros((8, 8))
        raise ValueError("a bug elsewhere")

    with pytest.raises(ValueError, match="a bug elsewhere"):
        assess_quality(broken(), [np.zeros((8, 8))] * 2, 1.0)


@pytest.mark.parametrize("mm", [1.4, np.float32(1.4), (1.4, 1.4), (5.0, 1.4, 1.4)])
def test_the_pixel_size_alone_is_enough(mm: float) -> None:
    assert QualityMeter(mm).spacing_mm == pytest.approx((1.4, 1.4))


def test_scores_with_a_reference(clean: np.ndarray, noisy: np.ndarray) -> None:
    after = (clean + noisy) / 2
    record = assess_quality(noisy[:2], after[:2], MM, clean[:2])
    assert set(record.scores) >= {"paper", "full", "2000 HU", "abdomen"}
    window = [one[:2].clip(-160, 240) for one in (noisy, after, clean)]
    for when, image in zip(("before", "after"), window[:2], strict=True):
        expected = [
            peak_signal_noise_ratio(t, i, data_range=400)
            for t, i in zip(window[2], image, strict=True)
        ]
        assert record.scores["abdomen"][when]["psnr"] == pytest.approx(np.mean(expected), rel=1e-4)
    full = record.scores["full"]
    assert full["after"]["rmse"] == pytest.approx(
        full["before"]["rmse"] / 2, rel=0.08
    )  # air is clipped
    assert full["after"]["ssim"] > full["before"]["ssim"]
    assert assess_quality(clean, clean, MM).scores is None


def test_what_is_no_number_is_not_compared(clean: np.ndarray, noisy: np.ndarray) -> None:
    """Whichever of the three holds it: a perfect result stays perfect."""
    before, reference = noisy[:1].copy(), clean[:1].copy()
    before[0, 160, 160], reference[0, 150, 150], reference[0, 5, 5] = np.nan, np.nan, np.inf
    scores = assess_quality(before, clean[:1], MM, reference).scores
    assert {name: one["after"]["rmse"] for name, one in scores.items()} == dict.fromkeys(scores, 0)
    unknown = ~(np.isfinite(before) & np.isfinite(reference))
    filled = [np.where(unknown, -1024, one) for one in (before, clean[:1], reference)]
    assert scores == assess_quality(filled[0], filled[1], MM, filled[2]).scores


def test_slices_may_come_one_by_one(noisy: np.ndarray) -> None:
    after = noisy * np.float32(0.9)

    def stream(volume: np.ndarray) -> Iterator[np.ndarray]:
        yield from volume

    assert assess_quality(stream(noisy), stream(after), MM) == assess_quality(noisy, after, MM)


def test_a_long_series_is_sampled(noisy: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MEASURED", 2)
    after = noisy.copy()
    after[1] += 50
    record = assess_quality(noisy, after, MM)
    assert (record.slices, record.measured) == (SLICES, 2)
    assert record.bias["soft"].hu == 0
    assert record.largest_change_hu == pytest.approx(50, abs=1e-3)
    assert record.flicker_hu == pytest.approx(25, rel=1e-4)


def test_the_record_is_plain_json(clean: np.ndarray, noisy: np.ndarray) -> None:
    record = assess_quality(noisy[:1], clean[:1], MM, clean[:1])
    text = json.dumps(record.to_dict(), allow_nan=False)
    back = json.loads(text)
    assert back["schema"] == "ldct_clipdn/quality/1"
    assert back["noise_before"]["hu"] == record.noise_before.hu
    assert back["scores"]["full"]["after"]["psnr"] is None
    assert back["thresholds"]["soft_bias_hu"] == 2.0
    assert len(back["nps_before"]["power"]) == len(back["nps_before"]["frequency"])


def test_records_fit_their_schema(
    halved: QualityRecord, clean: np.ndarray, noisy: np.ndarray
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = Path(__file__).parents[2] / "docs" / "quality.schema.json"
    validator = jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    air = np.full((1, 64, 64), -1000, dtype=np.float32)
    shifted = assess_quality(noisy[:1], noisy[:1] + 5, MM, clean[:1])
    unread = QualityMeter((1, 1))
    unread.add(air[0], air[0])
    flagged = unread.finish(Expected(noise_hu=(2.5, 110)))
    for record in (halved, shifted, assess_quality(air, air, (1, 1)), flagged):
        validator.validate(json.loads(json.dumps(record.to_dict())))
    assert not validator.is_valid({**halved.to_dict(), "patient": "Doe"})
    assert not validator.is_valid({**halved.to_dict(), "slices": -1})


@pytest.mark.parametrize(
    ("before", "after", "reference"),
    [
        (np.zeros((2, 30, 30)), np.zeros((3, 30, 30)), None),
        (np.zeros((2, 30, 30)), np.zeros((2, 30, 31)), None),
        (np.zeros((2, 30, 30)), np.zeros((2, 30, 30)), np.zeros((1, 30, 30))),
        (np.zeros((2, 30, 30)), np.zeros((2, 30, 30)), np.zeros((2, 30, 31))),
        (np.zeros((0, 30, 30)), np.zeros((0, 30, 30)), None),
        (np.zeros((1, 1, 30, 30)), np.zeros((1, 1, 30, 30)), None),
    ],
)
def test_what_does_not_fit_together_is_refused(
    before: np.ndarray, after: np.ndarray, reference: np.ndarray | None
) -> None:
    with pytest.raises(DataError):
        assess_quality(before, after, (1, 1), reference)


def test_is_a_public_name() -> None:
    assert ldct_clipdn.assess_quality is assess_quality
    assert ldct_clipdn.QualityRecord is QualityRecord


@pytest.mark.data
def test_real_full_dose_is_a_perfect_denoiser(
    l192: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Full dose in the place of the result: what is flagged beside bone is our mistake."""
    for full, quarter in l192.values():
        record = assess_quality(quarter, full, (0.703, 0.703))
        assert record.noise_reduction == pytest.approx(0.5, abs=0.05)
        assert abs(record.structure) < 0.02
        assert record.edge_ratio == pytest.approx(1, abs=0.01)
        # photon starvation darkens the quarter dose's bone by 6 HU; that is real
        assert [flag.text for flag in record.flags if " bone " not in flag.text] == []
        blurred = assess_quality(quarter, ndimage.gaussian_filter(quarter, (0, 1, 1)), (0.703,) * 2)
        assert {"BLUR", "STRUCTURE_IN_RESIDUAL"} <= set(codes(blurred))
