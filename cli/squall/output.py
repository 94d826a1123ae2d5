"""What a command prints: data on stdout, talk on stderr, one shape for both audiences.

With ``--json`` stdout is exactly one JSON object that names its schema and version, so that a
script can pipe it; without, stdout is text for people. Talk always goes to stderr.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
WatchFlag = Annotated[
    bool, typer.Option("--watch", "-w", help="Show it anew each second, until Ctrl-C.")
]


def emit(schema: str, data: Mapping[str, object], *, as_json: bool, text: str) -> None:
    """Print a command's result.

    Args:
        schema: Name and version, e.g. ``squall.status/1``; the first key of the JSON object.
        data: The result, JSON-serialisable.
        as_json: Whether the user asked for JSON.
        text: The same result for people.
    """
    try:
        sys.stdout.write(json.dumps({"schema": schema, **data}) if as_json else text)
        sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader left (`squall status | head -1`): not our failure, and nothing to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Tell the user something that isn't the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant, e.g. ``did you mean latency, abort?``."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
    return f"did you mean {', '.join(close)}?" if close else "nothing of that kind exists"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out in columns as wide as their widest cell; numbers to the right."""
    cells = [list(head), *[["" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    numeric = [
        len(cells) > 1 and all(_is_number(line[column]) for line in cells[1:])
        for column in range(len(head))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    )


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).replace("-", "", 1).isdigit()
