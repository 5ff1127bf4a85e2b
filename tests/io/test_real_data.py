"""Every readable file of real scanners: denoised by nothing it stays as it is, and stays valid."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from deriving import RECIPE, TIME, Workshop
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ldct_clipdn.cli.main import main
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.errors import ReadError
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.inference.denoise import denoise_slices
from ldct_clipdn.io.codecs import transfer_syntax
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.dicom_write import write_derived
from ldct_clipdn.io.files import open_file
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Instance, Result, Scan

pytestmark = [
    pytest.mark.data,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # headers are as odd as they come
]

CHEST = "ct/val/chest_lungdxA0002_siemens_b40f"


def single_scans(data: Path, part: str) -> Iterator[Scan]:
    """Find the series of each file by itself, as many quirks share one UID."""
    for path in sorted(one for one in (data / part).rglob("*") if one.is_file()):
        yield from find_series(path, admit=frozenset({"us"})).scans


def nothing_done(hu: np.ndarray) -> np.ndarray:
    return denoise_slices(hu[None], IdentityBackend(), strength=1.0)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("part", "at_least"), [("ct/train", 100), ("ct/val", 30), ("quirks", 35)])
def test_an_identity_network_gives_equal_stored_values(
    data: Path, workshop: Workshop, part: str, at_least: int
) -> None:
    checked = 0
    for scan in single_scans(data, part):
        try:
            before = [read_slice(one).stored for one in scan.instances]
        except ReadError:
            continue  # what cannot be read is another test's matter
        workshop.derive(scan, change=nothing_done)
        (derived,) = find_series(workshop.target, admit=frozenset({"own", "us"}))
        for one, stored in zip(derived.instances, before, strict=True):
            assert (read_slice(one).stored == stored).all(), scan.instances[0].path
        checked += len(before)
        shutil.rmtree(derived.instances[0].path.parent)
    assert checked >= at_least


def readable(source: Instance, folder: Path) -> Path:
    """Rewrite what dciodvfy does not read: deflated files and members of archives."""
    deflated = transfer_syntax(source.header) == DeflatedExplicitVRLittleEndian
    if source.path.is_file() and not deflated:
        return source.path
    folder.mkdir(exist_ok=True)
    with open_file(source.path) as file:
        ds = pydicom.dcmread(file)
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(folder / "readable.dcm")
    return folder / "readable.dcm"


def quotes_bad_uid(finding: str, uid: str) -> bool:
    """Say whether only the source's own bad UID is named again, where the source is referred to."""
    return "ReferencedSOPInstanceUID" in finding and f"<{uid}>" in finding


def one_of_each_series(data: Path) -> Iterator[Scan]:
    for part in ("ct/train", "ct/val"):
        for scan in find_series(data / part):
            yield replace(scan, instances=scan.instances[:1])
    for scan in single_scans(data, "quirks"):
        is_object = scan.instances[0].frame is not None
        yield scan if is_object else replace(scan, instances=scan.instances[:1])


def test_dciodvfy_finds_nothing_new(
    data: Path, workshop: Workshop, dciodvfy: Callable[[Path], Counter[str]]
) -> None:
    checked = 0
    for scan in one_of_each_series(data):
        try:
            workshop.derive(scan)
        except ReadError:
            continue
        (path,) = workshop.target.glob("*/*.dcm")
        source = scan.instances[0]
        new = dciodvfy(path) - dciodvfy(readable(source, workshop.source))
        assert not [one for one in new if not quotes_bad_uid(one, source.sop_uid)], source.path
        shutil.rmtree(path.parent)
        checked += 1
    assert checked >= 60


def dcm2niix(folder: Path, target: Path) -> nibabel.Nifti1Image:
    target.mkdir()
    command = ["dcm2niix", "-b", "n", "-f", "volume", "-o", target, folder]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = target.glob("*.nii")
    return nibabel.load(path)


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_a_chest_from_end_to_end(
    data: Path, tmp_path: Path, dciodvfy: Callable[[Path], Counter[str]]
) -> None:
    weights = tmp_path / "random.safetensors"
    save_denoiser(build_denoiser(encoder="tiny"), weights)
    out = tmp_path / "out"
    assert main(["denoise", str(data / CHEST), str(out), "--weights", str(weights), "-q"]) == 0
    (derived,) = (one for one in out.iterdir() if one.is_dir())
    (scan,) = find_series(data / CHEST)
    files = sorted(derived.iterdir())
    assert len(files) == len(scan.instances)
    before = sum((dciodvfy(one.path) for one in scan.instances), Counter[str]())
    assert sum(map(dciodvfy, files), Counter[str]()) - before == Counter()
    source = dcm2niix(data / CHEST, tmp_path / "a")
    result = dcm2niix(derived, tmp_path / "b")
    assert result.shape == source.shape
    assert np.array_equal(result.affine, source.affine)
    assert result.header.get_zooms() == source.header.get_zooms()
    assert not np.array_equal(result.get_fdata(), source.get_fdata())


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_dcm2niix_reads_equal_values_from_an_unchanged_chest(data: Path, tmp_path: Path) -> None:
    (scan,) = find_series(data / CHEST)
    slices = [(one, read_slice(one)) for one in scan.instances]
    results = (Result(one, each, nothing_done(each.hu)) for one, each in slices)
    folder = write_derived(scan, results, tmp_path, RECIPE, time=TIME, number=9)
    source, result = dcm2niix(data / CHEST, tmp_path / "a"), dcm2niix(folder, tmp_path / "b")
    assert np.array_equal(result.affine, source.affine)
    assert np.array_equal(result.get_fdata(), source.get_fdata())
