"""NIfTI, NRRD and MetaImage files in the same run as DICOM series."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from builders import body_hu, make_series

from ldct_clipdn.batch.run import RunOptions, denoise_study, plan_study
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.inference.backends.identity import IdentityBackend
from ldct_clipdn.inference.denoise import denoise_hu

IDENTITY = RunOptions(backend="identity")
TAKEN = ("no-air",)
SHAPE = (5, 48, 40)


def hu(seed: int = 0) -> np.ndarray:
    return np.stack([body_hu(*SHAPE[1:], seed=seed + z) for z in range(SHAPE[0])]).round()


def write(path: Path, values: np.ndarray, dtype: str = "int16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(values.astype(dtype))
    image.SetSpacing((0.7, 0.8, 2.5))
    SimpleITK.WriteImage(image, str(path))
    return path


def read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha", "v.mhd", "v.nhdr"])
def test_every_kind_and_an_identity_changes_nothing(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "in" / name, hu())
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 0
    result = tmp_path / "out" / name.replace("v.", "v_denoised.")
    np.testing.assert_array_equal(read(result), hu())
    assert SimpleITK.ReadImage(str(result)).GetSpacing() == pytest.approx((0.7, 0.8, 2.5))
    (record,) = manifest.series
    assert (record.source_uid, record.derived_uid) == (name, result.name)
    assert (record.slices, record.status) == (5, "denoised")
    assert record.quality["largest_change_hu"] == 0
    outcomes = {one.path: (one.outcome, one.reason) for one in manifest.inputs}
    pixels = {one.name for one in source.parent.iterdir()} - {name}
    assert outcomes == {
        name: ("denoised", ""),
        **dict.fromkeys(pixels, ("skipped", f"holds the pixels of {name}")),
    }
    assert not list((tmp_path / "out").glob(".*.partial"))


def test_values_are_those_of_denoise_hu(tmp_path: Path) -> None:
    save_denoiser(build_denoiser(encoder="tiny"), tmp_path / "w.safetensors")
    source = write(tmp_path / "ct.nii.gz", hu(), "float32")
    options = RunOptions(tmp_path / "w.safetensors", strength=0.5)
    denoise_study(source, tmp_path / "out", options)
    expected = denoise_hu(hu(), tmp_path / "w.safetensors", strength=0.5)
    np.testing.assert_allclose(read(tmp_path / "out" / "ct_denoised.nii.gz"), expected, atol=0.01)
    assert np.abs(expected - hu()).max() > 5


def test_series_and_volumes_in_one_run(tmp_path: Path) -> None:
    make_series(tmp_path / "in" / "dicom")
    write(tmp_path / "in" / "deep" / "v.mha", hu())
    seen: list[tuple[int, int]] = []
    manifest = denoise_study(
        tmp_path / "in", tmp_path / "out", IDENTITY, progress=lambda *now: seen.append(now)
    )
    assert [one.status for one in manifest.series] == ["denoised", "denoised"]
    assert (seen[0], seen[-1]) == ((0, 8), (8, 8))
    only = RunOptions(backend="identity", series=("Modality=CT",))
    manifest = denoise_study(tmp_path / "in", tmp_path / "other", only)
    told = {one.path: (one.outcome, one.reason) for one in manifest.inputs}
    reason = "a volume: it has no DICOM attributes, by which --series chooses"
    assert told["deep/v.mha"] == ("skipped", reason)


def test_a_second_run_computes_nothing_and_another_recipe_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "v.nii", hu())
    first = denoise_study(source, tmp_path / "out", IDENTITY)
    before = (tmp_path / "out" / "v_denoised.nii").stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(IdentityBackend, "__call__", lambda *_: pytest.fail("computed again"))
        second = denoise_study(source, tmp_path / "out", IDENTITY)
    assert second.exit_code == 0
    assert second.series[0].quality == json.loads(json.dumps(first.series[0].quality))
    other = denoise_study(source, tmp_path / "out", RunOptions(strength=0, batch_size=2))
    assert other.exit_code == 1
    assert other.inputs[0].reason == (
        f"{tmp_path / 'out'}: its result is there already, made with other settings (batch, "
        "strength). Give another output folder, or move away what is there"
    )
    assert (tmp_path / "out" / "v_denoised.nii").stat().st_ino == before


@pytest.mark.parametrize("made", ["elsewhere", "of another", "changed"])
def test_what_lies_in_the_place_of_a_result_is_told(tmp_path: Path, made: str) -> None:
    source = write(tmp_path / "v.nii", hu())
    result = tmp_path / "out" / "v_denoised.nii"
    if made == "elsewhere":
        write(result, hu())
    else:
        denoise_study(source, tmp_path / "out", IDENTITY)
        write(source if made == "of another" else result, hu(1))
    (record,) = denoise_study(source, tmp_path / "out", IDENTITY).inputs
    told = {
        "elsewhere": "there is a file of another origin in the place of its result",
        "of another": "its result is there already, made from another file",
        "changed": "its result is there already, and was changed after it was written",
    }
    assert record.reason.startswith(f"{result.parent}: {told[made]}. Give another output folder")


def test_no_numbers_stay_and_are_never_fed_to_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = hu()
    values[:, :4] = np.nan
    lowest = []
    monkeypatch.setattr(
        IdentityBackend,
        "__call__",
        lambda _, batch: lowest.append(batch[..., :4, :].max()) or batch,
    )
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag([-1, -1, 1, 1])), tmp_path / "v.nii")
    manifest = denoise_study(tmp_path / "v.nii", tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 0
    assert manifest.series[0].notes == (
        f"NaN or infinite: {SHAPE[0] * 4 * SHAPE[2]} voxels, air to the network, left as read",
    )
    result = nibabel.load(tmp_path / "out" / "v_denoised.nii")  # SimpleITK reads NaN as 0
    np.testing.assert_array_equal(np.asarray(result.dataobj).T, values)
    assert set(lowest) == {0}


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_without_strength_every_bit_stays(tmp_path: Path, dtype: str) -> None:
    """Values that HU in float32 cannot hold."""
    values = (hu() + np.random.default_rng(0).random(SHAPE)).astype(dtype)
    if dtype == "int32":
        values[0, 0, 0] = 2**24 + 1
    write(tmp_path / "v.mha", values, dtype)
    options = RunOptions(strength=0)
    assert denoise_study(tmp_path / "v.mha", tmp_path / "out", options).exit_code == 0
    np.testing.assert_array_equal(read(tmp_path / "out" / "v_denoised.mha"), values)


def test_a_failure_names_the_volume_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in" / "v.nii", hu())
    monkeypatch.setattr(IdentityBackend, "__call__", lambda _, batch: batch * np.nan)
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 1
    assert "NaN or infinite" in manifest.inputs[0].reason
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["manifest.json"]


def test_what_cannot_be_denoised_is_said(tmp_path: Path) -> None:
    write(tmp_path / "in" / "V.nii", hu())
    write(tmp_path / "in" / "v.nii", hu())
    write(tmp_path / "in" / "old_denoised.nii", hu())
    write(tmp_path / "in" / "positive.mha", hu() + 1200, "uint16")
    (tmp_path / "in" / "broken.nrrd").write_bytes(b"NRRD0004\nxx")
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.int16), np.eye(4)),
        tmp_path / "in" / "4d.nii",
    )
    plan = plan_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert {one.name for one in plan.volumes} == {"V_denoised.nii"}
    reasons = {one.path.name: (one.outcome, one.reason) for one in plan.unused}
    assert reasons["old_denoised.nii"] == ("skipped", "our own result, by its name")
    assert reasons["v.nii"][0] == reasons["broken.nrrd"][0] == "failed"
    assert reasons["broken.nrrd"][1].endswith(". Fetch it again")
    told = "4 x 4 x 4 x 2 voxels are no single volume. Give one volume per file"
    assert reasons["4d.nii"] == ("skipped", told)
    assert reasons["positive.mha"][0] == "skipped"
    assert reasons["positive.mha"][1].startswith("values run from 122 ")


def test_label_maps_and_mr_are_left_alone(tmp_path: Path) -> None:
    """A network that smooths classes makes new ones."""
    labels = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 4
    write(tmp_path / "in" / "mask.nii.gz", labels, "uint8")
    write(tmp_path / "in" / "mr.nrrd", np.abs(hu()), "float32")
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 3
    assert [one.outcome for one in manifest.inputs] == ["skipped", "skipped"]
    assert manifest.inputs[0].reason == (
        "values run from 0 to 3 and none is air (-1000 HU): perhaps no HU; --accept no-air takes it"
    )
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["manifest.json"]


def test_values_without_air_are_taken_when_asked_for_and_flagged(tmp_path: Path) -> None:
    write(tmp_path / "v.mha", hu() + 1200, "uint16")
    manifest = denoise_study(tmp_path / "v.mha", tmp_path / "out", replace(IDENTITY, accept=TAKEN))
    assert manifest.exit_code == 0
    (record,) = manifest.series
    (note,) = record.notes
    assert note.startswith("OUT_OF_DISTRIBUTION: values run from 122 ")
    assert "OUT_OF_DISTRIBUTION" in [one["code"] for one in record.quality["flags"]]
    np.testing.assert_array_equal(read(tmp_path / "out" / "v_denoised.mha"), hu() + 1200)


def test_a_header_that_nibabel_mends_is_a_note_of_its_volume(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nibabel prints as much, of no file, each time that one is opened."""
    path = write(tmp_path / "in" / "v.nii", hu())
    header = bytearray(path.read_bytes())
    header[80:92] = np.zeros(3, "<f4").tobytes()  # pixdim: no size of a voxel
    path.write_bytes(header)
    (record,) = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY).series
    assert record.status == "denoised"
    (note,) = record.notes
    assert note.startswith("header mended to be read: pixdim[1,2,3] should be non-zero")
    assert capfd.readouterr() == ("", "")


def test_a_plan_keeps_no_pixels(tmp_path: Path) -> None:
    write(tmp_path / "in" / "v.nii.gz", hu())
    (job,) = plan_study(tmp_path / "in", tmp_path / "out", IDENTITY).volumes
    assert "stored" not in vars(job.volume)
    np.testing.assert_array_equal(job.volume.frame(2), hu()[2])


def test_results_lie_in_the_folders_of_their_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many volumes are named alike where each patient has a folder: nnU-Net, BIDS, dcm2niix."""
    for seed, name in enumerate(("a/ct.nii.gz", "b/ct.nii.gz", "ct.nii.gz")):
        write(tmp_path / "in" / name, hu(seed))
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 0
    names = ["a/ct_denoised.nii.gz", "b/ct_denoised.nii.gz", "ct_denoised.nii.gz"]
    assert sorted(one.derived_uid for one in manifest.series) == names
    for seed, name in enumerate(names):
        np.testing.assert_array_equal(read(tmp_path / "out" / name), hu(seed))
    assert not list((tmp_path / "out").rglob("*.partial"))
    monkeypatch.setattr(IdentityBackend, "__call__", lambda *_: pytest.fail("computed again"))
    assert denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY).exit_code == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("A/v.nii", "a/v.nii"),
        ("a/Skull.nii", "a/skull.nii"),
        ("a/Scha\u0308del.mha", "a/Sch\u00e4del.mha"),
        ("A/v.mhd", "a/v.nhdr"),
    ],
)
def test_no_result_takes_the_place_of_another(tmp_path: Path, first: str, second: str) -> None:
    """Nor would where names differ in case alone, and headers of two kinds name one pixel file."""
    write(tmp_path / "in" / first, hu())
    write(tmp_path / "in" / second, hu(1))
    manifest = denoise_study(tmp_path / "in", tmp_path / "out", IDENTITY)
    assert manifest.exit_code == 1
    outcomes = {one.path: one for one in manifest.inputs}
    assert outcomes[first].outcome == "denoised"
    assert outcomes[second].outcome == "failed"
    assert f"that of {first}" in outcomes[second].reason
    (record,) = manifest.series
    np.testing.assert_array_equal(read(tmp_path / "out" / record.derived_uid), hu())


def test_pixels_of_an_earlier_result_are_not_overwritten(tmp_path: Path) -> None:
    for name, seed in (("v.mhd", 0), ("v.nhdr", 1)):
        write(tmp_path / name[2:] / name, hu(seed))
    denoise_study(tmp_path / "mhd", tmp_path / "out", IDENTITY)
    other = denoise_study(tmp_path / "nhdr", tmp_path / "out", IDENTITY)
    told = "there is another header whose pixels have the name of its result's pixels"
    assert [told in one.reason for one in other.inputs].count(True) == 1
    np.testing.assert_array_equal(read(tmp_path / "out" / "v_denoised.mhd"), hu())


def test_what_is_no_number_is_measured_as_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = hu()
    values[:, :, :20] = np.nan
    monkeypatch.setattr(IdentityBackend, "__call__", lambda _, batch: batch + (batch < 0.1) * 0.1)
    source = write(tmp_path / "v.nii", values, "float32")
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag([-1, -1, 1, 1])), source)
    (record,) = denoise_study(source, tmp_path / "out", IDENTITY).series
    changed = np.abs(read(tmp_path / "out" / "v_denoised.nii") - values)
    assert record.quality["largest_change_hu"] == pytest.approx(np.nanmax(changed), abs=0.01)
    assert record.quality["nonfinite"] == 0


@pytest.mark.parametrize(("value", "told"), [(np.nan, "none of its values"), (np.inf, "")])
def test_volumes_without_numbers(tmp_path: Path, value: float, told: str) -> None:
    values = np.full(SHAPE, value)
    values[:, :9] = np.nan if told else -1000
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag([-1, -1, 1, 1])), tmp_path / "v.nii")
    options = replace(IDENTITY, accept=TAKEN)
    manifest = denoise_study(tmp_path / "v.nii", tmp_path / "out", options)
    assert manifest.exit_code == 0
    assert told in manifest.series[0].notes[0]
    result = nibabel.load(tmp_path / "out" / "v_denoised.nii")
    np.testing.assert_array_equal(np.asarray(result.dataobj).T, values)


def test_strength_by_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(50, 20, (3, 96, 96))
    source = write(tmp_path / "v.nii", values, "float32")
    monkeypatch.setattr(
        IdentityBackend, "__call__", lambda _, batch: np.full_like(batch, 1074 / 4096)
    )
    options = RunOptions(backend="identity", strength="auto", target_noise=10.0, accept=TAKEN)
    denoise_study(source, tmp_path / "out", options)
    result = read(tmp_path / "out" / "v_denoised.nii")
    assert result.std() == pytest.approx(10, rel=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(IdentityBackend, "__call__", lambda *_: pytest.fail("computed again"))
        assert denoise_study(source, tmp_path / "out", options).exit_code == 0
    other = replace(options, target_noise=12.0)
    assert denoise_study(source, tmp_path / "out", other).exit_code == 1


@pytest.mark.parametrize("change", ["source", "recipe"])
def test_a_strength_is_not_that_of_another_volume_or_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The note of a result that was taken away says nothing of what comes after it."""
    values = np.random.default_rng(0).normal(0, 20, (3, 96, 96))
    source = write(tmp_path / "v.nii", 50 + values, "float32")
    flat = lambda _, batch: np.full_like(batch, 1074 / 4096)  # noqa: E731
    monkeypatch.setattr(IdentityBackend, "__call__", flat)
    options = RunOptions(backend="identity", strength="auto", target_noise=10.0, accept=TAKEN)
    (first,) = denoise_study(source, tmp_path / "out", options).series
    (tmp_path / "out" / "v_denoised.nii").unlink()
    if change == "source":
        write(source, 50 + 2 * values, "float32")
        expected = 0.75
    else:
        options = replace(options, batch_size=2)
        weaker = lambda _, batch: batch + np.float32(0.75) * (flat(_, batch) - batch)  # noqa: E731
        monkeypatch.setattr(IdentityBackend, "__call__", weaker)
        expected = 0.5 / 0.75
    (second,) = denoise_study(source, tmp_path / "out", options).series
    assert first.quality["expected"]["strength"] == pytest.approx(0.5, abs=0.04)
    assert second.quality["expected"]["strength"] == pytest.approx(expected, abs=0.04)
