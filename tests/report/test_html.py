"""The page: what it says, what it must not hold, and how a browser shows it."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import Disk

from ldct_clipdn.ct.flags import Expected
from ldct_clipdn.ct.hu import WINDOWS
from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
from ldct_clipdn.ct.quality import QualityMeter
from ldct_clipdn.errors import WriteError
from ldct_clipdn.report.html import SeriesPage, read_identifiers, render_page, write_page
from ldct_clipdn.report.png import to_grey

Image = pytest.importorskip("PIL.Image")

SIZE = 160
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@pytest.fixture(scope="module")
def page() -> SeriesPage:
    """A series whose values were raised by 5 HU."""
    before = abdomen_phantom(1, SIZE, 1)[0]
    before += np.random.default_rng(0).normal(0, 20, before.shape).astype(np.float32)
    meter = QualityMeter(spacing_mm(SIZE))
    meter.add(before, before + 5, before)
    return SeriesPage(
        before=before,
        after=before + 5,
        spacing_mm=spacing_mm(SIZE)[1:],
        place="Slice 1 of 1",
        quality=meter.finish(Expected(slices=1)),
        series={"Kernel": "B30f", "Description": "<script>alert('x')</script> A & B"},
        settings={"Strength": "1.00"},
        versions={"ldct_clipdn": "0.1.0", "torch": "2.13.0"},
    )


class Reader(HTMLParser):
    """Collects what a page shows and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_says_what_was_found(page: SeriesPage) -> None:
    words = Reader(render_page(page)).words
    assert words.count("Research use only, not a medical device.") == 2
    assert "HU values of soft tissue are higher than in the original images" in words
    assert "HU_BIAS measured +5.0 HU, limit ±2 HU" in words
    assert "+5.0 HU ±2 HU look" in words
    for name in ("B30f", "Strength 1.00", "torch 2.13.0", "Slice 1 of 1", "CoreDiff"):
        assert name in words


def test_says_what_was_odd_about_the_series(page: SeriesPage) -> None:
    assert "Noticed:" not in Reader(render_page(page)).words
    words = Reader(render_page(replace(page, notes=("a gap", "a < tilt")))).words
    assert "Noticed: a gap; a < tilt." in words


def test_says_whether_it_names_the_patient(page: SeriesPage, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert read_identifiers(path) is None
    path.write_text("<html><title>Another</title>", encoding="utf-8")
    assert read_identifiers(path) is None
    for names in (True, False):
        assert read_identifiers(write_page(path, replace(page, names_patient=names))) is names


def test_nothing_found_is_not_called_safe(page: SeriesPage) -> None:
    words = Reader(render_page(replace(page, quality=replace(page.quality, flags=())))).words
    assert "No automatic finding." in words
    assert "does not mean that the images are safe" in words


def test_loads_nothing_from_anywhere(page: SeriesPage) -> None:
    html = render_page(page)
    own = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch|XMLHttp", own)
    reader = Reader(html)
    for tag, attributes in reader.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        assert not {"href", "srcset", "action"} & set(attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
    policy = next(one["content"] for tag, one in reader.tags if "http-equiv" in one)
    assert policy.startswith("default-src 'none'")


def test_texts_of_headers_are_shown_and_not_run(page: SeriesPage) -> None:
    reader = Reader(render_page(page))
    assert "<script>alert('x')</script> A & B" in reader.words
    assert sum(tag == "script" for tag, _ in reader.tags) == 1


def test_pictures_show_the_slice_in_each_window(page: SeriesPage) -> None:
    tags = Reader(render_page(page)).tags
    images = [one for tag, one in tags if tag == "img"]
    assert all(one["alt"] for one in images)
    shown = {one["alt"]: one["src"] for one in images}
    for name, key in (("Soft tissue", "abdomen"), ("Lung", "lung"), ("Bone", "bone")):
        content = base64.b64decode(shown[f"Before denoising, {name} window"].split(",")[1])
        picture = np.asarray(Image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(picture, to_grey(page.before, WINDOWS[key]))


def test_the_difference_is_after_minus_before(page: SeriesPage) -> None:
    images = [one for tag, one in Reader(render_page(page)).tags if tag == "img"]
    source = next(one["src"] for one in images if one["alt"].startswith("Difference"))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    np.testing.assert_array_equal(picture, 140)  # 5 HU of -50 to 50 HU


def test_what_could_not_be_measured_says_so() -> None:
    air = np.full((32, 32), -1000, dtype=np.float32)
    meter = QualityMeter((1, 1))
    meter.add(air, air)
    words = Reader(render_page(SeriesPage(air, air, (1, 1), "Slice 1 of 1", meter.finish()))).words
    assert "not measured" in words
    assert "none in these images" in words
    assert "Noise power spectrum" not in words
    assert "None" not in words.split()
    assert "nan" not in words.split()


def test_is_written_whole_or_not_at_all(page: SeriesPage, tmp_path: Path, full_disk: Disk) -> None:
    path = write_page(tmp_path / "report.html", page)
    assert path.read_text(encoding="utf-8") == render_page(page)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(WriteError):
        write_page(tmp_path / "nowhere" / "report.html", page)
    with full_disk(1000), pytest.raises(WriteError, match="File too large"):
        write_page(path, page)
    assert path.read_text(encoding="utf-8") == render_page(page)
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., str]:
    """Run headless Chromium on a page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no Chromium on this machine (Debian package chromium)")

    def run(page: Path, *flags: str) -> str:
        command = (
            chromium,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            *flags,
            page.as_uri(),
        )
        done = subprocess.run(command, check=True, timeout=180, capture_output=True)
        return done.stdout.decode()

    return run


@pytest.mark.parametrize(
    ("flags", "ground"),
    [((), (246, 247, 248)), (("--blink-settings=preferredColorScheme=0",), (20, 24, 27))],
    ids=["light", "dark"],
)
def test_browser_shows_both_halves(
    page: SeriesPage,
    tmp_path: Path,
    browse: Callable[..., str],
    flags: tuple[str, ...],
    ground: tuple[int, int, int],
) -> None:
    """Black before and white after: the slider must stand in the middle, in either theme."""
    black, white = np.full((SIZE, SIZE), -1000.0), np.full((SIZE, SIZE), 1000.0)
    html = write_page(tmp_path / "report.html", replace(page, before=black, after=white))
    picture = tmp_path / "page.png"
    browse(html, *flags, "--window-size=1000,1600", f"--screenshot={picture}")
    shown = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert tuple(shown[2, 2]) == ground
    half = shown[:, :500]
    is_white = (half == 255).all(axis=2)
    is_black = (half == 0).all(axis=2)
    # 420 px of a frame: black on the left half, white on the right
    rows = np.flatnonzero((is_black.sum(axis=1) > 150) & (is_white.sum(axis=1) > 150))
    assert len(rows) > 200
    row = rows[len(rows) // 2]
    left, right = np.flatnonzero(is_black[row]), np.flatnonzero(is_white[row] & ~is_black[row])
    inside = right[right > left.min()]
    assert left.max() < inside[inside > left.max()].min()
    assert len(left) == pytest.approx(len(inside[inside > left.max()]), abs=25)


@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_is_cut_off_on_a_small_screen(
    page: SeriesPage, tmp_path: Path, browse: Callable[..., str], width: int
) -> None:
    """What is wider than its box would have to be scrolled to: nobody does with a column."""
    meter = QualityMeter(page.spacing_mm)
    meter.add(page.before, page.after)
    look = """<script>document.title = JSON.stringify(
        [document.documentElement, ...document.querySelectorAll("main, .scroll, .facts dd, svg")]
        .map(one => one.scrollWidth - one.clientWidth))</script>"""
    html = tmp_path / "report.html"
    shown = replace(page, quality=meter.finish())
    html.write_text(render_page(shown).replace("</body>", f"{look}</body>"), encoding="utf-8")
    dom = browse(html, f"--window-size={width},900", "--dump-dom")
    (found,) = re.findall(r"<title>\[([-\d,]+)\]</title>", dom)
    assert set(found.split(",")) == {"0"}


def test_browser_prints_to_a4(page: SeriesPage, tmp_path: Path, browse: Callable[..., str]) -> None:
    plain = replace(page, quality=replace(page.quality, scores=None))
    html, printed = write_page(tmp_path / "report.html", plain), tmp_path / "page.pdf"
    browse(html, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    content = printed.read_bytes()
    boxes = re.findall(rb"/MediaBox \[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", content)
    assert 1 <= len(boxes) <= 2
    for width, height in boxes:
        assert float(width) == pytest.approx(595, abs=1)
        assert float(height) == pytest.approx(842, abs=1)
