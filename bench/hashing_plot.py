"""Draw a hash comparison: skew, and keys moved beside the least that must, as one SVG.

Pure text from ``squall hash compare --json`` on stdin, so that the figure is that of a real run:
    squall hash compare --json | python -m bench.hashing_plot > docs/plots/hashing.svg
Not handled: times and memory, which the table says better (they differ by factors of thousands).
"""

import json
import sys
from collections.abc import Mapping
from html import escape
from typing import Any

ROW_HEIGHT, LABEL_WIDTH, PANEL_WIDTH, GAP, TOP = 24, 130, 250, 60, 44
EVEN_COLOUR, MOVED_COLOUR, LEAST_COLOUR = "#4269d0", "#ff725c", "#333333"


def render(comparison: Mapping[str, Any]) -> str:
    """Return the SVG of a ``squall.hash-compare/1`` object; on a change that was refused, no bar.

    Raises:
        ValueError: When it is another object, or one without nodes added.
    """
    if comparison.get("schema") != "squall.hash-compare/1":
        raise ValueError("not a squall.hash-compare/1 object: pipe `squall hash compare --json`")
    results = comparison["algorithms"]
    if any(result["on_add"] is None for result in results):
        raise ValueError("nobody was added: compare with --add 1 or more")
    width = LABEL_WIDTH + 2 * PANEL_WIDTH + 2 * GAP
    height = TOP + ROW_HEIGHT * len(results) + 12
    rows = "\n".join(_row(number, result) for number, result in enumerate(results))
    title = f"{comparison['keys']} keys on {len(comparison['nodes'])} nodes"
    right = LABEL_WIDTH + PANEL_WIDTH + GAP
    box = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {box} role="img"
 font-family="sans-serif" font-size="12">
<title>{escape(title)}: skew, and keys moved when nodes are added</title>
<rect width="{width}" height="{height}" fill="white"/>
<text x="{LABEL_WIDTH}" y="18" font-weight="bold">skew above 1 (bar full at 0.5)</text>
<text x="{right}" y="18" font-weight="bold">keys moved on add; line: must move</text>
<text x="4" y="18">{escape(title)}</text>
{rows}
</svg>
"""


def _row(number: int, result: Mapping[str, Any]) -> str:
    y = TOP + number * ROW_HEIGHT
    right = LABEL_WIDTH + PANEL_WIDTH + GAP
    skew, change = result["skew"], result["on_add"]
    evenness = _bar(LABEL_WIDTH, y, (skew - 1.0) / 0.5, EVEN_COLOUR, f"{skew:.3f}")
    moved = change["moved_ratio"]
    least = right + change["optimum_ratio"] * PANEL_WIDTH
    return "\n".join(
        [
            f'<text x="4" y="{y + 4}">{escape(result["algorithm"])}</text>',
            evenness,
            _bar(right, y, moved or 0.0, MOVED_COLOUR, "" if moved is None else f"{moved:.1%}"),
            f'<line x1="{least:.1f}" x2="{least:.1f}" y1="{y - 9}" y2="{y + 9}" '
            f'stroke="{LEAST_COLOUR}" stroke-width="2"/>',
        ]
    )


def _bar(x: int, y: int, ratio: float, colour: str, label: str) -> str:
    width = min(max(ratio, 0.0), 1.0) * PANEL_WIDTH
    return (
        f'<rect x="{x}" y="{y - 7}" width="{width:.1f}" height="14" fill="{colour}"/>'
        f'<text x="{x + width + 6:.1f}" y="{y + 4}">{label}</text>'
    )


if __name__ == "__main__":
    try:
        sys.stdout.write(render(json.load(sys.stdin)))
    except ValueError as error:
        sys.exit(f"hashing_plot: {error}")
