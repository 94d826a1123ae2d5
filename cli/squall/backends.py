"""The balancers' backends as ``squall lb`` shows them: asked for, checked, drawn.

What a row holds is said in ``lb.fleet``; what an attempt holds in ``lb.l7.picks``.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from kit.errors import ConfigError, LabEnvironmentError
from squall.output import nearest, table

if TYPE_CHECKING:
    from kit.control import ControlClient

Fleets: TypeAlias = dict[str, list[dict[str, Any]]]
"""Proxy to its tables, one a service whose backends it picks."""

PROXIES = ("l4", "l7")
_CLEAR = "\x1b[H\x1b[2J"  # ANSI: home, erase the display
_COLUMNS = (
    "backend", "state", "weight", "in flight", "connections", "picks", "failed", "missed checks",
    "p99 ms", "changed", "notes",
)  # fmt: skip


async def ask_fleets(client: "ControlClient") -> Fleets:
    """Ask every proxy for its tables; an operator's ejections get their end, which control knows.

    Raises:
        LabEnvironmentError: No proxy answers.
    """
    from squall.link import live_entries

    answers = await client.ask("lb.backends", {}, targets=PROXIES)
    fleets = {name: answers[name] for name in sorted(answers) if isinstance(answers[name], list)}
    if not fleets:
        raise LabEnvironmentError("control answers, but neither l4 nor l7 does: squall status")
    ends = {
        field.partition("/")[2]: left_s
        for field, (_, left_s) in live_entries(await client.read()).items()
        if field.startswith("eject/")
    }
    for row in _rows(fleets):
        if row["ejected_by"] == "OPERATOR":
            row["ejected_for_s"] = _longest(row["name"], ends)
    return fleets


def check_name(name: str, fleets: Fleets) -> None:
    """Refuse a backend that no proxy knows.

    Raises:
        ConfigError: The message names the nearest.
    """
    known = {row["name"] for row in _rows(fleets)}
    if name not in known:
        raise ConfigError(f"no balancer has a backend {name!r}; {nearest(name, known)}")


def left_without_any(name: str, fleets: Fleets) -> list[str]:
    """Say which proxy has nobody to pick any more in a fleet that this backend is of."""
    return [
        f"{proxy} has no {one['service']} left to pick: what needs one is refused"
        for proxy, tables in fleets.items()
        for one in tables
        if any(row["name"] == name for row in one["backends"])
        and not any(row["picked"] for row in one["backends"])
    ]


def still_out(name: str, kind: str, fleets: Fleets) -> list[str]:
    """Say why a backend that was let back isn't picked all the same."""
    told = set()
    for row in _rows(fleets):
        if row["name"] == name and kind == "drain" and row["state"] == "drained":
            told.add(f"{name} stays drained: by an entry for its whole service, or by a drill")
        elif row["name"] == name and kind == "eject" and row["state"] == "ejected":
            told.add(f"{name} stays ejected: {_reason(row)}")
    return sorted(told)


def backends_text(fleets: Fleets) -> str:
    """Draw one table a fleet, each below the proxy that picks."""
    blocks = []
    for proxy, tables in fleets.items():
        for one in tables:
            panic = ", in a panic: all are used" if one["panicking"] else ""
            head = f"{proxy} to {one['service']}, by {one['algorithm']}{panic}"
            rows = [_cells(row) for row in one["backends"]]
            blocks.append(f"{head}\n{table(_COLUMNS, rows)}" if rows else f"{head}\nno backend")
    return "\n\n".join(blocks)


def why_text(request_id: str, decisions: Sequence[Mapping[str, Any]]) -> str:
    """Draw each attempt with those it chose among."""
    blocks = []
    for one in decisions:
        ended = f": {one['status']} after {one['took_ms']:.1f} ms" if "status" in one else ""
        blocks.append(f"request {request_id} at {one['instance']} to {one['service']}{ended}")
        blocks.extend(_attempt_text(attempt) for attempt in one["attempts"])
    return "\n".join(blocks)


def clear_screen() -> None:
    """Begin at the top of a terminal; elsewhere an empty line is all that divides two looks."""
    sys.stdout.write(_CLEAR if sys.stdout.isatty() else "\n")


def _rows(fleets: Fleets) -> Iterator[dict[str, Any]]:
    for tables in fleets.values():
        for one in tables:
            yield from one["backends"]


def _longest(name: str, ends: Mapping[str, float | None]) -> float | None:
    left_s = [ends.get(target) for target in (name, name.rpartition(".")[0], "*")]
    return round(max((each for each in left_s if each is not None), default=0.0), 1)


def _cells(row: Mapping[str, Any]) -> list[object]:
    return [
        row["name"],
        row["state"],
        _figure(row["weight"]),
        row["in_flight"],
        row["connections"],
        row["picks"],
        row["failed"],
        row["missed_checks"],
        None if row["p99_ms"] is None else f"{row['p99_ms']:.1f}",
        None if row["changed_ago_s"] is None else f"{row['changed_ago_s']:.0f} s ago",
        "; ".join(part for part in (_reason(row), _kinds(row["failures"])) if part),
    ]


def _reason(row: Mapping[str, Any]) -> str:
    rule, left_s = str(row["ejected_by"]), row["ejected_for_s"]
    return rule if left_s is None else f"{rule}, {left_s:.0f} s left"


def _kinds(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in failures.items())


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _attempt_text(attempt: Mapping[str, Any]) -> str:
    after = f" after {attempt['after']}" if attempt["after"] else ""
    picked = attempt["picked"] or "nobody"
    head = f"attempt {attempt['attempt']} at {attempt['at_ms']:.1f} ms{after}: {picked}"
    head += f" by {attempt['rule']}" if attempt["picked"] else " left"
    if attempt["ended"] is not None:
        head += f"; {attempt['ended']} after {attempt['took_ms']:.1f} ms"
    rows = [
        [
            "    " + each["name"],
            _answer(each, attempt["picked"]),
            each["in_flight"],
            _figure(each["weight"]),
            each["state"] + (f" by {each['ejected_by']}" if each["ejected_by"] else ""),
        ]
        for each in attempt["backends"]
    ]
    return f"{head}\n{table(('    backend', 'pick', 'in flight', 'weight', 'state'), rows)}"


def _answer(each: Mapping[str, Any], picked: str | None) -> str:
    if each["name"] == picked:
        return "picked"
    if each["tried"]:
        return "tried before"
    return "possible" if each["candidate"] else "left out"
