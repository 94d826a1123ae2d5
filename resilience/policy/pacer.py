"""Pacer: let requests start evenly spaced, and hold back what comes too soon.

Why: a batch job or a consumer that wakes up sends a clump; its server would rather have a trickle.
A token bucket lets the clump through up to its burst. This queue lets nothing through in clumps:

    start = latest start + cost / rate, or now if that is past

and refuses what would wait longer than ``max_wait_s``, or past its deadline, when it comes.
Source: alibaba/Sentinel:.../flow/controller/ThrottlingController.java (uniform queueing; as there a
request is spaced by its own cost, and waits 500 ms at most); the leaky bucket as a queue.
Unlike Sentinel, which reserves a start when a request comes and sleeps on it:
- who leaves the queue leaves no hole, everybody behind moves up;
- a timer that is late by less than an interval costs nothing, as starts count from when they were
  due; after a longer stall two requests at most start together, and the rest stay spaced;
- the latest to start hands its turn back when it is IGNORED; an earlier turn is in the past.
Not handled: bursts (``token_bucket``); who goes first (strictly FIFO); clocks that run backwards
(requests wait until time has caught up).
"""

from collections import OrderedDict

from resilience.policy.contract import (
    NOBODY,
    Outcome,
    Permit,
    QueueTurn,
    Rejection,
    Request,
    Snapshot,
    Ticket,
)
from resilience.policy.rate import POLICY_NAME, RATE_EXCEEDED, SLACK_S, check_above_zero

MAX_WAIT_S = 0.5  # Sentinel: FlowRule.maxQueueingTimeMs 500
_IGNORED = Outcome.IGNORED  # see Outcome


class PacedPermit(Permit):
    """A permit that knows which turn it is: latest start before it, and after."""

    __slots__ = ("after_s", "before_s")

    def __init__(
        self, generation: int, now_s: float, cost: float, turn: tuple[float, float]
    ) -> None:
        # Not through super(): one is made on every call.
        self.generation = generation
        self.issued_s = now_s
        self.cost = cost
        self.settled = False
        self.before_s, self.after_s = turn


class Pacer:
    """A Queue that grants one start each ``cost / rate`` seconds. Every call is O(1).

    Args:
        rate_rps: Starts of cost 1 a second, > 0.
        max_wait_s: Longest wait that is let begin, seconds, >= 0; 0 refuses whoever is early. A
            request whose own interval is longer passes after a pause as long, and else never waits.
        name: What decisions are reported under.

    Raises:
        ValueError: When a figure is out of its range.

    Invariant: while timers are on time, starts are ``cost / rate_rps`` apart; nobody overtakes.
    """

    __slots__ = (
        "_generation",
        "_interval_s",
        "_latest_s",
        "_next_number",
        "_rejected",
        "_waiting",
        "_waiting_cost",
        "max_wait_s",
        "name",
        "rate_rps",
    )

    def __init__(
        self, rate_rps: float, max_wait_s: float = MAX_WAIT_S, *, name: str = POLICY_NAME
    ) -> None:
        check_above_zero(rate_rps=rate_rps)
        if not max_wait_s >= 0.0:
            raise ValueError(f"max_wait_s={max_wait_s} must be >= 0")
        self.rate_rps = rate_rps
        self.max_wait_s = max_wait_s
        self.name = name
        self._interval_s = 1.0 / rate_rps
        self._generation = 0
        self._rejected = 0
        self._latest_s = float("-inf")  # when the latest start was due
        self._next_number = 0
        self._waiting: OrderedDict[int, Request] = OrderedDict()
        self._waiting_cost = 0.0

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def offer(self, request: Request, now_s: float) -> Permit | Rejection | Ticket:
        """Let a request start, hold it back until it is due, or refuse it."""
        cost = request.cost
        due_s = self._latest_s + (self._waiting_cost + cost) * self._interval_s
        wait_s = due_s - now_s
        if wait_s <= SLACK_S and not self._waiting:
            # Nobody held it back: the clock starts anew, what was not used is not saved.
            return self._start(request, max(due_s, now_s), now_s)
        patience_s = self.max_wait_s
        if request.deadline_s is not None:
            patience_s = max(0.0, min(patience_s, request.deadline_s - now_s))
        if wait_s > patience_s + SLACK_S:
            return self._refuse(wait_s, patience_s)
        ticket = Ticket(self._next_number)
        self._next_number += 1
        self._waiting[ticket.number] = request
        self._waiting_cost += cost
        return ticket

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> QueueTurn:
        """Hand the latest turn back if it was IGNORED; else there is nothing to release."""
        permit.mark_settled()
        if outcome is not _IGNORED or permit.generation != self._generation:
            return NOBODY
        assert isinstance(permit, PacedPermit), "a permit of another policy"
        if permit.after_s == self._latest_s:
            interval_s = permit.cost * self._interval_s
            self._latest_s = max(permit.before_s, permit.after_s - interval_s)
        return self.on_tick(now_s)

    def cancel(self, ticket: Ticket, now_s: float) -> QueueTurn:
        """Take a waiter out; whoever is behind moves up. One no longer waiting is no error."""
        request = self._waiting.pop(ticket.number, None)
        if request is not None:
            self._forget(request)
        return self.on_tick(now_s)

    def on_tick(self, now_s: float) -> QueueTurn:
        """Let start who is due, and drop whose deadline has passed by then."""
        granted: list[tuple[Ticket, Permit]] = []
        dropped: list[tuple[Ticket, Rejection]] = []
        while self._waiting:
            number, request = next(iter(self._waiting.items()))
            due_s = self._latest_s + request.cost * self._interval_s
            if due_s - now_s > SLACK_S:
                break
            del self._waiting[number]
            self._forget(request)
            if request.deadline_s is not None and request.deadline_s < now_s - SLACK_S:
                dropped.append((Ticket(number), self._expire(now_s, request.deadline_s)))
            else:
                late_s = max(due_s, now_s - request.cost * self._interval_s)
                granted.append((Ticket(number), self._start(request, late_s, now_s)))
        return QueueTurn(granted, dropped)

    def next_deadline_s(self) -> float | None:
        """Return when the first in the queue is due; None when nobody waits."""
        if not self._waiting:
            return None
        return self._latest_s + next(iter(self._waiting.values())).cost * self._interval_s

    def reset(self, now_s: float) -> None:
        """Forget the latest start and the count; who waits stays, and the first is due at once."""
        self._generation += 1
        self._rejected = 0
        self._latest_s = float("-inf")

    def snapshot(self) -> Snapshot:
        """Return who waits and who was refused."""
        return {
            "waiting": len(self._waiting),
            "waiting_cost": round(self._waiting_cost, 6),
            "rate_rps": self.rate_rps,
            "max_wait_s": self.max_wait_s,
            "rejected": self._rejected,
        }

    def _start(self, request: Request, due_s: float, now_s: float) -> PacedPermit:
        before_s = self._latest_s
        self._latest_s = due_s
        return PacedPermit(self._generation, now_s, request.cost, (before_s, due_s))

    def _forget(self, request: Request) -> None:
        self._waiting_cost = self._waiting_cost - request.cost if self._waiting else 0.0

    def _refuse(self, wait_s: float, patience_s: float) -> Rejection:
        self._rejected += 1
        back_s = wait_s - patience_s
        return Rejection(self.name, RATE_EXCEEDED, back_s, wait_s, patience_s)

    def _expire(self, now_s: float, deadline_s: float) -> Rejection:
        self._rejected += 1
        late_s = now_s - deadline_s
        return Rejection(self.name, "DEADLINE_EXCEEDED", None, late_s, 0.0)

    def __repr__(self) -> str:
        return f"<Pacer {self.rate_rps:g}/s, waiting {len(self._waiting)}>"
