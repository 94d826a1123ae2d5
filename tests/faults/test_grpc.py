"""Faults in a gRPC server: the same decisions, in front of the same station, over a real socket."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from api.video.v1 import video_pb2, video_pb2_grpc
from faults.grpc import FaultInterceptor
from faults.injector import Injector
from faults.rule import FaultRule, Param
from kit.grpc_station import StationInterceptor
from kit.state import StationSetting
from kit.station import Station
from kit.station_schedule import StationSchedule


class Videos(video_pb2_grpc.VideoServiceServicer):
    """A service that answers at once."""

    async def ListVideos(self, request: Any, context: Any) -> Any:
        """Return the cursor asked for."""
        return video_pb2.ListVideosResponse(next_cursor=request.cursor)


@asynccontextmanager
async def serving(injector: Injector) -> AsyncIterator[Any]:
    """Serve behind the interceptor and a station of 10 ms; give a stub."""
    station = Station(StationSchedule(StationSetting(1, 0.01, 0.0), random.Random(1)))
    server = grpc.aio.server(interceptors=[FaultInterceptor(injector), StationInterceptor(station)])
    video_pb2_grpc.add_VideoServiceServicer_to_server(Videos(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield video_pb2_grpc.VideoServiceStub(channel)
    finally:
        await server.stop(None)


def injector_of(kind: str, route: str = "", **params: Param) -> Injector:
    """Make an injector of one rule."""
    rules = [FaultRule("f", kind, "*", dict(params), route)]
    return Injector(lambda: rules, random.Random(1))


async def get(stub: Any) -> Any:
    """Ask for a page."""
    return await stub.ListVideos(video_pb2.ListVideosRequest(cursor="7"), timeout=5.0)


async def test_slow_reaches_the_station_behind_it() -> None:
    """10 ms of service become 60; the proof is the station's."""
    injector = injector_of("slow", factor=6)
    async with serving(injector) as stub:
        assert (await get(stub)).next_cursor == "7"
    assert injector.proofs() == {"f": {"kind": "slow", "hits": 1, "slowed_ms": pytest.approx(50.0)}}


async def test_burn_spends_cpu_and_then_serves() -> None:
    """5 ms of CPU, measured."""
    injector = injector_of("burn", ms=5)
    async with serving(injector) as stub:
        assert (await get(stub)).next_cursor == "7"
    assert injector.proofs()["f"]["hits"] == 1
    assert injector.proofs()["f"]["burnt_ms"] >= 5.0


async def test_an_abort_ends_the_call_without_an_answer() -> None:
    """A bare UNAVAILABLE, and the method may be named by its last part."""
    async with serving(injector_of("abort", "ListVideos")) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(stub)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
