"""Simulated low dose: laws of physics, and the real quarter dose of one patient."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from coloured import B30F, coloured_noise

from ldct_clipdn.bench.simulation import compare_noise
from ldct_clipdn.ct.kernel import KERNELS, Kernel, Probe, noise_regions, own_noise
from ldct_clipdn.ct.lowdose import fit_noise, noise_fields, simulate_low_dose
from ldct_clipdn.ct.noise_meter import measure_noise, mode_in_tissue
from ldct_clipdn.ct.projection import Beam
from ldct_clipdn.ct.scan_noise import ray_lengths
from ldct_clipdn.errors import ConfigError

SIZE = 160
SPACING = (2.0, 2.0)


def _water(size: int = SIZE) -> np.ndarray:
    axis = np.arange(size) - (size - 1) / 2
    inside = (axis[None, :] / 70) ** 2 + (axis[:, None] / 50) ** 2 < 1
    return np.where(inside, 40, -1000).astype(np.float32)


def _noise(dose: float, **settings: object) -> np.ndarray:
    given = {"kernel": "standard", "photons": 1e5, "seed": 3, **settings}
    hu = _water()
    return simulate_low_dose(hu, dose=dose, spacing_mm=SPACING, **given) - hu  # type: ignore[arg-type]


def test_noise_grows_as_the_square_root_of_one_over_dose_less_one() -> None:
    half = _noise(0.5)
    for dose in (0.25, 0.1):
        assert _noise(dose).std() / half.std() == pytest.approx((1 / dose - 1) ** 0.5, rel=1e-3)


def test_electronic_noise_adds_its_own_term() -> None:
    plain, electronic = _noise(0.5), _noise(0.5, photons=2e3, electronic=20.0)
    only_quanta = plain * (1e5 / 2e3) ** 0.5
    assert electronic.std() > 1.2 * only_quanta.std()


def test_mean_stays_and_seed_decides() -> None:
    first = _noise(0.25)
    assert abs(float(first[40:120, 40:120].mean())) < 0.5
    np.testing.assert_array_equal(first, _noise(0.25))
    assert not np.array_equal(first, _noise(0.25, seed=4))


def test_full_dose_is_the_slice() -> None:
    np.testing.assert_array_equal(_noise(1.0), 0)


def test_twice_the_current_has_less_noise() -> None:
    volume = np.stack([_water()] * 2)
    added = (
        simulate_low_dose(
            volume,
            dose=0.5,
            spacing_mm=(5.0, *SPACING),
            kernel="soft",
            photons=1e5,
            tube_current=[100.0, 400.0],
        )
        - volume
    )
    assert added[0].std() / added[1].std() == pytest.approx(2, rel=0.1)
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.1


def test_overlapping_slices_share_noise() -> None:
    volume = np.stack([_water()] * 2)
    added = (
        simulate_low_dose(
            volume,
            dose=0.5,
            spacing_mm=(2.0, *SPACING),
            kernel="soft",
            photons=1e5,
            thickness_mm=4.0,
        )
        - volume
    )
    assert np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1] == pytest.approx(0.5, abs=0.1)


def test_spectrum_has_the_kernels_shape() -> None:
    kernel = Kernel(0.22, 1.5)  # cycles per pixel
    rng = np.random.default_rng(0)
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE)] * 2))
    gain = np.sqrt(f) * np.exp(-((f / 0.22) ** 1.5))
    own = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * gain).real
    image = (_water() + own * (12 / own.std())).astype(np.float32)
    assert own_noise(image).kernel.cutoff == pytest.approx(kernel.cutoff, rel=0.25)
    added = simulate_low_dose(image, dose=0.25, spacing_mm=SPACING, seed=1) - image
    # as strong as three parts of the slice's own, and of its colour
    assert measure_noise(_water() + added) == pytest.approx(12 * 3**0.5, rel=0.15)
    assert Probe((_water() + added)[None]).fit().cutoff == pytest.approx(0.22, rel=0.25)


def test_what_auto_found_gives_the_same_noise_again() -> None:
    image = _water() + coloured_noise(B30F, SIZE, 12.0, seed=5)
    found = fit_noise(image, spacing_mm=SPACING, seed=1)
    settings = {"dose": 0.25, "spacing_mm": SPACING, "seed": 1}
    auto = simulate_low_dose(image, **settings)  # type: ignore[arg-type]
    again = simulate_low_dose(image, kernel=found.kernel, photons=found.quanta, **settings)  # type: ignore[arg-type]
    np.testing.assert_array_equal(auto, again)
    # of the colour that was put in: the same cut-off as `own_noise` reads, here in 1/mm
    cutoff = float(found.kernel.partition(",")[0])
    assert cutoff == pytest.approx(own_noise(image).kernel.cutoff / SPACING[0], rel=0.25)
    words = f"kernel {found.kernel} (cut-off in 1/mm, steepness); {found.quanta!r} quanta"
    assert str(found) == words


def test_what_is_given_is_not_looked_for() -> None:
    found = fit_noise(np.full((8, 8), -1000.0), spacing_mm=1.0, kernel="hann", photons="1e5")
    assert (found.kernel, found.quanta) == ("hann", 1e5)
    assert str(found) == "kernel hann; 100000.0 quanta"


def test_with_electronic_noise_full_dose_still_has_the_slices_own() -> None:
    image = _water() + coloured_noise(B30F, SIZE, 12.0, seed=5)
    settings = {"spacing_mm": SPACING, "electronic": 40.0, "seed": 1}
    half, quarter = (
        mode_in_tissue(simulate_low_dose(image, dose=dose, **settings) - image, image) ** 2  # type: ignore[arg-type]
        for dose in (0.5, 0.25)
    )
    # half the dose adds q + 3 e, a quarter 3 q + 15 e; full dose has q + e
    electronic = (quarter - 3 * half) / 6
    assert electronic > 0.1 * half
    assert (half - 2 * electronic) ** 0.5 == pytest.approx(12, rel=0.15)


def test_anatomy_is_not_taken_for_noise() -> None:
    """Fine stripes make a region uniform by its smoothed values, and five times as loud."""
    own = coloured_noise(B30F, SIZE, 8.0, seed=2)
    image = _water() + own
    # lines of two pixels: too fine for the smoothing that looks for anatomy
    image[46:66, 60:100] += 40 * (-1.0) ** (np.arange(46, 66) // 2)[:, None]
    regions = noise_regions(image, (-60, 170))
    assert len(regions) >= 4
    assert not any(30 < row < 66 and 44 < column < 100 for row, column in regions)
    added = simulate_low_dose(image, dose=0.5, spacing_mm=SPACING, seed=1) - image
    assert mode_in_tissue(added, image) == pytest.approx(8, rel=0.15)


def test_noise_is_stronger_in_the_middle_and_runs_along_the_thick_direction() -> None:
    added = _noise(0.25)
    centre, edge = added[70:90, 70:90], added[70:90, 18:32]
    assert centre.std() > 1.15 * edge.std()
    middle = added[60:100, 50:110]
    across = np.mean(middle[:, 1:] * middle[:, :-1])
    down = np.mean(middle[1:] * middle[:-1])
    assert across > 1.2 * down


def test_training_fields_are_the_simulators_noise() -> None:
    hu = _water()
    field = noise_fields(hu, draws=1, seed=0, pixel_mm=2.0)[0]
    full = _noise(0.25, kernel="ram-lak")
    body = hu > 0
    assert field[body].std() == pytest.approx(1, abs=0.02)
    for cut in (np.s_[70:90, 70:90], np.s_[70:90, 18:32], np.s_[35:50, 70:90]):
        assert field[cut].std() == pytest.approx(full[cut].std() / full[body].std(), rel=0.2)


def test_ray_lengths_of_water() -> None:
    lengths = ray_lengths(torch.from_numpy(_water()), Beam(SIZE, 2.0, views=240))
    longest = 0.0195 * 1.04 * 280
    assert float(lengths.max()) == pytest.approx(longest, rel=0.03)


def test_says_what_is_approximate(caplog: pytest.LogCaptureFixture) -> None:
    cut_off = np.full((SIZE, SIZE), 40.0, dtype=np.float32)
    doubts: dict[int, str] = {}
    settings = {"dose": 0.1, "spacing_mm": SPACING, "kernel": "soft"}
    both = np.stack([_water(), cut_off])
    with caplog.at_level(logging.WARNING):
        simulate_low_dose(both, photons=1e3, doubts=doubts, **settings)  # type: ignore[arg-type]
        assert not caplog.records  # who takes them tells them
        simulate_low_dose(both, photons=1e3, **settings)  # type: ignore[arg-type]
    assert [one.getMessage() for one in caplog.records] == [
        f"Slice {k + 1}: {doubts[k]}: approximate" for k in (0, 1)
    ]
    assert "outside" not in doubts[0]
    assert doubts[1].endswith("rays get under 10 quanta, the body goes on outside the field")
    doubts.clear()
    simulate_low_dose(_water(), photons=1e7, doubts=doubts, **settings)  # type: ignore[arg-type]
    assert not doubts


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dose": 0.0}, "dose"),
        ({"dose": 1.5}, "dose"),
        ({"dose": "a"}, "dose 'a'"),
        ({"dose": None}, "dose None"),
        ({"kernel": "B30f"}, "kernel"),
        ({"kernel": "0.41"}, "kernel"),
        ({"kernel": "0.41,0"}, "kernel"),
        ({"kernel": "nan,1"}, "kernel"),
        ({"kernel": "1,2,3"}, "kernel"),
        ({"spacing_mm": None}, "spacing None"),
        ({"spacing_mm": "wide"}, "spacing 'wide'"),
        ({"spacing_mm": (0.0, 1.0)}, "spacing"),
        ({"spacing_mm": 0.0}, "spacing"),
        ({"spacing_mm": (1.0,)}, "spacing"),
        ({"spacing_mm": (np.inf, np.inf)}, "spacing"),
        ({"spacing_mm": (5.0, 0.7, 0.8)}, "0.7 x 0.8 mm are not square"),
        ({"electronic": -1.0}, "electronic"),
        ({"electronic": np.nan}, "electronic"),
        ({"tube_current": [0.0]}, "tube_current"),
        ({"tube_current": [1.0, 1.0]}, "tube_current"),
        ({"tube_current": [np.nan]}, "tube_current"),
        ({"photons": 0}, "photons 0"),
        ({"photons": -1.0}, "photons -1"),
        ({"photons": np.inf}, "photons inf"),
        ({"photons": "abc"}, "photons 'abc'"),
        ({"seed": -1}, "the seed -1"),
        ({"thickness_mm": np.nan}, "thickness"),
        ({"thickness_mm": np.inf}, "thickness"),
        ({"thickness_mm": -1.0}, "thickness"),
    ],
)
def test_refuses(wrong: dict[str, object], said: str) -> None:
    settings = {"dose": 0.5, "spacing_mm": SPACING, "photons": 1e5, "kernel": "soft", **wrong}
    with pytest.raises(ConfigError, match=said) as caught:
        simulate_low_dose(_water(), **settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_pixel_size_alone_is_enough() -> None:
    hu, settings = _water(), {"dose": 0.5, "photons": 1e5, "kernel": "soft"}
    one, both = (simulate_low_dose(hu, spacing_mm=mm, **settings) for mm in (0.7, (0.7, 0.7)))
    np.testing.assert_array_equal(one, both)


@pytest.mark.parametrize(
    ("hu", "said"),
    [(np.zeros(8), "shape"), (np.zeros((2, 2, 8, 8)), "shape"), (np.full((8, 8), np.nan), "NaN")],
)
def test_refuses_what_is_no_slice(hu: np.ndarray, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        simulate_low_dose(hu, dose=0.5, spacing_mm=1.0, photons=1e5)


def test_needs_photons_where_no_noise_can_be_read() -> None:
    with pytest.raises(ConfigError, match="too little soft tissue"):
        simulate_low_dose(np.full((64, 64), -800.0), dose=0.5, spacing_mm=(2.0, 2.0))


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_start_at_one_and_fall(name: str) -> None:
    frequency = torch.linspace(0, 1.5, 50)
    window = KERNELS[name](frequency)
    assert float(window[0]) == pytest.approx(1)
    assert bool((window.diff() <= 1e-6).all())


@pytest.mark.data
@pytest.mark.slow
def test_real_quarter_dose(l192: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    full, quarter = (one[[1, 3]].astype(np.float32) for one in l192["B30f"])
    simulated = simulate_low_dose(full, dose=0.25, spacing_mm=(0.703, 0.703), seed=1)
    found = compare_noise(full, quarter - full, simulated - full)
    assert found.ratio == pytest.approx(1, abs=0.12)  # two slices; all: docs/weights.md
    assert found.spectrum <= 0.2
    np.testing.assert_allclose(found.lag_simulated, found.lag_real, atol=0.08)
