"""An experiment as one HTML page that opens offline: small multiples, a table, every run. Pure.

One chart for each measure and each combination of what is neither the first nor the last factor:
across the last factor's values, one line for each of the first's. Charts of one measure share their
scales. A chart says the same as its folded table.
"""

from collections.abc import Sequence
from itertools import product

from chaos.experiment.factors import name_of, word
from chaos.experiment.findings import MARK, UNJUDGED, Findings
from chaos.experiment.results import ExperimentRun
from chaos.experiment.schema import Cell, Level
from chaos.report import svg
from chaos.report.markup import captioned, document, folded, legend, paragraph, section, table

LINES = (
    "answered",
    "rejected",
    "late",
    "failed",
    "p95",
    "p99",
)  # the styles that a page tells apart
HEADROOM = 1.05


def render(run: ExperimentRun, findings: Findings) -> str:
    """Return the page."""
    experiment = run.experiment
    body = [
        f"<h1>{experiment.experiment}</h1>",
        paragraph(experiment.question),
        paragraph(_how(run), "quiet"),
        section("Answer", *(paragraph(sentence) for sentence in findings.answer())),
        *(
            section(m.title, _charts(findings, column))
            for column, m in enumerate(findings.measures)
        ),
        section("All cells", table(findings.head, findings.rows(), _caption())),
        section("All runs", folded(f"{len(run.runs)} runs", _runs(run))),
    ]
    return document(f"Squall experiment: {experiment.experiment}", "\n".join(body))


def _how(run: ExperimentRun) -> str:
    experiment = run.experiment
    load = experiment.fix.load
    ended = " It was interrupted." if run.is_interrupted else ""
    return (
        f"{len(run.cells)} cells, {experiment.repeat} times each, {load.seconds:g} s after a "
        f"warm-up of {load.warmup:g} s, in shuffled order; as {run.mode}; arrivals of seed "
        f"{experiment.seed} and following.{ended}"
    )


def _caption() -> str:
    return (
        f"Mean and three deviations of it. {MARK} differs beyond noise from the first value of a "
        f"factor, all else being equal; {UNJUDGED} could not be judged."
    )


def _charts(findings: Findings, column: int) -> str:
    names = list(findings.cells[0])
    levels = {
        name: list(dict.fromkeys(word(cell[name]) for cell in findings.cells)) for name in names
    }
    middle = names[1:-1]
    top = max(
        (row[column].figure.mean or 0.0 for row in findings.table),
        default=1.0,
    )
    charts = [
        _chart(findings, column, dict(zip(middle, chosen, strict=True)), max(top, 1e-9) * HEADROOM)
        for chosen in product(*(levels[name] for name in middle))
    ]
    first = levels[names[0]] if len(names) > 1 else []
    key = legend((LINES[n % len(LINES)], f"{names[0]} {level}") for n, level in enumerate(first))
    return f'{key if first else ""}<div class="pair">{"".join(charts)}</div>'


def _chart(findings: Findings, column: int, where: dict[str, str], top: float) -> str:
    names = list(findings.cells[0])
    across = names[-1]
    members = [
        index
        for index, cell in enumerate(findings.cells)
        if all(word(cell[name]) == level for name, level in where.items())
    ]
    ticks = list(dict.fromkeys(word(findings.cells[index][across]) for index in members))
    frame = svg.Frame(
        svg.x_scale(0.0, max(1.0, len(ticks) - 1.0)), svg.y_scale(0.0, top), across,
        findings.measures[column].title, lambda place: _tick(ticks, place),
    )  # fmt: skip
    lines, rows = [], []
    by_first: dict[Level, list[int]] = {}
    for index in members:
        first = findings.cells[index][names[0]] if len(names) > 1 else ""
        by_first.setdefault(first, []).append(index)
    for number, (first, indices) in enumerate(by_first.items()):
        points = [
            (
                float(ticks.index(word(findings.cells[index][across]))),
                findings.table[index][column].figure.mean,
            )
            for index in indices
        ]
        lines.append(svg.line(frame, points, LINES[number % len(LINES)]))
        rows.append([word(first), *(findings.table[index][column].text for index in indices)])
    said = ", ".join(f"{name} {level}" for name, level in where.items()) or "all cells"
    name = f"chart-{column}-{members[0]}"
    title = f"{findings.measures[column].title}, {said}"
    description = "; ".join(f"{row[0]}: {', '.join(row[1:])}" for row in rows)
    drawing = svg.figure(name, title, description, svg.axes(frame) + "".join(lines))
    return captioned(drawing, said, folded("the same as a table", table(["", *ticks], rows, title)))


def _tick(ticks: Sequence[str], place: float) -> str:
    """Write the value that stands at a place; the places between have none."""
    index = round(place)
    return ticks[index] if abs(place - index) < 1e-9 and index < len(ticks) else ""


def _runs(run: ExperimentRun) -> str:
    rows = [
        [
            number,
            _cell_text(run.cells[one.index]),
            one.repeat,
            one.seed,
            *(None if seen.value is None else round(seen.value, 4) for seen in one.observed),
            "; ".join(one.doubts),
        ]
        for number, one in enumerate(run.runs, start=1)
        if one.observed
    ]
    head = ["run", "cell", "repeat", "seed", *(m.title for m in run.experiment.measures), "doubts"]
    return table(head, rows, "in the order in which they were run")


def _cell_text(cell: Cell) -> str:
    return name_of(cell)
