from __future__ import annotations

import itertools
import mmap
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ldct_clipdn.core.whole_file import UNFINISHED
from ldct_clipdn.errors import ReadError, WriteError
from ldct_clipdn.io import volume_write
from ldct_clipdn.io.volume import Volume
from ldct_clipdn.io.volume_write import denoised_name, write_volume_like
from ldct_clipdn.io.volumes import data_files, is_volume, open_volume, stem_and_suffix

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
AXES = [
    "".join(sense[1 - (flip >> place & 1)] for place, sense in enumerate(order))
    for order in itertools.permutations(("LR", "PA", "SI"))
    for flip in range(8)
]
"""All 48 ways in which a file's axes may run."""

SPACING = (0.7, 0.8, 2.5)
ORIGIN = (-12.5, 30.25, -410.75)


def a_volume(slices: int = 3, rows: int = 4, columns: int = 5) -> NDArray[np.int16]:
    """Make [Z, H, W] in which every voxel is another value, from the feet up."""
    return (np.arange(slices * rows * columns, dtype=np.int16) - 1000).reshape(
        slices, rows, columns
    )


def write(path: Path, values: NDArray[np.generic], *, axes: str = "LPS") -> None:
    """Write a volume by SimpleITK, its axes turned as asked for."""
    image = SimpleITK.GetImageFromArray(values)  # an identity direction: LPS
    image.SetSpacing(SPACING[: image.GetDimension()])
    image.SetOrigin(ORIGIN[: image.GetDimension()])
    if axes != "LPS":
        image = SimpleITK.DICOMOrient(image, axes)
    SimpleITK.WriteImage(image, str(path))


def whole(volume: Volume) -> NDArray[np.float32]:
    return np.stack(list(volume.frames()))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_slices_are_shown_as_dicom_shows_them(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"case{suffix}"
    write(path, a_volume())
    volume = open_volume(path)
    assert volume.shape == (3, 4, 5)
    assert volume.frame(2).dtype == np.float32
    assert np.array_equal(whole(volume), a_volume())
    assert volume.spacing_mm == pytest.approx((0.8, 0.7))
    assert volume.step_mm == pytest.approx(2.5)
    assert volume.dtype == np.int16


@pytest.mark.parametrize("suffix", [".nii", ".mha"])
@pytest.mark.parametrize("axes", AXES)
def test_however_the_axes_run_the_slices_are_the_same(
    tmp_path: Path, suffix: str, axes: str
) -> None:
    path = tmp_path / f"case{suffix}"
    write(path, a_volume(), axes=axes)
    volume = open_volume(path)
    assert np.array_equal(whole(volume), a_volume())
    assert volume.spacing_mm == pytest.approx((0.8, 0.7))
    assert volume.step_mm == pytest.approx(2.5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAL"])
def test_the_affine_is_the_one_of_nibabel(tmp_path: Path, suffix: str, axes: str) -> None:
    path, twin = tmp_path / f"case{suffix}", tmp_path / "twin.nii"
    write(path, a_volume(), axes=axes)
    write(twin, a_volume(), axes=axes)
    assert np.allclose(open_volume(path).affine, nibabel.load(twin).affine, atol=1e-4)


@given(slope=st.sampled_from([0.25, 1.0, 2.5]), intercept=st.sampled_from([-1024.0, 0.0, 10.5]))
def test_scaling_of_the_header_is_applied(
    tmp_path_factory: pytest.TempPathFactory, slope: float, intercept: float
) -> None:
    path = tmp_path_factory.mktemp("scaled") / "case.nii.gz"
    image = nibabel.Nifti1Image(a_volume().T, np.diag([-0.7, -0.8, 2.5, 1.0]))
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, path)
    assert np.allclose(whole(open_volume(path)), a_volume() * slope + intercept)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "<u2", "i4", "<f4", ">f4", "f8"])
def test_types_and_byte_orders(tmp_path: Path, dtype: str) -> None:
    values = np.arange(60).reshape(3, 4, 5).astype(dtype)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    header = nibabel.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    nibabel.save(nibabel.Nifti1Image(values.T, affine, header), tmp_path / "case.nii")
    volume = open_volume(tmp_path / "case.nii")
    assert volume.dtype == np.dtype(dtype)
    assert np.array_equal(whole(volume), values.astype(np.float32))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_one_slice_alone(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"flat{suffix}", a_volume()[0])
    volume = open_volume(tmp_path / f"flat{suffix}")
    assert volume.shape == (1, 4, 5)
    assert np.array_equal(volume.frame(0), a_volume()[0])


def test_a_fourth_axis_of_length_one_is_no_matter(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(a_volume().T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0]))
    nibabel.save(image, tmp_path / "case.nii.gz")
    assert np.array_equal(whole(open_volume(tmp_path / "case.nii.gz")), a_volume())


def test_an_oblique_volume_is_cut_along_its_own_axes(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(a_volume())
    cosine, sine = np.cos(0.3), np.sin(0.3)
    image.SetDirection((1, 0, 0, 0, cosine, -sine, 0, sine, cosine))
    SimpleITK.WriteImage(image, str(tmp_path / "tilted.nii.gz"))
    assert np.array_equal(whole(open_volume(tmp_path / "tilted.nii.gz")), a_volume())


def test_the_header_alone_is_read_until_a_slice_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "case.nii"
    write(path, a_volume())
    path.write_bytes(path.read_bytes()[:-20])
    volume = open_volume(path)
    assert volume.shape == (3, 4, 5)
    with pytest.raises(ReadError, match="no readable volume") as error:
        volume.frame(0)
    assert error.value.path == path


def test_a_plain_nifti_is_mapped_not_loaded(tmp_path: Path) -> None:
    write(tmp_path / "case.nii", a_volume())
    owner: object = open_volume(tmp_path / "case.nii").stored
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)


@pytest.mark.parametrize(
    ("name", "compressed", "cause"),
    [
        ("v.nii", False, "Expected 512 bytes, got 462 bytes from "),
        ("v.mha", False, "it was cut off, 462 of 512 bytes of pixels are there"),
        ("v.mha", True, "it was cut off, "),
        ("v.mhd", False, "it was cut off, 462 of 512 bytes of pixels are there"),
        ("v.mhd", True, "it was cut off, "),
    ],
)
def test_a_volume_that_was_cut_off_says_so(
    tmp_path: Path, name: str, compressed: bool, cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(-1000, 1000, (4, 8, 8), dtype=np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(noise), str(path), compressed)
    pixels = data_files(path)[-1]
    pixels.write_bytes(pixels.read_bytes()[:-50])
    with pytest.raises(ReadError) as caught:
        open_volume(path).frame(0)
    assert caught.value.reason.startswith(f"no readable volume: {cause}")
    assert capfd.readouterr() == ("", "")  # ITK prints of its own accord


def test_a_header_whose_pixels_are_gone_names_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "v.mhd", a_volume())
    (tmp_path / "v.raw").unlink()
    with pytest.raises(ReadError, match=r"the file of its pixels is not there \(v\.raw\)"):
        open_volume(tmp_path / "v.mhd").frame(0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fields", "pixels"),
    [
        ({}, {"v.raw": slice(None)}),
        ({"HeaderSize": "-1"}, {"v.raw": slice(None)}),
        ({"ElementDataFile": "LIST\na\nb\nc"}, {"a": slice(1), "b": slice(1, 2), "c": slice(2, 3)}),
        (
            {"ElementDataFile": "p%d.raw 0 2 1"},
            {"p0.raw": slice(1), "p1.raw": slice(1, 2), "p2.raw": slice(2, 3)},
        ),
        ({"CompressedDataSize": "1000"}, {"v.raw": slice(None)}),  # of what is not compressed
        ({"BinaryData": "False"}, {"v.raw": None}),
    ],
)
def test_whole_pixels_are_read_wherever_they_lie(
    tmp_path: Path, fields: dict[str, str], pixels: dict[str, slice | None]
) -> None:
    own = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "5 4 3"}
    last = {"ElementType": "MET_SHORT", "ElementDataFile": "v.raw"}
    header = {**own, **{key: one for key, one in fields.items() if key not in last}, **last}
    header["ElementDataFile"] = fields.get("ElementDataFile", "v.raw")
    (tmp_path / "v.mhd").write_text("".join(f"{key} = {one}\n" for key, one in header.items()))
    for name, part in pixels.items():
        text = "".join(f"{one} " for one in a_volume().ravel())
        (tmp_path / name).write_bytes(text.encode() if part is None else a_volume()[part].tobytes())
    assert np.array_equal(whole(open_volume(tmp_path / "v.mhd")), a_volume())


def damaged(path: Path, how: str) -> None:
    if how == "many":
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.int16), np.eye(4)), path)
    elif how == "colour":
        image = SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorUInt8, 3)
        SimpleITK.WriteImage(image, str(path))
    elif how == "complex":
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.complex64), np.eye(4)), path)
    elif how == "no direction":
        header = nibabel.Nifti1Header()
        header.set_data_shape((4, 4, 4))
        header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
        path.write_bytes(header.binaryblock + bytes(4) + bytes(4 * 64))
    else:
        write(path, np.random.default_rng(0).normal(0, 300, (9, 32, 32)).astype(np.int16))
        content = path.read_bytes()
        path.write_bytes(
            {"empty": b"", "text": b"no volume", "cut": content[: len(content) // 2]}[how]
        )


@pytest.mark.parametrize(
    ("name", "how", "reason"),
    [
        *((f"case{suffix}", "empty", "the file is empty") for suffix in SUFFIXES),
        *((f"case{suffix}", "text", "no readable volume") for suffix in SUFFIXES),
        *((f"case{suffix}", "cut", "no readable volume") for suffix in SUFFIXES),
        ("case.nii.gz", "many", "4 x 4 x 4 x 2 voxels are no single volume"),
        ("case.nii.gz", "complex", "complex64"),
        ("case.nii", "no direction", "no direction"),
        ("case.nrrd", "colour", "several values per voxel"),
        ("case.mha", "colour", "several values per voxel"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_plain_error(
    tmp_path: Path, name: str, how: str, reason: str
) -> None:
    damaged(tmp_path / name, how)
    with pytest.raises(ReadError, match=reason) as error:
        open_volume(tmp_path / name).frame(0)
    assert error.value.path == tmp_path / name
    assert "\n" not in str(error.value)


def test_names_that_are_no_volume(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file"):
        open_volume(tmp_path / "nowhere.nii")
    (tmp_path / "image.png").write_bytes(b"x")
    with pytest.raises(ReadError, match=r"no volume\. Give one of"):
        open_volume(tmp_path / "image.png")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("liver.1.nii.gz", ("liver.1", ".nii.gz")),
        ("A.NII", ("A", ".nii")),
        ("x.nhdr", ("x", ".nhdr")),
        ("x.dcm", ("x.dcm", "")),
    ],
)
def test_names_are_parted(name: str, parts: tuple[str, str]) -> None:
    assert stem_and_suffix(Path(name)) == parts
    assert is_volume(Path(name)) == bool(parts[1])


def test_a_detached_header_counts_its_pixels(tmp_path: Path) -> None:
    write(tmp_path / "case.mhd", a_volume())
    write(tmp_path / "case2.mhd", a_volume())
    assert [one.name for one in data_files(tmp_path / "case.mhd")] == ["case.mhd", "case.raw"]
    write(tmp_path / "case.nii", a_volume())
    assert data_files(tmp_path / "case.nii") == (tmp_path / "case.nii",)


@pytest.mark.parametrize(
    ("low", "high", "doubted"),
    [(0, 255, True), (0, 1, True), (-160, 240, True), (-1000, 40, False), (-500, 300, False)],
)
def test_values_that_seem_to_be_no_hu_are_doubted(
    tmp_path: Path, low: float, high: float, doubted: bool
) -> None:
    write(tmp_path / "case.mha", np.linspace(low, high, 60, dtype=np.float32).reshape(3, 4, 5))
    assert bool(open_volume(tmp_path / "case.mha").doubt()) == doubted


def test_what_is_no_number_raises_no_doubt(tmp_path: Path) -> None:
    hu = np.linspace(-1000, 40, 60, dtype=np.float32).reshape(3, 4, 5)
    hu[0, 0, 0] = np.nan
    write(tmp_path / "case.mha", hu)
    assert open_volume(tmp_path / "case.mha").doubt() == ""


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "anatomical_big_endian.nii", "ball_gzip.nrrd", "ball_raw.nhdr", "made_ct.mha",
        "ct_avm_uint8_scaled.nii.gz", "made_ct2.mhd", "made_ct_float32.nii", "made_ct_int16.nii.gz",
    ],
)  # fmt: skip
def test_real_files_read_as_itk_reads_them(data: Path, name: str) -> None:
    path = data / "quirks" / name
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
    volume = open_volume(path)
    expected = SimpleITK.GetArrayFromImage(image).astype(np.float32)
    assert np.allclose(whole(volume), expected, atol=1e-3)
    assert (*reversed(volume.spacing_mm), volume.step_mm) == pytest.approx(image.GetSpacing())


# --- writing ---------------------------------------------------------------------------------


def changed(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stand in for a denoiser: every value becomes another, most of them no whole number."""
    return hu + np.float32(3.3) + np.arange(hu.shape[-1], dtype=np.float32)


def rewrite(path: Path, target: Path) -> Volume:
    source = open_volume(path)
    write_volume_like(source, map(changed, source.frames()), target)
    return open_volume(target)


def headers_as_text(path: Path) -> dict[str, str]:
    image = nibabel.load(path)
    fields = {name: str(image.header[name]) for name in image.header}
    return {**fields, "extensions": str([e.get_content() for e in image.header.extensions])}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("axes", ["LPS", "RAS", "ASL"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_result_differs_in_values_alone(
    tmp_path: Path, suffix: str, axes: str, compressed: bool
) -> None:
    path, target = tmp_path / f"case{suffix}", tmp_path / "out" / f"case_denoised{suffix}"
    write(path, np.repeat(a_volume(), 20, axis=2), axes=axes)
    if compressed and suffix not in (".nii", ".nii.gz"):
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(path), useCompression=True)
    rewrite(path, target)
    before, after = (SimpleITK.ReadImage(str(one)) for one in (path, target))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelIDTypeAsString"):
        assert getattr(after, name)() == getattr(before, name)(), name
    shown = [
        SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(one, "LPS")) for one in (before, after)
    ]
    assert np.array_equal(shown[1], np.rint(changed(shown[0].astype(np.float32))))
    left = {one.name for one in (tmp_path / "out").iterdir()}
    assert left == {one.name for one in data_files(target)}
    if suffix in (".nrrd", ".mha") and compressed:
        assert target.stat().st_size < shown[1].nbytes


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("codes", [(1, 0), (0, 2), (1, 4), (0, 0)])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<u2", "<f4"])
def test_every_nifti_field_and_extension_is_kept(
    tmp_path: Path, suffix: str, codes: tuple[int, int], dtype: str
) -> None:
    path, target = tmp_path / f"case{suffix}", tmp_path / f"case_denoised{suffix}"
    header = nibabel.Nifti1Header(endianness=dtype[0] if dtype[0] in "<>" else "<")
    header.set_data_dtype(dtype)
    header.set_slope_inter(2.0, -1024.0)
    header.set_xyzt_units("mm", "sec")
    header["descrip"], header["aux_file"], header["cal_max"] = b"from the scanner", b"none", 300
    header["toffset"], header["slice_code"], header["intent_name"] = 1.5, 3, b"CT"
    header.set_data_shape((4, 3, 2))
    affine = np.array([[-0.7, 0, 0, 9], [0, 0.7, 0.1, -5], [0, -0.1, 2.5, 3], [0, 0, 0, 1]])
    header.set_qform(affine, codes[0], strip_shears=True)
    header.set_sform(affine, codes[1])
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a word on this"))
    values = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values.T, None, header)
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, path)
    rewrite(path, target)
    assert headers_as_text(target) == headers_as_text(path)
    assert nibabel.load(target).header.binaryblock[:352] == nibabel.load(path).header.binaryblock
    assert np.array_equal(nibabel.load(target).affine, nibabel.load(path).affine)
    assert nibabel.load(target).dataobj.slope == 2.0
    wanted = np.stack([changed(one) for one in open_volume(path).frames()])
    assert np.abs(whole(open_volume(target)) - wanted).max() <= (1e-3 if dtype == "<f4" else 1.01)


def test_the_dictionary_of_an_nrrd_is_kept(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(a_volume())
    image.SetMetaData("Kernel", "B30f")
    SimpleITK.WriteImage(image, str(tmp_path / "case.nrrd"))
    rewrite(tmp_path / "case.nrrd", tmp_path / "case_denoised.nrrd")
    result = SimpleITK.ReadImage(str(tmp_path / "case_denoised.nrrd"))
    assert result.GetMetaData("Kernel") == "B30f"


def test_values_beyond_the_type_are_limited_not_wrapped(tmp_path: Path) -> None:
    write(tmp_path / "case.mha", np.array([[[-32768, 0, 32767]]], np.int16))
    source = open_volume(tmp_path / "case.mha")
    write_volume_like(source, [source.frame(0) * np.float32(2)], tmp_path / "out.mha")
    assert open_volume(tmp_path / "out.mha").frame(0).tolist() == [[-32768.0, 0.0, 32767.0]]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_flat_image_stays_flat(tmp_path: Path, suffix: str) -> None:
    path, target = tmp_path / f"flat{suffix}", tmp_path / f"flat_denoised{suffix}"
    write(path, a_volume()[0])
    rewrite(path, target)
    before, after = (SimpleITK.ReadImage(str(one)) for one in (path, target))
    assert after.GetSize() == before.GetSize()
    assert np.array_equal(
        open_volume(target).frame(0), np.rint(changed(open_volume(path).frame(0)))
    )


def test_wrong_slices_and_names_leave_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path / "case.nii.gz", a_volume())
    source = open_volume(tmp_path / "case.nii.gz")
    frames = list(source.frames())
    target = tmp_path / "out" / "case.nii.gz"
    for wrong in (frames[:2], [*frames, frames[0]], [one.T for one in frames]):
        with pytest.raises(WriteError):
            write_volume_like(source, wrong, target)
    with pytest.raises(WriteError, match=r"Name it case_denoised\.nii\.gz"):
        write_volume_like(source, frames, tmp_path / "out" / "case.mha")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_bad_result_never_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "case.nii.gz", a_volume())
    source = open_volume(tmp_path / "case.nii.gz")
    write_nifti = volume_write._write_nifti

    def cut(source: Volume, stored: NDArray[np.int16], path: Path) -> None:
        write_nifti(source, stored, path)
        path.write_bytes(path.read_bytes()[:40])

    def other(source: Volume, stored: NDArray[np.int16], path: Path) -> None:
        write_nifti(source, stored + 1, path)

    for spoilt, reason in ((cut, "cannot be read"), (other, "does not read back")):
        monkeypatch.setattr(volume_write, "_write_nifti", spoilt)
        with pytest.raises(WriteError, match=reason):
            write_volume_like(source, source.frames(), tmp_path / "out" / "case.nii.gz")
    assert not list((tmp_path / "out").iterdir())


def test_what_is_not_finished_bears_the_name_by_which_it_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "case.nrrd", a_volume())
    source = open_volume(tmp_path / "case.nrrd")
    seen: list[Path] = []
    monkeypatch.setattr(volume_write, "_check", lambda *_: seen.extend(tmp_path.iterdir()))
    write_volume_like(source, source.frames(), tmp_path / "out.nrrd")
    (unfinished,) = set(seen) - {source.path}
    assert unfinished.match(UNFINISHED)


def test_a_place_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    write(tmp_path / "case.nrrd", a_volume())
    source = open_volume(tmp_path / "case.nrrd")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError, match="cannot be written"):
        write_volume_like(source, source.frames(), tmp_path / "file" / "case.nrrd")


@pytest.mark.parametrize(
    ("name", "result"), [("a.b.nii.gz", "a.b_denoised.nii.gz"), ("x.MHA", "x_denoised.mha")]
)
def test_results_are_named_after_their_source(name: str, result: str) -> None:
    assert denoised_name(Path(name)) == result


@pytest.mark.data
@pytest.mark.parametrize("name", ["ct_avm_uint8_scaled.nii.gz", "anatomical_big_endian.nii"])
def test_real_nifti_headers_are_kept(data: Path, tmp_path: Path, name: str) -> None:
    rewrite(data / "quirks" / name, tmp_path / name)
    assert headers_as_text(tmp_path / name) == headers_as_text(data / "quirks" / name)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("v.mhd", "ElementDataFile = /etc/passwd"),
        ("v.mhd", "ElementDataFile = ../secret.raw"),
        ("v.mhd", "ElementDataFile = LIST\na.raw\n/etc/passwd"),
        ("v.mha", "ElementDataFile = ..\\\\secret.raw"),
        ("v.nhdr", "data file: /etc/passwd"),
        ("v.nrrd", "data file: ../secret.raw"),
        ("v.nrrd", "DATAFILE:../secret.raw"),
        ("v.nhdr", "content: x\rdata file: ../secret.raw"),
        ("v.mhd", "ElementDataFile\t= ../secret.raw"),
        ("v.mhd", " \v\f ElementDataFile = ../secret.raw"),
        ("v.mha", "ElementDataFile : ../secret.raw"),
        ("v.mhd", "ElementDataFile = = /etc/passwd"),
        ("v.mhd", "ElementDataFile\n= ../secret.raw"),
        ("v.mhd", "ElementDataFile\0 = ../secret.raw"),
        ("v.mha", "Comment = a\n\nElementDataFile = ../secret.raw"),
        ("v.mha", "Comment = ElementDataFile = LOCAL\nElementDataFile = ../secret.raw"),
    ],
)
def test_pixels_elsewhere_on_the_machine_are_never_read(
    tmp_path: Path, name: str, line: str
) -> None:
    """A header that someone sent must not carry a file of this machine into a result."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(2 * 8**3))
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: 8 8 8\nendian: little\nencoding: raw\n"
    meta = "ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementType = MET_SHORT\n"
    header = (meta if "mh" in name else nrrd) + line + "\n"
    (tmp_path / "in" / name).write_text(header)
    with pytest.raises(ReadError, match="its pixels lie outside its folder"):
        open_volume(tmp_path / "in" / name)


@pytest.mark.parametrize("suffix", [".mhd", ".mha", ".nhdr", ".nrrd"])
def test_a_name_behind_a_long_comment_is_not_overlooked(tmp_path: Path, suffix: str) -> None:
    """Whatever ITK would read there, a header whose end is not seen is not trusted."""
    header_suffix = ".mhd" if "mh" in suffix else ".nhdr"
    write(tmp_path / f"v{header_suffix}", a_volume())
    lines = (tmp_path / f"v{header_suffix}").read_text().splitlines()
    comment = "\n" * 70_000 if "mh" in suffix else "\n".join(["#" + "c" * 70] * 1000)
    (tmp_path / f"long{suffix}").write_text("\n".join([*lines[:-1], comment, lines[-1], ""]))
    assert SimpleITK.ReadImage(str(tmp_path / f"long{suffix}")).GetSize() == (5, 4, 3)
    with pytest.raises(ReadError, match="its header does not end within 64 KiB"):
        open_volume(tmp_path / f"long{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_an_attached_volume_may_be_long(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"v{suffix}", a_volume(20, 64, 64))
    assert (tmp_path / f"v{suffix}").stat().st_size > 2**17
    assert np.array_equal(open_volume(tmp_path / f"v{suffix}").frame(19), a_volume(20, 64, 64)[19])
    assert data_files(tmp_path / f"v{suffix}") == (tmp_path / f"v{suffix}",)


@pytest.mark.parametrize(
    ("name", "old", "new", "pixels"),
    [
        ("v.mhd", "ElementDataFile = ", " ElementDataFile\t: ", ["other.bin"]),
        ("v.mha", "", "", ["other.bin"]),
        ("v.nhdr", "data file: ", "datafile:", ["other.bin"]),
        ("v.nrrd", "", "", ["other.bin"]),
        ("v.mhd", "other.bin", "LIST\na.bin\nb.bin", ["a.bin", "b.bin"]),
    ],
)
def test_the_pixels_count_however_they_are_named(
    tmp_path: Path, name: str, old: str, new: str, pixels: list[str]
) -> None:
    suffix = ".mhd" if "mh" in name else ".nhdr"
    write(tmp_path / f"v{suffix}", a_volume())
    for one in ("other.bin", "a.bin", "b.bin"):
        (tmp_path / one).write_bytes(a_volume().tobytes())
    header = (tmp_path / f"v{suffix}").read_text()
    header = header.replace("v.raw.gz", "other.bin").replace("v.raw", "other.bin")
    (tmp_path / name).write_text(header.replace(old, new) if old else header)
    assert data_files(tmp_path / name) == (tmp_path / name, *(tmp_path / one for one in pixels))


def test_a_pixel_file_that_cannot_exist_is_one_plain_error(tmp_path: Path) -> None:
    write(tmp_path / "v.mhd", a_volume())
    header = (tmp_path / "v.mhd").read_text().replace("v.raw", "a" * 300)
    (tmp_path / "v.mhd").write_text(header)
    assert data_files(tmp_path / "v.mhd") == (tmp_path / "v.mhd", tmp_path / "v.raw")
