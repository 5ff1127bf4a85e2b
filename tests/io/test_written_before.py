"""A series that lies in OUT already: done where it is whole, else refused with the cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_enhanced
from deriving import RECIPE, TIME, Workshop, results

from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.dicom_write import write_derived
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Scan
from ldct_clipdn.io.uids import identity, pixel_digest
from ldct_clipdn.io.written_before import find_written, shares_images


def digests(scan: Scan) -> dict[str, str]:
    return {identity(one): pixel_digest(read_slice(one).stored) for one in scan.instances}


def change_pixels(path: Path) -> None:
    ds = pydicom.dcmread(path)
    words = np.frombuffer(ds.PixelData, "<u2").copy()
    words[5] ^= 1
    ds.PixelData = words.tobytes()
    ds.save_as(path)


def refusal(folder: Path, scan: Scan) -> str:
    """Give the reason alone; folder and remedy are the same for all."""
    with pytest.raises(WriteError) as caught:
        find_written(folder, digests(scan))
    assert caught.value.path == folder
    assert caught.value.remedy == "Move that folder away and run again"
    return caught.value.reason


@pytest.fixture
def scan(workshop: Workshop) -> Scan:
    return workshop.make(slices=4)


@pytest.fixture
def files(workshop: Workshop, scan: Scan) -> list[Path]:
    """Give the derived files, in the order of InstanceNumber."""
    return [Path(ds.filename) for _, ds in sorted(workshop.derive(scan).items())]


def test_a_whole_series_is_known_and_nothing_is_where_there_is_none(
    files: list[Path], scan: Scan
) -> None:
    folder = files[0].parent
    found = find_written(folder, digests(scan))
    assert {name: one.path for name, one in (found or {}).items()} == {
        identity(one): path for one, path in zip(scan.instances, files, strict=True)
    }
    assert find_written(folder.with_name("2.25.7"), digests(scan)) is None


def test_an_image_that_is_gone(files: list[Path], scan: Scan) -> None:
    files[2].unlink()
    assert refusal(files[0].parent, scan) == (
        "an earlier result of this series is there, and lacks 1 of 4 images"
    )


def test_a_file_that_was_cut_off(files: list[Path], scan: Scan) -> None:
    files[1].write_bytes(files[1].read_bytes()[:-100])
    reason = refusal(files[0].parent, scan)
    assert reason.startswith(
        f"an earlier result of this series is there, and {files[1].name} in it is damaged ("
    )


def test_a_file_under_the_name_of_another(files: list[Path], scan: Scan) -> None:
    files[1].write_bytes(files[0].read_bytes())
    assert f"{files[1].name} in it is damaged (it is another image)" in refusal(
        files[0].parent, scan
    )


def test_a_file_whose_pixels_or_whose_source_changed(files: list[Path], scan: Scan) -> None:
    change_pixels(files[1])
    assert refusal(files[0].parent, scan) == (
        f"an earlier result of this series is there, and {files[1].name} in it, or its source, "
        "was changed since"
    )


def test_a_source_that_changed_under_its_uids(
    workshop: Workshop, files: list[Path], scan: Scan
) -> None:
    for one in scan.instances:
        change_pixels(one.path)
    (changed,) = find_series(workshop.source)
    assert refusal(files[0].parent, changed) == (
        "an earlier result of this series is there, and was made from other pixels"
    )


def test_an_image_that_does_not_belong_there(files: list[Path], scan: Scan) -> None:
    stray = files[0].with_name("2.25.1.dcm")
    stray.write_bytes(files[0].read_bytes())
    edit(stray, SOPInstanceUID="2.25.1")
    assert refusal(files[0].parent, scan) == (
        "an earlier result of this series is there, and 2.25.1.dcm in it is of another"
    )


def test_an_object_of_many_frames(tmp_path: Path) -> None:
    (scan,) = find_series(make_enhanced(tmp_path / "in" / "e.dcm"))
    (tmp_path / "out").mkdir()
    folder = write_derived(scan, results(scan), tmp_path / "out", RECIPE, time=TIME, number=7)
    (path,) = folder.iterdir()
    known = "an earlier result of this series is there, and "
    whole = path.read_bytes()
    change_pixels(path)
    assert refusal(folder, scan) == f"{known}{path.name} in it, or its source, was changed since"
    path.write_bytes(whole[:-100])
    assert refusal(folder, scan).startswith(f"{known}{path.name} in it is damaged (")
    path.rename(path.with_name("2.25.1.dcm")).write_bytes(whole)
    assert refusal(folder, scan) == f"{known}2.25.1.dcm in it is damaged (it is another image)"
    (folder / "2.25.2.dcm").write_bytes(whole)
    assert refusal(folder, scan) == f"{known}holds 2 files instead of 1"
    for one in folder.iterdir():
        one.unlink()
    assert refusal(folder, scan) == f"{known}lacks its image"


def test_images_are_shared_by_any_that_both_are_made_of(files: list[Path], scan: Scan) -> None:
    folder, (first, *others) = files[0].parent, scan.instances
    files[1].write_bytes(b"damaged")
    assert shares_images(folder, scan)
    assert shares_images(folder, replace(scan, instances=(scan.instances[2],)))
    files[0].unlink()
    assert not shares_images(folder, replace(scan, instances=(first,)))
    assert shares_images(folder, replace(scan, instances=tuple(others)))
    assert not shares_images(folder.with_name("2.25.7"), scan)


def test_frames_are_shared(tmp_path: Path) -> None:
    scan, other = (
        find_series(make_enhanced(tmp_path / name / "e.dcm")).scans[0] for name in ("in", "other")
    )
    edit(other.instances[0].path, SOPInstanceUID="2.25.3")
    (other,) = find_series(other.instances[0].path)
    (tmp_path / "out").mkdir()
    folder = write_derived(scan, results(scan), tmp_path / "out", RECIPE, time=TIME, number=7)
    assert shares_images(folder, scan)
    assert not shares_images(folder, other)
