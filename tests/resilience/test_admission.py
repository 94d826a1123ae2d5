"""Admission: waiting for a place, leaving, and being granted at the wrong moment."""

import asyncio

import pytest

from resilience.admission import Admission
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Criticality, Mode, Outcome, Permit, Rejection, Request
from resilience.policy.fixed import FixedLimit
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.switch import SwitchedQueue
from resilience.policy.wait_queue import WaitQueue

REQUEST = Request()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_waiters_are_served_in_order_of_arrival() -> None:
    """One slot, three users, first come first served."""
    admission = Admission(Bulkhead(1, 10))
    order: list[int] = []

    async def use(number: int) -> None:
        permit = await admission.acquire(REQUEST)
        assert isinstance(permit, Permit)
        order.append(number)
        await asyncio.sleep(0)
        admission.release(permit, Outcome.OK)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(use(number))

    assert order == [0, 1, 2]
    assert repr(admission.queue) == "<Bulkhead 0/1, waiting 0>"


async def test_a_wait_ends_at_the_deadline_by_one_timer() -> None:
    """The policy's next deadline is the timer's; the rejection is the policy's."""
    loop = asyncio.get_running_loop()
    admission = Admission(Bulkhead(1, 10), loop.time)
    permit = await admission.acquire(REQUEST)
    assert isinstance(permit, Permit)
    late = asyncio.ensure_future(admission.acquire(Request(deadline_s=loop.time() + 0.03)))
    soon = asyncio.ensure_future(admission.acquire(Request(deadline_s=loop.time() + 0.01)))
    decisions = await asyncio.gather(late, soon)

    assert all(isinstance(each, Rejection) for each in decisions)
    admission.release(permit, Outcome.OK)
    assert repr(admission.queue) == "<Bulkhead 0/1, waiting 0>"


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    """Its place goes to nobody, and the next in line is served."""
    admission = Admission(Bulkhead(1, 10), Clock())
    permit = await admission.acquire(REQUEST)
    assert isinstance(permit, Permit)
    gone = asyncio.ensure_future(admission.acquire(REQUEST))
    stays = asyncio.ensure_future(admission.acquire(REQUEST))
    await settle()
    gone.cancel()
    await settle()
    admission.release(permit, Outcome.OK)

    assert isinstance(await stays, Permit)
    assert gone.cancelled()


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_granted_and_cancelled_in_one_turn_passes_the_place_on(cancel_first: bool) -> None:
    """Whichever comes first, the next waiter gets the place."""
    admission = Admission(Bulkhead(1, 10), Clock())
    permit = await admission.acquire(REQUEST)
    assert isinstance(permit, Permit)
    unlucky = asyncio.ensure_future(admission.acquire(REQUEST))
    lucky = asyncio.ensure_future(admission.acquire(REQUEST))
    await settle()
    if cancel_first:
        unlucky.cancel()
    admission.release(permit, Outcome.OK)
    if not cancel_first:
        unlucky.cancel()

    granted = await lucky
    assert isinstance(granted, Permit)
    assert unlucky.cancelled() or isinstance(unlucky.exception(), asyncio.CancelledError)
    admission.release(granted, Outcome.OK)
    assert repr(admission.queue) == "<Bulkhead 0/1, waiting 0>"


async def test_a_drop_reaches_a_waiter_cancelled_in_the_same_turn() -> None:
    """Nothing is granted, so nothing has to be given back."""
    clock = Clock()
    queue = Bulkhead(1, 10)
    admission = Admission(queue, clock)
    await admission.acquire(REQUEST)
    waiting = asyncio.ensure_future(admission.acquire(Request(deadline_s=101.0)))
    await settle()
    clock.now_s = 102.0
    waiting.cancel()
    admission.apply(queue.on_tick(clock.now_s))
    await settle()

    assert waiting.cancelled()
    assert (queue.in_flight, queue.waiting) == (1, 0)


def small_room() -> WaitQueue:
    """Make a single place with room for one to wait, for as long as need be."""
    return WaitQueue(AdaptiveLimiter(FixedLimit(1)), 1, target_s=60.0, interval_s=60.0)


async def test_who_is_displaced_and_leaves_before_being_told_leaves_nothing() -> None:
    """His cancellation stays one, and whoever took his room waits on and gets the place."""
    admission = Admission(small_room())
    holding = await admission.acquire(REQUEST)
    slight = Request(criticality=Criticality.SHEDDABLE)
    displaced = asyncio.ensure_future(admission.acquire(slight))
    await settle()
    weighty = asyncio.ensure_future(admission.acquire(REQUEST))
    await asyncio.sleep(0)  # the one turn between being displaced and being told
    displaced.cancel()
    with pytest.raises(asyncio.CancelledError):
        await displaced

    assert isinstance(holding, Permit)
    admission.release(holding, Outcome.OK)
    granted = await asyncio.wait_for(weighty, 10)
    assert isinstance(granted, Permit)
    admission.release(granted, Outcome.OK)
    assert (admission.queue.snapshot()["in_flight"], admission.queue.snapshot()["waiting"]) == (
        0,
        0,
    )


async def test_who_is_displaced_by_a_request_in_shadow_is_told() -> None:
    """He has waited since the switch was on; the other passes, and neither waits for ever."""
    mode = Mode.ON
    admission = Admission(SwitchedQueue(small_room(), lambda: mode))
    holding = await admission.acquire(REQUEST)
    displaced = asyncio.ensure_future(admission.acquire(Request(criticality=Criticality.SHEDDABLE)))
    await settle()
    mode = Mode.SHADOW
    passed = await admission.acquire(REQUEST)
    decision = await asyncio.wait_for(displaced, 10)

    assert isinstance(decision, Rejection)
    assert decision.reason == "QUEUE_EVICTED"
    for permit in (holding, passed):
        assert isinstance(permit, Permit)
        admission.release(permit, Outcome.OK)
    assert (admission.queue.snapshot()["in_flight"], admission.queue.snapshot()["waiting"]) == (
        0,
        0,
    )


async def test_a_newcomer_with_less_time_is_not_kept_waiting_by_an_older_timer() -> None:
    """The timer stands at half a minute; who may wait a moment is told after that moment."""
    loop = asyncio.get_running_loop()
    admission = Admission(Bulkhead(1, 10), loop.time)
    permit = await admission.acquire(REQUEST)
    assert isinstance(permit, Permit)
    patient = asyncio.ensure_future(admission.acquire(Request(deadline_s=loop.time() + 30.0)))
    await settle()
    hasty = admission.acquire(Request(deadline_s=loop.time() + 0.01))

    assert isinstance(await asyncio.wait_for(hasty, 10.0), Rejection)
    assert not patient.done()
    admission.release(permit, Outcome.OK)
    assert isinstance(await patient, Permit)


async def test_no_timer_is_left_when_nobody_waits() -> None:
    """The last who waited got a place: nothing is to be woken for."""
    admission = Admission(Bulkhead(1, 10), Clock())
    permit = await admission.acquire(REQUEST)
    assert isinstance(permit, Permit)
    waiting = asyncio.ensure_future(admission.acquire(Request(deadline_s=130.0)))
    await settle()
    timer = admission._timer
    assert timer is not None
    admission.release(permit, Outcome.OK)

    assert isinstance(await waiting, Permit)
    assert timer.cancelled()
