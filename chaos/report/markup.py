"""Pieces of HTML that both pages are made of; every text is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from chaos.report.style import stylesheet
from chaos.report.svg import sample

Cell = str | int | float | None
VERDICT_CLASSES: Mapping[str, str] = {
    "held": "good", "not held": "bad", "refuted": "bad", "inconclusive": "unsure",
    "not exercised": "unsure", "differs": "unsure",
}  # fmt: skip


def document(title: str, body: str) -> str:
    """Return a whole page that needs nothing else."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{stylesheet()}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def section(title: str, *parts: str, anchor: str = "") -> str:
    """Return a part of the page, to which a link may lead; "" when there is nothing in it."""
    inside = "\n".join(filter(None, parts))
    attribute = f' id="{anchor}"' if anchor else ""
    return f"<section{attribute}><h2>{escape(title)}</h2>\n{inside}</section>\n" if inside else ""


def paragraph(text: str, css: str = "") -> str:
    """Return a paragraph."""
    attribute = f' class="{css}"' if css else ""
    return f"<p{attribute}>{escape(text)}</p>" if text else ""


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str) -> str:
    """Return a table; numbers stand right, a row's first cell is its head."""
    cells = [list(row) for row in rows]
    right = [
        any(row[column] is not None for row in cells)
        and all(row[column] is None or _is_number(row[column]) for row in cells)
        for column in range(len(head))
    ]
    heads = "".join(
        f'<th scope="col"{_right(is_right)}>{escape(text)}</th>'
        for text, is_right in zip(head, right, strict=True)
    )
    body = "".join(f"<tr>{_row(row, right)}</tr>" for row in cells)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, inside: str) -> str:
    """Return something that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return a legend of (class of the line, what it is)."""
    items = "".join(f"<li>{sample(css)}{escape(text)}</li>" for css, text in entries)
    return f'<ul class="legend">{items}</ul>'


def captioned(drawing: str, caption: str, twin: str = "") -> str:
    """Return a figure with its caption and, folded, the same as a table."""
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption>{twin}</figure>"


def _row(row: Sequence[Cell], right: Sequence[bool]) -> str:
    first = f'<th scope="row">{_text(row[0])}</th>'
    rest = (
        f"<td{_right(is_right)}>{_text(cell)}</td>"
        for cell, is_right in zip(row[1:], right[1:], strict=True)
    )
    return first + "".join(rest)


def _text(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:g}"
    text = escape(str(cell))
    css = VERDICT_CLASSES.get(text)
    return f'<span class="{css}">{text}</span>' if css else text


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) or str(cell).replace(".", "", 1).lstrip("+-").isdigit()


def _right(is_right: bool) -> str:
    return ' class="n"' if is_right else ""
