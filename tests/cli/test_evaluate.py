"""`evaluate` against scikit-image, and what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import make_series
from matplotlib.image import imread
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ldct_clipdn.cli.main import build_parser

RULERS = ["paper", "full", "2000 HU", "abdomen", "benchmark"]
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def study(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three clean slices with values in and out of every range, and noise for them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :30]
    clean = np.stack([1500 * np.sin(x / 5 + k) * np.cos(y / 7) + 200 for k in range(3)])
    return clean.round(), rng.normal(0, 40, clean.shape)


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """Reference, noisy input and result as arrays in HU."""
    clean, noise = study(0)
    images = {"reference": clean, "input": clean + noise, "result": clean + noise / 4}
    for name, array in images.items():
        np.save(tmp_path / f"{name}.npy", array)
    return {name: tmp_path / f"{name}.npy" for name in images}


def by_skimage(image: np.ndarray, reference: np.ndarray, low: float, high: float) -> list[float]:
    a, b = (
        one.astype(np.float32).astype(float).clip(low, high) - low for one in (image, reference)
    )
    return [
        peak_signal_noise_ratio(b, a, data_range=high - low),
        structural_similarity(b, a, data_range=high - low, **GAUSSIAN),
        float(np.sqrt(np.mean((a - b) ** 2))),
    ]


def test_every_slice_and_the_mean_agree_with_scikit_image(cli: Callable, paths: dict) -> None:
    done = cli("evaluate", paths["result"], paths["reference"], "--input", paths["input"], "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert [one["name"] for one in found["rulers"]] == RULERS
    images = {name: np.load(path) for name, path in paths.items()}
    for name, low, high in (
        ("full", -1024, 3072),
        ("2000 HU", -1000, 1000),
        ("abdomen", -160, 240),
    ):
        for image in ("input", "result"):
            expected = np.array(
                [
                    by_skimage(a, b, low, high)
                    for a, b in zip(images[image], images["reference"], strict=True)
                ]
            )
            slices = [one[image][name] for one in found["slices"]]
            values = [[one[key] for key in ("psnr", "ssim", "rmse")] for one in slices]
            np.testing.assert_allclose(values, expected, rtol=1e-6)
            mean = found["mean"][image][name]
            np.testing.assert_allclose(
                [mean["psnr"], mean["ssim"], mean["rmse"]], expected.mean(0), rtol=1e-6
            )
            assert mean["slices"] == 3


def test_the_table_holds_all_rulers_side_by_side(cli: Callable, paths: dict) -> None:
    done = cli("evaluate", paths["result"], paths["reference"], "--input", paths["input"])
    lines = done.out.splitlines()
    assert lines[0].split() == ["mean", "of", "3", "slices", "input", "result"]
    rows = {re.split(r"\s*\[", line)[0]: line for line in lines if "[" in line and ":" not in line}
    assert list(rows) == RULERS
    found = json.loads(
        cli(
            "evaluate", paths["result"], paths["reference"], "--input", paths["input"], "--json"
        ).out
    )
    for name, line in rows.items():
        numbers = [float(one) for one in line.split("]")[1].split()]
        means = [found["mean"][image][name] for image in ("input", "result")]
        expected = [one[key] for one in means for key in ("psnr", "ssim", "rmse")]
        assert numbers == pytest.approx(expected, abs=6e-3)
    assert all(f"{name}: " in done.out for name in RULERS)
    assert max(map(len, lines)) <= 80


def test_the_papers_mistake_only_when_asked_for(cli: Callable, paths: dict) -> None:
    assert "3096" not in cli("evaluate", paths["result"], paths["reference"]).out
    out = cli("evaluate", paths["result"], paths["reference"], "--as-published", "--json").out
    found = json.loads(out)["mean"]["result"]
    assert list(found) == [*RULERS, "3096"]
    loss = found["paper"]["psnr"] - found["3096"]["psnr"]
    assert loss == pytest.approx(20 * np.log10(4120 / 4096), abs=0.01)  # [-1024, 3096]


def test_csv_has_one_line_per_slice_and_image(cli: Callable, paths: dict, tmp_path: Path) -> None:
    table = tmp_path / "new" / "t.csv"
    arguments = (paths["result"], paths["reference"], "--input", paths["input"])
    assert cli("evaluate", *arguments, "--csv", table).code == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["slice"], row["image"]) for row in rows] == [
        (f"result[{k}]", image) for k in range(3) for image in ("input", "result")
    ]
    found = json.loads(cli("evaluate", *arguments, "--json").out)["slices"]
    for row, one in zip(rows[1::2], found, strict=True):
        for ruler in RULERS:
            assert float(row[f"{ruler} PSNR dB"]) == one["result"][ruler]["psnr"]
            assert float(row[f"{ruler} SSIM"]) == one["result"][ruler]["ssim"]
            assert float(row[f"{ruler} RMSE HU"]) == one["result"][ruler]["rmse"]


def test_perfect_slices_are_left_out_of_the_mean_psnr_and_counted(
    cli: Callable, paths: dict, tmp_path: Path
) -> None:
    mixed = np.load(paths["input"])
    mixed[1] = np.load(paths["reference"])[1]
    np.save(tmp_path / "mixed.npy", mixed)
    done = cli("evaluate", tmp_path / "mixed.npy", paths["reference"])
    assert "1 of 3 slices of the result equal the reference (paper)" in done.out
    found = json.loads(cli("evaluate", tmp_path / "mixed.npy", paths["reference"], "--json").out)
    psnr = [one["result"]["full"]["psnr"] for one in found["slices"]]
    assert psnr[1] is None  # JSON knows no infinity
    assert found["mean"]["result"]["full"]["psnr"] == pytest.approx((psnr[0] + psnr[2]) / 2)
    assert found["mean"]["result"]["full"]["perfect"] == 1
    assert "inf" in cli("evaluate", paths["reference"], paths["reference"]).out


def test_dicom_series(cli: Callable, tmp_path: Path) -> None:
    clean, noise = study(1)
    noisy = (clean + noise).round()
    for name, hu in (("a", noisy), ("b", clean)):
        make_series(tmp_path / name, hu=hu, slices=3, signed=True, bits_stored=16, intercept="0")
    found = json.loads(cli("evaluate", tmp_path / "a", tmp_path / "b", "--json").out)
    for one, a, b in zip(found["slices"], noisy, clean, strict=True):
        assert one["result"]["full"]["rmse"] == pytest.approx(by_skimage(a, b, -1024, 3072)[2])


def test_figure_shows_the_slice_that_was_asked_for(
    cli: Callable, paths: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ldct_clipdn.report import figures

    shown: list[tuple] = []
    real = figures.draw_comparison

    def spy(path: Path, images: dict, window: object, *, reference: np.ndarray) -> Path:
        shown.append((images, window, reference))
        return real(path, images, window, reference=reference)

    monkeypatch.setattr(figures, "draw_comparison", spy)
    arguments = (paths["result"], paths["reference"], "--input", paths["input"])
    figure = ("--figure", tmp_path / "f.png")
    assert cli("evaluate", *arguments, *figure).code == 0
    assert imread(tmp_path / "f.png").ndim == 3
    cli("evaluate", *arguments, *figure, "--slice", "1", "--window=-100,300.5")
    for (images, window, reference), index, limits in zip(
        shown, (1, 0), ((-160, 240), (-100, 300.5)), strict=True
    ):
        assert list(images) == ["input", "result"]
        assert (window.low, window.high) == limits
        np.testing.assert_allclose(reference, np.load(paths["reference"])[index])
        np.testing.assert_allclose(images["input"], np.load(paths["input"])[index], rtol=1e-6)


@pytest.mark.parametrize("command", ["evaluate", "denoise"])
def test_the_example_in_the_help_can_be_given(cli: Callable, command: str) -> None:
    help_text = " ".join(cli(command, "--help").out.split())
    (example,) = re.findall(r"such as (\S*-160,240)|as (--window=\S+);", help_text)
    args = build_parser().parse_args([command, "a", "b", "".join(example)])
    assert args.window in ("-160,240", (-160, 240))


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (("--window", "liver"), 2, "no window 'liver'"),
        (("--window=300,100",), 2, "empty or not finite"),
        (("--window=1,2,3",), 2, "no window '1,2,3'"),
        (("--input", "none"), 2, "none: there is no such file or folder"),
        (("--slice", "4"), 2, "no slice 4. Give 1 to 3"),
        (("--figure", "f.doc"), 2, "cannot be written as .doc"),
        (("--prepared",), 1, "these are HU"),
        (("--csv", "/proc/none/t.csv"), 1, "the table cannot be written"),
    ],
)
def test_options_that_cannot_be(
    cli: Callable, paths: dict, options: tuple[str, ...], code: int, reason: str
) -> None:
    done = cli("evaluate", paths["result"], paths["reference"], *options)
    assert (done.code, done.out) == (code, "")
    assert reason in done.err
    assert done.err.count("\n") == 1


def test_slices_of_other_size_or_too_small_are_named(cli: Callable, tmp_path: Path) -> None:
    for name, shape in (("a", (20, 20)), ("b", (20, 21)), ("c", (9, 9))):
        np.save(tmp_path / f"{name}.npy", np.full(shape, 50.0))
    done = cli("evaluate", tmp_path / "a.npy", tmp_path / "b.npy")
    assert done.code == 1
    assert (
        "slice a: images of different shape cannot be compared: [20, 20] and [20, 21]" in done.err
    )
    done = cli("evaluate", tmp_path / "c.npy", tmp_path / "c.npy")
    assert "9 x 9 pixels is smaller than the 11 x 11" in done.err


@pytest.mark.data
def test_real_pair_of_doses_by_pydicom_and_scikit_image(cli: Callable, data: Path) -> None:
    pair = [data / "ct" / "val" / "mayo_L192" / f"{dose}_3mm_sharp" for dose in ("quarter", "full")]
    found = json.loads(cli("evaluate", *pair, "--json").out)
    expected = []
    for low, full in zip(*(sorted(one.iterdir()) for one in pair), strict=True):
        images = [pydicom.dcmread(one) for one in (low, full)]
        assert images[0].ImagePositionPatient == images[1].ImagePositionPatient
        hu = [one.pixel_array * one.RescaleSlope + one.RescaleIntercept for one in images]
        expected.append(by_skimage(*hu, -160, 240))  # in HU, where the dose shows most
    mean = found["mean"]["result"]["abdomen"]
    assert mean["slices"] == len(expected) == 4
    np.testing.assert_allclose(
        [mean["psnr"], mean["ssim"], mean["rmse"]], np.mean(expected, axis=0), rtol=1e-6
    )
