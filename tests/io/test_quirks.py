"""Every odd file of the quirks ends as its table says, with the stored values that it states."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from ldct_clipdn.batch.run import RunOptions, denoise_study
from ldct_clipdn.io.dicom_read import is_dicom, read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Found

DATA = Path(os.environ.get("LDCT_CLIPDN_DATA", Path(__file__).parents[3] / "shared" / "data"))
OPTIONS = RunOptions(backend="identity", accept=("us",))

OUTCOMES = {"image": "denoised", "skip": "skipped", "error": "failed"}
LOSSY_JPEG = ("ct_jpegext12_51.dcm", "ct_jpegbase8_50.dcm", "ct_jpeg_retired_55.dcm")

pytestmark = [
    pytest.mark.data,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # headers are as odd as they come
]


def table(folder: Path) -> list[dict[str, str]]:
    if not (folder / "expected.csv").exists():
        return []
    with (folder / "expected.csv").open() as file:
        return list(csv.DictReader(file))


ROWS = table(DATA / "quirks")


def test_the_table_is_read(data: Path) -> None:
    assert len(table(data / "quirks")) == 80
    assert {row["expected"] for row in table(data / "quirks")} == set(OUTCOMES)


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_every_file_ends_as_the_table_says(data: Path, tmp_path: Path, row: dict[str, str]) -> None:
    path = data / "quirks" / row["file"]
    manifest = denoise_study(path, tmp_path, OPTIONS)
    found = {one.outcome for one in manifest.inputs}
    accepted = {OUTCOMES[one] for one in (row["expected"], *row["also_ok"].split("|")) if one}
    assert found <= accepted
    assert all(one.reason for one in manifest.inputs if one.outcome != "denoised")
    assert manifest.exit_code == (1 if "failed" in found else 0 if "denoised" in found else 3)
    if "denoised" in found and is_dicom(path):
        check_stored(read_all(find_series(path, admit=frozenset({"us"}))), row)
        own = frozenset({"own", "us"})
        derived = [read_all(find_series(each, admit=own)) for each in tmp_path.glob("2.25.*")]
        check_stored(np.concatenate(derived), row)


def read_all(found: Found) -> np.ndarray:
    (scan,) = found.scans
    return np.stack([read_slice(one).stored for one in scan.instances])


def check_stored(stored: np.ndarray, row: dict[str, str]) -> None:
    expected = [float(row[f"stored_{name}"]) for name in ("min", "max", "mean")]
    found = [stored.min(), stored.max(), stored.mean()]
    tolerances = (1, 1, 0.05) if row["file"] in LOSSY_JPEG else (0, 0, 1e-6)
    for one, other, tolerance in zip(found, expected, tolerances, strict=True):
        assert abs(one - other) <= tolerance


@pytest.mark.parametrize(
    ("folder", "slices", "note"),
    [
        ("series_missing_slice", 4, "1 gap(s), the largest 5.00 mm"),
        ("series_duplicate_slice", 4, "1 of 4 slices lie where another one lies"),
        ("series_gantry_tilt", 3, "slices are tilted by 18.5 degrees"),
        ("series_rescale_us", 3, "OUT_OF_DISTRIBUTION: the unit of its values is unspecified"),
    ],
)
def test_odd_series_are_denoised_and_said(
    data: Path, tmp_path: Path, folder: str, slices: int, note: str
) -> None:
    source = data / "quirks" / folder
    (scan,) = find_series(source, admit=frozenset({"us"})).scans
    assert any(one.startswith(note) for one in scan.notes)
    manifest = denoise_study(source, tmp_path, OPTIONS)
    assert [(one.status, one.slices) for one in manifest.series] == [("denoised", slices)]


def test_all_in_one_run(data: Path, tmp_path: Path) -> None:
    """Many of these files bear one UID and differ; none stops the run, each is accounted for."""
    manifest = denoise_study(data / "quirks", tmp_path, OPTIONS)
    named = {one.path for one in manifest.inputs}
    files = {row["file"] for row in table(data / "quirks")} - {"made_series.zip"}
    assert files <= named
    assert {one for one in named if one.startswith("made_series.zip/")}
    by_path = {one.path: one for one in manifest.inputs}
    alike = [one for one in manifest.inputs if "bear the same SOPInstanceUID" in one.reason]
    assert len(alike) > 5
    for row in table(data / "quirks"):
        one = by_path.get(row["file"])
        if one is None or one in alike or one.reason.startswith("a copy of"):
            continue
        accepted = {
            OUTCOMES[each] for each in (row["expected"], *row["also_ok"].split("|")) if each
        }
        assert one.outcome in accepted, one
    assert manifest.exit_code == 1


def test_a_decoder_in_c_says_nothing_to_the_user(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = data / "quirks" / "ct_jpegext12_51.dcm"
    assert denoise_study(path, tmp_path, OPTIONS).exit_code == 0
    assert capfd.readouterr() == ("", "")
