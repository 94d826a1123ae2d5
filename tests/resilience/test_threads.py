"""Locked: threads that share a policy never overdraw it, and nobody waits."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from types import TracebackType

import pytest

from resilience.errors import LimitExceeded
from resilience.guard import guard
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.threads import Locked, is_queue
from tests.resilience.fakes import FakeGate

THREADS = 8
CALLS = 200


def test_a_queue_is_told_from_a_gate() -> None:
    """By what it is asked with."""
    assert (is_queue(Bulkhead()), is_queue(FakeGate())) == (True, False)


def test_threads_share_the_slots_and_lose_none() -> None:
    """Eight threads, three slots: never more than three inside, and all given back."""
    locked = Locked(Bulkhead(3))
    guarded = guard(locked)
    inside = most = passed = refused = 0
    count = Lock()
    start = Barrier(THREADS)

    def run() -> None:
        nonlocal inside, most, passed, refused
        start.wait()
        for _ in range(CALLS):
            try:
                with guarded.permit():
                    with count:
                        inside += 1
                        most = max(most, inside)
                    with count:
                        inside -= 1
                        passed += 1
            except LimitExceeded:
                with count:
                    refused += 1

    with ThreadPoolExecutor(THREADS) as threads:
        for each in [threads.submit(run) for _ in range(THREADS)]:
            each.result()
    assert 1 <= most <= 3
    assert passed + refused == THREADS * CALLS
    figures = locked.snapshot()
    assert (figures["in_flight"], figures["rejected"]) == (0, refused)


class WatchedLock:
    """A lock that remembers whether it is held."""

    def __init__(self) -> None:
        self.is_held = False

    def __enter__(self) -> None:
        self.is_held = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.is_held = False


def test_every_touch_of_the_policy_holds_the_lock() -> None:
    """Admitting, settling, resetting and looking: the policy sees it held each time."""
    lock = WatchedLock()
    seen: list[tuple[str, bool]] = []

    class WatchedGate(FakeGate):
        def admit(self, request: Request, now_s: float) -> Permit | Rejection:
            seen.append(("admit", lock.is_held))
            return super().admit(request, now_s)

        def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
            seen.append(("settle", lock.is_held))
            super().settle(permit, outcome, now_s)

        def reset(self, now_s: float) -> None:
            seen.append(("reset", lock.is_held))

        def snapshot(self) -> dict[str, float | int | str | bool | None]:
            seen.append(("snapshot", lock.is_held))
            return {}

    locked = Locked(WatchedGate())
    locked._lock = lock  # type: ignore[assignment]
    with guard(locked).permit():
        pass
    locked.reset(0.0)
    locked.snapshot()
    assert seen == [("admit", True), ("settle", True), ("reset", True), ("snapshot", True)]
    assert not lock.is_held


def test_a_queue_with_room_to_wait_in_refuses_instead() -> None:
    """A grant would have to wake another thread, so no place in the room is taken."""
    queue = Bulkhead(1, 9)
    locked = Locked(queue)
    permit = locked.admit(Request(), 0.0)
    assert isinstance(permit, Permit)
    refused = locked.admit(Request(), 0.0)
    assert isinstance(refused, Rejection)
    assert (refused.reason, refused.retry_after_s) == ("BULKHEAD_FULL", 1.0)
    assert queue.waiting == 0

    locked.settle(permit, Outcome.OK, 1.0)
    assert isinstance(locked.admit(Request(), 1.0), Permit)
    assert repr(locked) == "<Locked <Bulkhead 1/1, waiting 0>>"
    locked.reset(2.0)
    assert locked.snapshot()["in_flight"] == 1


async def test_functions_in_threads_of_asyncio_share_a_guard() -> None:
    """Plain functions under ``asyncio.to_thread``: the bound holds, the refused are told."""
    locked = Locked(Bulkhead(2))
    entered, left = Barrier(3, timeout=10), Barrier(3, timeout=10)

    @guard(locked)
    def work() -> str:
        entered.wait()
        left.wait()
        return "done"

    running = [asyncio.create_task(asyncio.to_thread(work)) for _ in range(2)]
    await asyncio.to_thread(entered.wait)
    with pytest.raises(LimitExceeded):
        await asyncio.to_thread(work)
    await asyncio.to_thread(left.wait)
    assert await asyncio.gather(*running) == ["done", "done"]
    assert locked.snapshot()["in_flight"] == 0
