"""Events: the newest decisions of a process as data, for whoever wants to watch them being taken.

Why: ``squall explain`` tells what became of one request, and metrics tell how many. Neither answers
"what is it doing right now?". So refusals, real and in shadow, and everything that changes (a
breaker's state, a limit, a switch, a fault, readiness) stand in a ring, newest last.
A policy is never held up by being watched: telling is O(1), takes no lock and wakes nobody (readers
come and look), and of one kind of decision only so many a second are kept. What was left out is
counted, and the next one that is kept says how many it stands for. Under overload a limiter refuses
thousands a second, and they all say the same.
Sources: Linux' ``printk_ratelimit`` (10 a burst, "N callbacks suppressed"); resilience4j's circular
event consumer (a ring of the newest 100); the WHATWG's server-sent events for the stream.
Not handled: events from before a restart; a decision that let a request through (there is none to
tell: what passes costs nothing here).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import msgspec

from resilience.observer import Detail

KEPT_EVENTS = 1_000  # a page of them is 150 KB; resilience4j keeps 100 of each breaker
KEPT_A_SECOND = 20  # of one kind; printk lets 10 through in 5 s, for people who read them raw
LANES = 256  # kinds counted at a time; a lab has some fifty, and names come from code
ORDINARY = frozenset({"attempt"})  # the end of every call: no decision, and on every request's way


class Event(msgspec.Struct, frozen=True):
    """One decision or change.

    Args:
        id: Grows with each event of a process, over its restarts too.
        at_unix_s: When, by this machine's wall clock.
        instance: Which process, e.g. ``video.2``.
        policy: Who decided: a policy, or ``switch``, ``choice``, ``fault``, ``readiness``.
        what: E.g. ``rejected``, ``shadow-rejected``, ``moved``, ``began``.
        scope: Where it holds: an instance, a link (``gateway.1>video``), a policy.
        detail: Its figures.
        left_out: How many of the same kind before it were not kept, since the last that was.
    """

    id: int
    at_unix_s: float
    instance: str
    policy: str
    what: str
    scope: str
    detail: Mapping[str, Detail]
    left_out: int = 0


class _Lane:
    """How many of one kind were kept in a second that began with one, and left out since."""

    __slots__ = ("kept", "left_out", "until_s")

    def __init__(self) -> None:
        self.kept = 0
        self.left_out = 0
        self.until_s = 0.0


class Events:
    """Hear of decisions (``resilience.observer.Observer``) and keep the newest.

    Args:
        instance: This process.
        kept: How many, >= 1.
        a_second: How many of one kind (policy and what) are kept in a second, >= 1.
        clock: Monotonic seconds.
        unix_clock: Wall clock, asked once: later changes of it don't turn the order round.

    ``on_decision`` is O(1) and never raises; reading is O(what is read).
    """

    __slots__ = (
        "_a_second",
        "_clock",
        "_instance",
        "_lanes",
        "_next_id",
        "_ring",
        "_unix_offset_s",
        "left_out",
        "told",
    )

    def __init__(
        self,
        instance: str,
        kept: int = KEPT_EVENTS,
        a_second: int = KEPT_A_SECOND,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._instance = instance
        self._a_second = a_second
        self._clock = clock
        self._unix_offset_s = unix_clock() - clock()
        # Microseconds since 1970: whoever remembers an id of an earlier life sees all of this one.
        self._next_id = int(unix_clock() * 1e6)
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._ring: deque[tuple[int, float, str, str, str, Mapping[str, Detail], int]]
        self._ring = deque(maxlen=kept)
        self.told = 0
        self.left_out = 0

    def __repr__(self) -> str:
        return f"<Events {len(self._ring)} kept of {self.told}, {self.left_out} left out>"

    def on_decision(self, policy: str, what: str, scope: str, detail: Mapping[str, Detail]) -> None:
        """Keep a decision, or count it as left out."""
        if policy in ORDINARY:
            return
        self.told += 1
        now_s = self._clock()
        lane = self._lanes.get((policy, what))
        if lane is None:
            lane = self._new_lane(policy, what)
        if now_s >= lane.until_s:
            lane.until_s = now_s + 1.0
            lane.kept = 0
        if lane.kept >= self._a_second:
            lane.left_out += 1
            self.left_out += 1
            return
        lane.kept += 1
        self._ring.append((self._next_id, now_s, policy, what, scope, detail, lane.left_out))
        self._next_id += 1
        lane.left_out = 0

    def after(self, event_id: int = 0) -> list[Event]:
        """Return the kept events after one, oldest first; 0 means all that are kept."""
        newer = takewhile(lambda kept: kept[0] > event_id, reversed(self._ring))
        return [self._event(*kept) for kept in reversed(list(newer))]

    def newest(self, count: int) -> list[Event]:
        """Return the last few, newest first."""
        return [
            self._event(*kept) for _, kept in zip(range(count), reversed(self._ring), strict=False)
        ]

    def counts(self) -> dict[str, int]:
        """Return how many were told, are kept, and were left out."""
        return {"told": self.told, "kept": len(self._ring), "left_out": self.left_out}

    def answer(self, args: Mapping[str, Any]) -> Sequence[Any]:
        """Answer the ask ``events``: ``{"after": {instance: id}}`` leaves out what is known."""
        known = args.get("after")
        after = known.get(self._instance, 0) if isinstance(known, Mapping) else 0
        return [msgspec.to_builtins(event) for event in self.after(int(after))]

    def _event(
        self,
        event_id: int,
        at_s: float,
        policy: str,
        what: str,
        scope: str,
        detail: Mapping[str, Detail],
        left_out: int,
    ) -> Event:
        at_unix_s = round(at_s + self._unix_offset_s, 6)
        return Event(event_id, at_unix_s, self._instance, policy, what, scope, detail, left_out)

    def _new_lane(self, policy: str, what: str) -> _Lane:
        if len(self._lanes) >= LANES:
            self._lanes.pop(next(iter(self._lanes)))  # the oldest kind, with what it left out
        return self._lanes.setdefault((policy, what), _Lane())


def as_stream(events: Sequence[Event]) -> Iterator[bytes]:
    """Write events as server-sent ones: id, policy as the event's name, the whole as JSON."""
    for event in events:
        body = msgspec.json.encode(event, enc_hook=str)
        yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.policy.encode(), body)
