"""Charts as inline SVG: dots with intervals, bars, loss curves, and the sweep plot of `agentray tune`.

Positions are percentages of the width, so a chart fits a phone and a wide screen with text of one size; lines
are drawn in a nested SVG that stretches while their strokes do not. Colours come from the page's classes,
apart from `write_curve`, whose file stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentray.report.markup import clean

Point = tuple[float, float]

_PLOT_HEIGHT = 240
_PANEL_HEIGHT, _PANEL_WIDTH = 190, 720
_MARGIN_LEFT, _MARGIN_RIGHT, _MARGIN_TOP = 64, 24, 64
_COLORS = 4
"""Line classes `line-0` to `line-3` the page defines; more series reuse them."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One share in [0, 1], with its interval when there is one."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class DotRow:
    """One line of a before/after chart."""

    label: str
    note: str
    before: Dot | None
    after: Dot | None
    text: str
    """What the dots say, in words; the only part a screen reader needs."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BarRow:
    """One horizontal bar."""

    label: str
    value: float
    text: str
    note: str = ""
    muted: bool = False
    """True for what is there to compare with: the state before, a rejected share."""


def dot_rows(rows: Sequence[DotRow]) -> str:
    """Before/after dots with intervals, one row each, on a common axis from 0 to 100%."""
    axis = "".join(
        f'<text x="{tick}%" y="14" text-anchor="{anchor}">{tick}%</text>'
        for tick, anchor in ((0, "start"), (25, "middle"), (50, "middle"), (75, "middle"), (100, "end"))
    )
    lines = [_dot_row(row) for row in rows]
    lines.append(f'<div class="row axis" aria-hidden="true"><svg height="20">{axis}</svg></div>')
    return f'<div class="rows">{"".join(lines)}</div>'


def bar_rows(rows: Sequence[BarRow]) -> str:
    """Horizontal bars from 0, the longest filling the width."""
    longest = max((row.value for row in rows), default=0.0) or 1.0
    lines = []
    for row in rows:
        kind = "bar muted" if row.muted else "bar"
        lines.append(
            f'<li class="row"><div class="row-label">{clean(row.label)}{_small(row.note)}</div>'
            f'<svg height="20" aria-hidden="true"><rect class="track" width="100%" height="20" rx="3"/>'
            f'<rect class="{kind}" width="{_percent(row.value / longest)}" height="20" rx="3"/></svg>'
            f'<div class="row-text">{clean(row.text)}</div></li>'
        )
    return f'<ul class="rows bars">{"".join(lines)}</ul>'


def line_chart(lines: Mapping[str, Sequence[Point]], label: str, x_name: str = "step") -> str:
    """Lines over a common x, from y = 0, with a legend that gives each line's first and last value.

    Args:
        lines: Points by series name, ordered by x; at least one point in all.
        label: What a screen reader says instead of the picture.
        x_name: What x counts.
    """
    points = [point for line in lines.values() for point in line]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    ticks = _ticks(0.0, max(y for _, y in points))
    drawn = "".join(
        f'<polyline class="line-{index % _COLORS}" vector-effect="non-scaling-stroke" '
        f'points="{_polyline(line, (first, last), (ticks[0], ticks[-1]), (100, _PLOT_HEIGHT))}"/>'
        for index, line in enumerate(lines.values())
    )
    rules, numbers = [], []
    for tick in ticks:
        y = _PLOT_HEIGHT * (1 - tick / ticks[-1])
        rules.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        numbers.append(f'<text x="100%" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    return (
        f"{_legend(lines)}"
        f'<div class="plot"><svg height="{_PLOT_HEIGHT}" aria-hidden="true">{"".join(numbers)}</svg>'
        f'<svg height="{_PLOT_HEIGHT}" role="img" aria-label="{clean(label)}">{"".join(rules)}'
        f'<svg width="100%" height="{_PLOT_HEIGHT}" viewBox="0 0 100 {_PLOT_HEIGHT}" '
        f'preserveAspectRatio="none">{drawn}</svg></svg>'
        f'<div class="steps" aria-hidden="true"><span>{clean(x_name)} {first:g}</span>'
        f"<span>{last:g}</span></div></div>"
    )


def smooth(points: Sequence[Point], window: int) -> list[Point]:
    """Running mean of y over the last `window` points, fewer at the start."""
    values = [y for _, y in points]
    return [
        (x, math.fsum(values[max(0, index + 1 - window) : index + 1]) / min(window, index + 1))
        for index, (x, _) in enumerate(points)
    ]


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
    xs = [x for points in curves.values() for x, _ in points] or [0.0]
    span = (min(xs), max(xs))
    panels = [
        _panel(name, sorted(points), span, _MARGIN_TOP + index * _PANEL_HEIGHT, index)
        for index, (name, points) in enumerate(curves.items())
    ]
    bottom = _MARGIN_TOP + len(curves) * _PANEL_HEIGHT
    ticks = "".join(
        f'<text x="{_across(x, span):.1f}" y="{bottom}" text-anchor="middle">{x:g}</text>'
        for x in sorted(set(xs))
    )
    middle = (_MARGIN_LEFT + _PANEL_WIDTH - _MARGIN_RIGHT) / 2
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_PANEL_WIDTH} {bottom + 44}" role="img" '
        f'aria-label="{clean(title)}"><style>{_CURVE_STYLE}</style>'
        f'<rect class="paper" width="100%" height="100%"/>'
        f'<text class="title" x="{_MARGIN_LEFT}" y="34">{clean(title)}</text>{"".join(panels)}{ticks}'
        f'<text x="{middle:.0f}" y="{bottom + 28}" text-anchor="middle">{clean(x_label)}</text></svg>\n',
        encoding="utf-8",
    )


def _dot_row(row: DotRow) -> str:
    parts = [f'<line class="grid" x1="{tick}%" x2="{tick}%" y1="0" y2="52"/>' for tick in range(0, 101, 25)]
    above, below = 18, 34
    if row.before and row.after and not (row.before.interval or row.after.interval):
        above = below = 26
        start, end = _percent(row.before.value), _percent(row.after.value)
        parts.append(f'<line class="move" x1="{start}" x2="{end}" y1="26" y2="26"/>')
    parts += [_dot(row.before, above, "before"), _dot(row.after, below, "after")]
    return (
        f'<div class="row"><div class="row-label">{clean(row.label)}{_small(row.note)}</div>'
        f'<svg height="52" aria-hidden="true">{"".join(parts)}</svg>'
        f'<div class="row-text">{clean(row.text)}{_small(row.detail)}</div></div>'
    )


def _dot(dot: Dot | None, y: int, kind: str) -> str:
    if dot is None:
        return ""
    interval = ""
    if dot.interval:
        low, high = (_percent(bound) for bound in dot.interval)
        interval = f'<line class="interval {kind}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
    return f'{interval}<circle class="dot {kind}" cx="{_percent(dot.value)}" cy="{y}" r="5.5"/>'


def _legend(lines: Mapping[str, Sequence[Point]]) -> str:
    items = [
        f'<li><svg width="28" height="10" aria-hidden="true"><line class="line-{index % _COLORS}" x1="0" '
        f'x2="28" y1="5" y2="5"/></svg> {clean(name)} '
        f"<span>{line[0][1]:.2f} → {line[-1][1]:.2f}</span></li>"
        for index, (name, line) in enumerate(lines.items())
        if line
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _panel(name: str, points: Sequence[Point], span: Point, top: int, index: int) -> str:
    height = _PANEL_HEIGHT - 60
    heading = f'<text class="name" x="{_MARGIN_LEFT}" y="{top + 4}">{clean(name)}</text>'
    if not points:
        return f'{heading}<text x="{_MARGIN_LEFT}" y="{top + 40}">no points</text>'
    ticks = _ticks(min(y for _, y in points), max(y for _, y in points))
    parts = [heading]
    for tick in ticks:
        y = top + 20 + height * (1 - (tick - ticks[0]) / (ticks[-1] - ticks[0]))
        parts.append(
            f'<line class="grid" x1="{_MARGIN_LEFT}" x2="{_PANEL_WIDTH - _MARGIN_RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><text x="{_MARGIN_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    places = [
        (_across(x, span), top + 20 + height * (1 - (y - ticks[0]) / (ticks[-1] - ticks[0])))
        for x, y in points
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f'<polyline class="line-{index % 2}" points="{path}"/>')
    for (x, y), (across, down) in zip(points, places, strict=True):
        parts.append(
            f'<circle class="line-{index % 2}" cx="{across:.1f}" cy="{down:.1f}" r="4.5">'
            f"<title>{x:g}: {y:.4g}</title></circle>"
        )
    return "".join(parts)


def _across(x: float, span: Point) -> float:
    width = _PANEL_WIDTH - _MARGIN_LEFT - _MARGIN_RIGHT - 40
    share = 0.5 if span[0] == span[1] else (x - span[0]) / (span[1] - span[0])
    return _MARGIN_LEFT + 20 + width * share


def _polyline(line: Sequence[Point], xs: Point, ys: Point, box: tuple[int, int]) -> str:
    width = (xs[1] - xs[0]) or 1.0
    return " ".join(
        f"{box[0] * (x - xs[0]) / width:.2f},{box[1] * (1 - (y - ys[0]) / (ys[1] - ys[0])):.2f}"
        for x, y in line
    )


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


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"


def _small(text: str) -> str:
    return f" <small>{clean(text)}</small>" if text else ""


_CURVE_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#5f646b}.title{font-size:18px;font-weight:600;fill:#1f2328}"
    ".name{fill:#1f2328;font-weight:600}.paper{fill:#fcfbf8}.grid{stroke:#e3dfd6}"
    "polyline{fill:none;stroke-width:2.5;stroke-linejoin:round}"
    "polyline.line-0{stroke:#0b6e63}circle.line-0{fill:#0b6e63}"
    "polyline.line-1{stroke:#b0500c}circle.line-1{fill:#b0500c}"
    "@media(prefers-color-scheme:dark){text{fill:#a3a8ae}.title,.name{fill:#e9e6df}.paper{fill:#16181b}"
    ".grid{stroke:#2e3238}polyline.line-0{stroke:#5cc4b2}circle.line-0{fill:#5cc4b2}"
    "polyline.line-1{stroke:#e5a35a}circle.line-1{fill:#e5a35a}}"
)
