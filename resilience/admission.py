"""Admission: wait for a place in a Queue policy, from asyncio.

The policy decides who is granted and who is dropped; this adapter owns the futures of those who
wait and the one timer that tells the policy of time passing. A waiter who is cancelled leaves the
queue, and one who was granted at that very moment hands the place to the next.
"""

import asyncio
import time
from collections.abc import Callable

from resilience.policy.contract import Outcome, Permit, Queue, QueueTurn, Rejection, Request, Ticket

Clock = Callable[[], float]


class Admission:
    """Acquire and release places of one Queue on one event loop.

    Args:
        queue: The policy; whoever changes it from outside hands the turn to ``apply``.
        clock: Monotonic seconds.
    """

    __slots__ = ("_clock", "_timer", "_timer_s", "_waiters", "queue")

    def __init__(self, queue: Queue, clock: Clock = time.monotonic) -> None:
        self.queue = queue
        self._clock = clock
        self._waiters: dict[Ticket, asyncio.Future[Permit | Rejection]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0

    async def acquire(self, request: Request) -> Permit | Rejection:
        """Take a place, waiting for one if the policy lets us.

        Cancel-safe: a cancelled wait holds nothing.
        """
        decision = self.acquire_nowait(request)
        return await self.wait_granted(decision) if isinstance(decision, Ticket) else decision

    def acquire_nowait(self, request: Request) -> Permit | Rejection | Ticket:
        """Ask for a place; a Ticket must go to ``wait_granted`` at once."""
        return self.queue.offer(request, self._clock())

    async def wait_granted(self, ticket: Ticket) -> Permit | Rejection:
        """Wait until the policy grants or drops the ticket."""
        future: asyncio.Future[Permit | Rejection] = asyncio.get_running_loop().create_future()
        self._waiters[ticket] = future
        self._arm()
        try:
            return await future
        except asyncio.CancelledError:
            self._abandon(ticket, future)
            raise

    def release(self, permit: Permit, outcome: Outcome) -> None:
        """Give a place back; whoever waits longest gets it."""
        self.apply(self.queue.settle(permit, outcome, self._clock()))

    def apply(self, turn: QueueTurn) -> None:
        """Tell waiters what the policy decided."""
        for ticket, permit in turn.granted:
            self._answer(ticket, permit)
        for ticket, rejection in turn.dropped:
            self._answer(ticket, rejection)
        if self._timer is not None:
            self._arm()

    def _answer(self, ticket: Ticket, decision: Permit | Rejection) -> None:
        future = self._waiters.pop(ticket, None)  # None of one displaced who left before being told
        if future is not None and not future.done():
            future.set_result(decision)
        elif isinstance(decision, Permit):  # cancelled this very turn: the place goes on
            self.release(decision, Outcome.IGNORED)

    def _abandon(self, ticket: Ticket, future: asyncio.Future[Permit | Rejection]) -> None:
        if self._waiters.pop(ticket, None) is not None:
            self.apply(self.queue.cancel(ticket, self._clock()))
        elif not future.cancelled():
            decision = future.result()  # granted, then cancelled before we woke
            if isinstance(decision, Permit):
                self.release(decision, Outcome.IGNORED)

    def _arm(self) -> None:
        """Keep one timer, at the policy's next deadline."""
        when_s = self.queue.next_deadline_s()
        if self._timer is not None:
            if when_s is not None and self._timer_s <= when_s:
                return  # fires first, and then looks again
            self._timer.cancel()
            self._timer = None
        if when_s is not None:
            delay_s = max(0.0, when_s - self._clock())
            self._timer_s = when_s
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.apply(self.queue.on_tick(self._clock()))
        self._arm()
