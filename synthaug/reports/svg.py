"""Write axes, marks and panels as SVG, coloured by the page's variables so that they read on light and dark."""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Number: TypeAlias = float | int
COLOURS = 8
"""Colours that the page defines as --c0 to --c7; later series are dashed as well."""


@dataclass(frozen=True)
class Axis:
    """A number line on the page.

    Attributes:
        low: Left or lower end.
        high: The other end, beyond `low`.
        title: Text under it, or above it.
        percent: Whether shares are labelled as percent.
        log: Whether equal ratios are equal distances; `low` is then beyond 0.
    """

    low: float
    high: float
    title: str = ""
    percent: bool = False
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value is: 0 at `low`, 1 at `high`; values outside are held at the ends."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            return math.log(at / low) / math.log(high / low)
        return (at - low) / (high - low)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values on it, about `count` of them."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
            inside = [value for value in every if self.low <= value <= self.high]
            return inside if len(inside) <= 2 * count else [v for v in inside if math.log10(v).is_integer()]
        step = _round_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def label(self, value: float) -> str:
        """A tick's words."""
        if self.percent:
            return f"{100 * value:.3g}".replace("-", "−")
        if abs(value) >= 10000:
            return f"{value / 1000:.4g}k".replace("-", "−")
        return f"{value:.4g}".replace("-", "−")


@dataclass(frozen=True)
class Series:
    """Points of one colour.

    Attributes:
        points: x and y.
        colour: Number of the colour.
        bars: x, lowest and highest y: intervals.
        band: x, lowest and highest y: an area.
        line: Whether points are joined.
        radius: Radius of each point, in pixels; 0 for no points.
    """

    points: Sequence[tuple[float, float]]
    colour: int = 0
    bars: Sequence[tuple[float, float, float]] = ()
    band: Sequence[tuple[float, float, float]] = ()
    line: bool = True
    radius: float = 3.5


@dataclass(frozen=True)
class Panel:
    """A plot.

    Attributes:
        x: Axis across.
        y: Axis upwards.
        series: Painted in this order.
        title: Text above it.
        level: A dashed line across, such as chance.
        diagonal: Whether a dashed line goes from corner to corner.
        width: Width in pixels.
        height: Height in pixels.
    """

    x: Axis
    y: Axis
    series: Sequence[Series] = field(default=())
    title: str = ""
    level: float | None = None
    diagonal: bool = False
    width: int = 486
    height: int = 270


def enclosing_axis(values: Sequence[float], *, title: str = "", percent: bool = False, zero: bool = False) -> Axis:
    """An axis from round number to round number around values; shares stay within 0 and 1."""
    low, high = min([*values, *([0.0] if zero else [])]), max([*values, *([0.0] if zero else [])])
    if high - low < 1e-9:
        low, high = low - max(0.05, 0.1 * abs(low)), high + max(0.05, 0.1 * abs(high))
    step = _round_step((high - low) / 5)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(low, high, title, percent)


def figure(body: Sequence[str], *, width: Number, height: Number, about: str) -> str:
    """One SVG element; `about` is what a screen reader says."""
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px"'
    return f'<svg {size} role="img" aria-label="{html.escape(about, quote=True)}">{"".join(body)}</svg>'


def text(words: str, *, x: Number, y: Number, kind: str = "", anchor: str = "start", turned: bool = False) -> str:
    """Escaped words; `kind` is a class of the page."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    shown = html.escape(words)
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{turn}>{shown}</text>'


def line(x1: Number, y1: Number, x2: Number, y2: Number, kind: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def colour_group(marks: Sequence[str], colour: int) -> str:
    """Marks in a series' colour; lines are dashed from the ninth series on."""
    dashed = " dashed" if colour >= COLOURS else ""
    return f'<g class="series{dashed}" style="--c:var(--c{colour % COLOURS})">{"".join(marks)}</g>'


def shorten(words: str, letters: int) -> str:
    """Words, shortened in their middle if they are too long for their place."""
    if len(words) <= letters:
        return words
    return f"{words[: (letters - 1) // 2 + (letters - 1) % 2]}…{words[len(words) - (letters - 1) // 2 :]}"


def panel(one: Panel) -> str:
    """A plot with axes, as one SVG element."""
    left, right, top, bottom = 52, 14, 26 if one.title else 12, 40
    wide, high = one.width - left - right, one.height - top - bottom

    def at(x: float, y: float) -> tuple[float, float]:
        return left + wide * one.x.place(x), top + high * (1 - one.y.place(y))

    body = [text(shorten(one.title, one.width // 7), x=left, y=14, kind="title")] if one.title else []
    for value in one.y.ticks(4):
        _, y = at(one.x.low, value)
        body += [line(left, y, left + wide, y, "grid"), text(one.y.label(value), x=left - 7, y=y + 4, anchor="end")]
    for value in one.x.ticks(max(3, one.width // 80)):
        x, _ = at(value, one.y.low)
        body += [line(x, top + high, x, top + high + 4, "axis")]
        body += [text(one.x.label(value), x=x, y=top + high + 16, anchor="middle")]
    body += [line(left, top + high, left + wide, top + high, "axis")]
    body += [text(one.x.title, x=left + wide / 2, y=one.height - 5, kind="name", anchor="middle")]
    body += [text(one.y.title, x=13, y=top + high / 2, kind="name", anchor="middle", turned=True)]
    if one.level is not None and one.y.low <= one.level <= one.y.high:
        _, y = at(one.x.low, one.level)
        body += [
            line(left, y, left + wide, y, "level"),
            text("chance", x=left + wide, y=y - 4, kind="faint", anchor="end"),
        ]
    if one.diagonal:
        body += [line(*at(one.x.low, one.y.low), *at(one.x.high, one.y.high), "level")]
    body += [colour_group(_marks(series, at), series.colour) for series in one.series]
    return figure(body, width=one.width, height=one.height, about=f"{one.title}: {one.y.title} over {one.x.title}")


def _marks(series: Series, place: Callable[[float, float], tuple[float, float]]) -> list[str]:
    marks = []
    if series.band:
        upper = [place(x, top) for x, _, top in series.band]
        lower = [place(x, bottom) for x, bottom, _ in reversed(series.band)]
        marks.append(f'<path class="band" d="{_path([*upper, *lower])}Z"/>')
    for x, low, high in series.bars:
        marks.append(line(*place(x, low), *place(x, high), "bar"))
    spots = [place(x, y) for x, y in series.points]
    if series.line and len(spots) > 1:
        marks.append(f'<path class="line" d="{_path(spots)}"/>')
    if series.radius:
        marks += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{series.radius:.1f}"/>' for x, y in spots]
    return marks


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)


def _round_step(rough: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
