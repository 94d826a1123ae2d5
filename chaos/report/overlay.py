"""Two runs drawn over one another: one HTML page that opens offline. Pure."""

from collections.abc import Sequence
from html import escape

from chaos.report import svg
from chaos.report.bands import draw as draw_bands
from chaos.report.charts import (
    curve_chart,
    latency_frame,
    middles,
    span_ms,
    time_frame,
)
from chaos.report.compare import HEAD, Row, text_row, warnings
from chaos.report.markup import captioned, document, legend, paragraph, section, table
from chaos.report.run import ArmRun, Run
from chaos.report.series import ANSWERED, Seconds, latencies_ms, per_second, percentile_curve

RUN_CLASSES = ("run-a", "run-b")
METHOD = (
    "Shares have Wilson's interval, rates that of one-second batches, percentiles that of order "
    "statistics; differences combine both intervals (MOVER). Neighbours in a queue resemble one "
    "another, so a difference near the edge of its interval deserves another run."
)


def render_comparison(a: Run, b: Run, rows: Sequence[Row]) -> str:
    """Return the page."""
    names = legend(zip(RUN_CLASSES, (f"A: {a.label}", f"B: {b.label}"), strict=True))
    verdicts = " · ".join(
        f"{letter} {run.verdict.get('verdict', 'has no verdict')}"
        for letter, run in (("A", a), ("B", b))
    )
    arms = [(arm, b.arms[name]) for name, arm in a.arms.items() if name in b.arms]
    body = [
        f"<h1>{escape(a.label)} and {escape(b.label)}</h1>",
        paragraph(verdicts, "quiet"),
        *(paragraph(f"Beware: {warning}.", "unsure") for warning in warnings(a, b)),
        section("Figures", *_figures(rows)),
        *(section(f"The {one.name} arm", names, _drawings(one, other)) for one, other in arms),
    ]
    return document(f"{a.label} and {b.label}", "\n".join(body))


def _figures(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    caption = "of the fault phase; a load on its own: of all but its warm-up"
    return [table(HEAD, map(text_row, rows), caption), paragraph(METHOD, "quiet")]


def _drawings(a: ArmRun, b: ArmRun) -> str:
    length = max(a.seconds, b.seconds)
    both = [per_second(arm.arrivals, arm.seconds) for arm in (a, b)]
    drawings = [
        captioned(_answered(a, both, length), "answered in time, per second"),
        captioned(_latency(a, both, length), "p95 of each second's successes"),
    ]
    curves = {
        css: percentile_curve(latencies_ms(arm.arrivals.records))
        for css, arm in zip(RUN_CLASSES, (a, b), strict=True)
    }
    curve = curve_chart(f"curve-{a.name}", f"{a.name} arm: latency by percentile", curves)
    if curve:
        drawings.append(captioned(curve, "latency of successes by percentile, all phases"))
    return f'<div class="pair">{"".join(drawings)}</div>'


def _answered(arm: ArmRun, both: Sequence[Seconds], length: float) -> str:
    top = max(1, *(max(seconds.counts[ANSWERED]) for seconds in both))
    frame = time_frame(length, top, "per second")
    lines = "".join(
        svg.line(frame, middles(seconds.counts[ANSWERED]), css)
        for css, seconds in zip(RUN_CLASSES, both, strict=True)
    )
    totals = " and ".join(str(sum(seconds.counts[ANSWERED])) for seconds in both)
    body = draw_bands(frame, arm.bands) + svg.axes(frame) + lines
    title = f"{arm.name} arm: answered in time"
    return svg.figure(f"answered-{arm.name}", title, f"A and B answered {totals} in time", body)


def _latency(arm: ArmRun, both: Sequence[Seconds], length: float) -> str:
    frame = latency_frame(length, *span_ms(both))
    lines = "".join(
        svg.line(frame, middles(seconds.latency_ms["p95"]), css)
        for css, seconds in zip(RUN_CLASSES, both, strict=True)
    )
    body = draw_bands(frame, arm.bands) + svg.axes(frame) + lines
    title = f"{arm.name} arm: p95"
    return svg.figure(f"p95-{arm.name}", title, "the table above has the percentiles", body)
