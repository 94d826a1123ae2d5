"""Breaker states: which there are, what leads from one to the next, and the picture of it.

The table is data, so that it can be read as a whole, asked, tested row by row and drawn: the
diagram in docs/policies/breaker.md is what ``diagram()`` returns. ``state_breaker.StateBreaker``
decides *when* an event happens; *where* it leads stands here and nowhere else.

Source: resilience4j:resilience4j-circuitbreaker/.../CircuitBreaker.java (the six states and their
transitions). Different here: HALF_OPEN ends by its own time too, and a reset leaves alone what an
operator has set by hand.
"""

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """What a breaker does with a call.

    Three states it moves between by itself, and three it enters only by hand.
    """

    CLOSED = "closed"
    """Lets all pass, and counts."""
    OPEN = "open"
    """Refuses all, for a time."""
    HALF_OPEN = "half_open"
    """Lets a few pass, to see."""
    FORCED_OPEN = "forced_open"
    """Refuses all, until told otherwise."""
    DISABLED = "disabled"
    """Lets all pass, and counts nothing."""
    METRICS_ONLY = "metrics_only"
    """Lets all pass, counts, and never opens."""


class Event(Enum):
    """What leads to another state; from RESET on, what is told from outside."""

    TOO_MANY_FAILED = "too many failed"
    TOO_MANY_SLOW = "too many slow"
    WAITED = "open time is over"
    RECOVERED = "the few were well"
    RESET = "reset"
    CLOSE = "close"
    TRIP = "trip"
    FORCE_OPEN = "force_open"
    DISABLE = "disable"
    COUNT_ONLY = "count_only"


class Row(NamedTuple):
    """One line of the table: in ``source``, ``event`` leads to ``target``."""

    source: State
    event: Event
    target: State


class Transition(NamedTuple):
    """A change of state that has happened, at ``at_s`` of the caller's clock."""

    source: State
    event: Event
    target: State
    at_s: float


TABLE = (
    Row(State.CLOSED, Event.TOO_MANY_FAILED, State.OPEN),
    Row(State.CLOSED, Event.TOO_MANY_SLOW, State.OPEN),
    Row(State.OPEN, Event.WAITED, State.HALF_OPEN),
    Row(State.HALF_OPEN, Event.RECOVERED, State.CLOSED),
    Row(State.HALF_OPEN, Event.TOO_MANY_FAILED, State.OPEN),
    Row(State.HALF_OPEN, Event.TOO_MANY_SLOW, State.OPEN),
    Row(State.OPEN, Event.RESET, State.CLOSED),
    Row(State.HALF_OPEN, Event.RESET, State.CLOSED),
)

BY_HAND = {
    Event.CLOSE: State.CLOSED,
    Event.TRIP: State.OPEN,
    Event.FORCE_OPEN: State.FORCED_OPEN,
    Event.DISABLE: State.DISABLED,
    Event.COUNT_ONLY: State.METRICS_ONLY,
}
"""What an operator may ask for, in any state."""

_TARGETS = {(row.source, row.event): row.target for row in TABLE}


def next_state(state: State, event: Event) -> State | None:
    """Say where an event leads; None when it means nothing in that state."""
    return BY_HAND.get(event) or _TARGETS.get((state, event))


def diagram() -> str:
    """Draw the table as a Mermaid state diagram; events between the same two share an arrow."""
    labels: dict[tuple[State, State], list[str]] = {}
    for row in TABLE:
        labels.setdefault((row.source, row.target), []).append(row.event.value)
    arrows = [
        f"    {source.name} --> {target.name}: {', '.join(events)}"
        for (source, target), events in labels.items()
    ]
    hands = [f"    hand --> {target.name}: {event.value}" for event, target in BY_HAND.items()]
    first = f"    [*] --> {State.CLOSED.name}"
    hand = '    state "by hand, in any state" as hand'
    return "\n".join(["stateDiagram-v2", first, *arrows, hand, *hands])
