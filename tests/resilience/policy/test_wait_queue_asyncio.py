"""Wait queue driven by the asyncio adapter: served, dropped, evicted, cancelled."""

import asyncio

import pytest

from resilience.admission import Admission
from resilience.policy.contract import Criticality, Outcome, Permit, Rejection, Request
from resilience.policy.wait_queue import WaitQueue
from tests.resilience.policy.admission_model import Slots

SHEDDABLE, CRITICAL = Request(1.0, Criticality.SHEDDABLE), Request(1.0, Criticality.CRITICAL)


async def test_the_asyncio_adapter_drives_it_unchanged() -> None:
    """Served by a settle, dropped by the timer, evicted at once: each waiter gets its answer."""
    loop = asyncio.get_running_loop()
    limiter = Slots(1)
    queue = WaitQueue(limiter, 2, target_s=0.02, interval_s=0.02)
    admission = Admission(queue, loop.time)
    permit = await admission.acquire(CRITICAL)
    assert isinstance(permit, Permit)
    served = asyncio.ensure_future(admission.acquire(CRITICAL))
    evicted = asyncio.ensure_future(admission.acquire(SHEDDABLE))
    await asyncio.sleep(0)
    late = asyncio.ensure_future(admission.acquire(CRITICAL))
    decision = await evicted
    assert isinstance(decision, Rejection)
    assert decision.reason == "QUEUE_EVICTED"

    admission.release(permit, Outcome.OK)
    granted = await served
    assert isinstance(granted, Permit)
    decision = await late
    assert isinstance(decision, Rejection)
    assert decision.reason == "QUEUE_WAIT_EXCEEDED"
    admission.release(granted, Outcome.OK)
    assert (limiter.in_flight, queue.waiting, queue.next_deadline_s()) == (0, 0, None)


async def test_the_asyncio_adapter_sees_a_gate_open_by_itself() -> None:
    """The timer looks, though nobody settles."""
    limiter = Slots(1)
    admission = Admission(WaitQueue(limiter, target_s=5.0, interval_s=5.0))
    assert isinstance(await admission.acquire(CRITICAL), Permit)
    waiting = asyncio.ensure_future(admission.acquire(CRITICAL))
    await asyncio.sleep(0)
    limiter.slots = 2

    assert isinstance(await waiting, Permit)


async def test_a_cancelled_task_leaves_the_queue() -> None:
    """Its place goes to the next, and nothing is held for it."""
    limiter = Slots(1)
    admission = Admission(WaitQueue(limiter, target_s=5.0, interval_s=5.0))
    permit = await admission.acquire(CRITICAL)
    assert isinstance(permit, Permit)
    gone = asyncio.ensure_future(admission.acquire(CRITICAL))
    stays = asyncio.ensure_future(admission.acquire(CRITICAL))
    await asyncio.sleep(0)
    gone.cancel()
    admission.release(permit, Outcome.OK)
    granted = await stays
    assert isinstance(granted, Permit)
    admission.release(granted, Outcome.OK)

    with pytest.raises(asyncio.CancelledError):
        await gone
    assert limiter.in_flight == 0
