"""gRPC interceptors over a real socket: context, deadline, limiter, errors, health."""

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from api.video.v1 import video_pb2
from resilience.context import Context, Cut, current, enter, leave
from resilience.errors import Code, ServiceError, UpstreamStatus, UpstreamTimeout
from resilience.policy.contract import Criticality, Mode, Outcome
from resilience.rpc.client import unary
from resilience.rpc.server import cause_of_cancelling
from tests.resilience.fakes import make_context
from tests.resilience.rpc.lab import answer, get_video, hang, running

pytestmark = pytest.mark.integration


async def test_the_context_crosses_the_hop() -> None:
    """Request id, trace, criticality, tenant and what remains of the deadline."""
    seen: list[Context] = []

    async def handle(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        context = current()
        assert context is not None
        seen.append(context)
        return await answer(request, servicer)

    sent = make_context()
    sent.criticality, sent.tenant = Criticality.SHEDDABLE, "blue"
    async with running(handle) as lab:
        token = enter(sent)
        try:
            found = await unary(lab.stub.GetVideo, get_video(), 2.0)
        finally:
            leave(token)
        finished = await lab.wait_finished()

    context = seen[0]
    assert found.video.id == 7
    assert (context.request_id, context.trace_id) == (sent.request_id, sent.trace_id)
    assert context.parent_span_id == sent.span_id
    assert (context.criticality, context.tenant) == (Criticality.SHEDDABLE, "blue")
    assert finished.remaining_in_s is not None
    assert 1.5 < finished.remaining_in_s <= 2.1  # gRPC rounds up to three digits
    assert (finished.status, finished.code) == ("OK", 200)
    assert finished.route == "/video.v1.VideoService/GetVideo"


async def test_without_a_deadline_there_is_none_and_with_the_switch_off_neither() -> None:
    """The control arm passes none on."""
    seen: list[Context | None] = []

    async def handle(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        seen.append(current())
        return await answer(request, servicer)

    async with running(handle, deadline=Mode.OFF) as lab:
        await unary(lab.stub.GetVideo, get_video(), 2.0)
        lab.switches.set("deadline", Mode.ON)
        await unary(lab.stub.GetVideo, get_video())

    assert [context and context.deadline_s for context in seen] == [None, None]


async def test_an_error_crosses_the_hop_whole() -> None:
    """Code, reason, message, metadata, push-back, and that nothing was started."""

    async def handle(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        raise ServiceError(
            Code.UNPROCESSABLE,
            "KEY_REUSED",
            "another body",
            metadata={"key": "k1"},
            retry_after_s=1.5,
            started=False,
        ) from RuntimeError("secret")

    async with running(handle) as lab:
        with pytest.raises(UpstreamStatus) as caught:
            await unary(lab.stub.GetVideo, get_video(), 2.0)
        finished = await lab.wait_finished()

    error = caught.value
    assert (error.code, error.reason, error.message) == (
        Code.UNPROCESSABLE,
        "KEY_REUSED",
        "another body",
    )
    assert (error.metadata, error.retry_after_s, error.started) == ({"key": "k1"}, 1.5, False)
    assert (finished.status, finished.code) == ("KEY_REUSED", 422)


async def test_a_bug_is_internal_without_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    """The log has what the wire must not."""

    async def handle(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        raise ZeroDivisionError("secret")

    async with running(handle) as lab:
        with caplog.at_level(logging.ERROR), pytest.raises(UpstreamStatus) as caught:
            await unary(lab.stub.GetVideo, get_video(), 2.0)

    assert (caught.value.code, caught.value.reason) == (Code.INTERNAL, "INTERNAL")
    assert "secret" not in caught.value.message
    assert caplog.records[0].exc_info is not None


async def test_a_handler_that_aborts_by_itself_is_left_alone() -> None:
    """Its own status goes out."""

    async def handle(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        await servicer.abort(grpc.StatusCode.NOT_FOUND, "no such video")
        raise AssertionError

    async with running(handle) as lab:
        with pytest.raises(UpstreamStatus) as caught:
            await unary(lab.stub.GetVideo, get_video(), 2.0)
        finished = await lab.wait_finished()

    assert caught.value.code is Code.NOT_FOUND
    assert finished.status == "ABORTED"


async def test_work_is_cancelled_at_the_deadline() -> None:
    """The handler is cut, the limiter told it was our time, the client that it was too late."""
    async with running(hang) as lab:
        with pytest.raises((UpstreamTimeout, UpstreamStatus)) as caught:
            await unary(lab.stub.GetVideo, get_video(), 0.05)
        finished = await lab.wait_finished()

    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert finished.context.cut is Cut.DEADLINE
    assert (finished.status, finished.code) == ("DEADLINE_EXCEEDED", 504)
    assert (lab.gate.outcomes, lab.gate.in_flight) == ([Outcome.OVERLOADED], 0)


async def test_work_is_cancelled_when_the_caller_leaves() -> None:
    """The handler is cut, and the limiter learns nothing."""
    begun = asyncio.Event()

    async def handle(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        begun.set()
        return await hang(request, servicer)

    async with running(handle) as lab:
        calling = asyncio.ensure_future(unary(lab.stub.GetVideo, get_video(), 30.0))
        await asyncio.wait_for(begun.wait(), 5)
        calling.cancel()
        finished = await lab.wait_finished()
        await asyncio.gather(calling, return_exceptions=True)

    assert finished.context.cut is Cut.CALLER
    assert (finished.status, finished.code) == ("CANCELLED", 499)
    assert (lab.gate.outcomes, lab.gate.in_flight) == ([Outcome.IGNORED], 0)


async def test_a_refusal_crosses_the_hop_with_its_decision() -> None:
    """The caller sees push-back that started nothing, and who refused."""
    async with running() as lab:
        lab.gate.refuse = True
        with pytest.raises(UpstreamStatus) as caught:
            await unary(lab.stub.GetVideo, get_video(), 2.0)
        finished = await lab.wait_finished()

    error = caught.value
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "LIMIT_EXCEEDED")
    assert (error.started, error.retry_after_s) == (False, 1.0)
    assert error.metadata["decision"] == "limiter; video.2; 6/5"
    assert [note.what for note in finished.context.notes] == ["rejected"]


@pytest.mark.parametrize(("mode", "notes"), [(Mode.SHADOW, ["shadow-rejected"]), (Mode.OFF, [])])
async def test_a_limiter_not_on_refuses_nothing(mode: Mode, notes: list[str]) -> None:
    """Shadow notes what it would have done."""
    async with running(limiter=mode) as lab:
        lab.gate.refuse = True
        assert (await unary(lab.stub.GetVideo, get_video(), 2.0)).video.id == 7
        finished = await lab.wait_finished()

    assert [note.what for note in finished.context.notes] == notes


async def test_health_bypasses_everything() -> None:
    """A refusing limiter doesn't make a process look sick; nothing is reported."""
    async with running() as lab:
        lab.gate.refuse = True
        health = health_pb2_grpc.HealthStub(lab.channel)
        checked = await health.Check(health_pb2.HealthCheckRequest())

        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        assert lab.finished.empty()


async def test_an_unknown_method_is_unimplemented() -> None:
    """No handler, nothing to wrap."""
    async with running() as lab:
        method = lab.channel.unary_unary("/video.v1.VideoService/Nothing", None, None)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_grpc_s_cancelling_is_told_apart_by_the_clock() -> None:
    """At the deadline, give or take five milliseconds, it was the deadline."""
    context = make_context()
    assert cause_of_cancelling(context, 1e9) is Cut.CALLER
    context.deadline_s = 100.0
    assert cause_of_cancelling(context, 99.9) is Cut.CALLER
    assert cause_of_cancelling(context, 99.996) is Cut.DEADLINE
    context.cut = Cut.CALLER
    assert cause_of_cancelling(context, 200.0) is Cut.CALLER


async def test_without_cancellation_a_handler_ends_its_work_for_nobody() -> None:
    """Its caller has left; it isn't cut, answers nobody, and its summary says OK."""
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    async def handle(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        has_begun.set()
        await may_end.wait()
        return video_pb2.GetVideoResponse(video=video_pb2.Video(id=7))

    async with running(handle, cancellation=Mode.OFF) as lab:
        calling = asyncio.create_task(unary(lab.stub.GetVideo, get_video()))
        await asyncio.wait_for(has_begun.wait(), 5)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        for _ in range(5_000):  # until gRPC has told the server
            if lab.context.detached.abandoned:
                break
            await asyncio.sleep(0.001)
        assert lab.context.detached.snapshot() == {"running": 1, "abandoned": 1}
        assert lab.finished.empty()
        may_end.set()
        finished = await lab.wait_finished()

    assert (finished.status, finished.context.cut) == ("OK", None)


async def test_without_cancellation_a_deadline_still_ends_the_work() -> None:
    """The time was passed on, so this hop knows by itself when to stop."""
    async with running(hang, cancellation=Mode.OFF) as lab:
        with pytest.raises((UpstreamTimeout, UpstreamStatus)):
            await unary(lab.stub.GetVideo, get_video(), 0.1)
        finished = await lab.wait_finished()

    assert finished.status == "DEADLINE_EXCEEDED"
