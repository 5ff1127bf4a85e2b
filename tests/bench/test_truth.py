"""Where the truth is known: an identity changes nothing, a known blur shows, and a run resumes."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from ldct_clipdn.bench import anatomies, contrast, known_truth, truth
from ldct_clipdn.bench.anatomies import shepp_logan
from ldct_clipdn.bench.contestants import Contestant, contestants
from ldct_clipdn.bench.contrast import NoiseSource, measure_discs, measure_edges
from ldct_clipdn.bench.draws import (
    DrawMaps,
    DrawRow,
    DrawsOf,
    average_draws,
    draw_row,
    keep_maps,
    maps_file,
    read_maps,
)
from ldct_clipdn.bench.known_truth import (
    head_contrast,
    head_phantom,
    measure_phantoms,
    windowed_error,
)
from ldct_clipdn.bench.second_simulator import SecondScanner
from ldct_clipdn.bench.truth import TruthOptions, real_slices, run_truth
from ldct_clipdn.bench.truth_figures import draw_truth
from ldct_clipdn.bench.truth_parts import PARTS
from ldct_clipdn.bench.truth_tables import aims
from ldct_clipdn.cli.main import main
from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.errors import ConfigError, DataError
from ldct_clipdn.inference.backends.identity import IdentityBackend


def quiet(_line: str) -> None:
    """Say nothing."""


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(contrast, "CONTRASTS_HU", (40.0,))
    monkeypatch.setattr(contrast, "DIAMETERS_MM", (5.0,))
    monkeypatch.setattr(contrast, "EDGES_HU", (100.0,))
    monkeypatch.setattr(contrast, "EDGE_DRAWS", 4)
    monkeypatch.setattr(known_truth, "SIZE", 160)
    monkeypatch.setattr(known_truth, "OUR_KERNELS", {"standard": 12.0})
    monkeypatch.setattr(known_truth, "SECOND_KERNELS", ("hann",))
    monkeypatch.setattr(anatomies, "PATIENTS", (101,))
    monkeypatch.setattr(known_truth, "HEAD_DRAWS", 1)


SAME = Contestant("same", lambda hu, _: hu.copy())
INPUT = Contestant("input", lambda hu, _: hu)
HALVED = Contestant("halved", lambda hu, _: 100 + (hu - 100) / 2)


class White:
    """Gives noise at once."""

    def __init__(self):
        self.rng = np.random.default_rng(3)

    def crops(self, count):
        return self.rng.normal(0, 1, (count, 64, 64)).astype(np.float32)


def largest_correlation(crops):
    """Compare what observers see of any two."""
    looked = crops[:, 12:52, 12:52].reshape(len(crops), -1)
    return np.abs(np.corrcoef(looked)[~np.eye(len(crops), dtype=bool)]).max()


def test_noise_is_never_seen_twice():
    source = NoiseSource("standard", seed=3)
    crops = np.concatenate([source.crops(9), source.crops(9)])
    assert crops[:9].std() == pytest.approx(1, rel=1e-5)
    assert largest_correlation(crops) < 0.2
    assert np.array_equal(NoiseSource("standard", seed=3).crops(9), crops[:9])


@pytest.mark.usefixtures("small")
def test_an_identity_keeps_contrast_and_observer():
    rows = measure_discs(White(), 20, [INPUT, SAME, HALVED], quiet)
    assert len(rows) == 2 * 3
    for row in rows:
        assert row.draws == 20
        assert row.recovery == pytest.approx(0.5 if row.method == "halved" else 1, rel=1e-4)
        assert row.auc_change == pytest.approx(0, abs=1e-9)
    full, quarter = (row.npw for row in rows if row.method == "same")
    assert full == pytest.approx(2 * quarter, rel=0.3)


@pytest.mark.usefixtures("small")
def test_discs_and_doses_of_one_contrast_over_noise_are_samples_of_their_own(monkeypatch):
    monkeypatch.setattr(contrast, "CONTRASTS_HU", (20.0, 40.0))
    seen: list[np.ndarray] = []
    watched = Contestant("input", lambda hu, noise: seen.append((hu - 100) / noise) or hu)
    soft = Contestant("soft", lambda hu, noise: 100 + noise * np.tanh((hu - 100) / noise))
    rows = measure_discs(White(), 20, [watched, soft], quiet)
    found = {(row.dose, row.contrast_hu): row for row in rows if row.method == "soft"}
    one, other = found[1.0, 20.0], found[0.25, 40.0]
    assert one.npw != other.npw
    assert one.recovery == pytest.approx(other.recovery, rel=0.1)
    assert one.recovery != other.recovery
    assert largest_correlation(np.concatenate(seen[::2])) < 0.2


@pytest.mark.usefixtures("small")
def test_an_identity_keeps_edges_and_a_blur_does_not():
    blur = Contestant("blur", lambda hu, _: ndimage.gaussian_filter(hu, (0, 1.5, 1.5)))
    rows, curves = measure_edges(White(), [INPUT, SAME, blur], quiet)
    ratios = {(row.dose, row.method): row.ratio for row in rows}
    assert ratios[1.0, "same"] == pytest.approx(1)
    assert 0.2 < ratios[0.25, "blur"] < 0.6
    assert len(rows) == 6
    of_input = [one for one in curves if (one.dose, one.method) == (0.25, "input")]
    assert len(of_input) == len(curves) / 6 > 50
    assert of_input[0].transfer == 1
    frequency, transfer = (
        [getattr(one, name) for one in of_input] for name in ("frequency_per_mm", "transfer")
    )
    f50 = next(row.f50_per_mm for row in rows if (row.dose, row.method) == (0.25, "input"))
    assert np.interp(f50, frequency, transfer) == pytest.approx(0.5, abs=0.01)


def test_bias_and_noise_of_draws_are_what_was_put_in():
    truth = abdomen_phantom(1, 96, 101)[0]
    rng = np.random.default_rng(4)
    draws = [truth + rng.normal(0, 10, truth.shape).astype(np.float32) for _ in range(40)]
    wrong = Contestant("wrong", lambda hu, _: 7 + hu)
    one = DrawsOf("phantom", truth, draws, 10.0)
    maps = average_draws(one, [INPUT, wrong])
    right = draw_row(one, "input", maps["input"])
    assert right.noise_hu == pytest.approx(10, rel=0.02)
    assert right.bias_rms_hu < 0.5
    assert right.beyond < 0.001
    shifted = draw_row(one, "wrong", maps["wrong"])
    assert shifted.bias_rms_hu == pytest.approx(7, abs=0.3)
    assert shifted.bias_soft_hu == pytest.approx(7, abs=0.3)


def test_second_scanner_gives_hu_and_noise_that_grows_with_less_dose():
    truth = np.full((96, 96), -1000, dtype=np.float32)
    axis = np.arange(96) - 48
    truth[axis[:, None] ** 2 + axis[None, :] ** 2 < 36**2] = 40
    scanner = SecondScanner(truth, 3.0, "hann")
    middle = np.s_[30:66, 30:66]
    assert scanner.truth()[middle].mean() == pytest.approx(40, abs=3)
    errors = [scanner.scan(dose, 1) - scanner.truth() for dose in (1.0, 0.25)]
    full, quarter = (error[middle].std() for error in errors)
    assert quarter / full == pytest.approx(2, rel=0.15)
    assert np.array_equal(scanner.scan(0.5, 7), scanner.scan(0.5, 7))


def test_shepp_logan_has_the_hu_of_a_head_and_rings_nowhere():
    from skimage.data import shepp_logan_phantom

    hu = shepp_logan(400)
    drawn = shepp_logan_phantom()
    flat = ndimage.maximum_filter(drawn, 9) == ndimage.minimum_filter(drawn, 9)
    for value, wanted in ((0.2, 40), (0.3, 80)):
        assert hu[flat & np.isclose(drawn, value)] == pytest.approx(wanted, abs=1)
    ventricles = ndimage.binary_fill_holes(drawn > 0) & flat & (drawn == 0)
    assert ventricles.sum() > 500
    assert hu[ventricles] == pytest.approx(-40, abs=1)
    for size in (96, 384, 512):
        resized = shepp_logan(size)
        assert resized.shape == (size, size)
        assert resized[0, 0] == -1000
        assert -1000 <= resized.min() < resized.max() <= 360.001


@pytest.mark.usefixtures("small")
def test_phantoms_are_measured_on_an_anatomy_that_no_training_saw():
    halved = Contestant("TV", lambda hu, _: ndimage.gaussian_filter(hu, (0, 1, 1)))
    rows = measure_phantoms([INPUT, halved, SAME], quiet)
    series = {(row.simulator, row.dose, row.phantom) for row in rows}
    phantoms = ("abdomen 101", "Shepp-Logan")
    assert series == {(one, d, p) for one in ("own", "second") for d in (1, 0.25) for p in phantoms}
    assert all(2 < row.noise_hu < 120 for row in rows)
    none: dict[str, list] = {part: [] for part in PARTS}
    said = aims(none | {"phantom": [asdict(row) for row in rows]})[0]
    assert "average of 8 series" in said
    assert "by phantom: abdomen 101" in said
    assert "Shepp-Logan" in said


def test_made_head_has_grey_and_white_matter():
    hu, grey, white = head_phantom()
    assert min(grey.sum(), white.sum()) > 500
    assert not (grey & white).any()
    assert head_contrast(hu, grey, white) == pytest.approx(7, abs=0.05)


def test_error_is_taken_in_the_window_and_the_body():
    truth = np.zeros((4, 4), dtype=np.float32)
    image = truth.copy()
    image[0, 0], image[1, 1], image[3, 3] = 4.0, 1000.0, 1000.0
    body = np.zeros((4, 4), dtype=bool)
    body[:2, :2] = True
    assert windowed_error(image, truth, body) == pytest.approx(np.sqrt((16 + 240**2) / 4))


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_run_writes_everything_and_goes_on(tmp_path, monkeypatch):
    options = TruthOptions(draws=20, slice_draws=2)
    results = run_truth(IdentityBackend(), tmp_path, options)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"phantom.csv", "discs.png", "edges.png", "draws_phantom_101.png", "report.md"} <= names
    report = (tmp_path / "report.md").read_text()
    assert "reached: AUC after" in report
    assert "no training here has seen" in report
    assert "**missed**: at worst -" in report  # an identity is worse than a filter
    assert all(np.isfinite(row["psnr_db"]) for row in results["phantom"])
    figures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert len(figures) == 4
    for name in figures:
        (tmp_path / name).unlink()
    (tmp_path / "clean.csv").unlink()
    done: list[str] = []
    again = run_truth(IdentityBackend(), tmp_path, options, done.append)
    assert done[0] == "clean ..."
    assert not any(line.endswith("...") for line in done[1:])  # nothing else is measured again
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == figures
    assert again["phantom"] == results["phantom"]
    with pytest.raises(ConfigError, match=r"run\.json: these results were made with other draws\."):
        run_truth(IdentityBackend(), tmp_path, TruthOptions(draws=30, slice_draws=2))


@pytest.mark.parametrize("damaged", ['{"weights": ', "[1]", "3"])
def test_a_damaged_record_is_told(tmp_path, damaged):
    (tmp_path / "run.json").write_text(damaged)
    with pytest.raises(ConfigError, match=r"run\.json: the record .* missing or damaged"):
        run_truth(IdentityBackend(), tmp_path, TruthOptions())


@pytest.mark.usefixtures("small")
def test_a_patient_of_any_name_is_drawn_and_read_back(tmp_path, monkeypatch):
    one = known_truth.phantom_draws(2, seed=2)
    draws = list(one.draws)
    drawn = [DrawsOf(name, one.truth, draws, one.noise_hu) for name in ("012", "A/B 1")]
    monkeypatch.setattr(truth, "_drawn_slices", lambda _: drawn)
    options = TruthOptions(("draws",), draws=20, slice_draws=2)
    rows = run_truth(IdentityBackend(), tmp_path, options)["draws"]
    assert {row["slice_name"] for row in rows} == {"012", "A/B 1"}
    assert {row["draws"] for row in rows} == {2}
    figure = tmp_path / "draws_A_B_1.png"
    before = figure.read_bytes()
    assert len(before) > 1000
    figure.unlink()
    assert run_truth(IdentityBackend(), tmp_path, options)["draws"] == rows
    assert figure.read_bytes() == before


def test_maps_are_kept_as_they_are_shown(tmp_path):
    one = DrawsOf("A/B 1", abdomen_phantom(1, 64, 101)[0], [], 24.0)
    bias, spread = np.random.default_rng(1).normal(0, 10, (2, 64, 64)).astype(np.float32)
    keep_maps(one, DrawMaps(bias, np.abs(spread), 50), maps_file(tmp_path, one.name))
    (path,) = tmp_path.iterdir()
    assert path.name == "draws_A_B_1.npz"
    again, maps = read_maps(path)
    assert (again.name, again.noise_hu, maps.draws) == ("A/B 1", 24.0, 50)
    for kept, given in ((again.truth, one.truth), (maps.bias, bias), (maps.spread, abs(spread))):
        np.testing.assert_allclose(kept, given, rtol=1 / 2000, atol=1e-3)


def test_results_of_an_earlier_version_keep_their_figures(tmp_path):
    """They have no curves and no maps."""
    rows = [DrawRow("phantom 101", "none", 50, 8.0, 5.0, 20.0, 0.0, 0.1)]
    (tmp_path / "draws_phantom_101.png").write_bytes(b"as it was")
    draw_truth({"edges": [], "draws": rows}, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"as it was"]


def test_a_folder_that_cannot_be_written_is_said_in_one_line(capsys):
    given = ["benchmark", "truth", "/proc/nope/x", "--draws", "20", "--backend", "identity"]
    assert main(given) == 1
    error = capsys.readouterr().err
    assert "/proc/nope/x" in error
    assert "cannot be written" in error
    assert len(error.splitlines()) == 1


def test_aims_are_judged_both_ways():
    row = {"method": "net", "dose": 1.0, "contrast_hu": 40.0, "npw": 6.0, "auc_error": 0.0}
    none: dict[str, list] = {part: [] for part in ("phantom", "discs", "edges", "draws", "clean")}
    for recovery, change, word in ((0.95, -0.01, "reached"), (0.7, -0.05, "**missed**")):
        discs = [row | {"recovery": recovery, "auc_change": change}]
        said = aims(none | {"discs": discs})
        assert len(said) == 2
        assert all(one.startswith(word) for one in said)
    assert aims(none) == []


def test_contestants_are_input_filters_and_denoiser():
    everyone = contestants(IdentityBackend())
    assert [one.name for one in everyone] == ["input", "TV", "NLM", "none"]
    noisy = np.random.default_rng(2).normal(50, 10, (1, 48, 48)).astype(np.float32)
    for one in everyone[1:3]:
        assert one.denoise(noisy, 10.0).std() < 0.6 * noisy.std()


@pytest.mark.usefixtures("small")
def test_command_prints_the_report_and_refuses_bad_numbers(tmp_path, capsys):
    arguments = ["benchmark", "truth", str(tmp_path / "o"), "--backend", "identity", "-q"]
    assert main([*arguments, "--part", "clean"]) == 0
    assert "grey-white contrast kept 1.000" in capsys.readouterr().out
    assert main([*arguments, "--part", "clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clean"][0]["image"] == "made head"
    with (tmp_path / "o" / "clean.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    with pytest.raises(SystemExit):
        main([*arguments, "--draws", "3"])


def test_real_slices_are_the_middle_ones_of_normal_dose(tmp_path):
    assert main(["phantom", str(tmp_path / "p"), "--size", "64", "--slices", "3", "-q"]) == 0
    (one,) = real_slices([tmp_path / "p"])
    assert one.name
    assert one.hu.shape == (64, 64)
    assert one.spacing_mm == pytest.approx(spacing_mm(64)[1:])
    assert one.hu.min() == pytest.approx(-1000, abs=60)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        list(real_slices([tmp_path / "empty"]))


def test_a_volume_says_its_own_spacing(tmp_path):
    affine = np.diag([0.4, 0.4, 2.0, 1.0])
    nibabel.Nifti1Image(np.full((32, 32, 3), 40, np.int16), affine).to_filename(tmp_path / "v.nii")
    (one,) = real_slices([tmp_path])
    assert one.spacing_mm == pytest.approx((0.4, 0.4))


def test_draws_on_a_real_slice_are_simulated_for_its_pixels(tmp_path, monkeypatch):
    assert main(["phantom", str(tmp_path / "p"), "--size", "64", "--slices", "1", "-q"]) == 0
    used: list[tuple[float, float]] = []

    def simulated(hu, *, dose, spacing_mm, seed):
        used.append(spacing_mm)
        return hu + np.float32(dose * seed)

    monkeypatch.setattr(truth, "phantom_draws", lambda *_: None)
    monkeypatch.setattr(truth, "simulate_low_dose", simulated)
    options = TruthOptions(("draws",), draws=20, slice_draws=2, ct=(tmp_path / "p",))
    assert len(truth._drawn_slices(options)) == 2
    assert used == [pytest.approx(spacing_mm(64)[1:])]


@pytest.mark.usefixtures("small")
def test_draws_of_the_phantom_have_the_noise_that_is_said():
    one = known_truth.phantom_draws(3, seed=2)
    inside = np.abs(one.truth - 60) < 60
    noise = np.stack([noisy - one.truth for noisy in one.draws])
    assert noise[:, inside].std() == pytest.approx(one.noise_hu, rel=0.15)
    assert noise.mean() == pytest.approx(0, abs=1)
