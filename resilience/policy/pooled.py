"""Pooled queue: several bulkheads behind one Queue, and the bookkeeping they share.

Why: pools per tenant and shuffle shards differ only in who goes where. Here is the rest: each
permit knows the pool it goes back to, tickets are unique over all pools, and one heap says which
waiter expires next, so that no call walks over the pools.
Source: Nygard, Release It!, "Bulkheads".
Not handled: choosing the pool (``pools`` and ``shuffle_shard`` do); moving a waiter to a pool that
has room by now: who waits stays in the line it joined.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from resilience.policy.bulkhead import Bulkhead
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


class PoolPermit(Permit):
    """A permit that knows the pool it goes back to."""

    __slots__ = ("pool",)

    def __init__(self, generation: int, issued_s: float, cost: float, pool: "Pool") -> None:
        # Not through super(): one is made on every call.
        self.generation = generation
        self.issued_s = issued_s
        self.cost = cost
        self.settled = False
        self.pool = pool


class Pool(Bulkhead):
    """One bulkhead among several.

    Args:
        key: Whose it is, for pages.
        limit: Slots, >= 1.
        max_waiting: Room to wait in; 0 refuses at once.
        max_wait_s: Longest wait; None means until the request's own deadline.
        name: What its refusals are reported under.
        numbers: Shared with its siblings.
    """

    __slots__ = ("key",)

    def __init__(
        self,
        key: str,
        limit: int,
        max_waiting: int,
        max_wait_s: float | None,
        *,
        name: str,
        numbers: Iterator[int],
    ) -> None:
        super().__init__(limit, max_waiting, max_wait_s, name=name, numbers=numbers)
        self.key = key

    def _issue(self, request: Request, now_s: float) -> PoolPermit:
        self.in_flight += 1
        return PoolPermit(self._generation, now_s, request.cost, self)

    def __repr__(self) -> str:
        return f"<Pool {self.key!r} {self.in_flight}/{self.limit}, waiting {self.waiting}>"


class PooledQueue(ABC):
    """A Queue over pools. O(1) a call, O(log waiting) for who waits with a deadline.

    A subclass chooses the pool, and may hear when one falls idle.

    Args:
        name: What decisions are reported under.

    Invariants: a waiter is in exactly one pool, and that pool is full; ``waiting`` counts them all.
    """

    __slots__ = ("_expiries", "_numbers", "_pool_of", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._numbers = count()
        self._pool_of: dict[int, Pool] = {}  # by the number of who waits there
        self._expiries: list[tuple[float, int]] = []  # heap; may name tickets long gone

    @property
    def waiting(self) -> int:
        """How many wait now, in all pools."""
        return len(self._pool_of)

    def offer(self, request: Request, now_s: float) -> Permit | Rejection | Ticket:
        """Give a slot of the request's pool, a place in its room, or refuse."""
        pool = self._choose(request)
        decision = pool.offer(request, now_s)
        if isinstance(decision, Ticket):
            self._pool_of[decision.number] = pool
            expiry_s = pool.expiry_s(request, now_s)
            if expiry_s is not None:
                heappush(self._expiries, (expiry_s, decision.number))
        return decision

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> QueueTurn:
        """Free the slot in the pool it came from; name who gets it."""
        assert isinstance(permit, PoolPermit), "the permit is of another policy"
        pool = permit.pool
        turn = pool.settle(permit, outcome, now_s)
        if not pool.in_flight:
            self._on_idle(pool)
        return turn if turn is NOBODY else self._left(turn)

    def cancel(self, ticket: Ticket, now_s: float) -> QueueTurn:
        """Take a waiter out of its room; one no longer in it is no error."""
        pool = self._pool_of.pop(ticket.number, None)
        return NOBODY if pool is None else pool.cancel(ticket, now_s)

    def on_tick(self, now_s: float) -> QueueTurn:
        """Drop the expired; where somebody waits no slot is free, so none is granted."""
        dropped: list[tuple[Ticket, Rejection]] = []
        heap = self._expiries
        while heap and heap[0][0] <= now_s:
            pool = self._pool_of.get(heappop(heap)[1])
            if pool is not None:
                dropped += self._left(pool.on_tick(now_s)).dropped
        return QueueTurn((), dropped)

    def next_deadline_s(self) -> float | None:
        """Return when the next waiter expires; None when nobody does."""
        heap = self._expiries
        while heap and heap[0][1] not in self._pool_of:
            heappop(heap)
        return heap[0][0] if heap else None

    def reset(self, now_s: float) -> None:
        """Forget the counters; who is in or waits stays."""
        for pool in self._pools():
            pool.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return what all pools hold together. O(pools)."""
        pools = self._pools()
        return {
            "pools": len(pools),
            "full": sum(pool.in_flight >= pool.limit for pool in pools),
            "in_flight": sum(pool.in_flight for pool in pools),
            "waiting": len(self._pool_of),
            "rejected": sum(pool.rejected for pool in pools),
        }

    def pool_snapshots(self) -> dict[str, Snapshot]:
        """Return the figures of each pool by its key, for a page. O(pools)."""
        return {pool.key: pool.snapshot() for pool in self._pools()}

    @abstractmethod
    def _choose(self, request: Request) -> Pool:
        """Say which pool a request belongs to."""

    @abstractmethod
    def _pools(self) -> Sequence[Pool]:
        """Return all pools there are."""

    def _on_idle(self, pool: Pool) -> None:  # noqa: B027 - most need not hear of it
        """Hear that the last permit of a pool came back."""

    def _resize(self, pools: Sequence[Pool], limit: int, now_s: float) -> QueueTurn:
        if limit < 1:
            raise ValueError(f"limit={limit} must be >= 1")
        turns = [self._left(pool.resize(limit, now_s)) for pool in pools]
        return QueueTurn(
            [each for turn in turns for each in turn.granted],
            [each for turn in turns for each in turn.dropped],
        )

    def _left(self, turn: QueueTurn) -> QueueTurn:
        """Forget who waits no longer."""
        for ticket, _ in turn.granted:
            del self._pool_of[ticket.number]
        for ticket, _ in turn.dropped:
            del self._pool_of[ticket.number]
        return turn
