"""The report's charts: arrivals per second, latency per second, the percentile curve.

Pure. Charts that stand side by side share their scales, or they would lie about each other.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from chaos.report import svg
from chaos.report.bands import caption as band_caption
from chaos.report.bands import draw as draw_bands
from chaos.report.markup import captioned, folded, table
from chaos.report.run import ArmRun
from chaos.report.series import (
    ANSWERED,
    FAILED,
    KINDS,
    LATE,
    PERCENTILES,
    REJECTED,
    Seconds,
    per_second,
)

LEAST_MS = 1.0  # the foot of a logarithmic axis on which nothing is
KIND_TEXTS: Mapping[str, str] = {
    ANSWERED: "answered in time",
    LATE: "answered late",
    REJECTED: "rejected (429, 503)",
    FAILED: "failed (expired, broken or never sent)",
}


def second_by_second(arms: Sequence[ArmRun]) -> Mapping[str, Seconds]:
    """Return each arm's seconds by its name."""
    return {arm.name: per_second(arm.arrivals, arm.seconds) for arm in arms}


def arrival_charts(arms: Sequence[ArmRun]) -> list[str]:
    """Draw, for each arm, what became of the arrivals of each second."""
    seconds = second_by_second(arms)
    top = max(max(counts) for s in seconds.values() for counts in s.counts.values())
    return [_arrival_chart(arm, seconds[arm.name], max(1, top)) for arm in arms]


def latency_charts(arms: Sequence[ArmRun]) -> list[str]:
    """Draw, for each arm, the percentiles of each second's successes."""
    seconds = second_by_second(arms)
    low, top = span_ms(seconds.values())
    return [_latency_chart(arm, seconds[arm.name], low, top) for arm in arms]


def curve_chart(name: str, title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw percentile curves over one another.

    Args:
        name: Unique on the page.
        title: What it shows.
        curves: By class of the line: (1/(1-percentile), milliseconds).
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    frame = svg.Frame(
        svg.x_scale(1.0, max(x for x, _ in points), is_log=True),
        _ms_scale(min(y for _, y in points), max(y for _, y in points)),
        "percentile", "ms, log", _percentile_text,
    )  # fmt: skip
    lines = "".join(svg.line(frame, curve, css) for css, curve in curves.items())
    ends = "; ".join(
        f"{css} ends at {curve[-1][1]:.0f} ms" for css, curve in curves.items() if curve
    )
    return svg.figure(name, title, ends, svg.axes(frame) + lines)


def time_frame(seconds: float, top: float, unit: str) -> svg.Frame:
    """Return the axes of a chart over an arm's time."""
    return svg.Frame(svg.x_scale(0.0, seconds), svg.y_scale(0.0, top), "seconds", unit)


def latency_frame(seconds: float, low_ms: float, top_ms: float) -> svg.Frame:
    """Return the axes of a latency chart over an arm's time."""
    return svg.Frame(svg.x_scale(0.0, seconds), _ms_scale(low_ms, top_ms), "seconds", "ms, log")


def middles(values: Sequence[float | None]) -> list[svg.Point]:
    """Put each second's figure into its middle."""
    return [(second + 0.5, value) for second, value in enumerate(values)]


def span_ms(all_seconds: Iterable[Seconds]) -> tuple[float, float]:
    """Return the least and the greatest percentile of any second."""
    values = [
        value
        for seconds in all_seconds
        for series in seconds.latency_ms.values()
        for value in series
        if value is not None
    ]
    return min(values, default=LEAST_MS), max(values, default=10 * LEAST_MS)


def _arrival_chart(arm: ArmRun, seconds: Seconds, top: float) -> str:
    frame = time_frame(arm.seconds, top, "per second")
    lines = "".join(
        svg.line(frame, middles(seconds.counts[kind]), kind)
        for kind in KINDS
        if any(seconds.counts[kind])
    )
    totals = ", ".join(f"{sum(seconds.counts[kind])} {kind}" for kind in KINDS)
    body = draw_bands(frame, arm.bands) + svg.axes(frame) + lines
    drawing = svg.figure(f"arrivals-{arm.name}", f"{arm.name} arm: arrivals", totals, body)
    rows = [
        [second, *(seconds.counts[kind][second] for kind in KINDS)]
        for second in range(seconds.length)
    ]
    twin = table(["second", *KINDS], rows, f"{arm.name} arm, by the second in which they were due")
    said = "; ".join(filter(None, (f"{arm.name} arm: {totals}", band_caption(arm.bands))))
    return captioned(drawing, said, folded("the same as a table", twin))


def _latency_chart(arm: ArmRun, seconds: Seconds, low_ms: float, top_ms: float) -> str:
    frame = latency_frame(arm.seconds, low_ms, top_ms)
    lines = "".join(
        svg.line(frame, middles(values), name) for name, values in seconds.latency_ms.items()
    )
    budget_ms = arm.arrivals.budget_s * 1000
    mark = svg.level(frame, budget_ms, "budget") if low_ms < budget_ms < top_ms else ""
    body = draw_bands(frame, arm.bands) + svg.axes(frame) + mark + lines
    highest = max((v for v in seconds.latency_ms["p99"] if v is not None), default=None)
    said = "no answer" if highest is None else f"the worst second's p99 is {highest:.0f} ms"
    drawing = svg.figure(f"latency-{arm.name}", f"{arm.name} arm: latency", said, body)
    rows = [
        [second, *(seconds.latency_ms[name][second] for name in PERCENTILES)]
        for second in range(seconds.length)
    ]
    twin = table(["second", *PERCENTILES], rows, f"{arm.name} arm, milliseconds of successes")
    return captioned(drawing, f"{arm.name} arm: {said}", folded("the same as a table", twin))


def _ms_scale(low_ms: float, high_ms: float) -> svg.Scale:
    """Round outwards to 1, 2 or 5 times a power of ten, so that both ends have a tick."""
    steps = [s * 10.0**d for d in range(-2, 8) for s in svg.LOG_STEPS]
    low = max(step for step in steps if step <= max(low_ms, steps[0]))
    high = min((step for step in steps if step >= high_ms and step > low), default=steps[-1])
    return svg.y_scale(low, high, is_log=True)


def _percentile_text(tail: float) -> str:
    """Write 1/(1-p) as a percentile: 10 is 90 %, 1000 is 99.9 %."""
    percent = 100 * (1 - 1 / tail)
    nines = math.log10(tail)
    if tail != 2 and not math.isclose(nines, round(nines)):
        return ""  # the median and the nines are what people know, and they have room
    return f"{percent:.{max(0, round(nines) - 2)}f}%"
