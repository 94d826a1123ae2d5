"""Bulkhead: at most so many at once, and a bounded room to wait in.

Why: one slow dependency must not take every slot of its caller. With no room to wait, the
surplus is refused at once; with one, it waits in order of arrival, never beyond its own
deadline. The same machine caps what a whole process serves at once.
Source: Nygard, Release It!, "Bulkheads"; resilience4j Bulkhead (25 calls, no wait); Envoy's
circuit breaker (1,024 requests, 1,024 pending).
Not handled: priorities and LIFO under overload; costs other than 1.
"""

from collections import OrderedDict
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

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

DEFAULT_LIMIT = 25  # resilience4j: maxConcurrentCalls
DEFAULT_MAX_WAITING = 0  # resilience4j: maxWaitDuration 0
RETRY_AFTER_S = 1.0  # the smallest that HTTP's Retry-After can say


class Bulkhead:
    """A Queue: N slots, FIFO waiting. O(1) a call, O(log waiting) with a deadline.

    Args:
        limit: Slots, >= 1.
        max_waiting: Room to wait in; 0 refuses at once.
        max_wait_s: Longest wait; None means until the request's own deadline.
        name: What decisions are reported under.
        numbers: Gives tickets their numbers; bulkheads that share one give no number twice.

    Invariants: in_flight counts permits not yet settled and grows only below the limit; nobody
    waits while a slot is free; waiting <= max_waiting.
    """

    __slots__ = (
        "_expiries",
        "_full",
        "_generation",
        "_numbers",
        "_waiting",
        "in_flight",
        "limit",
        "max_wait_s",
        "max_waiting",
        "name",
        "rejected",
    )

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        max_waiting: int = DEFAULT_MAX_WAITING,
        max_wait_s: float | None = None,
        *,
        name: str = "bulkhead",
        numbers: Iterator[int] | None = None,
    ) -> None:
        if limit < 1 or max_waiting < 0:
            raise ValueError(f"limit={limit} must be >= 1 and max_waiting={max_waiting} >= 0")
        self.limit = limit
        self.max_waiting = max_waiting
        self.max_wait_s = max_wait_s
        self.name = name
        self.in_flight = 0
        self._waiting: OrderedDict[int, Request] = OrderedDict()
        self._expiries: list[tuple[float, int]] = []  # heap; may name tickets long gone
        self._numbers = count() if numbers is None else numbers
        self._generation = 0
        self._full = f"{name.upper()}_FULL"
        self.rejected = 0

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def offer(self, request: Request, now_s: float) -> Permit | Rejection | Ticket:
        """Give a free slot, or a place in the room, or refuse."""
        if self.in_flight < self.limit:  # nobody can be waiting: a free slot is granted at once
            return self._issue(request, now_s)
        waiting, room = len(self._waiting), self.max_waiting
        expiry_s = self.expiry_s(request, now_s) if room else None
        if expiry_s is not None and expiry_s <= now_s:
            return self._refuse_expired(request, now_s)
        if waiting >= room:
            self.rejected += 1
            taken, places = self.in_flight + waiting, self.limit + room
            return Rejection(self.name, self._full, RETRY_AFTER_S, taken, places)
        ticket = Ticket(next(self._numbers))
        self._waiting[ticket.number] = request
        if expiry_s is not None:
            heappush(self._expiries, (expiry_s, ticket.number))
        return ticket

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> QueueTurn:
        """Free the slot; name who gets it."""
        permit.mark_settled()
        self.in_flight -= 1
        if self._waiting:
            return self.on_tick(now_s)
        if self._expiries:  # of tickets long gone
            self._expiries.clear()
        return NOBODY

    def cancel(self, ticket: Ticket, now_s: float) -> QueueTurn:
        """Take a waiter out of the room; one no longer in it is no error."""
        self._waiting.pop(ticket.number, None)
        return QueueTurn((), ())

    def on_tick(self, now_s: float) -> QueueTurn:
        """Drop the expired, then grant what is free."""
        dropped = self._drop_expired(now_s)
        granted = []
        while self._waiting and self.in_flight < self.limit:
            number, request = self._waiting.popitem(last=False)
            granted.append((Ticket(number), self._issue(request, now_s)))
        return QueueTurn(granted, dropped)

    def expiry_s(self, request: Request, now_s: float) -> float | None:
        """Return when a wait that begins now ends by itself; None when it doesn't."""
        if self.max_wait_s is None:
            return request.deadline_s
        patience_s = now_s + self.max_wait_s
        return patience_s if request.deadline_s is None else min(patience_s, request.deadline_s)

    def next_deadline_s(self) -> float | None:
        """Return when the next waiter expires; None when nobody does."""
        heap = self._expiries
        while heap and heap[0][1] not in self._waiting:
            heappop(heap)
        return heap[0][0] if heap else None

    def resize(self, limit: int, now_s: float) -> QueueTurn:
        """Change the slots live; who holds one keeps it, also above a smaller limit."""
        if limit < 1:
            raise ValueError(f"limit={limit} must be >= 1")
        self.limit = limit
        return self.on_tick(now_s)

    def reset(self, now_s: float) -> None:
        """Forget the counter; who is in or waits stays."""
        self._generation += 1
        self.rejected = 0

    def snapshot(self) -> Snapshot:
        """Return slots, waiters and refusals."""
        return {
            "in_flight": self.in_flight,
            "limit": self.limit,
            "waiting": len(self._waiting),
            "max_waiting": self.max_waiting,
            "rejected": self.rejected,
        }

    def _issue(self, request: Request, now_s: float) -> Permit:
        self.in_flight += 1
        return Permit(self._generation, now_s, request.cost)

    def _drop_expired(self, now_s: float) -> list[tuple[Ticket, Rejection]]:
        dropped = []
        heap = self._expiries
        while heap and heap[0][0] <= now_s:
            number = heappop(heap)[1]
            request = self._waiting.pop(number, None)
            if request is not None:
                dropped.append((Ticket(number), self._refuse_expired(request, now_s)))
        return dropped

    def _refuse_expired(self, request: Request, now_s: float) -> Rejection:
        """Name what ran out: the request's own time, or the patience allowed here."""
        self.rejected += 1
        if request.deadline_s is not None and request.deadline_s <= now_s:
            return Rejection(self.name, "DEADLINE_EXCEEDED", None, self.in_flight, self.limit)
        reason = f"{self.name.upper()}_WAIT_EXCEEDED"
        return Rejection(self.name, reason, RETRY_AFTER_S, self.in_flight, self.limit)

    def __repr__(self) -> str:
        return f"<Bulkhead {self.in_flight}/{self.limit}, waiting {len(self._waiting)}>"
