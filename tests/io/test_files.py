"""Zip archives and DICOMDIRs are read like folders."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pydicom
import pytest
from builders import make_series
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ldct_clipdn.errors import ReadError
from ldct_clipdn.io import files
from ldct_clipdn.io.dicom_read import read_header, read_slice
from ldct_clipdn.io.files import list_files, open_file
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Found


def zip_of(target: Path, members: dict[str, Path], **options: int) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in members.items():
            archive.write(path, name)
    return target


def paths(found: Found, root: Path) -> list[list[str]]:
    return [[str(one.path.relative_to(root)) for one in scan.instances] for scan in found]


def reasons(found: Found) -> dict[str, tuple[str, str]]:
    return {one.path.name: (one.outcome, one.reason) for one in found.unused}


def test_a_zip_is_read_like_a_folder(tmp_path: Path) -> None:
    images = make_series(tmp_path / "images")
    (tmp_path / "in").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    members = {f"deep/./{path.name}": path for path in images}
    archive = zip_of(tmp_path / "in" / "Study.ZIP", {**members, "notes": tmp_path / "notes.txt"})
    for source in (tmp_path / "in", archive):
        found = find_series(source)
        assert paths(found, archive) == [[f"deep/IM000{n}.dcm" for n in range(3)]]
        assert reasons(found) == {"notes": ("skipped", "not a DICOM file")}
    for path, one in zip(images, found.scans[0].instances, strict=True):
        assert (read_slice(one).stored == pydicom.dcmread(path).pixel_array).all()
        with open_file(one.path) as file:
            assert file.read() == path.read_bytes()


def test_images_in_a_zip_and_beside_it_are_copies(tmp_path: Path) -> None:
    images = make_series(tmp_path)
    zip_of(tmp_path / "z.zip", {path.name: path for path in images[:2]})
    found = find_series(tmp_path)
    assert [len(scan.instances) for scan in found] == [3]
    assert {one.reason.split(" of ")[0] for one in found.unused} == {"a copy"}


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_members_that_lead_out_of_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"")
    (one,) = find_series(tmp_path / "z.zip").unused
    assert one.outcome == "failed"
    assert "outside itself" in one.reason


def test_a_damaged_archive_has_failed(tmp_path: Path) -> None:
    (image,) = make_series(tmp_path / "images", slices=1)
    archive = zip_of(tmp_path / "z.zip", {"a.dcm": image})
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-30])
    assert "cannot be opened" in reasons(find_series(archive))["z.zip"][1]
    middle = len(whole) // 2
    archive.write_bytes(whole[:middle] + b"\xff" * 8 + whole[middle + 8 :])
    (outcome,) = {one.outcome for one in find_series(archive).unused}
    assert outcome == "failed"


@pytest.mark.parametrize("name", ["a.dcm", "without_suffix"])
def test_an_encrypted_member_has_failed(tmp_path: Path, name: str) -> None:
    (image,) = make_series(tmp_path / "images", slices=1)
    archive = zip_of(tmp_path / "z.zip", {name: image})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag, in the member's own header and in the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    outcome, reason = reasons(find_series(archive))[name]
    assert outcome == "failed"
    assert "encrypted" in reason


def test_office_documents_are_no_archives(tmp_path: Path) -> None:
    (image,) = make_series(tmp_path / "images", slices=1)
    document = zip_of(tmp_path / "report.docx", {"a.dcm": image})
    assert list(list_files(document)) == [document]


def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain,) = make_series(tmp_path / "plain", slices=1)
    archive = zip_of(tmp_path / "z.zip", {"a.dcm": plain})
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    assert "unpacks to" in reasons(find_series(archive))["a.dcm"][1]


def test_a_deflated_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = make_series(
        tmp_path, slices=1, transfer_syntax=DeflatedExplicitVRLittleEndian, rows=64, columns=64
    )
    assert read_header(path).Rows == 64
    monkeypatch.setattr("ldct_clipdn.io.dicom_read.MAX_BYTES", 8000)
    monkeypatch.setattr("ldct_clipdn.io.dicom_read.INFLATE_STEP", 100)
    with pytest.raises(ReadError, match="inflates to more than 8000 bytes"):
        read_header(path)


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    (image,) = make_series(tmp_path / "images", slices=1)
    archive = zip_of(tmp_path / "z.zip", {"a.dcm": image})
    with pytest.raises(FileNotFoundError):
        open_file(archive / "b.dcm")
    with pytest.raises(ReadError, match="not in the archive"):
        read_header(archive / "b.dcm")


def media(folder: Path, slices: int = 3) -> list[Path]:
    images = make_series(folder.with_name("source"), slices=slices)
    fileset = FileSet()
    for path in images:
        fileset.add(path)
    fileset.write(folder)
    fileset._stage["t"].cleanup()  # pydicom leaves it to the garbage collector, which warns
    return sorted(one for one in folder.rglob("*") if one.is_file() and one.name != "DICOMDIR")


def test_a_dicomdir_leads_to_its_files_and_to_no_others(tmp_path: Path) -> None:
    named = media(tmp_path / "cd")
    make_series(tmp_path / "cd" / "other", series_description="not named")
    found = find_series(tmp_path / "cd" / "DICOMDIR")
    assert sorted(one.path for scan in found for one in scan.instances) == named
    assert reasons(found) == {"DICOMDIR": ("skipped", "a DICOMDIR, no image")}
    assert len(find_series(tmp_path / "cd").scans) == 2


def test_names_in_small_letters_are_found(tmp_path: Path) -> None:
    named = media(tmp_path / "cd")
    lower = tmp_path / "lower"
    lower.mkdir()
    shutil.copy(tmp_path / "cd" / "DICOMDIR", lower / "dicomdir")
    for path in named:
        target = lower / str(path.relative_to(tmp_path / "cd")).lower()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert [len(scan.instances) for scan in find_series(lower / "dicomdir")] == [3]


def test_a_named_image_that_is_not_there_is_lost(tmp_path: Path) -> None:
    named = media(tmp_path / "cd")
    named[1].unlink()
    found = find_series(tmp_path / "cd" / "DICOMDIR")
    (scan,) = found.scans
    assert (len(scan.instances), scan.lost) == (2, 1)
    assert reasons(found)[named[1].name] == (
        "failed",
        "the DICOMDIR names this file, and it is not there",
    )


def test_a_named_image_that_lies_nowhere_in_a_folder_is_lost(tmp_path: Path) -> None:
    named = media(tmp_path / "cd")
    for path in named:  # a renamed one is there all the same
        path.rename(path.with_name(f"{path.name}.dcm"))
    assert [(len(one.instances), one.lost) for one in find_series(tmp_path / "cd")] == [(3, 0)]
    named[1].with_name(f"{named[1].name}.dcm").unlink()
    (tmp_path / "cd" / "DICOMDIR").rename(tmp_path / "cd" / "dicomdir")
    found = find_series(tmp_path)  # with the images that it was made of
    assert {len(one.instances): one.lost for one in found} == {3: 0}
    shutil.rmtree(tmp_path / "source")
    found = find_series(tmp_path)
    assert [(len(one.instances), one.lost) for one in found] == [(2, 1)]
    reason = "the DICOMDIR names this file, and it is not there"
    assert reasons(found)[named[1].name] == ("failed", reason)


def test_a_series_that_a_folder_was_not_given_is_skipped(tmp_path: Path) -> None:
    named = media(tmp_path / "cd")
    for path in named:
        path.unlink()
    make_series(tmp_path / "cd" / "other", series_description="not named")
    found = find_series(tmp_path / "cd")
    assert [(len(one.instances), one.lost) for one in found] == [(3, 0)]
    missing = [one for one in found.unused if one.path in named]
    assert [one.outcome for one in missing] == ["skipped"] * 3


def test_a_zip_archive_that_lacks_what_its_dicomdir_names_is_incomplete(tmp_path: Path) -> None:
    named = media(tmp_path / "cd")
    there = {str(one.relative_to(tmp_path / "cd")): one for one in named[1:]}
    archive = zip_of(tmp_path / "z.zip", {"DICOMDIR": tmp_path / "cd" / "DICOMDIR", **there})
    (scan,) = find_series(archive)
    assert (len(scan.instances), scan.lost) == (2, 1)


def test_a_dicomdir_alone_is_skipped(tmp_path: Path) -> None:
    media(tmp_path / "cd")
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "cd" / "DICOMDIR", tmp_path / "alone" / "DICOMDIR")
    found = find_series(tmp_path / "alone" / "DICOMDIR")
    assert reasons(found) == {"DICOMDIR": ("skipped", "a DICOMDIR, no image")}


def test_a_dicomdir_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    media(tmp_path / "cd")
    make_series(tmp_path, slices=1)
    content = (tmp_path / "cd" / "DICOMDIR").read_bytes()
    ds = pydicom.dcmread(tmp_path / "cd" / "DICOMDIR")
    first = next(one for one in ds.DirectoryRecordSequence if "ReferencedFileID" in one)
    name = "\\".join(first.ReferencedFileID).encode()
    evil = b"..\\IM0000.dcm".ljust(len(name))
    (tmp_path / "cd" / "DICOMDIR").write_bytes(content.replace(name, evil))
    found = find_series(tmp_path / "cd" / "DICOMDIR")
    used = [one.path.resolve() for scan in found for one in scan.instances]
    assert len(used) == 2
    assert all(tmp_path / "cd" in path.parents for path in used)
    assert reasons(found)["IM0000.dcm"][1] == "the DICOMDIR names this file, and it is not there"
