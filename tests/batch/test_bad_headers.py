"""A slice whose header cannot be written costs itself, and never its series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from builders import make_enhanced, make_series

from ldct_clipdn.batch.manifest import Manifest
from ldct_clipdn.batch.run import RunOptions, denoise_study
from ldct_clipdn.io.output import OutputOptions

IDENTITY = RunOptions(backend="identity")


def damage(path: Path, before: bytes, after: bytes) -> None:
    """Write other bytes over the first place where the header holds some."""
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))


def with_type_of_numbers(path: Path) -> None:
    damage(path, b"\x08\x00\x08\x00CS", b"\x08\x00\x08\x00US")


def with_description_of_numbers(path: Path) -> None:
    damage(path, b"\x08\x00\x3e\x10LO", b"\x08\x00\x3e\x10FD")


def check_partial(manifest: Manifest, bad: Path, source: Path, target: Path) -> None:
    (series,) = manifest.series
    assert (series.status, manifest.exit_code) == ("partial", 1)
    failed = [one for one in manifest.inputs if one.outcome == "failed"]
    assert [one.path for one in failed] == [bad.relative_to(source).as_posix()]
    assert failed[0].reason
    assert "an error in ldct_clipdn itself" not in failed[0].reason
    assert "Traceback" not in failed[0].reason
    written = [pydicom.dcmread(one) for one in (target / series.derived_uid).iterdir()]
    assert len(written) == 2
    assert all("INCOMPLETE 2/3" in one.SeriesDescription for one in written)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("damage", [with_type_of_numbers, with_description_of_numbers])
def test_the_others_are_written(tmp_path: Path, damage: Callable[[Path], None], place: int) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    paths = make_series(source)
    damage(paths[place])
    check_partial(denoise_study(source, target, IDENTITY), paths[place], source, target)
    again = denoise_study(source, target, IDENTITY)
    assert (again.series[0].status, again.exit_code) == ("partial", 1)


def test_trying_a_header_leaves_its_bytes_as_they_are(tmp_path: Path) -> None:
    """Blanks that a parsed value would lose are written as the source has them."""
    (path,) = make_series(tmp_path / "in", slices=1, extra={"WindowWidth": "400"})
    damage(path, b"\x28\x00\x51\x10DS\x04\x00400 ", b"\x28\x00\x51\x10DS\x04\x00 400")
    denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    (derived,) = (tmp_path / "out").rglob("*.dcm")
    assert b"\x28\x00\x51\x10DS\x04\x00 400" in derived.read_bytes()


def make_private(path: Path) -> None:
    """Give an image a private attribute of a VR that does not exist."""
    ds = pydicom.dcmread(path)
    block = ds.private_block(0x0029, "TEST", create=True)
    block.add_new(1, "LO", "abcd")
    ds.save_as(path)
    damage(path, b"\x29\x00\x01\x10LO", b"\x29\x00\x01\x10ZZ")


def test_what_is_dropped_anyway_costs_nothing(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "in")
    make_private(paths[1])
    make_private(make_enhanced(tmp_path / "in" / "enhanced.dcm"))
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert [one.status for one in manifest.series] == ["denoised"] * 2


def test_a_private_attribute_that_is_to_be_kept_and_cannot_be(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "in")
    make_private(paths[1])
    options = RunOptions(backend="identity", output=OutputOptions(keep_private=("0029,TEST,01",)))
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", options)
    check_partial(manifest, paths[1], tmp_path / "in", tmp_path / "out")


def test_an_enhanced_image_that_cannot_be_parsed_stops_no_run(tmp_path: Path) -> None:
    make_series(tmp_path / "in")
    path = make_enhanced(tmp_path / "in" / "enhanced.dcm", extra={"StudyID": ""})
    damage(path, b"\x20\x00\x10\x00SH", b"\x20\x00\x10\x00ZZ")
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    (failed,) = (one for one in manifest.inputs if one.outcome == "failed")
    assert (failed.path, manifest.exit_code) == ("enhanced.dcm", 1)
    assert failed.reason.startswith("its frames cannot be told apart: Unknown Value Representation")
    assert [one.status for one in manifest.series if one.derived_uid] == ["denoised"]
