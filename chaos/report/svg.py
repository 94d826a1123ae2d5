"""Inline SVG: scales, axes, lines. Colours and dashes are the page's, by class.

Pure text. Every figure has a title and a description, so that it says something without eyes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from chaos.drill.records import Window

WIDTH, HEIGHT = 460.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 34.0
TICKS = 5
LOG_STEPS = (1, 2, 5)

Point = tuple[float, float | None]
"""Where a line goes; None breaks it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places.

    Args:
        low: Value at ``start``.
        high: Value at ``end``.
        start: Place in user units.
        end: Place in user units.
        is_log: Whether equal factors take equal space; both values must then be positive.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; values outside end at the edge."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values within: multiples of 1, 2 or 5, or those of each decade."""
        return log_ticks(self.low, self.high) if self.is_log else ticks(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Frame:
    """The axes of a chart.

    Args:
        x: Across.
        y: Upwards.
        x_label: With its unit.
        y_label: With its unit.
        x_text: How a value of x is written.
    """

    x: Scale
    y: Scale
    x_label: str
    y_label: str
    x_text: Callable[[float], str] = lambda value: f"{value:g}"


def x_scale(low: float, high: float, *, is_log: bool = False) -> Scale:
    """Return a scale across the drawing."""
    return Scale(low, max(high, low * 1.01 + 1e-9), LEFT, WIDTH - RIGHT, is_log)


def y_scale(low: float, high: float, *, is_log: bool = False) -> Scale:
    """Return a scale from the drawing's foot to its top."""
    return Scale(low, max(high, low * 1.01 + 1e-9), HEIGHT - BOTTOM, TOP, is_log)


def ticks(low: float, high: float) -> list[float]:
    """Return about five round values from low to high."""
    rough = (high - low) / TICKS
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(decade * factor for factor in (1, 2, 5, 10) if decade * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each decade within; only the decades when that is too many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within = [
        value for d in decades for s in LOG_STEPS if low <= (value := s * 10.0**d) <= high * 1.0001
    ]
    if len(within) <= 2 * TICKS:
        return within
    return [value for value in within if math.isclose(math.log10(value) % 1, 0.0, abs_tol=1e-9)]


def figure(name: str, title: str, description: str, body: str, height: float = HEIGHT) -> str:
    """Wrap a drawing.

    Args:
        name: Unique on the page.
        title: What it shows.
        description: What is to be seen in it, with figures.
        body: The drawing.
        height: In user units; the width is WIDTH.
    """
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{body}</svg>'
    )


def axes(frame: Frame) -> str:
    """Draw grid, ticks and labels."""
    across = "".join(_x_tick(frame, value) for value in frame.x.ticks())
    up = "".join(_y_tick(frame, value) for value in frame.y.ticks())
    return (
        f'{up}{across}<path class="axis" d="M{LEFT:g} {HEIGHT - BOTTOM:g}H{WIDTH - RIGHT:g}"/>'
        f'<text class="unit" x="{WIDTH - RIGHT:g}" y="{HEIGHT - 3:g}" text-anchor="end">'
        f"{escape(frame.x_label)}</text>"
        f'<text class="unit" x="2" y="{HEIGHT - 3:g}">{escape(frame.y_label)} ↑</text>'
    )


def band(frame: Frame, window: Window, words: str) -> str:
    """Shade a stretch of time; a pointer that rests on it is told what it was."""
    from_x, to_x = frame.x(window.from_s), frame.x(window.to_s)
    return (
        f'<rect class="band" x="{from_x:.1f}" y="{TOP:g}" width="{max(1.0, to_x - from_x):.1f}" '
        f'height="{HEIGHT - BOTTOM - TOP:g}"><title>{escape(words)}</title></rect>'
    )


def band_label(frame: Frame, from_s: float, label: str) -> str:
    """Write above the place where a shaded stretch begins."""
    return (
        f'<text class="band-label" x="{frame.x(from_s) + 4:.1f}" y="{TOP - 2:g}">'
        f"{escape(label)}</text>"
    )


def line(frame: Frame, points: Iterable[Point], css: str) -> str:
    """Draw a line; a lone point between gaps becomes a dot."""
    parts = []
    for run in _unbroken(points):
        places = [f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in run]
        # A segment of no length is drawn as a dot by its round caps.
        parts.append("M" + "L".join(places if len(places) > 1 else places * 2))
    return f'<path class="line {css}" d="{"".join(parts)}"/>' if parts else ""


def level(frame: Frame, value: float, label: str) -> str:
    """Draw a horizontal mark across the frame."""
    y = frame.y(value)
    return (
        f'<path class="level" d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"/>'
        f'<text class="level-label" x="{WIDTH - RIGHT:g}" y="{y - 4:.1f}" text-anchor="end">'
        f"{escape(label)}</text>"
    )


def sample(css: str) -> str:
    """Draw a short piece of a line, for a legend."""
    return (
        f'<svg class="sample" viewBox="0 0 26 10" aria-hidden="true">'
        f'<path class="line {css}" d="M2 5H24"/></svg>'
    )


def number(value: float) -> str:
    """Write a tick: 1k for 1000."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _x_tick(frame: Frame, value: float) -> str:
    x = frame.x(value)
    return (
        f'<path class="tick" d="M{x:.1f} {HEIGHT - BOTTOM:g}v4"/>'
        f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15:g}" text-anchor="middle">'
        f"{escape(frame.x_text(value))}</text>"
    )


def _y_tick(frame: Frame, value: float) -> str:
    y = frame.y(value)
    return (
        f'<path class="grid" d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"/>'
        f'<text x="{LEFT - 5:g}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>'
    )


def _unbroken(points: Iterable[Point]) -> list[Sequence[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]
