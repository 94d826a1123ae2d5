"""How soon writes are good again: plain numbers, from a history by hand."""

from typing import Any

import pytest

from shard.check.events import History
from shard.check.figures import LOCAL, REPLICATED, recoveries
from shard.check.history import lines_of, parse_history

KILL: dict[str, Any] = {
    "t": 10.0, "do": "fault", "id": 1, "kind": "kill", "on": "n", "role": "primary",
    "slots": [[0, 16383]],
}  # fmt: skip
MENDED: dict[str, Any] = {"t": 13.0, "do": "mended", "id": 1, "bit": True, "proof": "dead"}


def write(
    number: int, op: str, began_s: float, ended_s: float, do: str = "ok"
) -> list[dict[str, Any]]:
    """Return a write's two lines."""
    key = {"probe": "p", "add": "s"}[op]
    return [
        {"t": began_s, "do": "invoke", "id": number, "op": op, "key": key, "value": number},
        {"t": ended_s, "do": do, "id": number},
    ]


def history(*events: dict[str, Any], **header: object) -> History:
    """Read events in the order of their times."""
    ordered: list[dict[str, Any]] = sorted(events, key=lambda each: float(each["t"]))
    return parse_history(lines_of(ordered, **header))


EVENTS = [
    KILL, MENDED,
    *write(1, "probe", 9.9, 10.1),  # begun before the kill: says nothing
    *write(2, "probe", 10.2, 11.2, "unknown"),
    *write(3, "probe", 11.3, 12.1),
    *write(4, "probe", 11.4, 12.0),  # begun later, and good sooner
    *write(5, "add", 12.5, 12.9, "refused"),
    *write(6, "add", 12.95, 13.4),  # waited for the node
    *write(7, "add", 13.5, 13.6),
]  # fmt: skip


def test_the_first_good_writes_are_found() -> None:
    """LOCAL from the kill on, REPLICATED from the node's start."""
    local, replicated = recoveries(history(*EVENTS, durability="replicated"))

    assert (local.name, replicated.name) == (LOCAL, REPLICATED)
    assert local.seconds == pytest.approx([2.0])
    assert replicated.seconds == pytest.approx([0.4])
    assert str(local) == "first good LOCAL write: median 2.00 s, 2.00 to 2.00 s of 1"


def test_what_never_came_is_infinite_and_local_runs_have_no_second_figure() -> None:
    """No number is made up."""
    (local,) = recoveries(history(KILL, MENDED, durability="local"))

    assert local.seconds == [float("inf")]


def test_without_a_killed_primary_there_are_no_figures() -> None:
    """A paused one, or a replica, is another matter."""
    paused = {**KILL, "kind": "pause"}
    replica = {**KILL, "role": "replica"}

    assert recoveries(history(paused)) == recoveries(history(replica)) == []
