"""Line charts of the report page, and the plot file of `agentray tune`, as the places of their parts.

Templates draw them. Positions across are percentages of the width, so a chart fits a phone and a wide screen
with text of one size; lines are drawn in a nested SVG that stretches while their strokes do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentray.report.markup import render

Point = tuple[float, float]

_PLOT_HEIGHT = 240
_COLORS = 4
"""Line classes `line-0` to `line-3` the page defines; more series reuse them."""
_PANEL_HEIGHT, _PANEL_WIDTH = 190, 720
_MARGIN_LEFT, _MARGIN_RIGHT, _MARGIN_TOP = 64, 24, 64


@dataclass(frozen=True)
class Line:
    """One series."""

    name: str
    color: int
    points: str
    """As a polyline has them."""
    first: float
    last: float


@dataclass(frozen=True)
class LineChart:
    """Lines over a common x, from y = 0."""

    lines: Sequence[Line]
    ticks: Sequence[Point]
    """Value and place from the top."""
    xs: Point
    x_name: str
    window: int = 1
    """Points that a running mean is over."""
    height: int = _PLOT_HEIGHT


@dataclass(frozen=True)
class Panel:
    """One curve of the plot file."""

    name: str
    top: int
    ticks: Sequence[Point]
    points: Sequence[tuple[float, float, float, float]]
    """x, y, and their places across and down."""


def line_chart(
    series: Mapping[str, Sequence[tuple[float | None, float | None]]], x_name: str, window: int = 1
) -> LineChart | None:
    """A chart of series by name, each ordered by x; None where no point is known.

    Args:
        series: Points; those that are not known are passed over.
        x_name: What x counts.
        window: Points of the running mean that is drawn.
    """
    known = {name: _smooth(_known(points), window) for name, points in series.items()}
    known = {name: points for name, points in known.items() if points}
    if not known:
        return None
    xs = [x for points in known.values() for x, _ in points]
    span = min(xs), max(xs)
    ticks = _ticks(0.0, max(y for points in known.values() for _, y in points))
    lines = [
        Line(name, index % _COLORS, _polyline(points, span, ticks), points[0][1], points[-1][1])
        for index, (name, points) in enumerate(known.items())
    ]
    places = [(tick, _PLOT_HEIGHT * (1 - tick / ticks[-1])) for tick in ticks]
    return LineChart(lines, places, span, x_name, window)


def write_curve(curves: Mapping[str, Sequence[Point]], path: Path, title: str, *, x_label: str = "η") -> None:
    """Write one SVG file with a panel per curve over a common x: what a sweep gains and what it costs.

    Each panel has its own y scale, because the curves may have different units.

    Args:
        curves: Finite points by curve name; a curve without points says so. The name should say which way
            is better.
        path: File to write; its directory exists.
        title: Heading of the plot.
        x_label: Name of the swept quantity.

    Raises:
        ValueError: There are no curves.
    """
    if not curves:
        raise ValueError("there is no curve to draw")
    xs = sorted({x for points in curves.values() for x, _ in points} or {0.0})
    span = xs[0], xs[-1]
    panels = [
        _panel(name, sorted(points), span, _MARGIN_TOP + index * _PANEL_HEIGHT)
        for index, (name, points) in enumerate(curves.items())
    ]
    path.write_text(
        render(
            "curve.svg",
            title=title,
            x_label=x_label,
            panels=panels,
            xs=[(x, _across(x, span)) for x in xs],
            left=_MARGIN_LEFT,
            right=_PANEL_WIDTH - _MARGIN_RIGHT,
            width=_PANEL_WIDTH,
            bottom=_MARGIN_TOP + len(curves) * _PANEL_HEIGHT,
        ),
        encoding="utf-8",
    )


def _known(points: Sequence[tuple[float | None, float | None]]) -> list[Point]:
    return [(x, y) for x, y in points if x is not None and y is not None]


def _smooth(points: Sequence[Point], window: int) -> list[Point]:
    """Running mean of y over the last `window` points, fewer at the start."""
    values = [y for _, y in points]
    return [
        (x, math.fsum(values[max(0, index + 1 - window) : index + 1]) / min(window, index + 1))
        for index, (x, _) in enumerate(points)
    ]


def _polyline(line: Sequence[Point], xs: Point, ticks: Sequence[float]) -> str:
    width = (xs[1] - xs[0]) or 1.0
    return " ".join(
        f"{100 * (x - xs[0]) / width:.2f},{_PLOT_HEIGHT * (1 - (y - ticks[0]) / (ticks[-1] - ticks[0])):.2f}"
        for x, y in line
    )


def _panel(name: str, points: Sequence[Point], span: Point, top: int) -> Panel:
    if not points:
        return Panel(name, top, [], [])
    ticks = _ticks(min(y for _, y in points), max(y for _, y in points))

    def down(y: float) -> float:
        return top + 20 + (_PANEL_HEIGHT - 60) * (1 - (y - ticks[0]) / (ticks[-1] - ticks[0]))

    places = [(x, y, _across(x, span), down(y)) for x, y in points]
    return Panel(name, top, [(tick, down(tick)) for tick in ticks], places)


def _across(x: float, span: Point) -> float:
    width = _PANEL_WIDTH - _MARGIN_LEFT - _MARGIN_RIGHT - 40
    share = 0.5 if span[0] == span[1] else (x - span[0]) / (span[1] - span[0])
    return _MARGIN_LEFT + 20 + width * share


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers that enclose [low, high].

    Source: Heckbert 1990, Nice numbers for graph labels, Graphics Gems, 61-63.
    """
    if high <= low:
        low, high = low - abs(low) * 0.1, high + (abs(high) * 0.1 or 1.0)
    magnitude = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= (high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
