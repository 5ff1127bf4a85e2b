"""What is checked before a run, outside of any bundle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigExpression

from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.errors import ConfigError, WeightsError
from ldct_clipdn.training import setup


def test_our_errors_end_a_process_with_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_on = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: passed_on.append(error[1]))
    setup.report_errors_plainly()
    ours = ConfigError("no", path=Path("file"), remedy="Do")
    wrapped = RuntimeError("Failed to evaluate")
    wrapped.__cause__ = ours
    sys.excepthook(RuntimeError, wrapped, None)
    assert capsys.readouterr().err == "ldct_clipdn: file: no. Do\n"
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "ldct_clipdn: interrupted\n"
    bug = ValueError("a bug")
    sys.excepthook(ValueError, bug, None)
    assert passed_on == [bug]


def test_a_bug_while_an_error_of_ours_is_handled_looks_like_a_bug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_on = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: passed_on.append(error[1]))
    setup.report_errors_plainly()

    def handle() -> None:
        try:
            raise ConfigError("no")
        except ConfigError:
            raise KeyError("a bug")  # noqa: B904 - as a slip in the handler would

    with pytest.raises(RuntimeError) as caught:
        ConfigExpression("$handle()", globals={"handle": handle}).evaluate()
    sys.excepthook(RuntimeError, caught.value, None)
    assert passed_on == [caught.value]
    assert capsys.readouterr().err == ""


def test_weights_by_name_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDCT_CLIPDN_WEIGHTS", str(tmp_path))
    denoiser = build_denoiser(encoder="tiny", encoder_training="scratch")
    save_denoiser(denoiser, tmp_path / "mine.safetensors")
    for name in ("mine", tmp_path / "mine.safetensors"):
        loaded = setup.network_for(name, build_denoiser(encoder="tiny"))
        assert torch.equal(loaded.last.weight, denoiser.last.weight)
    assert setup.network_for("none", denoiser) is denoiser
    with pytest.raises(WeightsError, match="no weights named 'yours'"):
        setup.network_for("yours", denoiser)
    with pytest.raises(WeightsError, match="no such weights file") as caught:
        setup.network_for(tmp_path / "models" / "model.pt", denoiser)
    assert "weights export" in caught.value.remedy


def test_the_range_of_weights_is_read_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of weights that are not there, or for colour images, `network_for` says what is wrong."""
    for name, one in (("narrow", {"hu_range": (-160, 240)}), ("colour", {"in_channels": 3})):
        save_denoiser(build_denoiser(encoder="tiny", **one), tmp_path / f"{name}.safetensors")
    assert setup.hu_range_of(tmp_path / "narrow.safetensors") == (-160, 240)
    for name in ("none", tmp_path / "model.pt", tmp_path / "colour.safetensors"):
        assert setup.hu_range_of(name) == (-1024, 3072)
    with caplog.at_level("INFO"):
        setup.network_for(tmp_path / "narrow.safetensors", build_denoiser(encoder="tiny"))
    assert "weights: random, HU -160 to 240)" in caplog.text


@pytest.mark.parametrize(
    ("channels", "said"),
    [(1, "are for colour images, not for CT"), (3, "are for CT, not for colour images")],
)
def test_weights_for_the_other_kind_of_images(channels: int, said: str, tmp_path: Path) -> None:
    bundles_own = build_denoiser(encoder="tiny", in_channels=channels)
    path = tmp_path / "other.safetensors"
    save_denoiser(build_denoiser(encoder="tiny", in_channels=4 - channels), path)
    with pytest.raises(WeightsError, match=said) as caught:
        setup.network_for(path, bundles_own)
    assert caught.value.path == path


def test_settings_are_checked_in_a_bundle_alone() -> None:
    with pytest.raises(ConfigError, match="while a MONAI bundle runs"):
        setup.check_overrides()
    assert setup.find_bundle_root() == "."


def test_names_of_runs_are_new(tmp_path: Path) -> None:
    first = Path(setup.default_run_dir(str(tmp_path)))
    assert first.parent == tmp_path / "runs"
    first.mkdir(parents=True)
    assert Path(setup.default_run_dir(str(tmp_path))) != first


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        setup.claim_run_dir(str(tmp_path / "file" / "run"), resume=False)
    assert "--run_dir" in caught.value.remedy
    assert setup.claim_run_dir(str(tmp_path / "new" / "run"), resume=False).is_dir()


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_to_a_folder_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    assert setup.claim_run_dir(str(tmp_path / "link" / "run"), resume=False).is_dir()
    assert (tmp_path / "disk" / "run").is_dir()


def test_a_folder_without_a_run_is_not_to_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "events").touch()
    with pytest.raises(ConfigError) as caught:
        setup.claim_run_dir(str(tmp_path), resume=False)
    assert "resume" not in caught.value.remedy
    (tmp_path / "last.pt").touch()
    with pytest.raises(ConfigError) as caught:
        setup.claim_run_dir(str(tmp_path), resume=False)
    assert "--resume True" in caught.value.remedy
