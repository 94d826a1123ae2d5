"""A gRPC server with the interceptors, and a channel to it, over a real socket."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio
from grpc_health.v1 import _async as health_aio
from grpc_health.v1 import health_pb2_grpc

from api.video.v1 import video_pb2, video_pb2_grpc
from resilience.policy.contract import Gate, Mode, Queue
from resilience.rpc.server import ContextInterceptor, DeadlineInterceptor, LimiterInterceptor
from resilience.rpc.wrap import ServicerContext
from resilience.summary import Finished
from resilience.switches import FixedSwitches
from tests.ports import free_port
from tests.resilience.fakes import FakeGate

KeyOf = Callable[[str, ServicerContext], str]
Handle = Callable[[Any, Any], Awaitable[video_pb2.GetVideoResponse]]


async def answer(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
    """Answer with the video asked for."""
    return video_pb2.GetVideoResponse(video=video_pb2.Video(id=request.id))


async def hang(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
    """Answer never."""
    await asyncio.sleep(60)
    raise AssertionError


class Holder:
    """A handler that holds its place until it may end, and remembers whom it served."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.may_end = asyncio.Event()

    async def __call__(self, request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        self.begun.append(request.id)
        await self.may_end.wait()
        return await answer(request, servicer)


async def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, ten seconds at most."""
    end_s = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < end_s, "the condition has not come to hold within 10 s"
        await asyncio.sleep(0.001)


class Servicer(video_pb2_grpc.VideoServiceServicer):
    """One method, as the test says."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    async def GetVideo(self, request: Any, context: Any) -> video_pb2.GetVideoResponse:
        return await self.handle(request, context)

    async def GetFeed(self, request: Any, context: Any) -> video_pb2.GetFeedResponse:
        raise NotImplementedError

    async def ListVideos(self, request: Any, context: Any) -> video_pb2.ListVideosResponse:
        raise NotImplementedError

    async def PublishVideo(self, request: Any, context: Any) -> video_pb2.PublishVideoResponse:
        raise NotImplementedError

    async def UpdateVideo(self, request: Any, context: Any) -> video_pb2.UpdateVideoResponse:
        raise NotImplementedError


class Lab:
    """Server and client; ``wait_finished`` waits for the next summary."""

    def __init__(
        self,
        handle: Handle,
        policy: Gate | Queue | None,
        key_of: KeyOf | None,
        modes: dict[str, Mode],
    ) -> None:
        self.servicer = Servicer(handle)
        self.gate = FakeGate()
        self.finished: asyncio.Queue[Finished] = asyncio.Queue()
        self.switches = FixedSwitches(modes)
        self.address = f"127.0.0.1:{free_port()}"
        self.context = ContextInterceptor(
            switches=self.switches, on_finish=self.finished.put_nowait
        )
        self.limiter = LimiterInterceptor(
            policy or self.gate, switches=self.switches, scope="video.2", key_of=key_of
        )
        self.server = grpc.aio.server(
            interceptors=[
                self.context,
                DeadlineInterceptor(switches=self.switches),
                self.limiter,
            ]
        )
        video_pb2_grpc.add_VideoServiceServicer_to_server(self.servicer, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(health_aio.HealthServicer(), self.server)
        self.server.add_insecure_port(self.address)
        self.channel = grpc.aio.insecure_channel(self.address)
        self.stub = video_pb2_grpc.VideoServiceStub(self.channel)

    async def wait_finished(self) -> Finished:
        return await asyncio.wait_for(self.finished.get(), 5)


@contextlib.asynccontextmanager
async def running(
    handle: Handle = answer,
    policy: Gate | Queue | None = None,
    key_of: KeyOf | None = None,
    **modes: Mode,
) -> AsyncIterator[Lab]:
    """Run the lab for one test; without a policy a fake gate guards it."""
    lab = Lab(handle, policy, key_of, modes)
    await lab.server.start()
    try:
        yield lab
    finally:
        await lab.channel.close(None)
        await lab.server.stop(None)


def get_video(id_: int = 7) -> video_pb2.GetVideoRequest:
    """Make the request that every test sends."""
    return video_pb2.GetVideoRequest(id=id_)
