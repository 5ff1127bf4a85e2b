"""Quality in whole runs: the manifest, the strength that is chosen, limits, pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import make_enhanced, make_series
from coloured import B30F, coloured_noise

from ldct_clipdn.batch.resume import RUN_FILE, keep_quality, kept_strengths
from ldct_clipdn.batch.run import RunOptions, denoise_study, plan_study, try_engine
from ldct_clipdn.batch.watch import Watched
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import WeightsInfo, save_denoiser
from ldct_clipdn.ct.noise_meter import measure_noise
from ldct_clipdn.errors import ConfigError
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.output import OutputOptions

SIZE = 96
IDENTITY = RunOptions(backend="identity")
Answer = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Even tissue of 50 HU with coloured noise of 20 HU."""
    make_series(
        tmp_path / "in",
        slices=4,
        rows=SIZE,
        columns=SIZE,
        hu=lambda z: 50 + coloured_noise(B30F, SIZE, 20.0, z),
        patient_name="Doe^Jane",
    )
    return tmp_path / "in"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """Give the identity back-end another answer, in HU."""

    def answer_with(answer: Answer) -> None:
        monkeypatch.setattr(
            IdentityBackend,
            "__call__",
            lambda _, batch: ((answer(batch * 4096 - 1024) + 1024) / 4096).astype(np.float32),
        )

    return answer_with


def flat(hu: np.ndarray) -> np.ndarray:
    """The perfect network of this series."""
    return np.full_like(hu, 50)


def written(target: Path, uid: str) -> np.ndarray:
    (scan,) = find_series(target / uid, admit=frozenset({"own"})).scans
    return np.stack([read_slice(one).hu for one in scan.instances])


def test_the_manifest_says_what_was_measured(source: Path, tmp_path: Path) -> None:
    manifest = denoise_study(source, tmp_path / "out", IDENTITY)
    quality = manifest.series[0].quality
    assert quality["slices"] == 4
    assert quality["noise_before"] == quality["noise_after"]
    assert quality["noise_before"]["hu"] == pytest.approx(20, rel=0.1)
    assert (quality["largest_change_hu"], quality["limited"], quality["flags"]) == (0, 0, [])
    content = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert content["series"][0]["quality"] == quality


def test_a_series_that_is_done_keeps_its_figures(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    network(flat)
    target = tmp_path / "out"
    (first,) = denoise_study(source, target, IDENTITY).series
    seen: list[Watched] = []
    (again,) = denoise_study(source, target, IDENTITY, show=seen.append).series
    assert again.quality == first.quality
    assert again.quality["largest_change_hu"] > 50
    assert not seen


@pytest.mark.parametrize("kind", ["images", "padded", "compressed", "frames"])
def test_lost_figures_are_measured_again_on_the_files(
    tmp_path: Path, network: Callable[[Answer], None], kind: str
) -> None:
    """All of them but the count of pixels that were held back, which only the run itself knew."""
    source, target = tmp_path / "in", tmp_path / "out"
    if kind == "frames":
        make_enhanced(source / "e.dcm")
    else:
        make_series(source, slices=4, padding=0 if kind == "padded" else None)
    network(lambda hu: hu + np.random.default_rng(0).normal(0, 9, hu.shape))
    output = OutputOptions("jpeg-ls" if kind == "compressed" else "none")
    options = replace(IDENTITY, output=output)
    (first,) = denoise_study(source, target, options).series
    (target / "manifest.json").write_text("{", encoding="utf-8")
    (again,) = denoise_study(source, target, options).series
    assert again.derived_uid == first.derived_uid
    assert first.quality["largest_change_hu"] > 9
    assert again.quality == {**first.quality, "limited": None}


def test_a_finished_series_is_shown_if_it_was_not(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    network(flat)
    first: list[Watched] = []
    denoise_study(source, tmp_path / "out", IDENTITY, show=first.append)
    asked: list[str] = []
    again: list[Watched] = []
    manifest = denoise_study(
        source, tmp_path / "out", IDENTITY, show=again.append, is_shown=asked.append
    )
    assert asked == [first[0].uid] == [again[0].uid]
    assert again[0].quality == first[0].quality
    assert manifest.series[0].quality == first[0].quality.to_dict()
    for name in ("before", "after"):
        np.testing.assert_array_equal(
            getattr(again[0].example, name), getattr(first[0].example, name)
        )


def test_figures_outlive_a_run_that_was_cut_off(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"

    def cut_off(_: Watched) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise_study(source, target, IDENTITY, show=cut_off)
    assert not (target / "manifest.json").exists()
    (series,) = denoise_study(source, target, IDENTITY).series
    assert series.quality["slices"] == 4
    assert not list(target.glob(".*"))


@pytest.mark.parametrize("target", [8.0, 15.0])
def test_auto_leaves_the_noise_that_is_asked_for(
    source: Path, tmp_path: Path, network: Callable[[Answer], None], target: float
) -> None:
    network(flat)
    options = replace(IDENTITY, strength="auto", target_noise=target)
    (series,) = denoise_study(source, tmp_path / "out", options).series
    noise = measure_noise(written(tmp_path / "out", series.derived_uid))
    assert noise == pytest.approx(target, rel=0.1)
    expected = series.quality["expected"]
    assert expected["target_hu"] == target
    assert expected["strength"] == pytest.approx(1 - target / 20, abs=0.05)
    assert "NOISE_OFF_TARGET" not in [one["code"] for one in series.quality["flags"]]


@pytest.mark.parametrize("target", [8.0, 12.0])
def test_auto_counts_what_the_network_itself_leaves(
    source: Path, tmp_path: Path, network: Callable[[Answer], None], target: float
) -> None:
    """A third of the noise stays, and 1 - target / noise would leave 12.0 or 14.7 HU."""
    network(lambda hu: 50 + (hu - 50) / 3)
    options = replace(IDENTITY, strength="auto", target_noise=target)
    (series,) = denoise_study(source, tmp_path / "out", options).series
    assert series.quality["noise_after"]["hu"] == pytest.approx(target, rel=0.05)
    assert measure_noise(written(tmp_path / "out", series.derived_uid)) == pytest.approx(
        target, rel=0.05
    )
    assert series.quality["expected"]["strength"] > 1 - target / 20 + 0.1
    assert "NOISE_OFF_TARGET" not in [one["code"] for one in series.quality["flags"]]


def test_a_second_run_tries_nothing_again(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    network(flat)
    options = replace(IDENTITY, strength="auto", target_noise=8.0)
    (first,) = denoise_study(source, tmp_path / "out", options).series
    network(lambda _: pytest.fail("computed again"))
    (again,) = denoise_study(source, tmp_path / "out", options).series
    assert again.derived_uid == first.derived_uid
    network(lambda hu: 50 + (hu - 50) / 4)  # another target is another strength
    other = replace(options, target_noise=9.0)
    (third,) = denoise_study(source, tmp_path / "out", other).series
    assert third.quality["expected"]["strength"] != first.quality["expected"]["strength"]


def test_a_strength_outlives_a_run_that_was_cut_off(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    network(flat)
    options = replace(IDENTITY, strength="auto", target_noise=8.0)
    target = tmp_path / "out"

    def cut_off(_: Watched) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise_study(source, target, options, show=cut_off)
    assert not (target / "manifest.json").exists()
    finished = [one.name for one in target.iterdir() if one.is_dir()]
    network(lambda _: pytest.fail("computed again"))
    (series,) = denoise_study(source, target, options).series
    assert finished == [series.derived_uid]


@pytest.mark.parametrize(
    "noted", [[], {"1.2": None}, {"1.2": {"expected": {"target_hu": 8.0, "strength": "high"}}}]
)
def test_a_note_that_makes_no_sense_is_no_strength(tmp_path: Path, noted: object) -> None:
    known = {"9.8": {"expected": {"target_hu": 8.0, "strength": 0.25}}}
    (tmp_path / RUN_FILE).write_text(json.dumps({"quality": noted}), encoding="utf-8")
    assert kept_strengths(tmp_path, "1.2.3", 8.0) == {}
    keep_quality(tmp_path, "9.8", known["9.8"])
    assert kept_strengths(tmp_path, "1.2.3", 8.0) == {"9.8": 0.25}
    assert kept_strengths(tmp_path, "1.2.3", 9.0) == {}


def test_auto_with_nothing_to_denoise_needs_no_target(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no image", encoding="utf-8")
    options = replace(IDENTITY, strength="auto")
    try_engine(plan_study(tmp_path / "in", tmp_path / "out", options), options)
    assert denoise_study(tmp_path / "in", tmp_path / "out", options).exit_code == 3
    assert (tmp_path / "out" / "manifest.json").exists()


def test_auto_with_weights_of_ones_own_asks_for_the_target(source: Path, tmp_path: Path) -> None:
    """What a training exports does not say what noise to leave."""
    save_denoiser(build_denoiser(encoder="tiny"), tmp_path / "own.safetensors")
    options = RunOptions(tmp_path / "own.safetensors", strength="auto")
    with pytest.raises(ConfigError, match=r"is auto, .*own.* do not say .*--target-noise in HU"):
        try_engine(plan_study(source, tmp_path / "out", options), options)
    with pytest.raises(ConfigError, match=r"is auto, .*own.* do not say .*--target-noise in HU"):
        denoise_study(source, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_auto_changes_nothing_that_is_at_the_target(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    network(flat)
    options = replace(IDENTITY, strength="auto", target_noise=30.0)
    (series,) = denoise_study(source, tmp_path / "out", options).series
    assert series.quality["expected"]["strength"] == 0
    (flag,) = series.quality["flags"]
    assert flag["code"] == "NOISE_OFF_TARGET"
    assert flag["text"] == "There was less noise than the 30.0 HU aimed at: nothing was changed."
    (scan,) = find_series(source).scans
    before = np.stack([read_slice(one).hu for one in scan.instances])
    np.testing.assert_array_equal(written(tmp_path / "out", series.derived_uid), before)


def test_a_network_that_misses_the_target_is_flagged(source: Path, tmp_path: Path) -> None:
    options = replace(IDENTITY, strength="auto", target_noise=10.0)
    (series,) = denoise_study(source, tmp_path / "out", options).series
    assert [one["code"] for one in series.quality["flags"]] == ["NOISE_OFF_TARGET"]


def test_each_series_gets_its_own_strength(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    make_series(
        source / "b",
        rows=SIZE,
        columns=SIZE,
        series_uid="1.2.3.9",
        hu=lambda z: 50 + coloured_noise(B30F, SIZE, 40.0, z),
    )
    network(flat)
    options = replace(IDENTITY, strength="auto", target_noise=10.0)
    manifest = denoise_study(source, tmp_path / "out", options)
    strengths = sorted(one.quality["expected"]["strength"] for one in manifest.series)
    assert strengths == pytest.approx([0.5, 0.75], abs=0.05)


def test_the_target_comes_with_the_weights(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(IDENTITY, strength="auto")
    with pytest.raises(ConfigError, match=r"do not say what noise.*--target-noise"):
        denoise_study(source, tmp_path / "none", options)
    weights = WeightsInfo("w", "", "", target_noise_hu=12.0, trained_noise_hu=(40.0, 90.0))
    monkeypatch.setattr(IdentityBackend, "weights", weights)
    (series,) = denoise_study(source, tmp_path / "out", options).series
    assert series.quality["expected"]["target_hu"] == 12
    assert "LOW_NOISE_INPUT" in [one["code"] for one in series.quality["flags"]]


def test_a_series_whose_noise_cannot_be_read_fails_by_name(tmp_path: Path) -> None:
    make_series(tmp_path / "in", hu=lambda _: np.full((32, 32), -900.0))
    options = replace(IDENTITY, strength="auto", target_noise=12.0)
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", options)
    assert manifest.exit_code == 1
    assert {one.reason for one in manifest.inputs} == {
        "its noise cannot be read, by which a strength is chosen: there is too little soft "
        "tissue, or no noise in it; give a strength, 0 to 1"
    }


@pytest.mark.parametrize(
    ("strength", "target"), [(0.5, 10.0), ("high", 10.0), ("strong", None), (1.5, None)]
)
def test_settings_that_make_no_sense(strength: float | str, target: float | None) -> None:
    with pytest.raises(ConfigError):
        RunOptions(strength=strength, target_noise=target)


def test_strengths_by_name_are_shares(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    network(flat)
    noise = []
    for name in ("low", "medium", "high"):
        options = replace(IDENTITY, strength=name)
        (series,) = denoise_study(source, tmp_path / name, options).series
        noise.append(float(written(tmp_path / name, series.derived_uid).std()))
    assert noise == pytest.approx([20 * 0.6, 20 * 0.3, 0], abs=0.6)


@pytest.mark.parametrize("spacing", [("0", "0"), ("-1", "-1"), ("1e-300", "1e-300"), ("1e9", "1")])
def test_impossible_spacing_stops_no_series(tmp_path: Path, spacing: tuple[str, str]) -> None:
    make_series(tmp_path / "in", spacing=spacing)
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert {one.reason for one in manifest.inputs} == {""}
    assert manifest.exit_code == 0


def test_an_invented_spot_is_held_back_and_counted(
    source: Path, tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    def invent(hu: np.ndarray) -> np.ndarray:
        hu = hu.copy()
        hu[..., 40:43, 40:43] += 900
        return hu

    network(invent)
    (series,) = denoise_study(source, tmp_path / "out", IDENTITY).series
    assert series.quality["limited"] == 4 * 9
    (scan,) = find_series(source).scans
    before = np.stack([read_slice(one).hu for one in scan.instances])
    change = written(tmp_path / "out", series.derived_uid) - before
    assert 50 < change.max() < 5 * 30
    assert (change != 0).sum() == 36


def test_what_is_invented_in_the_padding_counts_for_nothing(
    tmp_path: Path, network: Callable[[Answer], None]
) -> None:
    make_series(tmp_path / "in", slices=2, signed=True, bits_stored=16, padding=-2000)

    def invent(hu: np.ndarray) -> np.ndarray:
        hu = hu.copy()
        hu[..., :3, :3] += 900  # outside the circle
        return hu

    network(invent)
    (series,) = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY).series
    assert (series.quality["limited"], series.quality["largest_change_hu"]) == (0, 0)


def test_what_is_only_taken_when_asked_for_is_flagged(tmp_path: Path) -> None:
    make_series(tmp_path / "in", image_type=("DERIVED", "SECONDARY", "AXIAL"))
    options = replace(IDENTITY, accept=("derived",))
    (series,) = denoise_study(tmp_path / "in", tmp_path / "out", options).series
    flags = {one["code"]: one["text"] for one in series.quality["flags"]}
    assert set(flags) == {"OUT_OF_DISTRIBUTION"}
    assert flags["OUT_OF_DISTRIBUTION"].startswith("The network was not trained for this: ")


def test_who_wants_to_look_is_shown_each_series(source: Path, tmp_path: Path) -> None:
    seen: list[Watched] = []
    manifest = denoise_study(source, tmp_path / "out", IDENTITY, show=seen.append)
    (watched,) = seen
    assert watched.uid == manifest.series[0].derived_uid
    assert watched.example.index == 2
    np.testing.assert_array_equal(watched.example.before, watched.example.after)
    assert watched.quality.to_dict() == manifest.series[0].quality
