"""Using the bundle: evaluation and inference, and the programs that take MONAI bundles."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import monai.bundle
import numpy as np
import onnxruntime
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from builders import body_hu, make_enhanced, make_series
from bundle_runs import BOTH, BUNDLE, CONFIGS, SMALL, our_error, run_bundle
from by_scikit_image import slice_scores
from monai.bundle import ConfigParser
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject
from monai.transforms import Compose
from packaging.version import Version

import ldct_clipdn
from ldct_clipdn.core.denoiser import CLIPDenoiser, build_denoiser
from ldct_clipdn.core.weights import load_denoiser, save_denoiser

Train = Callable[..., Path]

META = str(CONFIGS / "metadata.json")
CHANNELS = dict(zip(BOTH, (1, 3), strict=True))
INFERENCE = str(CONFIGS / "inference.json")
TINY = {"network_def#config#encoder": "tiny"}

ignore = pytest.mark.filterwarnings


def read_hu(path: Path) -> np.ndarray:
    """Read HU by pydicom alone."""
    header = pydicom.dcmread(path)
    return header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)


def denoised(
    network: torch.nn.Module, hu: np.ndarray, low: float = -1024, high: float = 3072
) -> np.ndarray:
    """Denoise one slice by the network alone."""
    unit = (np.clip(hu, low, high) - low) / (high - low)
    with torch.no_grad():
        out = network.eval()(torch.from_numpy(unit.astype(np.float32))[None, None])
    return out[0, 0].numpy() * (high - low) + low


def test_evaluation_against_scikit_image(
    dataset: Path, cache_dir: Path, weights: Path, evaluation: list[str], tmp_path: Path
) -> None:
    """The real pairs, computed again with pydicom and scikit-image alone."""
    run_bundle(
        evaluation,
        "evaluate",
        dataset_dir=str(dataset),
        cache_dir=str(cache_dir),
        weights=str(weights),
        output_dir=str(tmp_path / "out"),
        device="cpu",
    )
    with (tmp_path / "out" / "slices.csv").open() as file:
        found = [row for row in csv.DictReader(file) if row["set"] == "low_dose"]
    network = load_denoiser(weights)
    full = sorted((dataset / "full_1mm" / "L506").iterdir())
    quarter = sorted((dataset / "quarter_1mm" / "L506").iterdir())
    assert len(found) == len(full) == 3
    for row, clean_path, noisy_path in zip(found, full, quarter, strict=True):
        assert (row["file"], row["frame"]) == (str(clean_path), "0")
        clean, noisy = read_hu(clean_path), read_hu(noisy_path)
        result = denoised(network, noisy).clip(-1024, 3072)
        for name, image in (("", result), ("input_", noisy)):
            for measure, expected in slice_scores(clean, image).items():
                assert float(row[name + measure]) == pytest.approx(expected, rel=1e-5, abs=1e-4)
    with (tmp_path / "out" / "patients.csv").open() as file:
        pairs, synthetic = csv.DictReader(file)
    assert float(pairs["psnr"]) == pytest.approx(
        np.mean([float(row["psnr"]) for row in found]), abs=1e-5
    )
    assert (synthetic["set"], synthetic["patient"], synthetic["slices"]) == (
        "synthetic",
        "L506",
        "3",
    )
    assert 60 < float(synthetic["input_rmse_hu"]) < 80.3  # sigma 5, cut off below -1024 HU


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """A series of 40 x 56 with a bright pixel at row 5, column 20, and padding."""
    hu = np.full((2, 40, 56), 40.0)
    hu[:, 5, 20] = 2500.0
    make_series(
        tmp_path / "in" / "P1" / "S2",
        slices=2,
        rows=40,
        columns=56,
        hu=hu,
        padding=0,
        spacing=("0.5", "0.8"),
        positions=[(-10.0, 20.0, 3.0), (-10.0, 20.0, 5.0)],
    )
    return tmp_path / "in"


def infer(source: Path, target: Path, **overrides: Any) -> list[Path]:
    run_bundle(
        "inference.json",
        "inference",
        dataset_dir=str(source),
        output_dir=str(target),
        device="cpu",
        **overrides,
    )
    return sorted(target.rglob("*.nii.gz"))


def test_inference_writes_each_slice_at_its_place(marked: Path, tmp_path: Path) -> None:
    """HU, rows and columns as in the file, geometry as SimpleITK reads it there."""
    path = tmp_path / "identity.safetensors"
    save_denoiser(
        build_denoiser(encoder="tiny", encoder_training="scratch", start="identity"), path
    )
    outputs = infer(marked, tmp_path / "out", weights=str(path))
    sources = sorted(marked.rglob("*.dcm"))
    assert [one.relative_to(tmp_path / "out") for one in outputs] == [
        one.relative_to(marked).with_name(f"{one.stem}_denoised.nii.gz") for one in sources
    ]
    for output, source in zip(outputs, sources, strict=True):
        image, original = sitk.ReadImage(str(output)), sitk.ReadImage(str(source))
        pixels = sitk.GetArrayFromImage(image)
        assert pixels.shape == (1, 40, 56)
        assert pixels.dtype == np.float32
        row, column = np.unravel_index(pixels[0].argmax(), (40, 56))
        assert (row, column) == (5, 20)
        assert pixels[0, 20, 20] == pytest.approx(40, abs=0.5)
        assert pixels[0, 0, 0] == pytest.approx(-1024, abs=0.5)
        np.testing.assert_allclose(image.GetOrigin(), original.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(image.GetSpacing()[:2], original.GetSpacing()[:2], atol=1e-5)
        np.testing.assert_allclose(image.GetDirection(), original.GetDirection(), atol=1e-6)


def test_inference_equals_the_network_alone(marked: Path, weights: Path, tmp_path: Path) -> None:
    outputs = infer(marked, tmp_path / "out", weights=str(weights))
    source = sorted(marked.rglob("*.dcm"))[0]
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(outputs[0])))[0]
    expected = denoised(load_denoiser(weights), np.maximum(read_hu(source), -1024))
    np.testing.assert_allclose(pixels, expected, atol=1e-2)


def test_inference_sees_the_range_of_the_weights(marked: Path, tmp_path: Path) -> None:
    narrow = tmp_path / "narrow.safetensors"
    network = build_denoiser(encoder="tiny", encoder_training="scratch", hu_range=(-160, 240))
    save_denoiser(network, narrow)
    outputs = infer(marked, tmp_path / "out", weights=str(narrow))
    hu = read_hu(sorted(marked.rglob("*.dcm"))[0])
    expected = denoised(network, hu, -160, 240)
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(sitk.ReadImage(str(outputs[0])))[0], expected, atol=1e-2
    )
    asked = infer(marked, tmp_path / "asked", weights=str(narrow), hu_range=(-1024, 3072))
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(sitk.ReadImage(str(asked[0])))[0],
        denoised(network, np.maximum(hu, -1024)),
        atol=1e-2,
    )


def test_inference_of_a_volume(weights: Path, tmp_path: Path) -> None:
    """A NIfTI volume: one file per slice, at the place where the volume had it."""
    volume = sitk.GetImageFromArray(
        np.random.default_rng(0).normal(0, 200, (3, 32, 40)).astype("f4") - 300
    )
    volume.SetSpacing((0.7, 0.6, 2.5))
    volume.SetOrigin((-12.0, 8.0, 100.0))
    (tmp_path / "in").mkdir()
    sitk.WriteImage(volume, str(tmp_path / "in" / "scan.nii.gz"))
    outputs = infer(tmp_path / "in", tmp_path / "out", weights=str(weights))
    assert [one.name for one in outputs] == [f"scan_{k:04d}_denoised.nii.gz" for k in range(3)]
    network = load_denoiser(weights)
    for index, output in enumerate(outputs):
        image = sitk.ReadImage(str(output))
        np.testing.assert_allclose(image.GetOrigin(), (-12.0, 8.0, 100.0 + 2.5 * index), atol=1e-4)
        np.testing.assert_allclose(image.GetSpacing(), (0.7, 0.6, 2.5), atol=1e-5)
        expected = denoised(network, sitk.GetArrayFromImage(volume)[index])
        np.testing.assert_allclose(sitk.GetArrayFromImage(image)[0], expected, atol=1e-2)


def test_inference_of_enhanced_ct(weights: Path, tmp_path: Path) -> None:
    """One file per frame, each where the frame lies in the patient."""
    make_enhanced(tmp_path / "in" / "object.dcm")
    outputs = infer(tmp_path / "in", tmp_path / "out", weights=str(weights))
    assert [one.name for one in outputs] == [f"object_{k:04d}_denoised.nii.gz" for k in range(3)]
    network = load_denoiser(weights)
    for index, output in enumerate(outputs):
        image = sitk.ReadImage(str(output))
        np.testing.assert_allclose(image.GetOrigin(), (-10, -10, 2 * index), atol=1e-4)
        np.testing.assert_allclose(image.GetSpacing(), (0.7, 0.7, 2), atol=1e-5)
        hu = body_hu(32, 32, seed=index)
        pixels = sitk.GetArrayFromImage(image)[0]
        np.testing.assert_allclose(pixels, denoised(network, hu), atol=2)


def test_inference_without_weights(
    marked: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As CI of bundles runs it; a missing file alone is an error."""
    assert len(infer(marked, tmp_path / "out", weights="none", **TINY)) == 2
    assert "No weights are loaded" in caplog.text
    with pytest.raises(RuntimeError) as caught:
        infer(marked, tmp_path / "out2")
    assert "models/model.pt: there is no such weights file" in str(our_error(caught.value))
    assert not (tmp_path / "out2").exists()


def test_inference_of_nothing(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no CT")
    with pytest.raises(RuntimeError) as caught:
        infer(tmp_path, tmp_path / "out", weights=str(weights))
    assert "there is no CT slice" in our_error(caught.value).reason


@pytest.mark.parametrize("workers", [0, 2])
def test_inference_goes_on_past_what_cannot_be_read(
    workers: int, marked: Path, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = sorted(marked.rglob("*.dcm"))
    bad.write_bytes(bad.read_bytes()[:-50])
    with pytest.raises(RuntimeError) as caught:
        infer(
            marked,
            tmp_path / "out",
            weights=str(weights),
            **{"dataloader#num_workers": workers},
        )
    assert "1 of 2 images could not be read" in our_error(caught.value).reason
    (output,) = (tmp_path / "out").rglob("*.nii.gz")
    assert output.name == f"{good.stem}_denoised.nii.gz"
    if not workers:  # what a worker logs goes to stderr by itself
        assert f"{bad}: " in caplog.text


def test_inference_of_nothing_that_can_be_read(marked: Path, weights: Path, tmp_path: Path) -> None:
    for one in marked.rglob("*.dcm"):
        one.write_bytes(one.read_bytes()[:-50])
    with pytest.raises(RuntimeError) as caught:
        infer(marked, tmp_path / "out", weights=str(weights))
    assert "2 of 2 images could not be read" in our_error(caught.value).reason


def test_results_do_not_depend_on_itk(
    marked: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as it goes without `itk`: a module of that name is never touched."""
    without = infer(marked, tmp_path / "without", weights=str(weights))

    class Untouchable(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("__"):
                return super().__getattribute__(name)
            raise AssertionError(f"itk.{name} was used")

    monkeypatch.setitem(sys.modules, "itk", Untouchable("itk"))
    with_itk = infer(marked, tmp_path / "with", weights=str(weights))
    for one, other in zip(without, with_itk, strict=True):
        assert np.array_equal(
            sitk.GetArrayFromImage(sitk.ReadImage(str(one))),
            sitk.GetArrayFromImage(sitk.ReadImage(str(other))),
        )


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, CLIPDenoiser]:
    """A state dict as `weights export` writes it, and its network."""
    return export(tmp_path)


def export(folder: Path, channels: int = 1) -> tuple[Path, CLIPDenoiser]:
    network = build_denoiser(in_channels=channels, encoder="tiny", encoder_training="scratch")
    save_denoiser(network, folder / "model.pt")
    return folder / "model.pt", network.eval()


@pytest.fixture(params=BOTH, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Path:
    """Each of our bundles, from its folder alone."""
    path: Path = request.param
    return path


def files(bundle: Path) -> dict[str, str]:
    """What MONAI's commands take of a bundle, as they are by default."""
    names = {"meta_file": "metadata.json", "config_file": "inference.json"}
    return {key: str(bundle / "configs" / name) for key, name in names.items()}


def test_verify_net_in_out(bundle: Path) -> None:
    """With the network as it ships."""
    arguments = {**files(bundle), "device": "cpu"}
    monai.bundle.verify_net_in_out("network_def", n=2, **arguments)
    with pytest.raises(ValueError, match="channel number"):
        monai.bundle.verify_net_in_out(
            "network_def",
            **arguments,
            **{"_meta_#network_data_format#outputs#pred#num_channels": 2},
            **TINY,
        )


TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
    "properties": {
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
}
TENSORS = {"type": "object", "additionalProperties": TENSOR}
SPECIFIED = {
    "type": "object",
    "required": [
        "schema",
        "version",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "task",
        "description",
        "required_packages_version",
        "authors",
        "copyright",
        "network_data_format",
    ],
    "additionalProperties": {"type": ["string", "object", "array"]},
    "properties": {
        "changelog": {"type": "object"},
        "references": {"type": "array"},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {
                "inputs": TENSORS,
                "outputs": TENSORS,
                "post_processed_outputs": TENSORS,
            },
        },
    },
}
"""What MONAI's bundle specification demands, in our own words: its schema file is not at hand."""


def test_verify_metadata(bundle: Path, tmp_path: Path) -> None:
    meta = files(bundle)["meta_file"]
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SPECIFIED))
    checked = {"filepath": str(schema), "hash_val": hashlib.sha256(schema.read_bytes()).hexdigest()}
    monai.bundle.verify_metadata(meta_file=meta, hash_type="sha256", **checked)
    content = json.loads(Path(meta).read_text())
    del content["task"]
    broken = tmp_path / "metadata.json"
    broken.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="task"):
        monai.bundle.verify_metadata(meta_file=str(broken), hash_type="sha256", **checked)
    jsonschema.Draft202012Validator.check_schema(SPECIFIED)


def test_metadata_tells_what_was_tested(bundle: Path) -> None:
    """Released versions, none newer than what these tests run with."""
    meta = json.loads(Path(files(bundle)["meta_file"]).read_text())
    assert meta["version"] in meta["changelog"]
    required = meta["required_packages_version"]
    assert "open_clip_torch" in required  # what the default weights of the encoder come by
    assert "optional_packages_version" not in meta  # MONAI 1.6.1 puts it in place of the required
    assert required.pop("ldct_clipdn") == ldct_clipdn.__version__
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    required |= {package: meta[key] for package, key in named.items()}
    for package, stated in required.items():
        assert Version(stated).local is None, package
        assert Version(stated) <= Version(version(package)), package
    assert all(one.stat().st_size < 25e6 for one in bundle.rglob("*.*") if "runs" not in one.parts)
    # MONAI Deploy casts what is of type image to 8 bits, which only pictures are in the end
    pred = meta["network_data_format"]["post_processed_outputs"]["pred"]
    assert (pred["type"] == "image") == (pred["value_range"] == [0, 255])


@ignore(r"ignore:.torch\.jit\.\w+. is deprecated")
@ignore("ignore::torch.jit.TracerWarning")
def test_torchscript(bundle: Path, tmp_path: Path) -> None:
    """By tracing: at the traced size and channels."""
    channels = CHANNELS[bundle]
    path, network = export(tmp_path, channels)
    monai.bundle.ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(path),
        **files(bundle),
        use_trace=True,
        input_shape=[1, channels, 64, 64],
        **TINY,
    )
    module = torch.jit.load(str(tmp_path / "model.ts"))
    x = torch.rand(1, channels, 64, 64)
    with torch.no_grad():
        assert (module(x) - network(x)).abs().max() < 1e-5
    parser = monai.bundle.load_bundle_config(str(tmp_path / "model.ts"), "inference.json")
    assert parser["network_def"]["config"]["in_channels"] == channels
    assert "@evaluator" in parser["run"][0]


@ignore("ignore:The feature will be removed:DeprecationWarning")
@ignore("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning")
@ignore("ignore::torch.jit.TracerWarning")
def test_onnx(exported: tuple[Path, CLIPDenoiser], tmp_path: Path) -> None:
    """Another batch and another size, multiples of 32."""
    path, network = exported
    axes = {0: "b", 2: "h", 3: "w"}
    monai.bundle.onnx_export(
        "network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(path),
        meta_file=META,
        config_file=INFERENCE,
        use_trace=True,
        input_shape=[2, 1, 64, 64],
        converter_kwargs={
            "input_names": ["image"],
            "output_names": ["pred"],
            "dynamic_axes": {"image": axes, "pred": axes},
            "dynamo": False,  # the other exporter cannot solve what halving and doubling sizes asks
        },
        **TINY,
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    x = torch.rand(3, 1, 96, 128)
    (found,) = session.run(None, {"image": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(x).numpy(), atol=1e-4)


def test_load_by_monai(bundle: Path, tmp_path: Path) -> None:
    """Every tensor arrives; sockets are blocked in these tests."""
    path, network = export(tmp_path, CHANNELS[bundle])
    zoo = tmp_path / "zoo"
    shutil.copytree(bundle, zoo / bundle.name, ignore=shutil.ignore_patterns("runs", "models"))
    (zoo / bundle.name / "models").mkdir()
    shutil.copy(path, zoo / bundle.name / "models" / "model.pt")
    loaded = monai.bundle.load(
        bundle.name,
        bundle_dir=str(zoo),
        workflow_type="inference",
        device="cpu",
        net_override={"config#encoder": "tiny"},
    )
    assert isinstance(loaded, CLIPDenoiser)
    expected = network.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())


@ignore("ignore:No hash value provided:UserWarning")
def test_download_from_a_zip(bundle: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("runs", "eval", "*.pt")
    shutil.copytree(bundle, tmp_path / "tree" / bundle.name, ignore=ignored)
    archive = shutil.make_archive(str(tmp_path / bundle.name), "zip", tmp_path / "tree")
    monai.bundle.download(
        url=Path(archive).as_uri(), name=bundle.name, bundle_dir=str(tmp_path / "d"), progress=False
    )
    names = [
        sorted(
            str(one.relative_to(root))
            for root in [tmp_path / top / bundle.name]
            for one in root.rglob("*")
        )
        for top in ("tree", "d")
    ]
    assert names[0] == names[1]
    assert "configs/train.json" in names[0]


@ignore("ignore:executing the bundle config under:UserWarning")
def test_federated_learning(
    dataset: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds; nothing of the frozen encoder moves."""
    common = {
        "dataset_dir": str(dataset),
        "cache_dir": str(cache_dir),
        "device": "cpu",
    }
    small = {key: value for key, value in SMALL.items() if key != "max_iterations"}
    client = MonaiAlgo(
        bundle_root=str(BUNDLE),
        local_epochs=1,
        train_kwargs={**common, **small, "run_dir": str(tmp_path / "run")},
        eval_kwargs={
            **common,
            "weights": "none",
            "network_def#otherwise#config#encoder": "tiny",
            "output_dir": str(tmp_path / "e"),
        },
    )
    client.initialize()
    weights = {
        name: value.numpy().copy() for name, value in client.trainer.network.state_dict().items()
    }
    for _ in range(2):
        client.train(ExchangeObject(weights=weights))
        changes = client.get_weights().weights
        assert all(
            not value.any() for name, value in changes.items() if name.startswith("encoder.")
        )
        assert any(value.any() for name, value in changes.items() if name.startswith("up_path."))
        weights = {name: value + changes[name].numpy() for name, value in weights.items()}
    measured = client.evaluate(ExchangeObject(weights=weights)).metrics
    assert measured["val_psnr"] > 20
    client.finalize()


def test_monai_label(dataset: Path, train: Train, exported: tuple[Path, CLIPDenoiser]) -> None:
    """Its overrides, with lists of its own that hold labels, from given weights."""
    path, network = exported
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": str(path),
        "load_dict": {"model": "$@network"},
    }
    handlers = json.loads((CONFIGS / "train.json").read_text())["train"]["handlers"]
    slices = sorted(str(one) for one in (dataset / "full_1mm" / "L096").iterdir())
    items = [{"image": one, "label": one} for one in slices]
    run_dir = train(
        **{
            "train#trainer#max_epochs": 1,
            "train#dataset#data": items,
            "validate#dataset#data": items[:1],
            "train#dataloader#num_workers": 0,
            "train#handlers": [loader, *handlers],
        }
    )
    saved = torch.load(run_dir / "last.pt", weights_only=True)
    assert saved["settings"]["training_slices"] == 3
    for name, value in network.encoder.state_dict().items():  # frozen: as they were loaded
        assert torch.equal(saved["network"][f"encoder.{name}"], value)
    with (run_dir / "validation.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["patient"], row["slices"]) == ("unknown", "1")
    assert float(row["input_rmse_hu"]) == pytest.approx(80.3, rel=0.2)


def test_monai_deploy(weights: Path, marked: Path, tmp_path: Path) -> None:
    """Its way with a bundle gives what the command line gives, within 1 HU."""
    parser = ConfigParser()
    parser.read_config(INFERENCE)
    parser.update({"weights": str(weights), "device": "cpu"})

    def without_files(key: str) -> Compose:
        chain = parser.get_parsed_content(key).transforms
        names = ("LoadImage", "SaveImage")
        kept = [one for one in chain if not any(name in type(one).__name__ for name in names)]
        assert 0 < len(kept) < len(chain)
        return Compose(kept)

    sources = sorted(marked.rglob("*.dcm"))
    hu = np.stack([read_hu(one) for one in sources], axis=-1)
    volume = hu.transpose(1, 0, 2).astype(np.float32)  # columns, rows, slices
    image = without_files("preprocessing")({"image": volume})["image"]
    assert image.shape == (1, 56, 40, 2)
    network = load_denoiser(weights)
    pred = parser.get_parsed_content("inferer")(image[None], network)
    assert pred.shape == (1, 1, 56, 40, 2)
    result = without_files("postprocessing")({"pred": pred[0]})["pred"].detach().numpy()[0]
    by_command = infer(marked, tmp_path / "out", weights=str(weights))
    for index, path in enumerate(by_command):
        pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
        assert np.abs(result[:, :, index].T - pixels).max() < 1
