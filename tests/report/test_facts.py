"""What a page says of a series, and of whom it says nothing."""

from __future__ import annotations

from pathlib import Path

import pydicom
from builders import make_series

from ldct_clipdn.report.facts import series_facts


def headers(tmp_path: Path, **changes: object) -> list[pydicom.Dataset]:
    paths = make_series(
        tmp_path,
        patient_name="Doe^Jane",
        patient_id="P-4711",
        series_description="Doe liver",
        extra={"Manufacturer": "ACME", "ManufacturerModelName": "One", "KVP": "120", **changes},
    )
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def test_names_what_matters_for_noise(tmp_path: Path) -> None:
    read = headers(tmp_path)
    for mas, header in zip((100, 140, 120), read, strict=True):
        header.Exposure = mas
    facts = series_facts(read)
    assert facts["Images"] == "3"
    assert facts["Scanner"] == "ACME One"
    assert facts["Kernel"] == "B30f"
    assert facts["Slice thickness"] == "2 mm"
    assert facts["Pixel size"] == "0.7 mm"
    assert facts["Exposure"] == "100 to 140 mAs"
    assert facts["Tube voltage"] == "120 kV"


def test_says_nothing_of_the_patient_unless_asked(tmp_path: Path) -> None:
    read = headers(tmp_path)
    assert not any(
        one in str(series_facts(read)) for one in ("Doe", "4711", "liver", "1.2.", "2.25")
    )
    facts = series_facts(read, identifiers=True)
    assert (facts["Patient"], facts["Patient ID"]) == ("Doe^Jane", "P-4711")
    assert facts["Series"] == "Doe liver"


def test_empty_headers_are_no_error() -> None:
    assert series_facts([pydicom.Dataset()]) == {
        "Images": "1",
        "Pixel size": "not known: what is in mm is not measured",
    }
