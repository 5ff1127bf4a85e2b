"""Enhanced CT: every frame by its own rescale, written back as one derived object."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import edit, make_enhanced, make_series
from deriving import RECIPE, SYNTAXES, TIME, Change, results, same, soften
from pydicom import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    RLELossless,
)

from ldct_clipdn.errors import DecodeError, WriteError
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.dicom_write import write_derived
from ldct_clipdn.io.enhanced_check import check_object
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.output import OutputOptions
from ldct_clipdn.io.scan import Scan
from ldct_clipdn.io.uids import Recipe, identity, pixel_digest
from ldct_clipdn.io.written_before import find_written


def only_scan(path: Path) -> Scan:
    (scan,) = find_series(path).scans
    return scan


def derive(
    scan: Scan, target: Path, change: Change = soften, recipe: Recipe = RECIPE
) -> pydicom.FileDataset:
    target.mkdir(exist_ok=True)
    folder = write_derived(scan, results(scan, change), target, recipe, time=TIME, number=10003)
    (path,) = folder.iterdir()
    return pydicom.dcmread(path)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_frame_is_read_by_its_own_rescale(tmp_path: Path, syntax: str) -> None:
    plain = make_enhanced(tmp_path / "plain.dcm")
    path = make_enhanced(tmp_path / "other.dcm", transfer_syntax=syntax)
    volume = pydicom.dcmread(plain).pixel_array
    scan = only_scan(path)
    assert [one.frame for one in scan.instances] == [0, 1, 2]
    assert scan.notes == ()
    assert scan.spacing_mm == (0.7, 0.7)
    expected = zip(volume, (1, 1, 0.5), (-1024, 0, -1024), strict=True)
    for one, (stored, slope, intercept) in zip(scan.instances, expected, strict=True):
        found = read_slice(one)
        assert (found.stored == stored).all()
        assert np.allclose(found.hu, stored * slope + intercept)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_not_changed_stays_as_it_is(tmp_path: Path, syntax: str) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm", transfer_syntax=syntax, padding=-2000)
    scan = only_scan(path)
    ds = derive(scan, tmp_path / "out", same)
    assert (ds.pixel_array == [read_slice(one).stored for one in scan.instances]).all()
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_a_derived_object(tmp_path: Path, dciodvfy: Callable[[Path], Counter[str]]) -> None:
    path = make_enhanced(
        tmp_path / "in" / "e.dcm", padding=-2000, extra={"LargestImagePixelValue": 7}
    )
    scan = only_scan(path)
    source = pydicom.dcmread(path)
    ds = derive(scan, tmp_path / "out")
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2.1"
    assert ds.SOPInstanceUID.startswith("2.25.")
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    assert ds.StudyInstanceUID == source.StudyInstanceUID
    assert list(ds.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    (shared,) = ds.SharedFunctionalGroupsSequence
    assert list(shared.CTImageFrameTypeSequence[0].FrameType) == list(ds.ImageType)
    assert ds.ContentQualification == "RESEARCH"
    assert ds.SeriesDescription == "[AI-DENOISED RESEARCH]"
    assert ds.LargestImagePixelValue == ds.pixel_array.max()
    (study,) = ds.SourceImageEvidenceSequence
    (image,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    for index, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        known = source.PerFrameFunctionalGroupsSequence[index]
        assert group.PixelValueTransformationSequence == known.PixelValueTransformationSequence
        assert group.PlanePositionSequence == known.PlanePositionSequence
        (step,) = group.DerivationImageSequence
        assert "research use only" in step.DerivationDescription
        assert step.DerivationCodeSequence[0].CodeValue == "113087"
        (reference,) = step.SourceImageSequence
        assert reference.ReferencedFrameNumber == index + 1
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert dciodvfy(Path(ds.filename)) - dciodvfy(path) == Counter()
    slopes = (1, 1, 0.5)
    for index, one in enumerate(scan.instances):
        before = read_slice(one)
        assert (ds.pixel_array[index][before.padding] == -2000).all()
        wanted = soften(before.hu)[~before.padding]
        found = before.hu + (ds.pixel_array[index] - before.stored) * slopes[index]
        assert np.abs(found[~before.padding] - wanted).max() <= 0.51


def test_earlier_steps_stay_in_front_of_ours(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm")
    source = pydicom.dcmread(path)
    step = Dataset()
    step.DerivationDescription = "an earlier step"
    step.DerivationCodeSequence = []
    source.SharedFunctionalGroupsSequence[0].DerivationImageSequence = [step]
    unknown = Dataset()
    unknown.PatientComments = "converted"
    source.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = [unknown]
    evidence = Dataset()
    evidence.StudyInstanceUID, evidence.ReferencedSeriesSequence = source.StudyInstanceUID, []
    source.SourceImageEvidenceSequence = [evidence]
    source.save_as(path)
    ds = derive(only_scan(path), tmp_path / "out")
    (shared,) = ds.SharedFunctionalGroupsSequence
    assert "DerivationImageSequence" not in shared
    assert "UnassignedSharedConvertedAttributesSequence" not in shared
    for group in ds.PerFrameFunctionalGroupsSequence:
        first, own = group.DerivationImageSequence
        assert first.DerivationDescription == "an earlier step"
        assert own.DerivationDescription.startswith("ldct_clipdn ")
    (study,) = ds.SourceImageEvidenceSequence
    assert len(study.ReferencedSeriesSequence) == 1


@pytest.mark.parametrize("compression", ["jpeg-ls", "jpeg-2000", "rle"])
def test_compressed_objects(tmp_path: Path, compression: str) -> None:
    scan = only_scan(make_enhanced(tmp_path / "in" / "e.dcm"))
    plain = derive(scan, tmp_path / "out")
    recipe = replace(RECIPE, output=OutputOptions(compression=compression))
    small = derive(scan, tmp_path / "out", recipe=recipe)
    assert small.file_meta.TransferSyntaxUID == recipe.output.transfer_syntax
    assert (small.pixel_array == plain.pixel_array).all()


def test_a_written_object_is_known_again(tmp_path: Path) -> None:
    scan = only_scan(make_enhanced(tmp_path / "in" / "e.dcm"))
    folder = Path(derive(scan, tmp_path / "out").filename).parent
    sources = {identity(one): pixel_digest(read_slice(one).stored) for one in scan.instances}
    assert len(sources) == 3
    assert find_written(folder, sources)
    (folder / ".DS_Store").write_bytes(b"x")
    assert find_written(folder, sources)
    moved = folder.rename(folder.with_name("2.25.1"))  # another recipe has another series
    with pytest.raises(WriteError, match="was changed since"):
        find_written(moved, sources)


def test_two_objects_of_one_series_are_two_scans(tmp_path: Path) -> None:
    make_enhanced(tmp_path / "in" / "a.dcm")
    make_enhanced(tmp_path / "in" / "b.dcm")
    found = find_series(tmp_path / "in")
    assert [len(scan.instances) for scan in found] == [3, 3]
    assert len({scan.split_key for scan in found} - {""}) == 2
    folders = {Path(derive(scan, tmp_path / "out").filename).parent for scan in found}
    assert len(folders) == 2


def test_an_object_and_single_images_of_one_series_are_two_scans(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "a.dcm")
    uid = pydicom.dcmread(path).SeriesInstanceUID
    make_series(tmp_path / "in" / "b", series_uid=uid, slices=2)
    assert [len(scan.instances) for scan in find_series(tmp_path / "in")] == [3, 2]


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"rescale_type": "US"}, "skipped", "frame 1: the unit of its values is unspecified"),
        ({"rescale_type": "EFF_ATOMIC"}, "skipped", "frame 1: its values are no HU"),
        ({"frame_type": ("DERIVED", "PRIMARY", "PERFUSION", "RCBF")}, "skipped", "a map or"),
        ({"frame_type": ("DERIVED", "PRIMARY", "VOLUME", "NONE")}, "skipped", "frame 1: a derived"),
        ({"frame_type": ("ORIGINAL", "PRIMARY", "LOCALIZER", "NONE")}, "skipped", "frame 1: a loc"),
        ({"frame_type": ("ORIGINAL", "PRIMARY", "VOLUME", "MEAN")}, "skipped", "frame 1: an aver"),
        ({"extra": {"ConcatenationUID": "1.2.3"}}, "skipped", "one part of a concatenation"),
        ({"extra": {"NumberOfFrames": 4}}, "failed", "the number of frames is not that"),
        ({"slopes": ("1", "0"), "intercepts": ("0",)}, "failed", "frame 2: RescaleSlope is 0"),
    ],
)
def test_objects_that_are_no_ct_in_hu(
    tmp_path: Path, changes: dict[str, object], outcome: str, reason: str
) -> None:
    path = make_enhanced(tmp_path / "e.dcm", **changes)  # type: ignore[arg-type]
    found = find_series(path)
    assert found.scans == ()
    (one,) = found.unused
    assert one.outcome == outcome
    assert one.reason.startswith(reason)


def test_an_object_that_is_asked_for_is_flagged(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "e.dcm", rescale_type="US")
    (scan,) = find_series(path, admit=frozenset({"us"})).scans
    assert scan.notes == (
        "OUT_OF_DISTRIBUTION: the unit of its values is unspecified (RescaleType US)",
    )


def test_an_object_in_a_zip_archive(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "e.dcm", transfer_syntax=RLELossless)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(path, "deep/e.dcm")
    plain, packed = only_scan(path), only_scan(tmp_path / "z.zip")
    for one, other in zip(plain.instances, packed.instances, strict=True):
        assert (read_slice(one).stored == read_slice(other).stored).all()


def test_a_copy_of_an_object_is_used_once(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "in" / "a.dcm")
    (tmp_path / "in" / "b.dcm").write_bytes(path.read_bytes())
    found = find_series(tmp_path / "in")
    assert len(found.scans) == 1
    assert [one.reason for one in found.unused] == ["a copy of a.dcm"]
    edit(tmp_path / "in" / "b.dcm", PatientID="OTHER")
    assert find_series(tmp_path / "in").scans == ()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_frame_that_is_cut_off_is_an_error_and_the_object_is_not_written(
    tmp_path: Path, syntax: str
) -> None:
    path = make_enhanced(tmp_path / "in" / "e.dcm", transfer_syntax=syntax)
    path.write_bytes(path.read_bytes()[:-1500])
    scan = only_scan(path)
    assert read_slice(scan.instances[0]).stored.shape == (32, 32)
    with pytest.raises(DecodeError):
        read_slice(scan.instances[2])
    part = replace(scan, instances=scan.instances[:2], lost=1)
    with pytest.raises(WriteError, match="only 2 of 3 frames can be read"):
        derive(part, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def first_group(ds: Dataset) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[0]


def set_pixel(ds: Dataset, value: int) -> None:
    words = np.frombuffer(ds.PixelData, "<i2").copy()
    words[16 * 32 + 16] = value
    ds.PixelData = words.tobytes()


MISTAKES: list[tuple[Callable[[Dataset], object], str]] = [
    (lambda ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]), "ImageType"),
    (
        lambda ds: setattr(
            ds.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence[0],
            "FrameType", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        ),
        "frame 1: ImageType or FrameType",
    ),
    (lambda ds: delattr(first_group(ds), "DerivationImageSequence"), "last step"),
    (
        lambda ds: setattr(
            first_group(ds).DerivationImageSequence[0].SourceImageSequence[0],
            "ReferencedFrameNumber", 2,
        ),
        "does not name the source's frame",
    ),
    (lambda ds: delattr(ds, "SourceImageEvidenceSequence"), "SourceImageEvidence"),
    (lambda ds: delattr(first_group(ds), "FrameVOILUTSequence"), "functional groups"),
    (
        lambda ds: setattr(
            first_group(ds).PixelValueTransformationSequence[0], "RescaleIntercept", "0"
        ),
        "frame 1: RescaleIntercept differs",
    ),
    (
        lambda ds: setattr(
            first_group(ds).PlanePositionSequence[0], "ImagePositionPatient", ["0", "0", "0"]
        ),
        "frame 1: ImagePositionPatient differs",
    ),
    (lambda ds: set_pixel(ds, -2000), "frame 1: pixels have become padding"),
    (lambda ds: set_pixel(ds, -32768), "frame 1: pixels were wrapped around"),
    (lambda ds: setattr(ds, "LargestImagePixelValue", 3), "LargestImagePixelValue is not"),
    (lambda ds: setattr(ds, "PatientID", "OTHER"), "PatientID differs"),
    (lambda ds: setattr(ds, "ContentQualification", "PRODUCT"), "ContentQualification"),
    (lambda ds: setattr(ds, "NumberOfFrames", 2), "not 3 frames"),
    (lambda ds: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), "not 3 frames|SOPClass"),
    (lambda ds: first_group(ds).add_new(0xFFFAFFFA, "SQ", [Dataset()]), "still there"),
    (lambda ds: delattr(ds, "ContributingEquipmentSequence"), "ContributingEquipment"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "said"), MISTAKES)
def test_every_mistake_is_caught(
    tmp_path: Path, mistake: Callable[[Dataset], object], said: str
) -> None:
    path = make_enhanced(
        tmp_path / "in" / "e.dcm", padding=-2000, intercepts=("-31000", "0", "-1024"),
        extra={"LargestImagePixelValue": 7},
    )  # fmt: skip
    scan = only_scan(path)
    ds = derive(scan, tmp_path / "out")
    extremes = int(ds.pixel_array.min()), int(ds.pixel_array.max())
    assert check_object(scan.instances, Path(ds.filename), extremes) == []
    mistake(ds)
    ds.save_as(ds.filename)
    problems = check_object(scan.instances, Path(ds.filename), extremes)
    assert any(one in problem for one in said.split("|") for problem in problems), problems


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    scan = only_scan(make_enhanced(tmp_path / "in" / "e.dcm"))
    first, second = derive(scan, tmp_path / "a"), derive(scan, tmp_path / "b")
    assert Path(first.filename).read_bytes() == Path(second.filename).read_bytes()


def test_a_result_too_few_leaves_no_file(tmp_path: Path) -> None:
    scan = only_scan(make_enhanced(tmp_path / "in" / "e.dcm"))
    (tmp_path / "out").mkdir()
    some = list(results(scan))[:2]
    with pytest.raises(WriteError, match="2 of 3 frames came"):
        write_derived(scan, some, tmp_path / "out", RECIPE, time=TIME, number=1)
    assert not list((tmp_path / "out").iterdir())
