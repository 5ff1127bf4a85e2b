"""What is odd about a series is in the manifest; what no network was trained for is flagged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import edit, make_series

from ldct_clipdn.batch.run import RunOptions, denoise_study
from ldct_clipdn.core.weights import WeightsInfo
from ldct_clipdn.inference.backends.identity import IdentityBackend

IDENTITY = RunOptions(backend="identity")


def test_notes_are_in_the_manifest(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "in", slices=5, positions=[0, 2, 4, 8, 10])
    for path in paths:
        edit(path, StudyInstanceUID=None)
    (record,) = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY).series
    notes = " ".join(record.notes)
    assert "StudyInstanceUID" in notes
    assert "gap" in notes
    written = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert written["series"][0]["notes"] == list(record.notes)


@pytest.mark.parametrize(
    ("trained", "kernel", "expected"),
    [
        ((2.5, 110.0), ["I30f", "3"], ["I30f 3"]),
        ((2.5, 110.0), "B30f", []),
        (None, ["I30f", "3"], []),  # what such weights were trained for is not known
    ],
)
def test_iterative_reconstructions_are_flagged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: tuple[float, float] | None,
    kernel: str | list[str],
    expected: list[str],
) -> None:
    monkeypatch.setattr(IdentityBackend, "weights", WeightsInfo("w", "", "", None, trained))
    for path in make_series(tmp_path / "in", slices=1, rows=8, columns=8):
        edit(path, ConvolutionKernel=kernel)
    (record,) = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY).series
    assert record.quality is not None
    flags = [one for one in record.quality["flags"] if one["code"] == "OUT_OF_DISTRIBUTION"]
    told = "The network was not trained for this: an iterative reconstruction, by its name ({})."
    assert [one["text"] for one in flags] == [told.format(one) for one in expected]
