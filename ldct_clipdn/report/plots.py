"""Small plots as SVG, drawn by hand: they take the page's colours, light or dark, and scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

__all__ = ["Curve", "line_plot"]

WIDTH: Final = 460
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 44
TICKS: Final = 5
"""About as many per axis."""


@dataclass(frozen=True)
class Curve:
    """One line of a plot.

    Parameters
    ----------
    name
        For the legend.
    style
        Class of the line in the page's style sheet: `before`, `after` or `change`.
    x, y
        Its points.
    """

    name: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


def line_plot(curves: Sequence[Curve], x_label: str, y_label: str) -> Markup:
    """Draw curves over one pair of axes; y starts at 0.

    Parameters
    ----------
    curves
        One at least, each with two points at least.
    x_label, y_label
        What is drawn, with its unit.

    Returns
    -------
    markupsafe.Markup
        An `svg` element.
    """
    axes = _Axes(
        min(min(one.x) for one in curves),
        max(max(one.x) for one in curves),
        max(max(one.y) for one in curves) * 1.05 or 1.0,
    )
    label = f"{y_label} over {x_label}: " + ", ".join(one.name for one in curves)
    return Markup("").join(
        (
            Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
                WIDTH, HEIGHT, label
            ),
            *_grid(axes),
            *(_line(one, axes) for one in curves),
            *_legend(curves),
            _text(LEFT + axes.width / 2, HEIGHT - 8, x_label),
            Markup('<text class="label" transform="translate(14 {}) rotate(-90)">{}</text>').format(
                TOP + axes.height / 2, y_label
            ),
            Markup("</svg>"),
        )
    )


@dataclass(frozen=True)
class _Axes:
    """Range of the data, and where it lands on the drawing."""

    low: float
    high: float
    top: float

    width = WIDTH - LEFT - RIGHT
    height = HEIGHT - TOP - BOTTOM

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.low) / (self.high - self.low) * self.width, 1)

    def y(self, value: float) -> float:
        return round(TOP + (1 - value / self.top) * self.height, 1)


def _grid(axes: _Axes) -> Iterator[Markup]:
    for value in ticks(0, axes.top):
        yield _rule(LEFT, axes.y(value), LEFT + axes.width, axes.y(value))
        yield _text(LEFT - 6, axes.y(value) + 4, f"{value:g}", "tick end")
    for value in ticks(axes.low, axes.high):
        bottom = TOP + axes.height
        yield _rule(axes.x(value), bottom, axes.x(value), bottom + 4)
        yield _text(axes.x(value), bottom + 17, f"{value:g}".replace("-", "\N{MINUS SIGN}"), "tick")


def ticks(low: float, high: float) -> list[float]:
    """Choose round numbers for an axis.

    Parameters
    ----------
    low, high
        Ends of the axis.

    Returns
    -------
    list of float
        Multiples of 1, 2 or 5 times a power of ten.
    """
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def _line(curve: Curve, axes: _Axes) -> Markup:
    points = " ".join(f"{axes.x(x)},{axes.y(y)}" for x, y in zip(curve.x, curve.y, strict=True))
    return Markup('<polyline class="{}" points="{}"/>').format(curve.style, points)


def _legend(curves: Sequence[Curve]) -> Iterator[Markup]:
    for row, curve in enumerate(curves):
        y = TOP + 12 + 18 * row
        right = WIDTH - RIGHT - 6
        yield Markup('<polyline class="{}" points="{},{} {},{}"/>').format(
            curve.style, right - 26, y - 4, right, y - 4
        )
        yield _text(right - 32, y, curve.name, "tick end")


def _rule(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(x1, y1, x2, y2)


def _text(x: float, y: float, content: str, style: str = "label") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(style, x, y, escape(content))
