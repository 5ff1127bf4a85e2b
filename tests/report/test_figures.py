"""Side-by-side pictures: what they show and say."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest
from conftest import Disk
from matplotlib.figure import Figure
from matplotlib.image import imread
from skimage.metrics import peak_signal_noise_ratio

from ldct_clipdn.ct.hu import WINDOWS, HURange, Window
from ldct_clipdn.errors import ConfigError, DataError, WriteError
from ldct_clipdn.report.figures import draw_comparison


@pytest.fixture
def slices() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    clean = np.tile(np.linspace(-1000, 1500, 40), (30, 1))
    before = clean + rng.normal(0, 40, clean.shape)
    return {"before": before, "after": (before + clean) / 2, "clean": clean}


def test_before_after_reference_and_difference(
    tmp_path: Path, slices: dict[str, np.ndarray], drawn: list[Figure]
) -> None:
    clean = slices.pop("clean")
    path = draw_comparison(tmp_path / "new" / "a.png", slices, reference=clean)
    assert imread(path).shape[2] == 4
    *panels, colour_bar = drawn[0].axes
    images = [axes.images[0] for axes in panels]
    np.testing.assert_array_equal(images[0].get_array(), slices["before"])
    np.testing.assert_array_equal(images[1].get_array(), slices["after"])
    np.testing.assert_array_equal(images[2].get_array(), clean)
    np.testing.assert_allclose(images[3].get_array(), slices["after"] - slices["before"])
    assert all(image.get_clim() == (-160, 240) for image in images[:3])
    low, high = images[3].get_clim()
    assert low == -high < 0
    assert colour_bar.get_ylabel() == "HU"
    captions = [axes.get_xlabel() for axes in panels]
    for name, caption in zip(slices, captions, strict=False):
        a, b = (one.clip(-1024, 3072) for one in (slices[name], clean))
        assert caption == f"{name}\nPSNR {peak_signal_noise_ratio(b, a, data_range=4096):.2f} dB"
    assert captions[2:] == ["reference", "after \N{MINUS SIGN} before"]
    assert drawn[0].get_suptitle() == "Abdomen window [-160, 240] HU; PSNR over [-1024, 3072] HU"


def test_without_reference_no_psnr_is_claimed(
    tmp_path: Path, slices: dict[str, np.ndarray], drawn: list[Figure]
) -> None:
    del slices["clean"]
    draw_comparison(tmp_path / "a.png", slices, WINDOWS["lung"])
    assert [axes.get_xlabel() for axes in drawn[0].axes[:2]] == ["before", "after"]
    assert drawn[0].get_suptitle() == "Lung window [-1350, 150] HU"


def test_a_window_of_ones_own_and_a_perfect_image(
    tmp_path: Path, slices: dict[str, np.ndarray], drawn: list[Figure]
) -> None:
    clean = slices["clean"]
    draw_comparison(tmp_path / "a.png", {"x": clean.copy()}, Window(0, 50), reference=clean)
    x, reference, difference, _ = drawn[0].axes
    assert x.get_xlabel() == "x\nequals the reference"
    assert difference.get_xlabel() == "x \N{MINUS SIGN} reference"
    assert np.all(difference.images[0].get_array() == 0)
    assert x.images[0].get_clim() == reference.images[0].get_clim() == (0, 50)
    assert drawn[0].get_suptitle().startswith("Window [0, 50] HU")


def test_one_image_alone_has_no_difference(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_comparison(tmp_path / "a.png", {"x": np.zeros((4, 4))})
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["x"]


def test_a_few_wild_pixels_do_not_set_the_colour_scale(tmp_path: Path, drawn: list[Figure]) -> None:
    before = np.zeros((50, 50))
    after = before + 3
    after[0, :5] = 5000
    draw_comparison(tmp_path / "a.png", {"before": before, "after": after})
    assert drawn[0].axes[2].images[0].get_clim() == (-3, 3)


@pytest.mark.parametrize(
    "shapes", [[], [(4, 4), (4, 5)], [(3, 4, 4), (3, 4, 4)]], ids=["none", "two shapes", "volumes"]
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, shapes: list[tuple[int, ...]]) -> None:
    images = {str(index): np.zeros(shape) for index, shape in enumerate(shapes)}
    with pytest.raises(DataError, match="cannot be drawn"):
        draw_comparison(tmp_path / "a.png", images)


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    images = {"one": np.zeros((4, 4))}
    with pytest.raises(ConfigError, match=r"written as \.doc.*\.png"):
        draw_comparison(tmp_path / "a.doc", images)
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="picture cannot be written"):
        draw_comparison(tmp_path / "file" / "a.png", images)


def test_a_full_disk_leaves_the_picture_that_was_there(tmp_path: Path, full_disk: Disk) -> None:
    images = {"one": np.random.default_rng(0).normal(0, 100, (64, 64))}
    path = draw_comparison(tmp_path / "a.png", images)
    before = path.read_bytes()
    with full_disk(1000), pytest.raises(WriteError, match="File too large"):
        draw_comparison(path, images)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **options: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'ldct_clipdn\[figures\]'"):
        draw_comparison(tmp_path / "a.png", {"one": np.zeros((4, 4))}, HURange(0, 1))
