"""Which protection does what: one row per short arm with one of them off, as a table.

Pure, from what verdict.json says, so that terminal, page and file show the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""``{"off": "without limiter", "hypotheses": [finding, ...]}``"""

HELD, NOT_HELD, UNSEEN = "held", "not held", "–"
UNJUDGED_BY = "Short arms, compared with the main arm: they inform and don't judge."


def table_of(verdict: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return a head and rows: the main arm first, then each ablation; no rows without any."""
    ablations: Sequence[Row] = verdict.get("ablation") or ()
    main: Sequence[Mapping[str, Any]] = verdict.get("hypotheses") or ()
    names = [str(finding["name"]) for finding in main]
    if not ablations or not names:
        return [], []
    rows = [["main arm", *_cells(names, main)]]
    rows += [[str(one["off"]), *_cells(names, one["hypotheses"])] for one in ablations]
    return ["arm", *names], rows


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay a table out in columns, for a terminal."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _cells(names: Sequence[str], findings: Sequence[Mapping[str, Any]]) -> list[str]:
    by_name = {str(finding["name"]): finding for finding in findings}
    return [_cell(by_name[name]) if name in by_name else UNSEEN for name in names]


def _cell(finding: Mapping[str, Any]) -> str:
    observed = finding.get("observed")
    seen = "never" if observed is None else f"{observed:.3g}"
    return f"{seen} {HELD if finding['held'] else NOT_HELD}"
