"""gRPC limiter: a call cancelled at any step, waiting for a place too, leaves nothing behind."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from api.video.v1 import video_pb2
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Gate, Permit, Queue, Request
from resilience.policy.fixed import FixedLimit
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.wait_queue import WaitQueue
from resilience.rpc.client import unary
from resilience.rpc.server import ContextInterceptor, DeadlineInterceptor, LimiterInterceptor
from resilience.rpc.wrap import Unary, UnaryInterceptor
from resilience.switches import FixedSwitches
from tests.resilience.cancel_at import Victim, cancel_at_every_await, cancel_at_every_turn
from tests.resilience.rpc.lab import Holder, answer, get_video, running, wait_until

STEPS = 3
LONG_S = 60.0  # a wait that ends by a place only, however slow the machine
METHOD = "/video.v1.VideoService/GetVideo"

Make = Callable[[], Gate | Queue]


class FakeServicer:
    """What the interceptors ask of gRPC: metadata, and how much time there is."""

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return ()

    def time_remaining(self) -> float:
        return LONG_S


async def work(request: Any, servicer: Any) -> str:
    """Suspend a few times."""
    for _ in range(STEPS):
        await asyncio.sleep(0)
    return "done"


def limiter() -> AdaptiveLimiter:
    """Make a limiter of one place that never learns."""
    return AdaptiveLimiter(FixedLimit(1))


def wait_queue() -> WaitQueue:
    """Make a room to wait in, before a single place."""
    return WaitQueue(limiter(), target_s=LONG_S, interval_s=LONG_S)


def bulkhead() -> Bulkhead:
    """Make a single place and a room of five."""
    return Bulkhead(1, 5)


def serve(policy: Gate | Queue) -> Callable[[], Any]:
    """Nest the three interceptors around the work, as a server does."""
    switches = FixedSwitches()
    layers: list[UnaryInterceptor] = [
        LimiterInterceptor(policy, switches=switches, scope="video.2"),
        DeadlineInterceptor(switches=switches),
        ContextInterceptor(switches=switches),
    ]
    inner: Unary = work
    for layer in layers:
        inner = _around(layer, inner)
    return lambda: inner(None, FakeServicer())  # type: ignore[arg-type]


def _around(layer: UnaryInterceptor, inner: Unary) -> Unary:
    async def handle(request: Any, servicer: Any) -> Any:
        return await layer.handle(METHOD, inner, request, servicer)

    return handle


def assert_passes(policy: Gate | Queue) -> None:
    """Hold a policy to have nothing out, nobody waiting, and a place for the next."""
    figures = policy.snapshot()
    assert figures["in_flight"] == 0
    assert figures.get("waiting", 0) == 0
    ask = policy.offer if hasattr(policy, "offer") else policy.admit
    assert isinstance(ask(Request(), asyncio.get_running_loop().time()), Permit)


async def test_a_gate_gets_its_permit_back() -> None:
    """At every await of the handler the permit is out; cut there, it comes back."""

    def begin() -> Victim:
        policy = limiter()
        return Victim(serve(policy)(), lambda: assert_passes(policy))

    assert await cancel_at_every_await(begin) >= STEPS
    assert await cancel_at_every_turn(begin) >= STEPS


@pytest.mark.parametrize("make", [wait_queue, bulkhead])
async def test_who_waits_for_a_place_leaves_none_behind(make: Make) -> None:
    """Cut while waiting, when just granted, and at work; those before and after are served."""

    def begin() -> Victim:
        policy = make()
        call = serve(policy)
        before = asyncio.ensure_future(call())
        after = asyncio.ensure_future(_next_turn(call))

        def check() -> None:
            assert (before.result(), after.result()) == ("done", "done")
            assert_passes(policy)

        return Victim(call(), check, (before, after))

    assert await cancel_at_every_await(begin) > STEPS  # the wait is one more
    assert await cancel_at_every_turn(begin) > STEPS


async def _next_turn(call: Callable[[], Any]) -> Any:
    await asyncio.sleep(0)
    return await call()


class Steps:
    """A handler of some steps that stops at one of them, for good."""

    def __init__(self, stops_at: int) -> None:
        self.stops_at = stops_at
        self.has_stopped = asyncio.Event()

    async def __call__(self, request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        for step in range(STEPS):
            if step == self.stops_at:
                self.has_stopped.set()
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        return await answer(request, servicer)


@pytest.mark.integration
@pytest.mark.parametrize("make", [limiter, wait_queue])
async def test_over_a_socket_whoever_leaves_at_any_step_frees_the_place(make: Make) -> None:
    """The only place is free for the next call as soon as the server has heard of it."""
    policy = make()
    async with running(policy=policy) as lab:
        for step in range(STEPS):
            handle = Steps(step)
            lab.servicer.handle = handle
            calling = asyncio.create_task(unary(lab.stub.GetVideo, get_video(), LONG_S))
            await asyncio.wait_for(handle.has_stopped.wait(), 10)
            assert policy.snapshot()["in_flight"] == 1
            calling.cancel()
            finished = await lab.wait_finished()
            await asyncio.gather(calling, return_exceptions=True)

            assert (finished.status, policy.snapshot()["in_flight"]) == ("CANCELLED", 0)
            lab.servicer.handle = Steps(STEPS)
            assert (await unary(lab.stub.GetVideo, get_video(), LONG_S)).video.id == 7
            await lab.wait_finished()


@pytest.mark.integration
async def test_over_a_socket_a_caller_who_leaves_while_waiting_leaves_the_queue() -> None:
    """Its handler is never begun; the next in line gets the place when it comes free."""
    policy, holder = wait_queue(), Holder()
    async with running(holder, policy) as lab:
        first = asyncio.create_task(unary(lab.stub.GetVideo, get_video(1), LONG_S))
        await wait_until(lambda: holder.begun == [1])
        leaving = asyncio.create_task(unary(lab.stub.GetVideo, get_video(2), LONG_S))
        await wait_until(lambda: policy.waiting == 1)
        staying = asyncio.create_task(unary(lab.stub.GetVideo, get_video(3), LONG_S))
        await wait_until(lambda: policy.waiting == 2)
        leaving.cancel()
        await wait_until(lambda: policy.waiting == 1)
        holder.may_end.set()
        answers = await asyncio.wait_for(asyncio.gather(first, staying), 10)
        await asyncio.gather(leaving, return_exceptions=True)

        assert [each.video.id for each in answers] == [1, 3]
        assert holder.begun == [1, 3]
        await wait_until(lambda: policy.snapshot()["in_flight"] == 0)
