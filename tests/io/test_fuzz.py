"""Damaged and strange files: named in one line or read, never a crash, a hang or a full memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders import make_enhanced, make_series
from deriving import RECIPE, SYNTAXES, results, same
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ldct_clipdn.errors import LdctError
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.dicom_write import write_derived
from ldct_clipdn.io.find import find_series

quick = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make one good file of each kind."""
    folder = tmp_path_factory.mktemp("seeds")
    files = []
    for index, syntax in enumerate(SYNTAXES):
        options = {"transfer_syntax": syntax, "private": True, "slices": 1}
        files += make_series(folder / str(index), **options)  # type: ignore[arg-type]
        files.append(make_enhanced(folder / f"{index}.dcm", transfer_syntax=syntax))
    with zipfile.ZipFile(folder / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(files[0], "a.dcm")
    return [*files, folder / "z.zip"]


def use(folder: Path) -> int:
    """Take what is found all the way through; count the images that came out."""
    done = 0
    target = folder.with_name("target")
    target.mkdir(exist_ok=True)
    for scan in find_series(folder, admit=frozenset({"us"})):
        try:
            for one in scan.instances:
                assert np.isfinite(read_slice(one).hu).all()
            time = datetime(2026, 1, 1, tzinfo=UTC)
            out = target / str(len(list(target.iterdir())))
            out.mkdir()
            write_derived(scan, results(scan, same), out, RECIPE, time=time, number=1)
        except LdctError as error:
            assert "\n" not in str(error)  # noqa: PT017
            continue
        done += len(scan.instances)
    return done


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[str, float, int]]:
    """Draw what is done to a file, by position as a share of its length."""
    kind = st.sampled_from(["byte", "cut", "double", "zeros", "length"])
    return draw(st.lists(st.tuples(kind, st.floats(0, 1), st.integers(0, 255)), max_size=5))


def damaged(content: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    found = bytearray(content)
    for kind, share, value in changes:
        at = int(share * max(0, len(found) - 1))
        if kind == "byte" and found:
            found[at] = value
        elif kind == "cut":
            del found[at : at + value]
        elif kind == "double":
            found[at:at] = found[at : at + value]
        elif kind == "zeros":
            found[at : at + value] = bytes(len(found[at : at + value]))
        elif kind == "length":  # where a length may stand
            found[at : at + 4] = b"\xff\xff\xff" + bytes([value | 0x70])
    return bytes(found)


@settings(quick, max_examples=150)
@given(data=st.data())
def test_damaged_files_stop_nothing(tmp_path: Path, seeds: list[Path], data: st.DataObject) -> None:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    seed = data.draw(st.sampled_from(seeds))
    for path in folder.iterdir():
        path.unlink()
    target = folder / f"x{seed.suffix}"
    target.write_bytes(damaged(seed.read_bytes(), data.draw(damages())))
    use(folder)


STRANGE = {
    "Rows": "US", "Columns": "US", "BitsAllocated": "US", "BitsStored": "US", "HighBit": "US",
    "PixelRepresentation": "US", "SamplesPerPixel": "US", "NumberOfFrames": "IS",
    "RescaleSlope": "DS", "RescaleIntercept": "DS", "RescaleType": "LO", "ImageType": "CS",
    "ImagePositionPatient": "DS", "ImageOrientationPatient": "DS", "PixelSpacing": "DS",
    "SeriesInstanceUID": "UI", "SOPInstanceUID": "UI", "SOPClassUID": "UI", "SeriesNumber": "IS",
    "InstanceNumber": "IS", "AcquisitionNumber": "IS", "SeriesDescription": "LO",
    "DerivationDescription": "ST", "SpecificCharacterSet": "CS", "PatientName": "PN",
    "PixelPaddingValue": "US", "PixelPaddingRangeLimit": "SS", "WindowCenter": "DS",
    "LossyImageCompression": "CS", "LossyImageCompressionRatio": "DS",
    "DerivationCodeSequence": "SQ", "ContributingEquipmentSequence": "SQ",
    "TimezoneOffsetFromUTC": "SH", "ConvolutionKernel": "SH", "GantryDetectorTilt": "DS",
}  # fmt: skip
VALUES = [
    b"", b" ", b"0", b"-1", b"1e999", b"nan", b"1\\2\\3", b"\\", b"\\\\\\", b"1.2.3.4", b"\0\0",
    b"\xff\xff", b"\0\x80", b"\x10\0", b"\x1b$B", b"99999999999999999999", b"DERIVED\\PRIMARY",
    b"\xe4\xf6\xfc", b"x" * 300, b"1" * 65, b"ISO_IR 192", b"\\ISO 2022 IR 87",
]  # fmt: skip


@settings(quick, max_examples=150)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(sorted(STRANGE)), st.sampled_from(VALUES)), min_size=1, max_size=4
    ),
    is_object=st.booleans(),
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_strange_headers_stop_nothing(
    tmp_path: Path, seeds: list[Path], changes: list[tuple[str, bytes]], is_object: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    ds = pydicom.dcmread(seeds[1 if is_object else 0])
    for keyword, value in changes:
        tag = Tag(tag_for_keyword(keyword) or 0)
        padded = value + b" " * (len(value) % 2)
        ds[tag] = RawDataElement(tag, STRANGE[keyword], len(padded), padded, 0, False, True)
    try:
        ds.save_as(folder / "x.dcm")
    except (KeyError, OSError, ValueError):
        reject()  # pydicom itself cannot write it
    use(folder)


def test_the_seeds_are_good(tmp_path: Path, seeds: list[Path]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in seeds:
        path = Path(shutil.copy(seed, folder))
        assert use(folder) in (1, 3)
        path.unlink()


def greedy(folder: Path) -> Iterator[Path]:
    """Make small files that ask for much memory."""
    (path,) = make_series(folder / "plain", slices=1)
    content = path.read_bytes()
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        (one,) = make_series(folder / syntax, slices=1, rows=64, columns=64, transfer_syntax=syntax)
        ds = pydicom.dcmread(one)
        ds.Rows, ds.Columns = 4096, 4096
        ds.save_as(one)
        yield one
        stream = bytearray(one.read_bytes())
        for at in range(len(stream) - 4):  # a code stream that says that it is large
            if stream[at : at + 4] == b"\xff\x4f\xff\x51":
                stream[at + 8 : at + 16] = b"\x7f\xff\xff\xff" * 2
            elif stream[at : at + 2] == b"\xff\xf7":
                stream[at + 5 : at + 9] = b"\xff\xff\xff\xff"
        one.with_name("stream.dcm").write_bytes(stream)
        yield one.with_name("stream.dcm")
    huge = content.replace(b"\x28\0\x10\0US\2\0\x20\0", b"\x28\0\x10\0US\2\0\xff\xff")
    for name, changed in {
        "rows": huge,
        "both": huge.replace(b"\x28\0\x11\0US\2\0\x20\0", b"\x28\0\x11\0US\2\0\xff\xff"),
        "length": content.replace(
            b"\xe0\x7f\x10\0OW\0\0\0\x08\0\0", b"\xe0\x7f\x10\0OW\0\0\0\0\0\x7f"
        ),
    }.items():
        assert changed != content
        (folder / f"{name}.dcm").write_bytes(changed)
        yield folder / f"{name}.dcm"
    zeros = folder / "zeros"
    zeros.write_bytes(content[:132] + bytes(2**26))
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(zeros, "zeros.dcm")
    zeros.unlink()
    yield folder / "bomb.zip"
    (folder / "hole.dcm").write_bytes(content[: content.index(b"\x10\0\x10\0PN")])
    with (folder / "hole.dcm").open("ab") as file:
        file.truncate(2**26)  # a download that was cut off: zeros to the end
    yield folder / "hole.dcm"


GREEDY = """
import json, resource, sys
from pathlib import Path
from ldct_clipdn.errors import LdctError
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series

# fails instead of taking the machine down
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
peaks = {}
for name in sys.argv[1:]:
    for scan in find_series(Path(name)):
        for one in scan.instances:
            try:
                read_slice(one)
            except LdctError:
                pass
    status = Path("/proc/self/status").read_text()
    peaks[name] = int(status.split("VmHWM:")[1].split()[0]) // 1024
print(json.dumps(peaks))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to ask for memory")
def test_greedy_files_do_not_fill_the_memory(tmp_path: Path) -> None:
    files = [str(path) for path in greedy(tmp_path / "in")]
    command = [sys.executable, "-c", GREEDY, *files]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    peaks = json.loads(done.stdout)
    assert list(peaks) == files
    assert max(peaks.values()) < 400, peaks  # MiB
