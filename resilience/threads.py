"""Locked: let threads share a policy.

Why: policies have no lock, since in asyncio nothing can come between reading and writing their
state. Two threads can: both see 24 of 25 and both go in. The lock is held while the policy decides,
a microsecond or so, never while anything waits.
Source: none; the peers that promise thread safety hold one lock per policy too (pybreaker).
Not handled: waiting for a place. Whom a queue would let wait is refused: a grant would have to wake
another thread. Two processes each have a policy of their own.
"""

from threading import Lock
from typing import TypeGuard, cast

from resilience.policy.bulkhead import RETRY_AFTER_S
from resilience.policy.contract import (
    Gate,
    Outcome,
    Permit,
    Queue,
    Rejection,
    Request,
    Snapshot,
    Ticket,
)


def is_queue(policy: Gate | Queue) -> TypeGuard[Queue]:
    """Tell a queue from a gate."""
    return hasattr(policy, "offer")


class Locked:
    """A Gate over a gate or a queue, safe to share between threads.

    Args:
        policy: Touched by nobody else from now on.
    """

    __slots__ = ("_gate", "_lock", "name")

    def __init__(self, policy: Gate | Queue) -> None:
        self._lock = Lock()
        self._gate: Gate = Unwaiting(policy) if is_queue(policy) else cast(Gate, policy)
        self.name = policy.name

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let a request start, or refuse it, also where a queue would let it wait."""
        with self._lock:
            return self._gate.admit(request, now_s)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take a permit back, once, from any thread."""
        with self._lock:
            self._gate.settle(permit, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Reset the policy."""
        with self._lock:
            self._gate.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the policy's figures, all of one moment."""
        with self._lock:
            return self._gate.snapshot()

    def __repr__(self) -> str:
        return f"<Locked {self._gate!r}>"


class Unwaiting:
    """A Queue as a Gate: nobody waits, so whoever finds it full is refused."""

    __slots__ = ("_queue", "name")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.name = queue.name

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Take a place that is free now, or refuse."""
        decision = self._queue.offer(request, now_s)
        if not isinstance(decision, Ticket):
            return decision
        self._queue.cancel(decision, now_s)
        return Rejection(self.name, f"{self.name.upper()}_FULL", RETRY_AFTER_S)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the place back; since nobody waits, nobody gets it."""
        self._queue.settle(permit, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Reset the queue."""
        self._queue.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the queue's figures."""
        return self._queue.snapshot()

    def __repr__(self) -> str:
        return repr(self._queue)
