"""Client interceptor: a channel's unary calls through a pipeline; cut anywhere, nothing leaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from api.video.v1 import video_pb2, video_pb2_grpc
from resilience.context import Context, current
from resilience.errors import BreakerOpen, Code, ServiceError, UpstreamStatus
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Criticality, Outcome
from resilience.rpc.interceptor import PipelineInterceptor
from tests.resilience.cancel_at import Victim, cancel_at_every_await, cancel_at_every_turn
from tests.resilience.fakes import make_context
from tests.resilience.pipeline_world import World, broken, inside
from tests.resilience.rpc.lab import Handle, Holder, Lab, answer, get_video, running, wait_until

LONG_S = 60.0
METHOD = "/video.v1.VideoService/GetVideo"
Stub = video_pb2_grpc.VideoServiceStub


class Failing:
    """A handler that fails as often as told, and answers then."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.seen: list[Context | None] = []
        self.metadata: list[dict[str, Any]] = []

    async def __call__(self, request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        self.seen.append(current())
        self.metadata.append(dict(servicer.invocation_metadata()))
        if len(self.seen) <= self.times:
            raise ServiceError(Code.INTERNAL, "BROKEN", "it broke")
        return await answer(request, servicer)


@asynccontextmanager
async def calling(handle: Handle, world: World, **settings: Any) -> AsyncIterator[tuple[Lab, Any]]:
    """Run a server, and a channel to it whose calls go through the world's pipeline."""
    interceptors: Any = [PipelineInterceptor(world.pipeline, **settings)]
    async with (
        running(handle) as lab,
        grpc.aio.insecure_channel(lab.address, interceptors=interceptors) as channel,
    ):
        yield lab, Stub(channel)


@pytest.mark.integration
async def test_a_failed_call_of_an_idempotent_method_is_tried_again() -> None:
    """The caller sees the answer, the breaker both endings."""
    world, handle = World(), Failing(1)
    async with calling(handle, world, idempotent=lambda method: method == METHOD) as (_, stub):
        found = await stub.GetVideo(get_video())

    assert (found.video.id, len(handle.seen)) == (7, 2)
    assert world.breaker.outcomes == [Outcome.FAILED, Outcome.OK]
    world.assert_balanced()


@pytest.mark.integration
async def test_what_is_not_idempotent_is_sent_once() -> None:
    """It had started, so nobody knows what it has done; the error is the other side's, whole."""
    world, handle = World(), Failing(1)
    async with calling(handle, world) as (_, stub):
        with pytest.raises(UpstreamStatus) as caught:
            await stub.GetVideo(get_video())

    assert (caught.value.code, caught.value.reason) == (Code.INTERNAL, "BROKEN")
    assert len(handle.seen) == 1


@pytest.mark.integration
async def test_context_and_own_metadata_and_deadline_go_along() -> None:
    """Tenant, criticality, trace; what the caller sends by itself; the shorter of two times."""
    handle, context = Failing(0), make_context(remaining_s=LONG_S)
    context.tenant, context.criticality = "blue", Criticality.SHEDDABLE
    async with calling(handle, World()) as (_, stub):
        with inside(context):
            await stub.GetVideo(get_video(), timeout=10.0, metadata=(("x-own", "1"),))
            await stub.GetVideo(get_video())
        await stub.GetVideo(get_video())

    first, second, outside = handle.seen
    assert first is not None
    assert second is not None
    assert outside is not None
    assert (first.tenant, first.criticality) == ("blue", Criticality.SHEDDABLE)
    assert first.trace_id == context.trace_id
    assert handle.metadata[0]["x-own"] == "1"
    remaining = [each.remaining_s(each.arrived_s) for each in (first, second, outside)]
    assert remaining[0] is not None
    assert remaining[1] is not None
    assert remaining[0] <= 10.1 < remaining[1] <= LONG_S + 0.1
    assert (remaining[2], outside.tenant) == (None, "")


@pytest.mark.integration
async def test_a_breaker_that_refuses_sends_nothing() -> None:
    """The refusal is raised where the call is awaited."""
    world, handle = World(), Failing(0)
    world.breaker.refuse = True
    async with calling(handle, world) as (_, stub):
        with pytest.raises(BreakerOpen):
            await stub.GetVideo(get_video())

    assert handle.seen == []


@pytest.mark.integration
async def test_a_call_ends_at_its_timeout() -> None:
    """As the error of a deadline, with nothing left behind."""
    world = World()
    async with calling(Holder(), world) as (_, stub):
        with pytest.raises(ServiceError) as caught:
            await stub.GetVideo(get_video(), timeout=0.05)

    assert caught.value.code is Code.DEADLINE_EXCEEDED
    world.assert_balanced()


@pytest.mark.integration
async def test_whoever_leaves_cancels_the_call_over_there() -> None:
    """The server's handler ends, the place is free, and the next call passes."""
    world, holder = World(bulkhead=Bulkhead(1, 5)), Holder()
    async with calling(holder, world) as (lab, stub):
        leaving = asyncio.ensure_future(_await(stub.GetVideo(get_video(1))))
        await wait_until(lambda: holder.begun == [1])
        waiting = asyncio.ensure_future(_await(stub.GetVideo(get_video(2))))
        await wait_until(lambda: world.bulkhead.waiting == 1)
        waiting.cancel()
        leaving.cancel()
        await asyncio.gather(leaving, waiting, return_exceptions=True)
        await wait_until(lambda: (world.bulkhead.in_flight, world.bulkhead.waiting) == (0, 0))
        world.assert_balanced()
        assert (await lab.wait_finished()).status == "CANCELLED"
        holder.may_end.set()
        found = await asyncio.wait_for(stub.GetVideo(get_video(3)), 10)

    assert (found.video.id, holder.begun) == (3, [1, 3])
    world.assert_balanced()


async def _await(call: Any) -> Any:
    return await call


@pytest.mark.unit
async def test_cancelled_at_any_step_it_gives_back_all_it_took() -> None:
    """At its n-th await and in the n-th turn, for every n: waiting, sending, trying again."""

    def begin() -> Victim:
        world = World(bulkhead=Bulkhead(1, 5), per_try_timeout_s=LONG_S)
        blocker = asyncio.ensure_future(intercepted(world))

        def check() -> None:
            world.assert_balanced()
            assert blocker.result() == "answer"

        return Victim(intercepted(world), check, (blocker,))

    assert await cancel_at_every_await(begin) > 5
    assert await cancel_at_every_turn(begin) > 5


async def intercepted(world: World) -> Any:
    """Make a call that fails twice, below the interceptor, as gRPC makes it."""
    interceptor = PipelineInterceptor(world.pipeline, idempotent=lambda method: True)
    send = world.answer(broken(), broken(), "answer")

    async def continuation(details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        return send("there", details.timeout)  # type: ignore[operator]

    details = grpc.aio.ClientCallDetails(METHOD, None, None, None, None)
    return await interceptor.intercept_unary_unary(continuation, details, None)
