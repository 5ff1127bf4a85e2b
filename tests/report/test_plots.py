"""Plots as SVG: well-formed, within their frame, escaped."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.report.plots import HEIGHT, WIDTH, Curve, line_plot, ticks


def read(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - made by us


finite = st.floats(-1e4, 1e4)


@given(low=finite, width=st.floats(1e-3, 1e5))
@settings(max_examples=100, deadline=None)
def test_ticks_are_round_and_inside(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 11
    assert all(low - 1e-6 * width <= one <= low + 1.000001 * width for one in found)
    steps = {round(b - a, 6) for a, b in itertools.pairwise(found)}
    assert len(steps) <= 2


def test_ticks_of_a_unit_axis() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-950, 450) == [-500, 0]


@given(st.lists(st.floats(0, 1e5), min_size=2, max_size=20))
@settings(max_examples=40, deadline=None)
def test_curves_stay_inside_the_frame(values: list[float]) -> None:
    curve = Curve("a", "after", range(len(values)), values)
    root = read(line_plot([curve], "x", "y"))
    lines = [one for one in root.iter("polyline") if one.get("class") == "after"]
    points = [tuple(map(float, p.split(","))) for p in lines[0].get("points").split()]
    assert len(points) == len(values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_larger_values_are_drawn_higher() -> None:
    root = read(line_plot([Curve("a", "after", [0, 1], [1, 3])], "x", "y"))
    first, second = root.find("polyline").get("points").split()
    assert float(second.split(",")[1]) < float(first.split(",")[1])


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", 'a" onload="x', "5 < 6 & 7"])
def test_names_cannot_leave_their_place(text: str) -> None:
    svg = line_plot([Curve(text, "after", [0, 1], [1, 2])], text, text)
    root = read(svg)
    assert {one.tag for one in root.iter()} == {"svg", "line", "text", "polyline"}
    assert text in root.get("aria-label")
    assert set(root.keys()) == {"class", "viewBox", "role", "aria-label"}
