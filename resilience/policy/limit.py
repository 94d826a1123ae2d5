"""Adaptive limiter: a gate on the number in flight, around any way of learning the limit.

Why two parts: what differs between Vegas, Gradient2, AIMD and Envoy's gradient is how one number
moves with round trips and drops. What doesn't is the gate: counting, refusing, the meaning of
outcomes, generations, the deadline. So a ``Limit`` learns, and ``AdaptiveLimiter`` admits.

    admit while in flight < floor(limit), and < the deadline cap (``deadline_cap``)

What an outcome teaches: OK a round trip; OVERLOADED (the other side pushed back, or our own
deadline cut the call) a drop, its time being "at least this long"; FAILED nothing, since one that
fails at once has a round trip no answer can have; IGNORED nothing.

Source: Netflix concurrency-limits:limiter/{AbstractLimiter,SimpleLimiter}.java. Differences:

- In flight is told as of the settling, not of the admission: it costs a permit no field, and what
  ended last has seen most.
- No limit times its service time may exceed the deadline: the cap is there unless switched off.

Not handled: costs other than 1; waiting for a place (``wait_queue``); importance
(``criticality_gate``, a gate around this one).
"""

from math import floor
from typing import Protocol

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.deadline_cap import DEADLINE_SHARE, DeadlineCap

RETRY_AFTER_S = 1.0  # Netflix WindowedLimit's window: the soonest at which most limits are another
_OK, _OVERLOADED = Outcome.OK, Outcome.OVERLOADED  # see Outcome


class Limit(Protocol):
    """One number that moves with what is measured; each call is O(1) unless it says otherwise."""

    @property
    def value(self) -> float:
        """How many may be in flight, >= 1; the gate rounds down."""

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        """Learn from one request that ended now.

        Args:
            rtt_s: What it took, seconds, >= 0; when dropped, at least that long.
            in_flight: How many there were, this one included.
            dropped: The other side pushed back, or the time ran out.
            now_s: The clock; never runs backwards.
        """

    def reset(self, now_s: float) -> None:
        """Forget what was learned."""

    def snapshot(self) -> Snapshot:
        """Return the state in flat figures."""


class AdaptiveLimiter:
    """A Gate on the number in flight. Each call is O(1) unless the limit says otherwise.

    Args:
        learner: What the limit is learned by.
        deadline_share: Part of a request's time left that its place in line may cost, 0 < share
            <= 1; None leaves the deadline out.
        name: What decisions are reported under.

    Invariants: in_flight counts permits not yet settled; it grows only below ``limit(now_s)``.
    """

    __slots__ = ("_cap", "_generation", "_rejected", "in_flight", "learner", "name")

    def __init__(
        self,
        learner: Limit,
        *,
        deadline_share: float | None = DEADLINE_SHARE,
        name: str = "limiter",
    ) -> None:
        self.learner = learner
        self.name = name
        self.in_flight = 0
        self._cap = None if deadline_share is None else DeadlineCap(deadline_share)
        self._generation = 0
        self._rejected = 0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let the request in, or refuse it with in flight against what binds."""
        in_flight = self.in_flight
        if in_flight + 1 > self.learner.value:
            return self._refuse(floor(self.learner.value))
        if self._cap is not None:
            most = self._cap.refuse(in_flight, request.deadline_s, now_s)
            if most is not None:
                return self._refuse(most)
        self.in_flight = in_flight + 1
        return Permit(self._generation, now_s, request.cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the place back; an OK teaches its round trip, an OVERLOADED a drop."""
        permit.mark_settled()
        in_flight = self.in_flight
        self.in_flight = in_flight - 1
        rtt_s = now_s - permit.issued_s
        taught = outcome if permit.generation == self._generation else None
        if taught is _OK:
            self.learner.on_sample(rtt_s, in_flight, False, now_s)
        elif taught is _OVERLOADED:
            self.learner.on_sample(rtt_s, in_flight, True, now_s)
        if self._cap is not None:
            self._cap.settle(rtt_s, taught, in_flight - 1, now_s)

    def limit(self, now_s: float) -> int:
        """How many may be in flight, the deadline of a request left aside."""
        return floor(self.learner.value)

    def reset(self, now_s: float) -> None:
        """Forget what was learned; what is in flight stays counted and teaches nothing."""
        self._generation += 1
        self._rejected = 0
        self.learner.reset(now_s)
        if self._cap is not None:
            self._cap.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the gate's figures, then those of the limit and the cap."""
        figures: dict[str, float | int | str | bool | None] = {
            "in_flight": self.in_flight,
            "rejected": self._rejected,
        }
        figures.update(self.learner.snapshot())
        if self._cap is not None:
            figures["drain_rps"] = round(self._cap.rate, 2)
            figures["capped"] = self._cap.binds
        return figures

    def _refuse(self, most: float) -> Rejection:
        self._rejected += 1
        return Rejection(self.name, "LIMIT_EXCEEDED", RETRY_AFTER_S, self.in_flight, most)

    def __repr__(self) -> str:
        return f"<AdaptiveLimiter {self.in_flight} in flight, {self.learner!r}>"
