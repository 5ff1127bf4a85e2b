"""Strengths by name, number and noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from coloured import B30F, D45F, coloured_noise
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ldct_clipdn.ct.noise_meter import measure_noise
from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.ct.strength import STRENGTHS, auto_strength, parse_strength
from ldct_clipdn.errors import ConfigError


@pytest.mark.parametrize("power", [(1.0,) * 16, B30F, D45F], ids=["white", "B30f", "D45f"])
@pytest.mark.parametrize("target", [10.0, 18.0])
@pytest.mark.parametrize("blur", [0.0, 1.2], ids=["ideal", "leaves coarse noise"])
def test_reaches_the_target(power: tuple[float, ...], target: float, blur: float) -> None:
    """Also where the network leaves noise, which is correlated with what it takes."""
    clean = abdomen_phantom(1, 320, 4)[0]
    noise = coloured_noise(power, 320, 30.0, 8)
    network = clean + (ndimage.gaussian_filter(noise, blur) if blur else 0)

    def after(strength: float) -> np.ndarray:
        return clean + noise + np.float32(strength) * (network - clean - noise)

    strength = auto_strength(lambda share: measure_noise(after(share)), target)
    reachable = max(target, measure_noise(network)) if blur else target
    assert measure_noise(after(strength)) == pytest.approx(reachable, rel=0.04)
    assert (strength == 1) == (reachable > target)


def test_supposing_that_nothing_is_left_would_miss() -> None:
    """The control: 1 - target / noise, where a third of the noise stays."""
    assert (1 - 0.5) * 30 + 0.5 * 10 == 20  # a third over the target of 15
    strength = auto_strength(lambda s: (1 - s) * 30 + s * 10, 15)
    assert strength == pytest.approx(0.75, abs=0.001)


@given(
    noise=st.floats(1, 300), target=st.floats(0.5, 300), left=st.floats(0, 1), power=st.floats(1, 3)
)
def test_is_the_weakest_strength_that_leaves_no_more(
    noise: float, target: float, left: float, power: float
) -> None:
    def noise_left(strength: float) -> float:
        return noise * (left + (1 - left) * (1 - strength) ** power)

    strength = auto_strength(noise_left, target)
    assert 0 <= strength <= 1
    if noise <= target:
        assert strength == 0
    elif noise_left(1.0) >= target:
        assert strength == 1
    else:
        assert (
            noise_left(max(strength - 0.003, 0)) >= target >= noise_left(min(strength + 0.003, 1))
        )


def test_a_meter_that_reads_in_steps() -> None:
    """The meter's readings lie 1.7 % apart: there may be no strength that gives the target."""
    strength = auto_strength(lambda s: round((1 - s) * 20), 9.5)
    assert strength == pytest.approx(0.525, abs=0.002)


def test_no_reading_of_what_is_left_means_that_nothing_is() -> None:
    readings = {0.0: 20.0}
    strength = auto_strength(lambda s: readings.get(s, math.nan if s > 0.9 else 20 * (1 - s)), 5)
    assert strength == pytest.approx(0.75, abs=0.002)


@pytest.mark.parametrize("target", [0.0, -5.0, math.nan, math.inf])
def test_refuses_a_target_that_is_none(target: float) -> None:
    with pytest.raises(ConfigError, match="target"):
        auto_strength(lambda _: 20, target)


def test_refuses_an_unknown_noise() -> None:
    with pytest.raises(ConfigError, match="too little soft tissue.*give a strength"):
        auto_strength(lambda _: math.nan, 10)


def test_names_and_numbers() -> None:
    assert [parse_strength(one) for one in ("low", "medium", "high")] == list(STRENGTHS.values())
    assert list(STRENGTHS.values()) == sorted(STRENGTHS.values())
    assert parse_strength("auto") is None
    assert parse_strength("0.25") == 0.25
    assert parse_strength(0.25) == 0.25
    assert parse_strength("0") == 0


@pytest.mark.parametrize("text", ["", "strong", "nan", "1.01", "-0.1", "inf"])
def test_refuses_what_is_no_strength(text: str) -> None:
    with pytest.raises(ConfigError, match="medium"):
        parse_strength(text)
