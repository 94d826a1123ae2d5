"""A gRPC process of the lab over a real socket: policies in order, health exempt, drain."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from api.video.v1 import video_pb2, video_pb2_grpc
from kit.control import ControlClient
from kit.errors import LabEnvironmentError
from kit.grpc_server import MAX_MESSAGE_BYTES, OPTIONS, serve_grpc
from kit.listen import bind
from kit.node import Node
from resilience.errors import Code, ServiceError
from resilience.rpc.status import from_rpc_error
from tests.kit.lab import hold_notice, node_of, wait_member, wait_until
from tests.ports import free_port
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


class Videos(video_pb2_grpc.VideoServiceServicer):
    """A service that answers, refuses, or breaks, by the id asked for."""

    def __init__(self) -> None:
        self.served: list[int] = []
        self.go = asyncio.Event()

    async def GetVideo(self, request: Any, context: Any) -> Any:
        """Answer the id; 102 waits to be let go, 404 is refused, 500 is a bug."""
        self.served.append(request.id)
        if request.id == 102:
            await self.go.wait()
        if request.id == 404:
            raise ServiceError(Code.NOT_FOUND, "VIDEO_NOT_FOUND", "no such video")
        if request.id == 500:
            raise KeyError("a secret of the implementation")
        return video_pb2.GetVideoResponse(video=video_pb2.Video(id=request.id))

    async def ListVideos(self, request: Any, context: Any) -> Any:
        """List nothing."""
        return video_pb2.ListVideosResponse()

    async def GetFeed(self, request: Any, context: Any) -> Any:
        """Feed nothing."""
        return video_pb2.GetFeedResponse()

    async def PublishVideo(self, request: Any, context: Any) -> Any:
        """Publish nothing."""
        return video_pb2.PublishVideoResponse()

    async def UpdateVideo(self, request: Any, context: Any) -> Any:
        """Change nothing."""
        return video_pb2.UpdateVideoResponse()


@asynccontextmanager
async def serving(node: Node, service: Videos) -> AsyncIterator[tuple[grpc.aio.Channel, Any]]:
    """Serve on a free port; give a channel and a stub."""
    port = free_port()
    task = asyncio.create_task(
        serve_grpc(
            node,
            lambda server: video_pb2_grpc.add_VideoServiceServicer_to_server(service, server),
            port,
        )
    )
    await wait_until(lambda: node.lifecycle.is_ready or task.done())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel, video_pb2_grpc.VideoServiceStub(channel)
    if not node.lifecycle.is_stopping:
        node.lifecycle.request_stop()
    await task


def get(number: int = 1) -> Any:
    """Make a request."""
    return video_pb2.GetVideoRequest(id=number)


async def test_a_call_is_served_held_in_the_station_and_recorded(
    control: ControlClient, shared_control: Valkey
) -> None:
    """5 ms of station, a summary under the caller's request id, metrics, the lease's port."""
    async with node_of(shared_control) as node, serving(node, Videos()) as (_, stub):
        assert (await stub.GetVideo(get(7), metadata=(("x-request-id", "r7"),))).video.id == 7
        await wait_until(lambda: node.recorder.find("r7") != [])
        found = node.recorder.find("r7")[0]
        assert (found.status, found.code, found.route) == (
            "OK",
            200,
            "/video.v1.VideoService/GetVideo",
        )
        assert "station" in [note.policy for note in found.notes]
        assert node.station.stats().done == 1
        assert b"GetVideo" in node.metrics.text()
        assert (await wait_member(control, lambda lease: lease.ready)).port == node.port


async def test_errors_keep_their_reason_and_bugs_their_secret(
    control: ControlClient, shared_control: Valkey
) -> None:
    """A ServiceError crosses the hop whole; a KeyError is INTERNAL without its text."""
    async with node_of(shared_control) as node, serving(node, Videos()) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetVideo(get(404))
        assert from_rpc_error(refused.value).reason == "VIDEO_NOT_FOUND"
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await stub.GetVideo(get(500))
        assert broken.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in str(broken.value.details())
        # The answer leaves before the call's summary is kept.
        await wait_until(lambda: node.recorder.by_code() == {"404": 1, "500": 1})


async def test_faults_bite_and_prove_it_while_health_passes(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Error with its reason, abort without; the health service says SERVING all the time."""
    async with node_of(shared_control) as node, serving(node, Videos()) as (channel, stub):
        rule = {"id": "e", "kind": "error", "target": "video", "params": {"code": "NOT_FOUND"}}
        await control.wait_live(await control.write({"fault/e": rule}))
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.GetVideo(get())
        assert from_rpc_error(failed.value).reason == "FAULT_INJECTED"
        abort = {"id": "a", "kind": "abort", "target": "video", "route": "GetVideo"}
        await control.wait_live(await control.write({"fault/e": None, "fault/a": abort}))
        with pytest.raises(grpc.aio.AioRpcError) as aborted:
            await stub.GetVideo(get())
        assert aborted.value.code() is grpc.StatusCode.UNAVAILABLE
        assert {fault: proof["hits"] for fault, proof in node.faults.proofs().items()} == {
            "e": 1,
            "a": 1,
        }
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_deadline_cuts_the_work_and_its_absence_does_not(
    control: ControlClient, shared_control: Valkey
) -> None:
    """A delay of 10 s under a deadline of 0.1 s: the call is over, the handler never ran."""
    async with node_of(shared_control) as node:
        videos = Videos()
        async with serving(node, videos) as (_, stub):
            rule = {"id": "l", "kind": "latency", "target": "video", "params": {"ms": 10_000}}
            await control.wait_live(await control.write({"fault/l": rule}))
            with pytest.raises(grpc.aio.AioRpcError) as late:
                await stub.GetVideo(get(), timeout=0.1)
            assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await wait_until(lambda: node.lifecycle.in_flight == 0)
            assert videos.served == []
            await control.write({"fault/l": None})


async def test_a_leaving_caller_frees_the_station(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Cancelled while served: the worker's time comes back, and it counts as cancelled."""
    await control.write({"station/video": {"workers": 1, "mean_ms": 30_000, "cv": 0}})
    async with node_of(shared_control) as node, serving(node, Videos()) as (_, stub):
        call = stub.GetVideo(get())
        await wait_until(lambda: node.station.in_flight == 1)
        call.cancel()
        await wait_until(lambda: node.station.in_flight == 0)
        await wait_until(lambda: node.lifecycle.in_flight == 0)
        assert node.station.stats().cancelled == 1


async def test_the_limiter_is_registered_and_follows_its_switch(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Its snapshot shows the mode of the moment."""
    async with node_of(shared_control) as node, serving(node, Videos()):
        assert node.policies()["limiter"]["mode"] == "on"
        switch = {"policy/video/limiter": {"mode": "off"}}
        await control.wait_live(await control.write(switch))
        assert node.policies()["limiter"]["mode"] == "off"


async def test_a_drain_finishes_what_is_in_flight(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Told to stop during a call: not serving, and the call is answered all the same."""
    videos = Videos()
    async with node_of(shared_control) as node:
        notice = hold_notice(node)
        async with serving(node, videos) as (channel, stub):
            call = stub.GetVideo(get(102))
            await wait_until(lambda: videos.served == [102])
            node.lifecycle.request_stop()
            await wait_until(lambda: not node.lifecycle.is_ready)
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
            await wait_member(control, lambda lease: not lease.ready)
            notice.set()
            videos.go.set()
            assert (await call).video.id == 102


async def test_without_drain_a_stop_breaks_what_is_in_flight(
    control: ControlClient, shared_control: Valkey
) -> None:
    """The control arm: the call fails at once."""
    await control.write(
        {
            "station/video": {"workers": 1, "mean_ms": 30_000, "cv": 0},
            "policy/video/drain": {"mode": "off"},
        }
    )
    async with node_of(shared_control) as node, serving(node, Videos()) as (_, stub):
        call = stub.GetVideo(get(3))
        await wait_until(lambda: node.station.in_flight == 1)
        started_s = time.monotonic()
        node.lifecycle.request_stop()
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        assert time.monotonic() - started_s < 10.0  # the call itself takes thirty


async def test_a_taken_port_is_one_line(control: ControlClient, shared_control: Valkey) -> None:
    """The address and the advice, as an environment error."""
    port = free_port()
    taken = bind("127.0.0.1", port)
    taken.listen()
    try:
        async with node_of(shared_control) as node:
            with pytest.raises(LabEnvironmentError, match=rf"127.0.0.1:{port}.*taken"):
                await serve_grpc(node, lambda server: None, port)
    finally:
        taken.close()


def test_options_are_documented() -> None:
    """A mebibyte of message, one process to a port."""
    options = dict(OPTIONS)
    assert options["grpc.so_reuseport"] == 0
    assert options["grpc.max_receive_message_length"] == MAX_MESSAGE_BYTES == 2**20
