"""``squall compare`` and ``squall drill report``: what runs found, page by page."""

from pathlib import Path
from typing import Annotated

import typer

from squall.output import JsonFlag, emit, table

RUN_HELP = "overload (its newest), overload/20261122T152216Z, or a folder."


def compare(
    a: Annotated[str, typer.Argument(help=RUN_HELP, metavar="A")],
    b: Annotated[str, typer.Argument(help=RUN_HELP, metavar="B")],
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes.", show_default="runs/compare/…")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two runs: each figure, the difference, its 95 % confidence interval."""
    from chaos.drill.catalogue import ROOT
    from chaos.drill.report import RUNS
    from chaos.report import compare as comparison
    from chaos.report.find import find_run
    from chaos.report.overlay import render_comparison
    from chaos.report.run import read_run
    from chaos.report.write import write_page

    run_a, run_b = (read_run(find_run(name)) for name in (a, b))
    rows = comparison.compare(run_a, run_b)
    name = f"{run_a.label}-{run_b.label}.html".replace("/", "-")
    path = write_page(out or ROOT / RUNS / "compare" / name, render_comparison(run_a, run_b, rows))
    said = [
        f"A {run_a.label} {run_a.verdict.get('verdict', '')}".rstrip(),
        f"B {run_b.label} {run_b.verdict.get('verdict', '')}".rstrip(),
        *(f"beware: {warning}" for warning in comparison.warnings(run_a, run_b)),
        table(comparison.HEAD, [comparison.text_row(row) for row in rows]),
        f"page {path}",
    ]
    data = {**comparison.as_json(run_a, run_b, rows), "page": str(path)}
    emit(comparison.SCHEMA, data, as_json=as_json, text="\n".join(said))


def report(
    run: Annotated[
        str | None, typer.Argument(help=RUN_HELP, metavar="[RUN]", show_default="the newest")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a run's report anew: one HTML page that opens offline."""
    from chaos.report.find import find_run
    from chaos.report.write import write_report

    path = write_report(find_run(run))
    data = {"report": str(path), "bytes": path.stat().st_size}
    emit("squall.drill-report/1", data, as_json=as_json, text=str(path))
