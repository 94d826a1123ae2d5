"""Guard: a cancellation at any await leaks no permit, and each permit is settled exactly once."""

import asyncio
from itertools import count
from typing import Any

import pytest

from resilience.errors import LimitExceeded
from resilience.guard import guard
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Outcome, Permit, QueueTurn
from resilience.policy.pools import BulkheadPools
from tests.resilience.cancelling import CancelAt
from tests.resilience.fakes import FakeGate

STEPS = 4


async def work() -> str:
    """Suspend a few times."""
    for _ in range(STEPS):
        await asyncio.sleep(0)
    return "done"


class Settled(Bulkhead):
    """A bulkhead that remembers what it took back."""

    __slots__ = ("outcomes",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.outcomes: list[Outcome] = []

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> QueueTurn:
        self.outcomes.append(outcome)
        return super().settle(permit, outcome, now_s)


async def test_gate_at_every_step() -> None:
    """Injected at the n-th await for every n: settled once, IGNORED when it was cut."""
    for step in count():
        gate = FakeGate()
        cancelling = CancelAt(guard(gate)(work)(), step)
        try:
            assert await cancelling == "done"
            assert gate.outcomes == [Outcome.OK]
        except asyncio.CancelledError:
            assert gate.outcomes == [Outcome.IGNORED]
        assert gate.in_flight == 0
        if not cancelling.was_thrown:
            assert step == STEPS
            return


async def test_waiting_for_a_queue_at_every_step() -> None:
    """Also where it waits for its place: none is held, and no waiter is left in the room."""
    for step in count():
        queue = Settled(1, 5)
        guarded = guard(queue)
        holder = asyncio.create_task(guarded(work)())
        await asyncio.sleep(0)
        cancelling = CancelAt(guarded(work)(), step)
        try:
            assert await cancelling == "done"
        except asyncio.CancelledError:
            assert cancelling.was_thrown
        assert await holder == "done"
        assert (queue.in_flight, queue.waiting) == (0, 0)
        assert Outcome.OK in queue.outcomes
        if not cancelling.was_thrown:
            assert queue.outcomes == [Outcome.OK, Outcome.OK]
            assert step == 1 + STEPS
            return


@pytest.mark.parametrize("pooled", [False, True])
async def test_a_task_cancelled_after_any_turn_of_the_loop(pooled: bool) -> None:
    """The moment between being granted a place and waking up with it included."""
    for turns in range(4 * STEPS):
        queue = BulkheadPools(1, 5) if pooled else Bulkhead(1, 5)
        guarded = guard(queue)(work)
        tasks = [asyncio.create_task(guarded()) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        tasks[1].cancel()
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert (ends[0], ends[2]) == ("done", "done")
        figures = queue.snapshot()
        assert (figures["in_flight"], figures["waiting"]) == (0, 0)


async def test_a_refused_block_settles_nothing() -> None:
    """Who never got a permit gives none back."""
    gate = FakeGate(refuse=True)
    with pytest.raises(LimitExceeded):
        await guard(gate)(work)()
    assert gate.outcomes == []
