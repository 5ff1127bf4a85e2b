"""The strength of a series, tried on a few of its slices."""

from __future__ import annotations

import numpy as np
import pytest
from coloured import B30F, coloured_noise

from ldct_clipdn.batch.trial import TRIED, try_strength
from ldct_clipdn.ct.noise_meter import NoiseMeter
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.inference.backends.identity import IdentityBackend

SIZE = 96


def noisy(place: int) -> np.ndarray:
    return (50 + coloured_noise(B30F, SIZE, 20.0, place)).astype(np.float32)


def answer_with(monkeypatch: pytest.MonkeyPatch, hu: float) -> list[int]:
    """Let the network answer with an even slice; gives the batches that it has seen."""
    seen: list[int] = []

    def flat(_: IdentityBackend, batch: np.ndarray) -> np.ndarray:
        seen.append(len(batch))
        return np.full_like(batch, (hu + 1024) / 4096)

    monkeypatch.setattr(IdentityBackend, "__call__", flat)
    return seen


@pytest.mark.parametrize(
    ("slices", "metered", "tried"),
    [
        (1, [0], [0]),
        (3, [0, 1, 2], [0, 1, 2]),
        (100, list(range(0, 100, 2)), [0, 8, 18, 26, 36, 44, 54, 62, 72, 80, 90, 98]),
    ],
)
def test_a_few_slices_are_denoised_once(
    slices: int, metered: list[int], tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    denoised = answer_with(monkeypatch, 50)
    read: list[int] = []
    engine = IdentityBackend()
    strength = try_strength(slices, lambda one: read.append(one) or noisy(one), engine, 10)
    assert strength == pytest.approx(0.5, abs=0.06)
    assert read == metered + tried
    assert sum(denoised) == len(tried) <= TRIED


def test_slices_without_soft_tissue_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    denoised = answer_with(monkeypatch, 50)
    air = np.full((SIZE, SIZE), -1000, np.float32)
    strength = try_strength(
        40, lambda one: noisy(one) if one in (7, 31) else air, IdentityBackend(), 10
    )
    assert strength == pytest.approx(0.5, abs=0.06)
    assert sum(denoised) == 2


@pytest.mark.parametrize("target", [4.0, 8.0])
def test_noise_that_changes_along_the_patient(
    monkeypatch: pytest.MonkeyPatch, target: float
) -> None:
    """12 slices alone would read 10 HU where the 200 have 17: the mode of a wide histogram."""
    answer_with(monkeypatch, 50)

    def ramp(place: int) -> np.ndarray:
        return 50 + np.float32(0.5 + 1.5 * place / 199) * (noisy(place) - 50)

    strength = try_strength(200, ramp, IdentityBackend(), target)
    after = NoiseMeter()
    for place in range(0, 200, 4):
        after.add(50 + (1 - np.float32(strength)) * (ramp(place) - 50))
    assert after.level == pytest.approx(target, rel=0.05)


def test_what_is_at_the_target_is_not_denoised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IdentityBackend, "__call__", lambda *_: pytest.fail("computed"))
    assert try_strength(3, noisy, IdentityBackend(), 30) == 0


@pytest.mark.parametrize("sd", [0.0, 1e-3])
def test_even_tissue_is_refused_in_words(sd: float) -> None:
    """The least that can be read is above 0, so that no share is taken of nothing."""
    with pytest.raises(ConfigError, match="or no noise in it"):
        try_strength(
            3, lambda one: 50 + np.float32(sd / 20) * (noisy(one) - 50), IdentityBackend(), 1e-6
        )


def test_the_limit_of_a_change_is_in_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spot of 4096 HU that the network adds is held back to five times the noise, as in a run."""
    spot = np.zeros((SIZE, SIZE), np.float32)
    spot[40:43, 40:43] = 1
    monkeypatch.setattr(IdentityBackend, "__call__", lambda _, batch: batch + spot)
    seen: list[np.ndarray] = []
    add = NoiseMeter.add
    monkeypatch.setattr(NoiseMeter, "add", lambda self, hu: seen.append(hu) or add(self, hu))
    assert try_strength(1, noisy, IdentityBackend(), 10) == 1
    assert 50 < np.abs(seen[1] - seen[0]).max() < 5 * 40
