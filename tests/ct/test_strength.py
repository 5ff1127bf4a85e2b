"""Strengths by name, number and noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from coloured import B30F, D45F, coloured_noise
from hypothesis import given
from hypothesis import strategies as st

from ldct_clipdn.ct.noise_meter import measure_noise
from ldct_clipdn.ct.phantom import abdomen_phantom
from ldct_clipdn.ct.strength import STRENGTHS, auto_strength, parse_strength
from ldct_clipdn.errors import ConfigError


@pytest.mark.parametrize("power", [(1.0,) * 16, B30F, D45F], ids=["white", "B30f", "D45f"])
@pytest.mark.parametrize("target", [10.0, 18.0])
def test_an_ideal_network_reaches_the_target(power: tuple[float, ...], target: float) -> None:
    clean = abdomen_phantom(1, 320, 4)[0]
    noisy = clean + coloured_noise(power, 320, 30.0, 8)
    strength = auto_strength(measure_noise(noisy), target)
    after = noisy + np.float32(strength) * (clean - noisy)
    assert measure_noise(after) == pytest.approx(target, rel=0.1)


@given(noise=st.floats(1, 300), target=st.floats(0.5, 300))
def test_strength_is_a_share_and_zero_at_the_target(noise: float, target: float) -> None:
    strength = auto_strength(noise, target)
    assert 0 <= strength < 1
    assert (1 - strength) * noise == pytest.approx(min(noise, target), abs=0.0006 * noise)


@pytest.mark.parametrize("target", [0.0, -5.0, math.nan, math.inf])
def test_refuses_a_target_that_is_none(target: float) -> None:
    with pytest.raises(ConfigError, match="target"):
        auto_strength(20, target)


def test_refuses_an_unknown_noise() -> None:
    with pytest.raises(ConfigError, match="soft tissue"):
        auto_strength(math.nan, 10)


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
