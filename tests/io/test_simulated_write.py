"""Simulated series: what they keep and say, by our own checks and by a validator of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_series
from pydicom import Dataset

from ldct_clipdn.core.whole_file import UNFINISHED
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io import simulated_write
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Result, Scan
from ldct_clipdn.io.simulated_write import SimulationRecipe, write_simulated

SYNTHETIC = "(0008,001c)"
"""SyntheticData, newer than the validator; the one message that is known."""

RECIPE = SimulationRecipe(0.25)
LONG_NAME = "A description of exactly sixty-four characters, as long as may be"[:64]


def simulate(target: Path, scan: Scan) -> list[pydicom.Dataset]:
    """Write what a simulation would, with noise of one value."""
    target.mkdir(exist_ok=True)
    before = [read_slice(one) for one in scan.instances]
    results = [
        Result(one, pixels, pixels.hu + np.float32(7))
        for one, pixels in zip(scan.instances, before, strict=True)
    ]
    time = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    folder = write_simulated(scan, results, target, RECIPE, time=time, number=9)
    return [pydicom.dcmread(one) for one in folder.iterdir()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (path,) = make_series(tmp_path / "in", slices=1)
    return path


def scan_of(source: Path) -> Scan:
    (scan,) = find_series(source.parent)
    return scan


def test_what_is_not_finished_bears_the_name_by_which_it_is_cleared(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    real = simulated_write.store

    def look(*args: object) -> None:
        seen.extend((tmp_path / "out").iterdir())
        real(*args)

    monkeypatch.setattr(simulated_write, "store", look)
    simulate(tmp_path / "out", scan_of(source))
    (unfinished,) = seen
    assert unfinished.match(UNFINISHED)


def test_valid_dicom(
    source: Path, tmp_path: Path, dciodvfy: Callable[[Path], Counter[str]]
) -> None:
    (ds,) = simulate(tmp_path / "out", scan_of(source))
    new = dciodvfy(Path(ds.filename)) - dciodvfy(source)
    assert not [one for one in new if one.startswith("Error") and SYNTHETIC not in one], new


def test_what_was_done_before_is_kept(source: Path, tmp_path: Path) -> None:
    earlier, code = Dataset(), Dataset()
    earlier.Manufacturer, earlier.ManufacturerModelName = "Other maker", "Gateway"
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113040", "DCM", "Lossy"
    edit(
        source,
        ContributingEquipmentSequence=[earlier],
        DerivationDescription="Compressed elsewhere",
        DerivationCodeSequence=[code],
    )
    (ds,) = simulate(tmp_path / "out", scan_of(source))
    models = [one.ManufacturerModelName for one in ds.ContributingEquipmentSequence]
    assert models == ["Gateway", "ldct_clipdn"]
    assert ds.DerivationDescription.startswith("Compressed elsewhere; ldct_clipdn")
    assert [one.CodeValue for one in ds.DerivationCodeSequence] == ["113040"]


def test_a_long_derivation_is_cut_and_ours_is_whole(source: Path, tmp_path: Path) -> None:
    edit(source, DerivationDescription="x" * 1024)
    (ds,) = simulate(tmp_path / "out", scan_of(source))
    assert len(ds.DerivationDescription) == 1024
    assert ds.DerivationDescription.endswith(f"x; {RECIPE}")


@pytest.mark.parametrize(
    ("described", "lost", "expected"),
    [
        (LONG_NAME, 0, LONG_NAME[:43] + " [SIMULATED 25% DOSE]"),
        (LONG_NAME, 2, LONG_NAME[:28] + " INCOMPLETE 1/3 [SIMULATED 25% DOSE]"),
        (None, 0, "[SIMULATED 25% DOSE]"),
    ],
)
def test_the_description_fits_and_ends_in_the_mark(
    source: Path, tmp_path: Path, described: str | None, lost: int, expected: str
) -> None:
    edit(source, SeriesDescription=described)
    (ds,) = simulate(tmp_path / "out", replace(scan_of(source), lost=lost))
    assert ds.SeriesDescription == expected
    assert len(ds.SeriesDescription) <= 64


def test_what_is_lost_makes_another_series_and_images(source: Path, tmp_path: Path) -> None:
    (whole,) = simulate(tmp_path / "a", scan_of(source))
    (part,) = simulate(tmp_path / "b", replace(scan_of(source), lost=1))
    assert whole.SeriesInstanceUID != part.SeriesInstanceUID
    assert whole.SOPInstanceUID != part.SOPInstanceUID


def test_a_source_without_uid_is_not_named_and_nor_is_its_own_source(
    source: Path, tmp_path: Path
) -> None:
    older = Dataset()
    older.ReferencedSOPClassUID, older.ReferencedSOPInstanceUID = "1.2.3", "1.2.4"
    edit(source, SOPInstanceUID=None, SourceImageSequence=[older])
    (ds,) = simulate(tmp_path / "out", scan_of(source))
    assert "SourceImageSequence" not in ds


@pytest.mark.parametrize(
    ("keyword", "value", "problem"),
    [
        ("PatientID", "OTHER", "PatientID differs from the source"),
        ("KVP", None, "KVP is missing"),
        ("ImageComments", "new", "ImageComments was added"),
        ("IconImageSequence", [Dataset()], "IconImageSequence .* is still there"),
        ("SeriesInstanceUID", "1.2.3", "SeriesInstanceUID is no UID of the form 2.25"),
        ("SyntheticData", "NO", "SyntheticData is not YES"),
        ("SeriesDescription", "Abdomen", "does not say that it is simulated"),
        ("ContributingEquipmentSequence", [], "ContributingEquipmentSequence is not the source's"),
        ("ImageType", ["ORIGINAL", "PRIMARY"], "ImageType is not DERIVED/SECONDARY/AXIAL"),
    ],
)
def test_a_file_that_fails_the_checks_leaves_nothing(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keyword: str,
    value: object,
    problem: str,
) -> None:
    real = simulated_write.store

    def spoil(ds: Dataset, *rest: object) -> None:
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
        real(ds, *rest)

    monkeypatch.setattr(simulated_write, "store", spoil)
    with pytest.raises(WriteError, match=problem):
        simulate(tmp_path / "out", scan_of(source))
    assert not list((tmp_path / "out").iterdir())


def test_changed_pixels_are_noticed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        simulated_write, "native_words", lambda stored, _: bytes(2 * stored.size - 2)
    )
    with pytest.raises(WriteError):
        simulate(tmp_path / "out", scan_of(source))
