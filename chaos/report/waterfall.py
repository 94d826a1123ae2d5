"""One request with its hops, each a bar from its beginning to its end.

Pure. Hops tell by the clock of the machine they ran on; on one machine that is one clock.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from chaos.drill.arms import CONTROL
from chaos.drill.probes import HURT_KINDS, TELLING_KINDS
from chaos.report import svg
from chaos.report.markup import captioned, folded, table

ROW, TOP, FOOT = 34.0, 6.0, 26.0
BAR = 9.0
GOOD = ("OK",)
WAITS = ("waited", "delayed")

Hop = Mapping[str, Any]


def choose(evidence: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the request to show: what goes wrong without the protection, else what it did."""

    def rank(one: Mapping[str, Any]) -> tuple[int, int]:
        is_control = one.get("arm") == CONTROL
        kinds = HURT_KINDS if is_control else TELLING_KINDS
        kind = one.get("kind")
        return (not is_control, kinds.index(kind) if kind in kinds else len(kinds))

    return min((one for one in evidence if one.get("hops")), key=rank, default=None)


def waterfall(hops: Sequence[Hop]) -> str:
    """Draw a request, with the same as a table."""
    began_s = min(float(hop["started_unix_s"]) for hop in hops)
    ordered = sorted(hops, key=lambda hop: float(hop["started_unix_s"]))
    ends_ms = [_offset_ms(hop, began_s) + float(hop["duration_ms"]) for hop in ordered]
    scale = svg.Scale(0.0, max(*ends_ms, 1.0), 8.0, svg.WIDTH - 12)
    height = TOP + ROW * len(ordered) + FOOT
    rows = "".join(
        _bar(hop, _offset_ms(hop, began_s), scale, TOP + ROW * place)
        for place, hop in enumerate(ordered)
    )
    slowest = max(ordered, key=lambda hop: float(hop["duration_ms"]))
    said = f"{len(ordered)} hops in {max(ends_ms):.0f} ms; the longest is {slowest['instance']}"
    name = "one request through its hops"
    drawing = svg.figure("waterfall", name, said, _axis(scale, height) + rows, height)
    twin = table(
        ["hop", "began ms", "took ms", "deadline left ms", "status", "notes"],
        [_row(hop, began_s) for hop in ordered],
        "each hop in the order in which it began",
    )
    if 'class="wait"' in rows:
        said += "; a bar's inner line is time in which it only waited or was delayed"
    return captioned(drawing, said, folded("the same as a table, with notes", twin))


def notes_of(hop: Hop) -> str:
    """Say in one line what a hop's policies noted."""
    return "; ".join(_note(note) for note in hop.get("notes") or () if isinstance(note, Mapping))


def _bar(hop: Hop, offset_ms: float, scale: svg.Scale, y: float) -> str:
    took_ms = float(hop["duration_ms"])
    from_x, to_x = scale(offset_ms), scale(offset_ms + took_ms)
    wrong = "" if hop.get("status") in GOOD else " wrong"
    label = f"{hop['instance']} {_short(str(hop.get('route', '')))}"
    tail = f"{took_ms:.0f} ms {hop.get('status', '')}"
    bar_y = y + 18
    return (
        f'<text x="8" y="{y + 13:g}">{escape(label)}</text>'
        f'<text class="unit" x="{svg.WIDTH - 12:g}" y="{y + 13:g}" text-anchor="end">'
        f"{escape(tail)}</text>"
        f'<rect class="hop{wrong}" x="{from_x:.1f}" y="{bar_y:g}" '
        f'width="{max(1.5, to_x - from_x):.1f}" height="{BAR:g}"/>'
        + _waits(hop, offset_ms, scale, bar_y + BAR / 2)
    )


def _waits(hop: Hop, offset_ms: float, scale: svg.Scale, y: float) -> str:
    """Mark the time in which nothing was done: queues end at their note, faults begin there."""
    marks = []
    for note in hop.get("notes") or ():
        if not isinstance(note, Mapping) or note.get("what") not in WAITS:
            continue
        at_ms = offset_ms + 1000 * float(note.get("at_s", 0.0))
        length_ms = float((note.get("detail") or {}).get("ms", 0.0))
        from_ms = at_ms if note["what"] == "delayed" else at_ms - length_ms
        to_ms = min(from_ms + length_ms, offset_ms + float(hop["duration_ms"]))
        marks.append(f"M{scale(from_ms):.1f} {y:g}H{scale(to_ms):.1f}")
    return f'<path class="wait" d="{"".join(marks)}"/>' if marks else ""


def _axis(scale: svg.Scale, height: float) -> str:
    foot = height - FOOT + 4
    return "".join(
        f'<path class="grid" d="M{scale(value):.1f} {TOP:g}V{foot:g}"/>'
        f'<text class="unit" x="{scale(value):.1f}" y="{foot + 14:g}" '
        f'text-anchor="{"start" if value == 0 else "middle"}">'
        f"{value:g}{' ms' if value == 0 else ''}</text>"
        for value in scale.ticks()
    )


def _row(hop: Hop, began_s: float) -> list[str | float | None]:
    left = hop.get("remaining_in_ms")
    return [
        f"{hop['instance']} {_short(str(hop.get('route', '')))}",
        round(_offset_ms(hop, began_s), 1),
        round(float(hop["duration_ms"]), 1),
        None if left is None else round(float(left), 1),
        str(hop.get("status", "")),
        notes_of(hop),
    ]


def _note(note: Mapping[str, Any]) -> str:
    detail = note.get("detail")
    values = detail.items() if isinstance(detail, Mapping) else ()
    said = ", ".join(f"{name} {value}" for name, value in values)
    return f"{note.get('policy')} {note.get('what')}" + (f" ({said})" if said else "")


def _short(route: str) -> str:
    """Leave a gRPC method its last name; HTTP routes stay."""
    return route.rpartition("/")[2] if route.startswith("/") and route.count("/") > 1 else route


def _offset_ms(hop: Hop, began_s: float) -> float:
    return 1000 * (float(hop["started_unix_s"]) - began_s)
