"""`ldct-clipdn denoise --report`: one page beside each series' folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from builders import make_series

from ldct_clipdn.cli.main import main
from ldct_clipdn.errors import WriteError

SIZE = 64


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_series(
        tmp_path / "in",
        rows=SIZE,
        columns=SIZE,
        patient_name="Doe^Jane",
        patient_id="P-4711",
        series_description="Doe liver",
    )
    return tmp_path / "in"


def denoise(source: Path, target: Path, *options: str) -> int:
    return main(["denoise", str(source), str(target), "--backend", "identity", "-q", *options])


def test_one_page_per_series_without_the_patient(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert denoise(source, target, "--report") == 0
    (series,) = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["series"]
    page = target / f"{series['derived_uid']}.html"
    assert sorted(one.name for one in target.glob("[!.]*")) == sorted(
        [page.name, page.stem, "manifest.json"]
    )
    html = page.read_text(encoding="utf-8")
    assert not any(one in html for one in ("Doe", "4711", series["source_uid"]))
    assert "B30f" in html
    assert series["derived_uid"] in html
    assert "Slice 2 of 3" in html


def test_the_patient_is_named_when_asked(source: Path, tmp_path: Path) -> None:
    assert denoise(source, tmp_path / "out", "--report", "--report-identifiers") == 0
    (page,) = (tmp_path / "out").glob("*.html")
    assert "Doe^Jane" in page.read_text(encoding="utf-8")


def test_a_page_tells_of_another_result_of_the_same_images(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert denoise(source, target) == 0
    (first,) = (one.name for one in target.iterdir() if one.is_dir())
    assert denoise(source, target, "--report", "--no-wallclock") == 0
    (page,) = target.glob("*.html")
    assert page.stem != first
    assert f"Noticed: an earlier run made {first} of the same" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("first", [(), ("--report", "--report-identifiers")])
def test_a_page_that_is_missing_is_made_of_the_finished_files(
    source: Path, tmp_path: Path, first: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is as that of a run that wrote it at once, but for the time; names go where unwanted."""
    assert denoise(source, tmp_path / "once", "--report") == 0
    (expected,) = (tmp_path / "once").glob("*.html")
    assert denoise(source, tmp_path / "out", *first) == 0
    assert denoise(source, tmp_path / "out", "--report") == 0
    (page,) = (tmp_path / "out").glob("*.html")
    assert page.name == expected.name
    assert page.read_text(encoding="utf-8") == expected.read_text(encoding="utf-8")
    written = page.stat().st_ino
    assert denoise(source, tmp_path / "out", "--report") == 0
    assert page.stat().st_ino == written
    assert not capsys.readouterr().err


def test_a_run_that_was_killed_before_its_page_gets_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ldct_clipdn.report.pages.write_page", killed)
        assert denoise(source, tmp_path / "out", "--report") == 130
    assert not list((tmp_path / "out").glob("*.html"))
    assert denoise(source, tmp_path / "out", "--report") == 0
    (series,) = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))[
        "series"
    ]
    assert series["quality"]["slices"] == 3
    assert (tmp_path / "out" / f"{series['derived_uid']}.html").is_file()


@pytest.mark.parametrize("name", ["Doe.nii.gz", "Doe.nrrd", "site/Doe.mha", "Doe.mhd"])
def test_a_volume_has_the_same_page(tmp_path: Path, name: str) -> None:
    image = SimpleITK.GetImageFromArray(np.full((3, SIZE, SIZE), 40, np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    (tmp_path / "in" / name).parent.mkdir(parents=True)
    SimpleITK.WriteImage(image, str(tmp_path / "in" / name))
    target = tmp_path / "out"
    taken = "--accept", "no-air"
    assert denoise(tmp_path / "in", target, *taken) == 0
    assert denoise(tmp_path / "in", target, *taken, "--report") == 0
    result = name.replace("Doe", "Doe_denoised")
    page = (target / f"{result}.html").read_text(encoding="utf-8")
    assert "Doe" not in page
    for words in ("Slice 2 of 3", "0.8 x 0.7 mm", "2.5 mm", "not known: such a file does not say"):
        assert words in page
    assert "values run from 40 to 40 and none is air" in page
    assert "The network was not trained for this: values run from 40 to 40" in page
    assert denoise(tmp_path / "in", target, *taken, "--report-identifiers") == 0
    assert f"<dd>{Path(name).name}</dd>" in (target / f"{result}.html").read_text(encoding="utf-8")


def test_odd_headers_make_no_noise(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """pydicom talks of each such value whenever it is read."""
    source = tmp_path / "in"
    extra = {"ReconstructionDiameter": "31415926", "KVP": "27182818"}
    for path in make_series(source, series_number=24681357, extra=extra):
        content = path.read_bytes()
        for value, odd in (
            (b"31415926", b"31.4.5 m"),
            (b"27182818", b"one-two "),
            (b"24681357", b"two.four"),
        ):
            assert content.count(value) == 1
            content = content.replace(value, odd)
        path.write_bytes(content)
    assert denoise(source, tmp_path / "out", "--report") == 0
    assert [str(one.message) for one in recwarn.list] == []


def test_no_page_unless_asked(source: Path, tmp_path: Path) -> None:
    assert denoise(source, tmp_path / "out") == 0
    assert not list((tmp_path / "out").glob("*.html"))


def test_a_page_that_cannot_be_written_loses_no_images(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise WriteError("the report cannot be written: no space left")

    monkeypatch.setattr("ldct_clipdn.report.pages.write_page", refuse)
    assert denoise(source, tmp_path / "out", "--report") == 1
    assert "no space left" in capsys.readouterr().err
    (series,) = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))[
        "series"
    ]
    assert series["status"] == "denoised"
    assert len(list((tmp_path / "out" / series["derived_uid"]).iterdir())) == 3


@pytest.mark.parametrize(
    "options", [("--strength", "strong"), ("--strength", "0.5", "--target-noise", "9")]
)
def test_wrong_strengths_are_wrong_usage(
    source: Path, tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert denoise(source, tmp_path / "out", *options) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_strength_by_name_and_auto(tmp_path: Path) -> None:
    source = tmp_path / "even"
    make_series(
        source, rows=96, columns=96, hu=np.random.default_rng(0).normal(50, 20, (3, 96, 96))
    )
    assert denoise(source, tmp_path / "low", "--strength", "low") == 0
    assert denoise(source, tmp_path / "auto", "--strength", "auto", "--target-noise", "90") == 0
