"""The strength of a series, tried on a few of its slices."""

from __future__ import annotations

import numpy as np
import pytest
from coloured import B30F, coloured_noise

from ldct_clipdn.batch.trial import TRIED, try_strength
from ldct_clipdn.inference.backends.identity import IdentityBackend

SIZE = 96


def noisy(place: int) -> np.ndarray:
    return (50 + coloured_noise(B30F, SIZE, 20.0, place)).astype(np.float32)


@pytest.mark.parametrize(
    ("slices", "tried"),
    [(1, [0]), (3, [0, 1, 2]), (100, [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99])],
)
def test_a_few_slices_are_read_and_denoised_once(
    slices: int, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    denoised: list[int] = []

    def flat(_: IdentityBackend, batch: np.ndarray) -> np.ndarray:
        denoised.append(len(batch))
        return np.full_like(batch, 1074 / 4096)

    monkeypatch.setattr(IdentityBackend, "__call__", flat)
    engine = IdentityBackend()
    strength = try_strength(slices, lambda one: read.append(one) or noisy(one), engine, 10)
    assert strength == pytest.approx(0.5, abs=0.06)
    assert read == tried
    assert sum(denoised) == len(tried) <= TRIED


def test_what_is_at_the_target_is_not_denoised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IdentityBackend, "__call__", lambda *_: pytest.fail("computed"))
    assert try_strength(3, noisy, IdentityBackend(), 30) == 0


def test_the_limit_of_a_change_is_in_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that adds 4096 HU is held back to five times the noise, as in the run."""
    monkeypatch.setattr(IdentityBackend, "__call__", lambda _, batch: batch + 1)
    seen: list[np.ndarray] = []
    monkeypatch.setattr(
        "ldct_clipdn.batch.trial.NoiseMeter.add", lambda _, hu: seen.append(hu) or 20.0
    )
    monkeypatch.setattr("ldct_clipdn.batch.trial.NoiseMeter.level", 20.0)
    assert try_strength(1, noisy, IdentityBackend(), 10) == 1
    assert np.abs(seen[-1] - seen[0]).max() < 5 * 40
