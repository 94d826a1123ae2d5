"""Wait queue: a short wait for a limiter that is full, in the order that serves most in time.

Why: a limiter that refuses at once wastes slots, since the next request comes only after one has
come free. A short queue fills that gap. A long one is worse than none: everybody waits for as long
as those before them, and all are served too late. So the queue measures whether it drains:

    it was empty within the last interval (100 ms)     healthy: oldest first, wait 100 ms at most
    it was not                                         overloaded: newest first, 5 ms at most

Under overload the most important level goes first, and within a level who came last: the one with
most of its time left. Nobody waits past their own deadline in either state. When the queue is full
a more important request takes the place of a less important one, never the other way round.

Source: controlled delay and adaptive LIFO: Maurer, "Fail at Scale", ACM Queue 13 (8), 2015, with
its N = 100 ms and M = 5 ms; after CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue
10 (5), 2012, target 5 ms, interval 100 ms; RFC 8289). As in the article the time allowed is set on
arrival, by whether the queue was empty within the interval; CoDel itself drops at the head at
a growing rate, which suits senders that slow down when they lose a packet. Room for 100: Netflix/
concurrency-limits' LifoBlockingLimiter. Differences: importance; the article has one level.

Put it around the limiter itself and not around a criticality gate or partitions: a waiter is asked
for again at each turn, which those would take for one more refusal.

Not handled: costs other than 1; fairness among tenants who wait.
"""

from collections import OrderedDict
from collections.abc import Iterator
from heapq import heappop, heappush

from resilience.policy.contract import (
    NOBODY,
    Criticality,
    Gate,
    Outcome,
    Permit,
    QueueTurn,
    Rejection,
    Request,
    Snapshot,
    Ticket,
)

MAX_WAITING = 100  # Netflix LifoBlockingLimiter: backlogSize 100
INTERVAL_S = 0.1  # Fail at Scale: N = 100 ms; CoDel's interval
TARGET_S = 0.005  # Fail at Scale: M = 5 ms; CoDel's target
POLL_S = 0.02  # a gate may open by time alone; five looks within the longest wait
RETRY_AFTER_S = 1.0  # the smallest that HTTP's Retry-After can say


class WaitQueue:
    """A Queue in front of a Gate. Each call is O(1), with waiters O(log waiting).

    Args:
        gate: Whose permits are waited for, e.g. a limiter; the queue alone asks it.
        max_waiting: Room to wait in, >= 1.
        target_s: Longest wait under overload, seconds, 0 < target_s <= interval_s. With 5 ms a slot
            finds a waiter when requests come every 5 ms or faster; a slow service may want a tenth
            of its service time.
        interval_s: Longest wait otherwise, and how long the queue may stay filled before it counts
            as overloaded, seconds.
        name: What decisions are reported under.

    Invariants: waiting <= max_waiting; nobody is granted at or after the end of their wait; none
    is evicted for someone less important.
    """

    __slots__ = (
        "_asked_s",
        "_ends",
        "_evicted",
        "_evicted_s",
        "_filled_s",
        "_full",
        "_gate",
        "_levels",
        "_next_number",
        "_rejected",
        "interval_s",
        "max_waiting",
        "name",
        "target_s",
        "waiting",
    )

    def __init__(
        self,
        gate: Gate,
        max_waiting: int = MAX_WAITING,
        *,
        target_s: float = TARGET_S,
        interval_s: float = INTERVAL_S,
        name: str = "queue",
    ) -> None:
        if max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting} must be >= 1")
        if not 0 < target_s <= interval_s:
            raise ValueError(f"target_s={target_s} must be > 0 and <= interval_s={interval_s}")
        self._gate = gate
        self.max_waiting = max_waiting
        self.target_s = target_s
        self.interval_s = interval_s
        self.name = name
        self.waiting = 0
        self._levels: tuple[OrderedDict[int, Request], ...] = tuple(
            OrderedDict() for _ in Criticality
        )
        self._ends: list[tuple[float, int, int]] = []  # heap: end, number, level; some long gone
        self._evicted: list[tuple[Ticket, Rejection]] = []  # told at the next turn
        self._evicted_s = 0.0
        self._filled_s = 0.0  # since when somebody waits; of no meaning when nobody does
        self._asked_s = 0.0  # when the gate last refused a waiter
        self._next_number = 0
        self._rejected = 0
        self._full = f"{name.upper()}_FULL"

    def is_overloaded(self, now_s: float) -> bool:
        """Whether somebody has been waiting for longer than the interval without a break."""
        return self.waiting > 0 and now_s - self._filled_s > self.interval_s

    def offer(self, request: Request, now_s: float) -> Permit | Rejection | Ticket:
        """Give what the gate gives, or a place in the queue, or refuse."""
        if self._is_first(request, now_s):
            decision = self._gate.admit(request, now_s)
            if not isinstance(decision, Rejection):
                return decision
            self._asked_s = now_s
        if request.deadline_s is not None and request.deadline_s <= now_s:
            return self._refuse("DEADLINE_EXCEEDED", None)
        if self.waiting >= self.max_waiting and not self._make_room(request, now_s):
            return self._refuse(self._full)
        return self._enqueue(request, now_s)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> QueueTurn:
        """Give the permit back to the gate; name who goes next."""
        self._gate.settle(permit, outcome, now_s)
        if self.waiting or self._evicted:
            return self.on_tick(now_s)
        if self._ends:  # of waits long over
            self._ends.clear()
        return NOBODY

    def cancel(self, ticket: Ticket, now_s: float) -> QueueTurn:
        """Take a waiter out; one no longer waiting is no error."""
        for level in self._levels:
            if level.pop(ticket.number, None) is not None:
                self.waiting -= 1
        return QueueTurn((), self._take_evicted())

    def on_tick(self, now_s: float) -> QueueTurn:
        """Drop those whose wait is over, then grant what the gate gives."""
        dropped = self._take_evicted()
        self._drop_ended(dropped, now_s)
        if not self.waiting:
            return QueueTurn((), dropped)
        return QueueTurn(tuple(self._grant(now_s)), dropped)

    def next_deadline_s(self) -> float | None:
        """Return when a wait ends or the gate is worth another look; None when nobody waits."""
        if self._evicted:
            return self._evicted_s
        if not self.waiting:
            return None
        heap = self._ends
        while heap[0][1] not in self._levels[heap[0][2]]:
            heappop(heap)
        return min(heap[0][0], self._asked_s + POLL_S)

    def reset(self, now_s: float) -> None:
        """Forget the counter and for how long there was a queue, and reset the gate."""
        self._rejected = 0
        self._filled_s = now_s
        self._gate.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the gate's figures, waiters and the queue's refusals."""
        return {
            **self._gate.snapshot(),
            "waiting": self.waiting,
            "max_waiting": self.max_waiting,
            "rejected_waiting": self._rejected,
        }

    def _is_first(self, request: Request, now_s: float) -> bool:
        """Whether the request would be the next one granted if it waited."""
        if not self.waiting:
            return True
        if not self.is_overloaded(now_s):
            return False
        return not any(self._levels[request.criticality + 1 :])

    def _enqueue(self, request: Request, now_s: float) -> Ticket:
        end_s = now_s + (self.target_s if self.is_overloaded(now_s) else self.interval_s)
        if request.deadline_s is not None:
            end_s = min(end_s, request.deadline_s)
        if not self.waiting:
            self._filled_s = now_s
        number = self._next_number
        self._next_number += 1
        self._levels[request.criticality][number] = request
        self.waiting += 1
        heappush(self._ends, (end_s, number, request.criticality))
        return Ticket(number)

    def _grant(self, now_s: float) -> Iterator[tuple[Ticket, Permit]]:
        """Ask the gate for one waiter after the other until it refuses."""
        is_newest_first = self.is_overloaded(now_s)
        while self.waiting:
            level = self._most_important() if is_newest_first else self._oldest()
            number = next(reversed(level) if is_newest_first else iter(level))
            decision = self._gate.admit(level[number], now_s)
            if isinstance(decision, Rejection):
                self._asked_s = now_s
                return
            del level[number]
            self.waiting -= 1
            yield Ticket(number), decision

    def _most_important(self) -> OrderedDict[int, Request]:
        return next(level for level in reversed(self._levels) if level)

    def _oldest(self) -> OrderedDict[int, Request]:
        return min((level for level in self._levels if level), key=lambda level: next(iter(level)))

    def _make_room(self, request: Request, now_s: float) -> bool:
        """Evict the least important waiter if the request may take its place.

        Under overload that is the oldest, also for its equal: it has least time left, and would be
        granted last. Otherwise it is the one who came last, for a more important request only.
        """
        is_newest_first = self.is_overloaded(now_s)
        least = next(level for level, waiters in enumerate(self._levels) if waiters)
        if request.criticality < least + (not is_newest_first):
            return False
        number, _ = self._levels[least].popitem(last=not is_newest_first)
        self.waiting -= 1
        self._evicted.append((Ticket(number), self._refuse(f"{self.name.upper()}_EVICTED")))
        self._evicted_s = now_s
        return True

    def _take_evicted(self) -> list[tuple[Ticket, Rejection]]:
        evicted, self._evicted = self._evicted, []
        return evicted

    def _drop_ended(self, dropped: list[tuple[Ticket, Rejection]], now_s: float) -> None:
        heap = self._ends
        while heap and heap[0][0] <= now_s:
            _, number, level = heappop(heap)
            request = self._levels[level].pop(number, None)
            if request is not None:
                self.waiting -= 1
                dropped.append((Ticket(number), self._refuse_ended(request, now_s)))

    def _refuse_ended(self, request: Request, now_s: float) -> Rejection:
        """Name what ran out: the request's own time, or the wait allowed here."""
        if request.deadline_s is not None and request.deadline_s <= now_s:
            return self._refuse("DEADLINE_EXCEEDED", None)
        return self._refuse(f"{self.name.upper()}_WAIT_EXCEEDED")

    def _refuse(self, reason: str, retry_after_s: float | None = RETRY_AFTER_S) -> Rejection:
        self._rejected += 1
        return Rejection(self.name, reason, retry_after_s, self.waiting, self.max_waiting)

    def __repr__(self) -> str:
        return f"<WaitQueue waiting {self.waiting}/{self.max_waiting} for {self._gate.name}>"
