"""The matrix, on pairs whose truth is known."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from builders import edit, make_series
from coloured import B30F, coloured_noise
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ldct_clipdn.bench import classic
from ldct_clipdn.bench.cases import REAL, Case, find_cases, read_case, simulation_of
from ldct_clipdn.bench.classic import CLASSIC
from ldct_clipdn.bench.columns import (
    INPUT_COLUMN,
    Answer,
    Column,
    chosen_columns,
    known_strengths,
    network_column,
    oracle_columns,
)
from ldct_clipdn.bench.fair import FairSet
from ldct_clipdn.bench.matrix import MatrixRun, run_matrix
from ldct_clipdn.bench.matrix_outputs import write_outputs
from ldct_clipdn.bench.matrix_patients import FEWEST_PATIENTS
from ldct_clipdn.bench.matrix_rows import SliceRow, gain_of, removed_share
from ldct_clipdn.bench.matrix_summary import short, summarise
from ldct_clipdn.bench.matrix_tables import write_matrix
from ldct_clipdn.bench.peers import build_peer
from ldct_clipdn.bench.slice_measures import SliceProbe
from ldct_clipdn.bench.worst import keep_worst, read_worst
from ldct_clipdn.cli.main import main
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.ct import lowdose
from ldct_clipdn.errors import ConfigError, DataError, WeightsError, WriteError

SIZE = 160


def _truth() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    hu = np.where((x / 65) ** 2 + (y / 62) ** 2 < 1, 50.0, -1000.0)
    hu[(x - 30) ** 2 + y**2 < 600] = 110
    return ndimage.gaussian_filter(hu, 0.7).astype(np.float32)


def _noisy(slices: int = 2) -> tuple[np.ndarray, np.ndarray]:
    full = np.stack([_truth() + coloured_noise(B30F, SIZE, 12.0, seed=k) for k in range(slices)])
    added = np.stack([coloured_noise(B30F, SIZE, 21.0, seed=9 + k) for k in range(slices)])
    return full, full + added


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both doses of one patient, and normal dose alone of another."""
    root = tmp_path_factory.mktemp("data")
    full, low = _noisy()
    for name, images in (("full_3mm", full), ("quarter_3mm", low)):
        make_series(
            root / "pair" / name / "L001",
            slices=2,
            rows=SIZE,
            columns=SIZE,
            patient_id="Anonymous",
            hu=lambda k, images=images: images[k],
            seed=len(name),
        )
    scanner = {"Manufacturer": "GE MEDICAL SYSTEMS", "ManufacturerModelName": "Light"}
    make_series(
        root / "alone" / "seen_one",
        slices=3,
        rows=SIZE,
        columns=SIZE,
        patient_id="A1",
        kernel="B40f",
        hu=lambda k: full[k % 2][:, ::-1],
        seed=5,
        extra=scanner,
    )
    return root


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few = tuple(replace(one, strengths=one.strengths[-8:-4:3] or (0.8,)) for one in CLASSIC)
    for module in ("classic", "columns"):
        monkeypatch.setattr(f"ldct_clipdn.bench.{module}.CLASSIC", few)

    def simulate(hu: np.ndarray, *, dose: float, **_: object) -> np.ndarray:
        return hu + np.stack([coloured_noise(B30F, SIZE, 20.0, seed=k) for k in range(len(hu))])

    monkeypatch.setattr("ldct_clipdn.bench.cases.simulate_low_dose", simulate)


def _perfect(name: str = "perfect", **settings: object) -> Column:
    return Column(
        name, "network", lambda fair: Answer(np.stack([_truth()] * len(fair.full))), settings
    )


def _run(root: Path, columns: list[Column], out: Path, **given: object) -> MatrixRun:
    judged = columns[-1].name
    return run_matrix(
        find_cases([root / "pair"], ()), columns, out, judged=judged, device="cpu", **given
    )  # fmt: skip


def test_cases_are_every_series_at_every_dose(dataset: Path) -> None:
    cases = find_cases([dataset / "pair", dataset / "alone"], (0.5, 0.1), 2, ["seen_*"])
    assert [(one.patient, one.dose) for one in cases] == [
        ("L001", REAL), ("L001", "0.5"), ("L001", "0.1"), ("A1", "0.5"), ("A1", "0.1")
    ]  # fmt: skip
    assert [one.training for one in cases] == ["held out"] * 3 + ["seen"] * 2
    assert cases[3].scanner == "GE Light"
    assert (cases[3].kernel, cases[3].thickness_mm, len(cases[3].slices)) == ("B40f", 2, 2)
    assert len(cases[0].low) == 2


def test_simulated_slices_are_kept(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = find_cases([dataset / "alone"], (0.5,), 1)[0]
    _, first = read_case(case, tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("simulated again")

    monkeypatch.setattr("ldct_clipdn.bench.cases.simulate_low_dose", fail)
    np.testing.assert_array_equal(read_case(case, tmp_path)[1], first)
    with pytest.raises(AssertionError, match="again"):
        read_case(find_cases([dataset / "alone"], (0.25,), 1)[0], tmp_path)


def test_another_simulation_is_another_noise(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither slices nor rows of an older simulation, other pixels or other current are kept."""
    asked: list[dict[str, object]] = []

    def simulate(hu: np.ndarray, **given: object) -> np.ndarray:
        asked.append(given)
        return hu + np.stack([coloured_noise(B30F, SIZE, 20.0, seed=k) for k in range(len(hu))])

    monkeypatch.setattr("ldct_clipdn.bench.cases.simulate_low_dose", simulate)

    def measured() -> MatrixRun:
        cases = find_cases([dataset / "alone"], (0.5,), 2)
        return run_matrix(
            cases, [INPUT_COLUMN], tmp_path, judged="input", device="cpu", resume=True
        )

    first, again = measured(), measured()
    assert len(asked) == 1
    assert (asked[0]["spacing_mm"], asked[0]["tube_current"]) == ((0.7, 0.7), (200.0, 200.0))
    assert repr(again.rows) == repr(first.rows)
    case = find_cases([dataset / "alone"], (0.5,), 2)[0]
    simulation = simulation_of(case)
    assert simulation is not None
    others = ({"version": 99}, {"spacing_mm": (1.0, 1.0)}, {"tube_current": (1.0, 2.0)})
    for k, other in enumerate(others):
        monkeypatch.setattr(
            "ldct_clipdn.bench.cases.simulation_of",
            lambda _, other=other: replace(simulation, **other),
        )
        monkeypatch.setattr(
            "ldct_clipdn.bench.matrix.simulation_of",
            lambda _, other=other: replace(simulation, **other),
        )
        assert {row.version for row in measured().rows} != {first.rows[0].version}
        assert len(asked) == k + 2
    # a real dose does not depend on it
    real = find_cases([dataset / "pair"], ())[0]
    assert simulation_of(real) is None


def test_pixels_and_current_are_the_files(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((2, 32, 32), np.int16))
    image.SetSpacing((0.9, 0.9, 3.0))
    sitk.WriteImage(image, str(tmp_path / "one.nrrd"))
    (tmp_path / "prepared").mkdir()
    np.save(tmp_path / "prepared" / "L001_0_target.npy", np.zeros((32, 32), np.float32))
    for name, currents in (("current", (300, 100)), ("none", (0, 100))):
        paths = make_series(tmp_path / name, slices=2, patient_id=name, spacing=("0.5", "0.5"))
        for path, current in zip(paths, currents, strict=True):
            edit(path, XRayTubeCurrent=current)
    found = {
        name: simulation_of(find_cases([tmp_path / name], (0.5,))[0])
        for name in ("one.nrrd", "prepared", "current", "none")
    }
    assert [(one.spacing_mm, one.tube_current) for one in found.values() if one] == [
        ((0.9, 0.9), None), ((0.75, 0.75), None), ((0.5, 0.5), (300, 100)), ((0.5, 0.5), None)
    ]  # fmt: skip
    assert len({one.digest for one in found.values() if one}) == 4


def test_pixels_that_are_not_square_are_left_out(dataset: Path, tmp_path: Path) -> None:
    full, _ = _noisy()
    make_series(tmp_path / "flat", slices=2, rows=SIZE, columns=SIZE, patient_id="flat",
                spacing=("0.7", "0.9"), hu=lambda k: full[k])  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ldct_clipdn.bench.cases.simulate_low_dose", lowdose.simulate_low_dose)
        with pytest.raises(DataError, match="not square"):
            read_case(find_cases([tmp_path / "flat"], (0.5,))[0])


def test_rows_say_what_the_dose_is_worth(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldct_clipdn.bench.cases.simulate_low_dose", lowdose.simulate_low_dose)
    cases = find_cases([dataset / "alone"], (0.5, 0.1), 2)
    ran = run_matrix(cases, [INPUT_COLUMN], tmp_path, judged="input", device="cpu")
    for one in summarise(ran.rows):
        assert one.dose_effective == pytest.approx(float(one.dose), rel=0.2)
        assert one.approximate == 0
    cut_off = [replace(one, approximate="the body goes on outside the field") for one in ran.rows]
    for rows, marks in ((ran.rows, 0), (cut_off, 2 + 2 + 1)):  # two tables, a footnote
        text = write_matrix(rows, tmp_path, {}, "input")
        assert text.count("†") == marks
        assert f"| held out | 0.5 | {rows[0].dose_effective:.3f}" in text


def test_doubts_of_kept_slices_are_kept(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulate(hu: np.ndarray, *, doubts: dict[int, str], **_: object) -> np.ndarray:
        doubts[1] = "7 rays get under 10 quanta"
        return hu

    monkeypatch.setattr("ldct_clipdn.bench.cases.simulate_low_dose", simulate)
    case = find_cases([dataset / "alone"], (0.5,), 2)[0]
    for _ in range(2):
        doubts: dict[int, str] = {}
        read_case(case, tmp_path, doubts)
        assert doubts == {1: "7 rays get under 10 quanta"}


def test_what_weights_had_of_a_case_is_said_anew(dataset: Path, tmp_path: Path) -> None:
    def trainings(resume: bool, **given: list[str]) -> set[str]:
        cases = find_cases([dataset / "pair"], (), **given)
        columns = [INPUT_COLUMN, _perfect()]
        ran = run_matrix(cases, columns, tmp_path, judged="perfect", device="cpu", resume=resume)
        with (tmp_path / "matrix_slices.csv").open(newline="") as file:
            written = {row["training"] for row in csv.DictReader(file)}
        assert written == {row.training for row in ran.rows}
        return written

    assert trainings(False) == {"held out"}
    assert trainings(True, development=["L001"]) == {"development"}
    assert trainings(True, development=["L001"], trained_on=["quarter*", "L0*"]) == {"seen"}


def test_filters_get_no_noise_that_they_cannot_read(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fair = FairSet(*_noisy())
    with monkeypatch.context() as patched:
        patched.setattr("ldct_clipdn.bench.fair.measure_noise", lambda _: math.nan)
        assert math.isfinite(fair.noise_hu)  # the blocks', which only an oracle may know
        (column,) = chosen_columns({"TV": 1.0})
        with pytest.raises(DataError, match="too little soft tissue"):
            column.denoise(fair)

    def none(_: FairSet) -> Answer:
        raise DataError("nothing to tell the noise from")

    cases: list[Case] = find_cases([dataset / "pair"], ())
    columns = [INPUT_COLUMN, Column("blind", "filter", none), _perfect()]
    ran = run_matrix(cases, columns, tmp_path, judged="perfect", device="cpu")
    assert {row.method for row in ran.rows} == {"input", "perfect"}
    (left_out,) = ran.left_out.items()
    assert left_out == ("L001 B30f 2 mm, dose real, blind", "nothing to tell the noise from")


def test_rows_of_known_truth(dataset: Path, tmp_path: Path) -> None:
    columns = [INPUT_COLUMN, *oracle_columns(), _perfect()]
    ran = _run(dataset, columns, tmp_path / "out")
    assert [row.method for row in ran.rows[::2]] == [one.name for one in columns]
    by_method = {one.method: one for one in summarise(ran.rows)}
    assert by_method["input"].removed == 0
    assert by_method["perfect"].removed == pytest.approx(1, abs=0.12)
    assert by_method["perfect"].gain == pytest.approx(by_method["perfect"].truth_gain, rel=0.12)
    assert max(one.gain for one in by_method.values() if one.kind == "oracle") == 1
    perfect = by_method["perfect"]
    # the truth's own score is estimated from uniform blocks; here it is known
    assert perfect.truth_psnr == pytest.approx(perfect.means["psnr_400"], abs=0.7)
    full, _ = read_case(find_cases([dataset / "pair"], ())[0])
    known = [peak_signal_noise_ratio(one.clip(-160, 240), _truth().clip(-160, 240), data_range=400)
             for one in full]  # fmt: skip
    assert perfect.means["psnr_400"] == pytest.approx(np.mean(known), abs=1e-3)
    assert perfect.means["bias_soft"] == pytest.approx(0, abs=1)
    assert perfect.means["edge_ratio"] > 0.95


def test_noise_that_is_handed_back_is_flagged(dataset: Path, tmp_path: Path) -> None:
    def hands_back(fair: FairSet) -> Answer:
        return Answer(np.stack([_truth()] * 2) + 0.25 * (fair.quarter - _truth()))

    ran = _run(
        dataset, [INPUT_COLUMN, _perfect(), Column("sly", "network", hands_back)], tmp_path / "o"
    )
    psnr = {one.method: one.means["psnr_400"] for one in summarise(ran.rows)}
    flags = {one.method: one.noise_returned for one in summarise(ran.rows)}
    assert psnr["sly"] > psnr["perfect"] + 1
    assert (flags["input"], flags["sly"]) == (0, 2)
    assert "*n 2/2*" in write_matrix(ran.rows, tmp_path / "o", {}, "perfect")


def test_measures_of_a_slice_are_those_of_others() -> None:
    full, low = (one[0] for one in _noisy())
    blurred = ndimage.gaussian_filter(low, 1.5) + np.float32(4)
    probe = SliceProbe(low, full)
    same, changed = probe.measure(low), probe.measure(blurred)
    a, b = (one.clip(-1000, 1000) + 1000 for one in (blurred, full))
    assert changed.ssim_2000 == pytest.approx(
        structural_similarity(a, b, data_range=2000, gaussian_weights=True, sigma=1.5,
                              use_sample_covariance=False), abs=0.003
    )  # fmt: skip
    assert changed.rmse_2000 == pytest.approx(np.sqrt(np.mean((a - b) ** 2)), rel=1e-4)
    assert (same.bias_soft, same.nps_shift, same.edge_ratio) == (0, 0, 1)
    assert changed.bias_soft == pytest.approx(4, abs=0.5)
    assert math.isnan(changed.bias_bone)
    assert changed.nps_shift < -0.2
    assert changed.edge_ratio < 0.8
    # where one pixel in fifty can get no darker, the mean of what is done to it says nothing
    floored = low.copy()
    soft = probe._tissues["soft"]
    floored[tuple(one[::50] for one in np.nonzero(soft))] = -1024
    assert math.isfinite(changed.bias_soft)
    assert math.isnan(SliceProbe(floored, full).measure(blurred).bias_soft)
    noise, edges = full - _truth(), ndimage.gaussian_filter(_truth(), 2) - _truth()
    assert abs(probe.measure(low + noise).structure) < 0.1
    assert probe.measure(low + noise + 5 * edges).structure > 0.2


def test_a_run_goes_on_and_only_computes_what_is_missing(dataset: Path, tmp_path: Path) -> None:
    out, counted = tmp_path / "out", []

    def counting(name: str, **settings: object) -> Column:
        def denoise(fair: FairSet) -> Answer:
            counted.append(name)
            return Answer(fair.quarter * np.float32(0.9))

        return Column(name, "network", denoise, settings)

    first = _run(dataset, [INPUT_COLUMN, *oracle_columns(), counting("a", w=1)], out)
    text = (out / "matrix_slices.csv").read_text()
    with pytest.raises(ConfigError, match="never overwritten"):
        _run(dataset, [INPUT_COLUMN], out)
    told = []
    again = _run(dataset, [INPUT_COLUMN, *oracle_columns(), counting("a", w=1), counting("b")], out,
                 resume=True, progress=lambda *given: told.append(given))  # fmt: skip
    assert counted == ["a", "b"]
    assert told[-1][:2] == (7, 7)
    assert list(map(repr, again.rows[: len(first.rows)])) == list(map(repr, first.rows))
    assert (out / "matrix_slices.csv").read_text().startswith(text)
    _run(dataset, [counting("a", w=2), counting("b")], out, resume=True)
    assert counted == ["a", "b", "a"]
    with (out / "matrix_slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["method"], row["slice"]) for row in rows}) == len(rows) == 14
    record = json.loads((out / "matrix.json").read_text())
    assert record["columns"]["a"] == {"w": 2}
    assert set(record["columns"]) >= {"input", "TV (oracle)", "b"}  # whose rows are still there
    assert [one["columns"].get("a") for one in record["calls"]] == [{"w": 1}, {"w": 1}, {"w": 2}]
    assert all(one["versions"] and one["device"] == "cpu" for one in record["calls"])
    (share,) = record["shares"].values()
    assert 0 < share["standard_error"] < 0.1 < share["a"]
    row = next(row for row in rows if row["method"] == "a")
    assert float(row["removed"]) > 0
    assert float(row["gain"]) != 1


def test_shares_outlive_an_interrupted_call(dataset: Path, tmp_path: Path) -> None:
    cases = find_cases([dataset], (0.5, 0.25))

    def stop(done: int, *_: object) -> None:
        if done > 1:
            raise KeyboardInterrupt

    def shares(folder: Path) -> dict[str, object]:
        return dict(json.loads((folder / "matrix.json").read_text())["shares"])

    broken, whole = tmp_path / "broken", tmp_path / "whole"
    run_matrix(cases, [INPUT_COLUMN], whole, judged="input", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        run_matrix(cases, [INPUT_COLUMN], broken, judged="input", device="cpu", progress=stop)
    assert shares(broken) != shares(whole)
    run_matrix(cases, [INPUT_COLUMN], broken, judged="input", device="cpu", resume=True)
    assert shares(broken) == shares(whole)


def test_rows_that_are_not_ours_are_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "matrix_slices.csv").write_text("series,dose\nx,1\n")
    with pytest.raises(ConfigError, match="no rows of this version"):
        _run(dataset, [INPUT_COLUMN], tmp_path, resume=True)


def test_what_cannot_be_measured_is_left_out_and_said(dataset: Path, tmp_path: Path) -> None:
    make_series(tmp_path / "air", slices=1, hu=lambda _: np.full((32, 32), -1000.0))
    cases = find_cases([tmp_path / "air"], (0.5,))
    with pytest.raises(DataError, match="no series"):
        run_matrix(cases, [INPUT_COLUMN], tmp_path / "out", judged="input", device="cpu")
    damaged = shutil.copytree(dataset / "alone", tmp_path / "damaged")
    cases += find_cases([damaged], (0.5,)) + find_cases([dataset / "pair"], ())
    for path in damaged.rglob("*.dcm"):
        path.write_bytes(path.read_bytes()[:-SIZE])
    ran = run_matrix(cases, [INPUT_COLUMN], tmp_path / "out", judged="input", device="cpu")
    assert {row.patient for row in ran.rows} == {"L001"}
    assert [why.split()[0] for why in ran.left_out.values()] == ["there", "the"]


def test_strengths_are_chosen_once(dataset: Path, tmp_path: Path) -> None:
    said: list[str] = []
    cases = find_cases([dataset / "pair"], ())
    strengths = known_strengths(cases, tmp_path, said.append)
    assert known_strengths(cases, tmp_path, said.append) == strengths
    assert len(said) == 1
    fair = FairSet(*read_case(cases[0]))
    for column, oracle in zip(chosen_columns(strengths), oracle_columns(), strict=True):
        chosen, best = (fair.removed(one.denoise(fair).hu) for one in (column, oracle))
        assert 0 < chosen <= best + 1e-6
    for one in classic.CLASSIC[:2]:
        (other,) = set(one.strengths) - {strengths[one.name]}
        columns = chosen_columns({one.name: strengths[one.name]}), chosen_columns({one.name: other})
        better, worse = (fair.removed(column.denoise(fair).hu) for (column,) in columns)
        assert better > worse
    known_strengths(find_cases([dataset / "alone"], (0.5,)), tmp_path, said.append)
    assert len(said) == 2


def _row(**given: object) -> SliceRow:
    zeros = dict.fromkeys(SliceRow.__dataclass_fields__, 0.0)
    texts = {"patient": "p", "series": "s", "scanner": "", "kernel": "", "thickness_mm": "",
             "dose": "0.25", "training": "held out", "approximate": "", "slice": "1",
             "method": "m", "kind": "network",
             "version": "", "setting": ""}  # fmt: skip
    return SliceRow(**{**zeros, **texts, "mask_pixels": 10, "error_input": 100.0,
                       "error_truth": 20.0, **given})  # fmt: skip


def test_shares_are_weighted_by_pixels_and_empty_slices_ignored() -> None:
    nan = math.nan
    rows = [_row(error=60.0), _row(error=20.0, mask_pixels=30), _row(error=nan, mask_pixels=0)]
    assert removed_share(rows) == pytest.approx((0.5 + 3) / 4)
    assert gain_of(rows, [[_row(error=60.0)]]) == pytest.approx(0.875 / 0.5)
    assert math.isnan(gain_of(rows, []))
    assert math.isnan(gain_of(rows, [[_row(error=120.0)]]))


def test_every_patients_values_are_means_over_series(tmp_path: Path) -> None:
    """Two series of one patient, and one on which no filter helps; parts of two kinds apart."""
    oracle = {"method": "TV (oracle)", "kind": "oracle"}
    rows = [
        _row(series="a", error=60.0, **oracle), _row(series="a", error=40.0, psnr_400=30.0),
        _row(series="b", error=80.0, **oracle), _row(series="b", error=60.0, psnr_400=31.0),
        _row(series="c", error=120.0, **oracle), _row(series="c", error=90.0, psnr_400=35.0),
        _row(series="d", error=50.0, training="seen"),
    ]  # fmt: skip
    write_matrix(rows, tmp_path, {}, "m")
    with (tmp_path / "matrix_patients.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["method"] == "m"]
    held_out, seen = found
    assert [row["series"] for row in found] == ["3", "1"]
    assert [row["training"] for row in found] == ["held out", "seen"]
    assert (held_out["removed"], held_out["psnr_400"]) == ("0.4583", "32.0")
    assert (held_out["gain"], held_out["worst_gain"]) == ("1.75", "1.5")
    assert (seen["gain"], seen["worst_gain"]) == ("nan", "nan")


@pytest.mark.parametrize("patients", [FEWEST_PATIENTS - 1, FEWEST_PATIENTS])
def test_no_interval_below_six_patients(patients: int, tmp_path: Path) -> None:
    rows = [
        _row(patient=f"p{k}", series=f"s{k}", method=name, kind=kind, error=error + k)
        for k in range(patients)
        for name, kind, error in (("TV (oracle)", "oracle", 60.0), ("net", "network", 50.0))
    ]
    others = [replace(row, patient=one, series=one, training=one)
              for row in rows[:2] for one in ("seen", "development")]  # fmt: skip
    rows += others
    text = write_matrix(rows, tmp_path, {"x, dose 0.5": "no tissue"}, "net")
    (line,) = (line for line in text.splitlines() if line.startswith("| 0.25 | net |"))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[2] == str(patients)
    assert (cells[-1] == cells[-2] == "") == (patients < FEWEST_PATIENTS)
    if patients == FEWEST_PATIENTS:
        assert cells[-1] == "0.031"  # 2 / 2^6: all six above 1
        low, high = map(float, cells[-2].split(" to "))
        assert 1.2 < low < float(cells[3]) < high < 1.4
    assert "x, dose 0.5 (no tissue)" in text
    for name in ("matrix_patients.csv", "matrix_series.csv"):
        with (tmp_path / name).open(newline="") as file:
            assert len(list(csv.DictReader(file))) == 2 * patients + 4
    every = text.split("Every patient's gain by net")[1].split("## ")[0]
    assert [line.split(" | ")[0] for line in every.splitlines()[2:] if line] == [
        "| patient", "| ---", *(f"| p{k}" for k in range(patients))
    ]  # fmt: skip
    assert "| p0 |  | 1.250 |" in every


def test_a_phantom_is_no_patient(tmp_path: Path) -> None:
    names = [*(f"p{k}" for k in range(FEWEST_PATIENTS - 1)), "Thorax_Phantom"]
    rows = [
        _row(patient=name, series=name, method=method, kind=kind, error=error)
        for name in names
        for method, kind, error in (("TV (oracle)", "oracle", 60.0), ("net", "network", 50.0))
    ]
    text = write_matrix(rows, tmp_path, {}, "net")
    assert "| 0.25 | net | 5 + 1 phantom | 1.250 | 1.250 |  |  |" in text
    rows += [replace(row, patient="p9", series="p9") for row in rows[:2]]
    text = write_matrix(rows, tmp_path, {}, "net")
    assert "| 0.25 | net | 6 + 1 phantom | 1.250 | 1.250 | 1.250 to 1.250 | 0.031 |" in text


def test_harm_counts(tmp_path: Path) -> None:
    """A network that harms one patient in six gets no better mean for it."""
    errors = [50.0] * (FEWEST_PATIENTS - 1) + [140.0]
    rows = [
        _row(patient=f"p{k}", series=f"s{k}", method=name, kind=kind, error=one)
        for k, error in enumerate(errors)
        for name, kind, one in (("TV (oracle)", "oracle", 60.0), ("net", "network", error))
    ]
    text = write_matrix(rows, tmp_path, {}, "net")
    (line,) = (line for line in text.splitlines() if line.startswith("| 0.25 | net |"))
    cells = [cell.strip() for cell in line.split("|")[3:-1]]
    assert cells[:3] == [str(FEWEST_PATIENTS), "0.875", "-1.000"]
    low, high = map(float, cells[3].split(" to "))
    assert low < 0.5 < high == pytest.approx(1.25)
    assert float(cells[4]) > 0.05
    assert "| p5 |  | -1.000 |" in text


def test_aims_are_said(tmp_path: Path) -> None:
    nan = math.nan
    bias = {"bias_soft": 0.4, "bias_lung": -3.2, "bias_bone": nan}
    rows = [_row(error=50.0, series="a", **bias), _row(error=50.0, series="b", bias_soft=-1.4)]
    text = write_matrix(rows, tmp_path, {}, "m")
    reached = "reached on 1 of 2 series and doses; missed on"
    assert f"- soft, at most 1 HU: {reached} b, dose 0.25 (-1.40 HU)." in text
    assert f"- lung, at most 3 HU: {reached} a, dose 0.25 (-3.20 HU)." in text
    assert "- bone, at most 3 HU: reached on 1 of 1 series and doses.\n" in text


def test_long_names_are_cut() -> None:
    assert short("1.3.6.1.4.1.9590.100.1.2.1283 B30f 3 mm") == "1.3.6.1.4.1.9590.… B30f 3 mm"


def test_worst_tiles_are_found(dataset: Path, tmp_path: Path) -> None:
    case = find_cases([dataset / "pair"], ())[0]
    full, low = _noisy()
    full[0, 70:74, 40:44] = 2600  # metal
    low[0, 70:74, 40:44] = 2600
    low[1, 96:128, 64:96] += 3 * (low - full)[1, 96:128, 64:96]
    fair = FairSet(full, low)
    result = np.stack([_truth()] * 2)
    result[1, 64:96, 64:96] += 80  # something invented
    keep_worst(tmp_path, case, fair, result)
    tiles, limit, count = read_worst(tmp_path, [(case.series, case.dose), (case.series, "0.1")])
    assert tiles[0].place == (1, 64, 64)
    assert tiles[0].ratio > 3
    assert limit > tiles[1].ratio  # the metal, which the result lacks, is the worst of all
    assert {one.kind for one in tiles} == {"tissue", "starved", "dense"}
    assert next(one.place for one in tiles if one.kind == "starved") == (1, 96, 64)
    assert next(one.place for one in tiles if one.kind == "dense") == (0, 64, 32)
    assert 10 < count < 50
    keep_worst(tmp_path / "half", case, FairSet(full, full + 0.3 * (low - full)), result)
    assert not (tmp_path / "half").exists()
    assert read_worst(tmp_path, [(case.series, "0.1")])[0] == []  # of other cases
    np.testing.assert_allclose(tiles[0].pictures[1][24:56, 24:56], result[1, 64:96, 64:96], atol=1)


def test_tiles_of_cases_that_are_gone_are_not_drawn(dataset: Path, tmp_path: Path) -> None:
    ran = _run(dataset, [INPUT_COLUMN, *oracle_columns(), _perfect()], tmp_path)
    (kept,) = (tmp_path / "worst").iterdir()
    kept.rename(tmp_path / "worst" / "Another B30f 0.1.npz")
    write_outputs(ran, "perfect", tmp_path)
    assert not (tmp_path / "matrix_worst.png").exists()


def test_a_cell_is_done_only_with_its_worst_tiles(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ldct_clipdn.bench.matrix.keep_worst", killed)
        with pytest.raises(KeyboardInterrupt):
            _run(dataset, [INPUT_COLUMN, _perfect()], tmp_path)
    _run(dataset, [INPUT_COLUMN, _perfect()], tmp_path, resume=True)
    assert len(list((tmp_path / "worst").iterdir())) == 1


def test_a_series_given_twice_is_refused(dataset: Path, tmp_path: Path) -> None:
    again = shutil.copytree(dataset / "pair", tmp_path / "again")
    cases = find_cases([dataset / "pair", again], ())
    with pytest.raises(ConfigError, match=r"two series have one name: L001 .*, dose real"):
        run_matrix(cases, [INPUT_COLUMN], tmp_path / "out", judged="input", device="cpu")
    assert not (tmp_path / "out").exists()


def test_matrix_sizes_of_one_series_are_told_apart(tmp_path: Path) -> None:
    for side in (32, 48):
        for dose in ("full_3mm", "quarter_3mm"):
            make_series(tmp_path / str(side) / dose / "L001", slices=2, rows=side, columns=side,
                        seed=side + len(dose), patient_id="L001")  # fmt: skip
    both = find_cases([tmp_path / "32", tmp_path / "48"], (0.5,))
    one = find_cases([tmp_path / "48"], (0.5,))
    names = [(case.series, case.dose) for case in both]
    assert len(set(names)) == len(names) == 4
    assert {name.rsplit(" ", 1)[-1] for name, _ in names} == {"32x32", "48x48"}
    assert {f"{case.series} 48x48" for case in one} <= {name for name, _ in names}


@pytest.mark.parametrize("write", ["strengths", "slices", "tiles", "tables", "rows"])
def test_a_folder_that_cannot_be_written_is_said(dataset: Path, write: str) -> None:
    nowhere = Path("/proc/nope/x")
    case = find_cases([dataset / "alone"], (0.5,), 1)[0]
    full, low = _noisy()
    writing = {
        "strengths": lambda: known_strengths([case], nowhere),
        "slices": lambda: read_case(case, nowhere),
        "tiles": lambda: keep_worst(nowhere, case, FairSet(full, low), low),
        "tables": lambda: write_matrix([_row(error=1.0)], nowhere, {}, "m"),
        "rows": lambda: _run(dataset, [INPUT_COLUMN], nowhere),
    }
    with pytest.raises(WriteError, match="cannot be written"):
        writing[write]()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--matrix", "--method", "noisy"], "--method does nothing with --matrix"),
        (["--matrix", "--strips", "2"], "--strips does nothing with --matrix"),
        (["--matrix", "--patient", "nobody"], "there is no patient 'nobody'"),
        (["--dose", "0.5"], "--dose does nothing without --matrix"),
        (["--choose", "."], "--choose does nothing without --matrix"),
        (["--trained-on", "L*"], "--trained-on does nothing without --matrix"),
        (["--development", "L*"], "--development does nothing without --matrix"),
        (["--held-out"], "--held-out does nothing without --matrix"),
    ],
)
def test_options_of_the_other_table_are_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    out = tmp_path / "out"
    assert main(["benchmark", "ldct", str(dataset / "alone"), *given, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_denoiser(build_denoiser(encoder="tiny", start="identity"), tmp_path / "t.safetensors")
    peer = build_peer("dncnn", in_channels=1, width=8)
    left = {"network": peer.state_dict(), "config": peer.config.to_dict()}
    torch.save(left, tmp_path / "p.pt")
    given = ["benchmark", "ldct", str(dataset / "pair"), str(dataset / "alone"), "--matrix",
             "--dose", "0.5", "--limit", "1", "--choose", str(dataset / "alone"),
             "--trained-on", "seen_*", "--development", "L0*", "--out", str(tmp_path / "out"),
             "--weights", f"same={tmp_path / 't.safetensors'}",
             "--weights", f"DnCNN={tmp_path / 'p.pt'}"]  # fmt: skip
    assert main([*given, "-q"]) == 0
    text = capsys.readouterr().out
    header = next(line for line in text.splitlines() if line.startswith("| scanner"))
    assert "| TV (oracle) |" in header
    assert "| Wiener | same | DnCNN | scratch-w32 | truth |" in header
    assert text.count("| seen | 0.5 |") == 2
    assert text.count("| development | real |") == 2
    assert "\n| 0.5 |" not in text  # nobody is left to make a mean of
    for name in ("matrix.md", "matrix.json", "matrix_patients.csv", "matrix_series.csv",
                 "matrix_slices.csv", "matrix.png", "matrix_worst.png",
                 "strengths.json"):  # fmt: skip
        assert (tmp_path / "out" / name).stat().st_size > 100
    with (tmp_path / "out" / "matrix_slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    same = [row for row in rows if row["method"] in ("same", "DnCNN")]  # both pass it through
    assert all(abs(float(row["removed"])) < 0.01 for row in same)
    assert main([*given, "--resume", "--held-out", "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == len(rows) * 2 // 3
    assert main([*given, "--resume", "--patient", "A1", "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == len(rows) // 3
    shutil.rmtree(tmp_path / "out" / "worst")


def test_impossible_settings_are_refused(dataset: Path, tmp_path: Path) -> None:
    for dose in (0, 1, 25):
        with pytest.raises(ConfigError, match="is a share"):
            find_cases([dataset], (0.5, dose))
    with pytest.raises(ConfigError, match="leaves nothing"):
        find_cases([dataset], (0.5,), 0)
    with pytest.raises(ConfigError, match="one name"):
        _run(dataset, [INPUT_COLUMN, _perfect(), _perfect(w=2)], tmp_path)


def test_several_folders_make_no_table_3(dataset: Path, tmp_path: Path) -> None:
    given = ["benchmark", "ldct", str(dataset), str(dataset), "--out", str(tmp_path)]
    assert main(given) == 2


def test_network_of_colour_pictures_is_refused(tmp_path: Path) -> None:
    save_denoiser(build_denoiser(encoder="tiny", in_channels=3), tmp_path / "rgb.safetensors")
    with pytest.raises(WeightsError, match="colour"):
        network_column(str(tmp_path / "rgb.safetensors"), torch.device("cpu"))


def test_pictures_are_small(dataset: Path, tmp_path: Path) -> None:
    ran = _run(dataset, [INPUT_COLUMN, *oracle_columns(), _perfect()], tmp_path)
    write_outputs(ran, "perfect", tmp_path)
    assert (tmp_path / "matrix.png").stat().st_size < 200_000
    assert (tmp_path / "matrix_worst.png").stat().st_size < 200_000
