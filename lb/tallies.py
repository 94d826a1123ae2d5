"""Tallies: what each backend was given and how that ended, counted as it happens.

Why: switches and states say what a balancer believes; these figures say what came of it. A look-up
and a few additions a request; formatting and percentiles wait until somebody asks.
Source: HAProxy's ``show stat`` (stot, econ, eresp, hrsp_5xx, rtime). The histogram has the bounds
of ``kit.metrics``, so that a backend compares with the whole.
Not handled: what is in flight (the balancer counts that), figures by route or client (labels of a
metric are names of backends only, or they would be without bound).
"""

import bisect
from collections import deque
from collections.abc import Iterable, Mapping

from kit.metrics import BUCKETS_S

KEPT_LATENCIES = 512  # of the newest answers, for p99: 5 of them lie above it
MAX_BACKENDS = 512  # beyond it those that left are forgotten

NOT_CONNECTED = "not connected"

# How an attempt ended (``lb.policy.attempts.Failure``, ``lb.l7.exchange``) as a kind of failure.
# Whoever was outrun, and whose client left, has not failed.
FAILURES: Mapping[str, str] = {
    NOT_CONNECTED: "not_connected",
    "stale connection": "stale_connection",
    "reset": "reset",
    "bad answer": "bad_answer",
    "deadline": "deadline",
}
ERROR_ANSWERS = "5xx"
KINDS = (*FAILURES.values(), ERROR_ANSWERS)
"""Every kind of failure, as metrics and JSON name it."""


class Tally:
    """One backend's figures since the last reset."""

    __slots__ = ("buckets", "ends", "picks", "recent_s", "sum_s")

    def __init__(self) -> None:
        self.picks = 0
        self.ends: dict[str, int] = {}
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0
        self.recent_s: deque[float] = deque(maxlen=KEPT_LATENCIES)

    def on_end(self, what: str, took_s: float) -> None:
        """Count how an attempt ended: a status in digits, or words."""
        self.ends[what] = self.ends.get(what, 0) + 1
        if what.isdecimal():
            self.buckets[bisect.bisect_left(BUCKETS_S, took_s)] += 1
            self.sum_s += took_s
            self.recent_s.append(took_s)

    def failures(self) -> dict[str, int]:
        """Count the failures by kind; kinds that never came are left out."""
        found: dict[str, int] = {}
        for what, count in self.ends.items():
            kind = ERROR_ANSWERS if what.isdecimal() and what >= "500" else FAILURES.get(what)
            if kind is not None:
                found[kind] = found.get(kind, 0) + count
        return {kind: found[kind] for kind in KINDS if kind in found}

    def p99_s(self) -> float | None:
        """Return the 99th percentile of the newest answers in seconds; None before the first."""
        ordered = sorted(self.recent_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else None


class Tallies:
    """By backend; a name is known from its first pick."""

    def __init__(self) -> None:
        self._of: dict[str, Tally] = {}

    def on_pick(self, name: str) -> None:
        """Count a request or a connection that is sent there."""
        self.of(name).picks += 1

    def on_end(self, name: str, what: str, took_s: float) -> None:
        """Count how it ended, after so many seconds."""
        self.of(name).on_end(what, took_s)

    def of(self, name: str) -> Tally:
        """Return a backend's figures."""
        tally = self._of.get(name)
        if tally is None:
            tally = self._of[name] = Tally()
        return tally

    def keep(self, names: Iterable[str]) -> None:
        """Know who is there, so that a fleet whose names never return stays bounded."""
        if len(self._of) > MAX_BACKENDS:
            known = set(names)
            self._of = {name: tally for name, tally in self._of.items() if name in known}

    def reset(self) -> None:
        """Count anew."""
        self._of = {}
