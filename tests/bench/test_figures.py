"""Figures of the benchmarks: what they show, whether it can be read, and a disk that is full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Disk
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from ldct_clipdn.bench.cases import DEVELOPMENT, HELD_OUT, SEEN
from ldct_clipdn.bench.contrast import CurveRow
from ldct_clipdn.bench.draws import DrawMaps, DrawsOf
from ldct_clipdn.bench.feature_figures import draw_embedding, draw_similarity
from ldct_clipdn.bench.features import Similarity
from ldct_clipdn.bench.figure import save_maps, save_small
from ldct_clipdn.bench.kept_strips import keep_strip
from ldct_clipdn.bench.known_truth import PhantomRow
from ldct_clipdn.bench.matrix_figure import draw_matrix
from ldct_clipdn.bench.matrix_summary import Summary
from ldct_clipdn.bench.strips import Panel, write_strip
from ldct_clipdn.bench.truth_figures import draw_edges, draw_maps, draw_phantoms
from ldct_clipdn.bench.worst import KINDS, WorstTile, draw_worst
from ldct_clipdn.errors import WriteError

UID = "1.3.6.1.4.1.9590.100.1.2.128355"


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def _texts(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.findobj(Text) if one.get_text()]


def _strip(path: Path, height: int, width: int, count: int = 3) -> list[Panel]:
    images = [torch.from_numpy(_noise(3, height, width, seed=k)) for k in range(count)]
    images[-1][:, :, : width // 2] = 0.5  # the reference: structure on the right alone
    panels = [Panel(f"panel {k}", one, (30.0, 0.9)) for k, one in enumerate(images[:-1])]
    panels.append(Panel("clean", images[-1], None))
    write_strip(panels, path, "title")
    return panels


def _find(drawn: np.ndarray, image: torch.Tensor) -> tuple[int, int]:
    """Find the one place at which a picture stands pixel by pixel."""
    wanted = (image * 255).round().permute(1, 2, 0).numpy().astype(int)
    height, width = wanted.shape[:2]
    corners = np.argwhere((drawn == wanted[0, 0]).all(-1))
    places = [
        (int(y), int(x))
        for y, x in corners
        if drawn[y : y + height, x : x + width].shape == wanted.shape
        and (drawn[y : y + height, x : x + width] == wanted).all()
    ]
    assert len(places) == 1
    return places[0]


def test_a_strip_shows_every_pixel(tmp_path: Path) -> None:
    panels = _strip(tmp_path / "s.png", 300, 500)
    drawn = _pixels(tmp_path / "s.png")
    assert drawn.shape[1] < 1650
    places = [_find(drawn, panel.image) for panel in panels]
    assert len({y for y, _ in places}) == 1
    assert [x for _, x in places] == sorted(x for _, x in places)


def test_many_panels_stand_in_rows_that_fit_a_screen(tmp_path: Path) -> None:
    """Twelve panels: three rows of four, the reference at the end of the last."""
    panels = _strip(tmp_path / "s.png", 60, 90, count=12)
    drawn = _pixels(tmp_path / "s.png")
    assert drawn.shape[1] <= 1610
    places = [_find(drawn, one.image.repeat_interleave(4, 1).repeat_interleave(4, 2))
              for one in panels]  # fmt: skip
    assert places == sorted(places)
    assert len({y for y, _ in places}) == 3
    assert len({x for _, x in places}) == 4


def test_small_pictures_are_enlarged_by_whole_pixels(tmp_path: Path) -> None:
    panels = _strip(tmp_path / "s.png", 60, 100)
    large = panels[0].image.repeat_interleave(5, 1).repeat_interleave(5, 2)
    _find(_pixels(tmp_path / "s.png"), large)


@pytest.mark.parametrize(("height", "width"), [(520, 780), (780, 520)])
def test_large_pictures_are_shrunk_without_aliases_and_have_details(
    tmp_path: Path, height: int, width: int
) -> None:
    panels = _strip(tmp_path / "s.png", height, width)
    drawn = _pixels(tmp_path / "s.png")
    assert drawn.shape[1] < 1650
    scale = 525 / 780
    high, wide = (round(scale * side) for side in (height, width))
    top = int(np.argmax((drawn[:, 8 : 8 + wide] < 250).all((1, 2))))
    whole = drawn[top : top + high // 3, 8 : 8 + wide // 2]
    assert whole.std() < 0.85 * panels[0].image.std() * 255  # of nearest pixels it is the same
    details = []
    for panel in panels:
        # a detail's second pixel row repeats its first
        image = (panel.image * 255).round().permute(1, 2, 0).numpy().astype(int)
        below = drawn[top + high + 8 :, 8:][: high // 2 * 2]
        left = len(details) * (max(wide, 200) + 8)
        cut = below[::2, left : left + wide // 2 * 2 : 2]
        assert (below[1::2, left : left + wide // 2 * 2 : 2] == cut).all()
        (at,) = [
            (y, x)
            for y, x in np.argwhere((image == cut[0, -1]).all(-1))
            if x >= wide // 2 - 1 and (image[y, x - cut.shape[1] + 1 : x + 1] == cut[0]).all()
        ] or [None]
        details.append(at)
    assert details[0] is not None
    assert details == [details[0]] * 3
    assert details[0][1] - wide // 2 + 1 >= width // 2 - 8  # where the reference has structure


def _summary(series: str, training: str, method: str, **given: object) -> Summary:
    kind = "oracle" if "oracle" in method else "network"
    values = {"patient": series.split()[0], "scanner": "GE Light", "kernel": "B30f",
              "thickness_mm": "3", "dose": "0.25", "setting": "", "dose_effective": 0.25,
              "slices": 2, "approximate": 0, "removed": 0.5, "gain": 1.0, "worst_gain": 0.9,
              "truth_gain": 1.2, "truth_psnr": 40.0, "noise_returned": 0, "means": {}}  # fmt: skip
    return Summary(**{"series": series, "training": training, "method": method, "kind": kind,
                      **values, **given})  # fmt: skip


METHODS = ("input", "TV (oracle)", *(f"network {k}" for k in range(11)))


def test_the_matrix_shows_held_out_series_first_and_no_uid(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    series = [
        (f"{UID} B30f 3 mm", DEVELOPMENT, {}),
        ("A1 B30f 3 mm", SEEN, {}),
        ("L1 B30f 3 mm", HELD_OUT, {}),
        ("L2 B30f 3 mm", HELD_OUT, {}),
        ("L3 B40f 3 mm", HELD_OUT, {"kernel": "B40f"}),
        ("thorax 1 mm", HELD_OUT, {"scanner": "", "kernel": "", "thickness_mm": "1"}),
    ]
    draw_matrix(
        [
            _summary(name, training, method, **given, dose=dose, gain=0.9)
            for name, training, given in series
            for dose in ("0.5", "0.25")
            for method in METHODS
        ],
        tmp_path / "m.png",
    )
    (figure,) = drawn
    held_out, seen, development, bar = figure.axes
    assert ["Held out" in _texts(figure), "input" in _texts(figure)] == [True, False]
    assert not any("1.3.6" in text for text in _texts(figure))
    names = [[one.get_text() for one in axes.get_yticklabels(minor=True)] for axes in figure.axes]
    assert names[:3] == [
        ["L1: GE Light\nB30f 3 mm", "L2: GE Light\nB30f 3 mm", "GE Light\nB40f 3 mm",
         "thorax\n1 mm"],
        ["GE Light\nB30f 3 mm"],
        ["GE Light\nB30f 3 mm"],
    ]  # fmt: skip
    tops = [axes.get_position().y1 for axes in (held_out, seen, development, bar)]
    assert tops == sorted(tops, reverse=True)
    assert figure.axes[0].images[0].get_array().shape == (8, 13)
    assert [one.get_text() for one in seen.get_yticklabels()] == ["0.5", "0.25"]
    sizes = [one.get_fontsize() for one in figure.findobj(Text) if one.get_text()]
    assert min(sizes) >= 7.5
    assert 850 <= _pixels(tmp_path / "m.png").shape[1] <= 920


def test_maps_of_draws_have_the_colours_of_their_bars_and_of_nothing_else(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    truth = np.full((200, 300), 50, dtype=np.float32) + 300 * (_noise(200, 300) - 0.5)
    bias = np.random.default_rng(1).normal(0, 8, (200, 300)).astype(np.float32)
    spread = 20 * _noise(200, 300, seed=2)
    draw_maps(DrawsOf("p", truth, [], 24.0), DrawMaps(bias, spread, 50), tmp_path / "d.png")
    with Image.open(tmp_path / "d.png") as image:
        assert image.mode == "P"
    picture = _pixels(tmp_path / "d.png")
    maps, bar = drawn[0].axes[:3], drawn[0].axes[4]
    height = picture.shape[0]
    for axes in maps:
        colours, box = axes.images[0].get_cmap(), axes.get_window_extent()
        known = {tuple(one) for one in colours(np.arange(colours.N), bytes=True)[:, :3].tolist()}
        inside = picture[height - int(box.y1) + 2 : height - int(box.y0) - 3]
        inside = inside[:, int(box.x0) + 3 : int(box.x1) - 2]
        assert {tuple(one) for one in inside.reshape(-1, 3).tolist()} <= known
    assert bar.get_ylim() == (-30, 30)
    colours = maps[1].images[0].get_cmap()
    x = int(bar.get_window_extent().x0 + bar.get_window_extent().width / 2)
    for hu in range(-28, 29, 4):  # the ends too, which are rare in the map
        share = (hu + 30) / 60
        y = height - round(bar.transData.transform((0, hu))[1])
        assert colours(share, bytes=True)[:3] in {tuple(one) for one in picture[y - 1 : y + 2, x]}
        assert np.abs(np.subtract(colours(share), colormaps["RdBu_r"](share))).max() < 0.04


def test_panels_of_phantoms_share_their_axis(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [
        PhantomRow("own", "standard", 1.0, phantom, 12.0, method, 10.0, psnr)
        for phantom, gain in (("a", 3.0), ("b", 17.0))
        for method, psnr in (("input", 30.0), ("TV", 30.0 + gain))
    ]
    draw_phantoms(rows, tmp_path / "p.png")
    a, b = drawn[0].axes
    assert a.get_ylim() == b.get_ylim()
    assert a.get_ylim()[1] > 17


def _similarity(noises: tuple[str, ...]) -> list[Similarity]:
    return [
        Similarity("RN50", "p0", noise, level, measure, 0.5)
        for noise in noises
        for level in (1, 2)
        for measure in ("cosine", "centred cosine", "linear CKA")
    ]


def test_noise_of_features_is_named_on_the_papers_scale(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    noises = ("gaussian:25.5", "gaussian:127.5", "poisson:2")
    draw_similarity(_similarity(noises), tmp_path / "s.png", "title")
    legend = drawn[0].axes[0].get_legend()
    assert [one.get_text() for one in legend.get_texts()] == ["sigma 0.1", "sigma 0.5", "poisson 2"]
    points = {(noise, 1): _noise(4, 2) for noise in noises}
    draw_embedding(points, ["a", "b"], tmp_path / "t.png", "title")
    assert drawn[1].axes[0].get_title() == "F1, sigma 0.1"


def _tiles(kind: str, count: int) -> list[WorstTile]:
    return [
        WorstTile(f"L{k} B30f 3 mm", "0.25", (0, k, 0), kind, 1.2, 200 * _noise(3, 80, 80, seed=k))
        for k in range(count)
    ]


def test_the_gallery_is_as_wide_as_its_tiles(tmp_path: Path, drawn: list[Figure]) -> None:
    title = "network: worst of 2544 tiles (32 x 32) by squared difference to F*, over the input's"
    for count in (4, 6):
        draw_worst(_tiles("tissue", count), tmp_path / f"{count}.png", title)
    four, six = (_pixels(tmp_path / f"{count}.png") for count in (4, 6))
    assert four.shape[1] < 0.75 * six.shape[1]
    for picture in (four, six):
        dark = (picture < 100).all(-1).any(0)
        assert np.flatnonzero(dark)[-1] > 0.97 * picture.shape[1]


def test_headings_of_the_gallery_are_no_part_of_its_title(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    tiles = [*_tiles("tissue", 3), *_tiles("dense", 1)]
    draw_worst(tiles, tmp_path / "w.png", "word " * 40)
    (figure,) = drawn
    boxes = {one.get_text().split("\n")[0]: one for one in figure.findobj(Text) if one.get_text()}
    heading, dense = boxes[KINDS["tissue"]], boxes[KINDS["dense"]]
    title = next(one for text, one in boxes.items() if text.startswith("word word"))
    assert heading.get_fontweight() == dense.get_fontweight() == "bold"
    assert title.get_window_extent().y0 > heading.get_window_extent().y1
    assert title.get_window_extent().x1 < figure.bbox.width


def _transfer(path: Path) -> None:
    draw_edges([CurveRow(1.0, 30.0, "input", k / 20, 1 - k / 20) for k in range(20)], path)


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: write_strip([Panel("clean", torch.rand(3, 64, 64), None)], path, "title"),
        lambda path: draw_similarity(_similarity(("gaussian:51",)), path, "title"),
        lambda path: draw_embedding({("gaussian:51", 1): _noise(4, 2)}, ["a", "b"], path, "title"),
        lambda path: draw_matrix([_summary("L1 B30f", HELD_OUT, "TV (oracle)")], path),
        lambda path: draw_worst(_tiles("tissue", 2), path, "title"),
        _transfer,
        lambda path: save_small(Figure(), path, 8),
        lambda path: save_maps(Figure(), path, [colormaps["gray"]]),
    ],
    ids=["strip", "similarity", "embedding", "matrix", "worst", "edges", "small", "maps"],
)
def test_a_full_disk_is_a_plain_error(
    tmp_path: Path, full_disk: Disk, draw: Callable[[Path], None]
) -> None:
    path = tmp_path / "new" / "a.png"
    with full_disk(50), pytest.raises(WriteError, match=r"a\.png: cannot be written .File too"):
        draw(path)
    assert list(path.parent.iterdir()) == []
    draw(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_strip_is_drawn_anew_only_to_show_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn: list[str] = []
    pixels = torch.zeros(1, 8, 8)

    def keep(*methods: str) -> None:
        def draw() -> list[Panel]:
            drawn.append(" ".join(methods))
            return [Panel(one, pixels, None) for one in methods]

        keep_strip(tmp_path, "kodim01", "Kodak24", methods, draw)

    keep("a", "b")
    keep("b", "a")
    keep("c")
    assert "shows a, b: give these too" in caplog.text
    keep("a", "b", "c")
    keep("a")
    assert drawn == ["a b", "a b c"]
