"""gRPC limiter with a queue: a short, bounded wait for a place, over a real socket."""

import asyncio
from typing import Any, TypeAlias

import pytest

from api.video.v1 import video_pb2
from resilience.context import enter, leave
from resilience.errors import Code, UpstreamStatus
from resilience.policy.contract import Criticality, Mode
from resilience.policy.fixed import FixedLimit
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.wait_queue import WaitQueue
from resilience.rpc.client import unary
from tests.resilience.fakes import make_context
from tests.resilience.rpc.lab import Holder, Lab, get_video, running, wait_until

pytestmark = pytest.mark.integration

LONG_S = 60.0  # a wait that ends by a place only, however slow the machine
SHORT_S = 0.02


def wait_queue(max_waiting: int = 9, longest_s: float = LONG_S) -> WaitQueue:
    """Make a room to wait in, before a single place."""
    limiter = AdaptiveLimiter(FixedLimit(1))
    return WaitQueue(limiter, max_waiting, target_s=longest_s, interval_s=longest_s)


Calling: TypeAlias = "asyncio.Task[video_pb2.GetVideoResponse]"


def call(lab: Lab, id_: int, timeout_s: float = LONG_S) -> Calling:
    """Begin a call."""
    return asyncio.create_task(unary(lab.stub.GetVideo, get_video(id_), timeout_s))


async def hold(lab: Lab, holder: Holder) -> Calling:
    """Begin the call that holds the only place."""
    first = call(lab, 1)
    await wait_until(lambda: holder.begun == [1])
    return first


async def test_who_finds_it_full_waits_and_is_served_in_order() -> None:
    """Oldest first; each wait is noted, and the first call has none."""
    policy, holder = wait_queue(), Holder()
    async with running(holder, policy) as lab:
        first = await hold(lab, holder)
        second = call(lab, 2)
        await wait_until(lambda: policy.waiting == 1)
        third = call(lab, 3)
        await wait_until(lambda: policy.waiting == 2)
        assert holder.begun == [1]
        holder.may_end.set()
        await asyncio.wait_for(asyncio.gather(first, second, third), 10)
        summaries = [await lab.wait_finished() for _ in range(3)]

    assert holder.begun == [1, 2, 3]
    notes = [[note.what for note in each.context.notes] for each in summaries]
    assert notes == [[], ["waited"], ["waited"]]
    detail = summaries[1].context.notes[0].detail
    assert detail["scope"] == "video.2"
    assert isinstance(detail["ms"], float)


async def test_a_full_room_refuses_at_once() -> None:
    """UNAVAILABLE, with the time to come back and who decided."""
    policy, holder = wait_queue(max_waiting=1), Holder()
    async with running(holder, policy) as lab:
        first = await hold(lab, holder)
        second = call(lab, 2)
        await wait_until(lambda: policy.waiting == 1)
        with pytest.raises(UpstreamStatus) as caught:
            await call(lab, 3)
        holder.may_end.set()
        await asyncio.wait_for(asyncio.gather(first, second), 10)

    error = caught.value
    assert (error.code, error.reason, error.started) == (Code.UNAVAILABLE, "QUEUE_FULL", False)
    assert error.retry_after_s == 1.0
    assert error.metadata["decision"] == "queue; video.2; 1/1"
    assert holder.begun == [1, 2]


async def test_whoever_matters_more_takes_the_place_of_a_waiter() -> None:
    """The one displaced is told so, and not begun."""
    policy, holder = wait_queue(max_waiting=1), Holder()
    async with running(holder, policy) as lab:
        first = await hold(lab, holder)
        second = call(lab, 2)
        await wait_until(lambda: policy.waiting == 1)
        context = make_context()
        context.criticality = Criticality.CRITICAL_PLUS
        token = enter(context)
        third = call(lab, 3)
        leave(token)
        with pytest.raises(UpstreamStatus) as caught:
            await asyncio.wait_for(second, 10)
        holder.may_end.set()
        await asyncio.wait_for(asyncio.gather(first, third), 10)

    assert caught.value.reason == "QUEUE_EVICTED"
    assert holder.begun == [1, 3]


async def test_a_wait_ends_after_its_longest() -> None:
    """Without a place by then: UNAVAILABLE, and the place stays with who has it."""
    policy, holder = wait_queue(longest_s=SHORT_S), Holder()
    async with running(holder, policy) as lab:
        first = await hold(lab, holder)
        with pytest.raises(UpstreamStatus) as caught:
            await asyncio.wait_for(call(lab, 2), 10)
        assert policy.waiting == 0
        holder.may_end.set()
        await asyncio.wait_for(first, 10)

    assert (caught.value.reason, holder.begun) == ("QUEUE_WAIT_EXCEEDED", [1])


@pytest.mark.parametrize("deadline", [Mode.ON, Mode.OFF])
async def test_a_wait_ends_at_the_request_s_own_deadline(deadline: Mode) -> None:
    """Cut by the queue, by the deadline layer or, with that off, by gRPC: nothing is left of it."""
    policy, holder = wait_queue(), Holder()
    async with running(holder, policy, deadline=deadline) as lab:
        first = await hold(lab, holder)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whose clock was first is open
            await asyncio.wait_for(call(lab, 2, SHORT_S), 10)
        await wait_until(lambda: policy.waiting == 0)
        holder.may_end.set()
        await asyncio.wait_for(first, 10)
        await wait_until(lambda: (policy.waiting, policy.snapshot()["in_flight"]) == (0, 0))

    assert getattr(caught.value, "code", None) is Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
async def test_with_its_switch_not_on_nobody_waits(mode: Mode) -> None:
    """Both are at work at once; shadow counts who would have waited."""
    policy, holder = wait_queue(), Holder()
    async with running(holder, policy, queue=mode) as lab:
        both = [call(lab, 1), call(lab, 2)]
        await wait_until(lambda: len(holder.begun) == 2)
        figures = lab.limiter.gate.snapshot()
        holder.may_end.set()
        await asyncio.wait_for(asyncio.gather(*both), 10)

    assert (figures["mode"], figures["would_wait"]) == (mode.value, int(mode is Mode.SHADOW))


async def test_its_figures_are_the_queue_s_and_can_be_reset() -> None:
    """What pages and resets reach is there, whether it is a gate or a queue."""
    policy, holder = wait_queue(max_waiting=1), Holder()
    async with running(holder, policy) as lab:
        first = await hold(lab, holder)
        second = call(lab, 2)
        await wait_until(lambda: policy.waiting == 1)
        with pytest.raises(UpstreamStatus):
            await call(lab, 3)
        gate: Any = lab.limiter.gate
        assert (gate.name, gate.snapshot()["rejected_waiting"]) == ("queue", 1)
        gate.reset(0.0)
        assert (gate.snapshot()["rejected_waiting"], gate.snapshot()["waiting"]) == (0, 1)
        assert repr(gate).startswith("<Waiting video.2 ")
        holder.may_end.set()
        await asyncio.wait_for(asyncio.gather(first, second), 10)
