"""The fair error, on pairs whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from coloured import B30F, coloured_noise

from ldct_clipdn.bench.classic import BLENDS, CLASSIC, every_setting
from ldct_clipdn.bench.fair import FairSet, measure_shares, window_psnr
from ldct_clipdn.bench.simulation import compare_noise
from ldct_clipdn.errors import DataError

SIZE = 256


def _truth() -> np.ndarray:
    """A body of muscle with two organs, bone, and air around."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    plane = np.full((SIZE, SIZE), -1000.0)
    for hu, a, b, u, v in (
        (50, 120, 95, 0, 0),
        (110, 40, 40, -60, -10),
        (10, 30, 34, 55, 0),
        (500, 12, 10, 0, 60),
    ):
        plane[((x - u) / a) ** 2 + ((y - v) / b) ** 2 < 1] = hu
    return np.stack([plane, plane.T, plane[::-1]]).astype(np.float32)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, full dose (15 HU) and quarter dose (three parts more variance), [3, H, W]."""
    truth = _truth()
    own = np.stack([coloured_noise(B30F, SIZE, 15.0, seed=k) for k in range(3)])
    added = np.stack([coloured_noise(B30F, SIZE, 26.0, seed=10 + k) for k in range(3)])
    return truth, truth + own, truth + own + added


def test_shares_of_known_noise(pair: tuple[np.ndarray, ...]) -> None:
    shares = measure_shares(pair[1], pair[2])
    # blocks of 16 pixels freed of a plane lose some low frequencies of both alike
    assert shares.full / shares.added == pytest.approx(225 / 676, rel=0.25)
    assert shares.share == pytest.approx(1 / 3, abs=0.08)


def test_how_certain_the_share_is(pair: tuple[np.ndarray, ...]) -> None:
    """Jackknife: the shares without each slice, measured one by one."""
    _, full, quarter = pair
    without = [
        measure_shares(np.delete(full, k, axis=0), np.delete(quarter, k, axis=0)).share
        for k in range(3)
    ]
    expected = np.sqrt(2 / 3 * np.sum((without - np.mean(without)) ** 2))
    shares = measure_shares(full, quarter)
    assert shares.share_error == pytest.approx(expected)
    assert 0.002 < shares.share_error < 0.1
    assert np.isnan(measure_shares(full[:1], quarter[:1]).share_error)


def test_differences_are_those_of_the_error_to_the_truth(pair: tuple[np.ndarray, ...]) -> None:
    truth, full, quarter = pair
    fair = FairSet(full, quarter)
    results = [quarter, full, truth, 0.5 * (truth + quarter), truth + 8]

    def true_error(result: np.ndarray) -> float:
        return float(np.mean((result - truth)[fair.mask] ** 2))

    for one in results:
        if one is full:
            continue  # its noise is in F*: the fair error is for results made from Q alone
        difference = fair.error(quarter) - fair.error(one)
        expected = true_error(quarter) - true_error(one)
        assert difference == pytest.approx(expected, abs=0.08 * true_error(quarter))
    assert fair.removed(quarter) == 0
    assert fair.removed(truth) == pytest.approx(1, abs=0.1)


def test_plain_error_pays_for_handing_noise_back(pair: tuple[np.ndarray, ...]) -> None:
    truth, full, quarter = pair
    hands_back = truth + (quarter - truth) * 0.25  # the share of own noise in all noise
    fair = FairSet(full, quarter)
    assert window_psnr(hands_back, full) > window_psnr(truth, full)
    assert fair.error(hands_back) > fair.error(truth)


def test_error_by_slice_adds_up(pair: tuple[np.ndarray, ...]) -> None:
    fair = FairSet(pair[1], pair[2])
    weights = fair.mask.sum((1, 2))
    assert np.average(fair.error_by_slice(pair[2]), weights=weights) == pytest.approx(
        fair.error(pair[2])
    )


def test_anatomy_is_not_counted_as_noise(pair: tuple[np.ndarray, ...]) -> None:
    """Lines too fine for the smoothing that looks for anatomy would raise the full dose's noise."""
    known = measure_shares(pair[1], pair[2])
    lines = np.zeros((SIZE, SIZE), np.float32)
    lines[150:190, 100:160] = 80 * (-1.0) ** (np.arange(150, 190) // 2)[:, None]
    shares = measure_shares(pair[1] + lines, pair[2] + lines)
    assert shares.full == pytest.approx(known.full, rel=0.15)
    assert shares.share == pytest.approx(known.share, rel=0.15)
    assert shares.dose == pytest.approx(1 / (1 + known.added / known.full), rel=0.15)


def test_noise_is_known_where_the_low_dose_has_no_tissue_left(
    pair: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    fair = FairSet(pair[1], pair[2])
    assert fair.noise_hu == pytest.approx(30, rel=0.1)
    monkeypatch.setattr("ldct_clipdn.bench.fair.measure_noise", lambda _: float("nan"))
    assert fair.noise_hu == pytest.approx(30, rel=0.1)


def test_no_block_no_measure() -> None:
    air = np.full((1, 64, 64), -1000, dtype=np.float32)
    with pytest.raises(DataError, match="block"):
        measure_shares(air, air)


def test_classic_filters_help_and_blend(pair: tuple[np.ndarray, ...]) -> None:
    fair = FairSet(pair[1][:1], pair[2][:1])
    tried = [tried for one in CLASSIC for tried in every_setting(one, pair[2][:1], 30.0)]
    assert len(tried) == sum(len(one.strengths) for one in CLASSIC) * len(BLENDS)
    for one in CLASSIC:
        best = min(fair.error(c.result) for c in tried if c.name == one.name)
        assert best < 0.7 * fair.error(pair[2][:1])
    plain, blended = (
        next(c for c in tried if c.name == "TV" and c.blend == b).result for b in (0.0, 0.2)
    )
    np.testing.assert_allclose(blended, 0.8 * plain + 0.2 * pair[2][:1], atol=1e-2)


def test_comparing_noise_tells_equal_from_different(pair: tuple[np.ndarray, ...]) -> None:
    truth, full, quarter = pair
    real = quarter - full
    again = np.stack([coloured_noise(B30F, SIZE, 26.0, seed=20 + k) for k in range(3)])
    white = np.random.default_rng(0).normal(0, 39, truth.shape).astype(np.float32)
    equal, different = (compare_noise(full, real, one) for one in (again, white))
    assert equal.ratio == pytest.approx(1, abs=0.05)
    assert equal.within > 0.9
    assert equal.spectrum < 0.15
    np.testing.assert_allclose(equal.lag_simulated, equal.lag_real, atol=0.06)
    assert different.ratio == pytest.approx(1.5, abs=0.1)
    assert different.within < 0.2
    assert different.spectrum > 0.5
    assert abs(different.lag_simulated[0]) < 0.05
    assert {"soft", "centre", "slice 0"} <= set(equal.by_place)
