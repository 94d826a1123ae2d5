"""Why a request went where it went: what was known at each pick, for the newest requests.

Why: ``squall explain`` says that a request was tried on ``gateway.2`` and then on ``gateway.1``; an
operator then asks who else there was, how busy each was, and which rule chose. It can't be told
afterwards, for it has changed by then.
A pick that is kept costs one tuple: references to the balancer's view (a value that changes ten
times a second at most), to the algorithm and to the request's key, and a copy of the counts in
flight, one small dictionary. Words are made of it only when somebody asks; how attempts ended is
taken from the notes that ``explain`` keeps anyway. Still, what is kept has to be made and let go
of, some microseconds where a request takes thirty. So one request in sixteen is kept, and each that
is tried again or finds nobody, from that attempt on; all of them when an operator asks for it.
Source: Envoy's access log says which host was chosen (``UPSTREAM_HOST``,
``UPSTREAM_REQUEST_ATTEMPT_COUNT``); not among whom.
Not handled: the two that P2C drew at random (the one not picked was as busy or busier); l4, where a
connection has no id.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from kit.recorder import KEPT_SUMMARIES
from lb.policy.balancer import Balancer
from lb.policy.roster import Algorithm, rule_of
from lb.policy.view import UP, EndpointView, View
from resilience.context import Note
from resilience.policy.contract import Request

DEFAULT_KEPT = KEPT_SUMMARIES  # so that what `explain` knows, `why` knows too

DEFAULT_EVERY = 16  # one request in so many: below half a microsecond on average

_MATCH_MS = 0.01  # a note's start is its end less its length, which is rounded to a microsecond


class Pick(NamedTuple):
    """One pick.

    Args:
        endpoint: Who was picked; None when nobody was left.
        at_s: When, monotonic.
        view: How the endpoints stood.
        loads: In flight by endpoint, the request itself included at the one that was picked.
        tried: Those that were excluded: this request had been there before.
        after: Why there was another attempt; "" for the first.
        asked: What the algorithm was told of the request.
        algorithm: Who picks unless everyone has a turn.
    """

    endpoint: str | None
    at_s: float
    view: View
    loads: dict[str, int]
    tried: tuple[str, ...]
    after: str
    asked: Request
    algorithm: Algorithm


Seen: TypeAlias = tuple[
    str | None, float, View, dict[str, int], tuple[str, ...], str, Request, Algorithm
]
"""The fields of a ``Pick``."""


class _Kept(NamedTuple):
    request_id: str
    service: str
    arrived_s: float
    first: int
    picks: list[Seen]
    notes: list[Note]


class PickLog:
    """Keep the picks of the newest requests.

    Args:
        kept: How many requests, >= 1.
        every: One request in so many is kept, whatever comes of it, >= 1.
    """

    def __init__(self, kept: int = DEFAULT_KEPT, every: int = DEFAULT_EVERY) -> None:
        self.every = every
        self._count = -1
        self._requests: deque[tuple[str, str, float, int, list[Seen], list[Note]]] = deque(
            maxlen=kept
        )

    def takes(self) -> bool:
        """Whether the request that begins now is one of those that are kept anyway."""
        self._count = count = (self._count + 1) % self.every
        return not count

    def open(
        self, request_id: str, service: str, arrived_s: float, first: int, notes: list[Note]
    ) -> list[Seen]:
        """Begin with a request; what ``seen`` returns and is appended to the list is remembered.

        Args:
            request_id: Its id.
            service: Whose backends.
            arrived_s: When it arrived, monotonic.
            first: Number of the attempt that comes next, from 1.
            notes: Where the attempts' ends are noted.
        """
        picks: list[Seen] = []
        self._requests.append((request_id, service, arrived_s, first, picks, notes))
        return picks

    def find(self, request_id: str) -> list[dict[str, Any]]:
        """Return what is known of a request as plain JSON, oldest first; ids may come twice."""
        return [_told(_Kept(*one)) for one in self._requests if one[0] == request_id]


def seen(
    balancer: Balancer,
    endpoint: str | None,
    now_s: float,
    tried: Sequence[str],
    after: str,
    asked: Request,
) -> Seen:
    """Return what is known at this moment: the fields of a ``Pick``."""
    # Why a plain tuple: a named one is made in twice the time, and few are ever looked at.
    return (
        endpoint,
        now_s,
        balancer.look(now_s),
        balancer.loads(),
        tuple(tried),
        after,
        asked,
        balancer.algorithm,
    )


def _told(one: _Kept) -> dict[str, Any]:
    ends = [note for note in one.notes if note.policy == "attempt"]
    return {
        "service": one.service,
        "attempts": [
            _attempt(number, Pick(*pick), one, ends)
            for number, pick in enumerate(one.picks, one.first)
        ],
    }


def _attempt(number: int, pick: Pick, one: _Kept, ends: list[Note]) -> dict[str, Any]:
    at_ms = (pick.at_s - one.arrived_s) * 1000
    end = _end_of(pick.endpoint, at_ms, ends)
    return {
        "attempt": number,
        "at_ms": round(at_ms, 3),
        "after": pick.after,
        "picked": pick.endpoint,
        "rule": _rule(pick),
        "ended": end.what if end is not None else None,
        "took_ms": end.detail["ms"] if end is not None else None,
        "backends": [_backend(each, pick) for each in pick.view.endpoints],
    }


def _end_of(endpoint: str | None, at_ms: float, ends: list[Note]) -> Note | None:
    """Find the note of the attempt that began then; None while it is under way."""
    by_distance = {
        abs(note.at_s * 1000 - float(note.detail["ms"] or 0.0) - at_ms): note
        for note in ends
        if note.detail["endpoint"] == endpoint
    }
    nearest_ms = min(by_distance, default=_MATCH_MS)
    return by_distance[nearest_ms] if nearest_ms < _MATCH_MS else None


def _rule(pick: Pick) -> str:
    """Say by what it was picked, the widest rule first."""
    if pick.endpoint is None:
        return "nobody left"
    view = pick.view
    spreads = view.is_panicking and any(
        one.is_candidate and one.state != UP for one in view.endpoints
    )
    panic = "panic: all are used, " if spreads else ""
    if view.algorithm != pick.algorithm.name:
        return panic + view.algorithm
    return panic + rule_of(pick.algorithm, pick.asked, pick.endpoint)


def _backend(one: EndpointView, pick: Pick) -> dict[str, Any]:
    own = one.name == pick.endpoint
    return {
        "name": one.name,
        "candidate": one.is_candidate and one.name not in pick.tried,
        "in_flight": max(0, pick.loads.get(one.name, 0) - own),
        "weight": one.weight,
        "state": one.state,
        "ejected_by": one.ejected_by,
        "tried": one.name in pick.tried,
    }
