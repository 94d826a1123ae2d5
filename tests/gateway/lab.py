"""A small lab for the gateway's tests: its own server, and four services over real sockets.

The services are the real transports and use cases over repositories in memory; each can be made
slow or to fail.
"""

import asyncio
import contextlib
import functools
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc.aio
import pytest
import uvicorn
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from api.account.v1.account_pb2_grpc import add_AccountServiceServicer_to_server
from api.comment.v1.comment_pb2_grpc import add_CommentServiceServicer_to_server
from api.counter.v1.counter_pb2_grpc import add_CounterServiceServicer_to_server
from api.video.v1.video_pb2_grpc import add_VideoServiceServicer_to_server
from faults.injector import Injector
from faults.rule import FaultRule
from gateway.server import Gateway
from gateway.upstreams import Resettable
from kit.directory import Endpoint
from kit.events import Events
from kit.lifecycle import Lifecycle
from kit.recorder import Recorder
from kit.state import default_mode
from resilience.context import current
from resilience.errors import ServiceError
from resilience.policy.contract import Mode
from resilience.policy.deadline import part_deadline_s
from resilience.rpc.server import ContextInterceptor, DeadlineInterceptor
from resilience.rpc.wrap import ServicerContext, Unary, UnaryInterceptor
from resilience.switches import FixedSwitches
from services.account.data import AccountRecord
from services.account.transport import AccountServicer
from services.account.usecases import Accounts
from services.comment.data import CommentBody
from services.comment.transport import CommentServicer
from services.comment.usecases import Comments
from services.counter.transport import CounterServicer
from services.counter.usecases import Counters
from services.video.transport import VideoServicer
from tests.ports import free_port
from tests.services.account.fakes import MemoryAccounts
from tests.services.comment.fakes import MemoryComments
from tests.services.counter.fakes import MemoryCounters
from tests.services.video.fakes import MemoryCache, MemoryVideos, make_videos

HOST = "127.0.0.1"
VIDEOS = 30
AUTHORS = 3
COMMENTS_ON_1 = 25
START_LIMIT_S = 10.0
BUDGET_MS = 20_000.0  # a second is too little where the machine may stand still for one


class FakeDirectory:
    """Endpoints as a test says them."""

    def __init__(self) -> None:
        self._endpoints: dict[str, list[Endpoint]] = defaultdict(list)
        self._listeners: dict[str, list[Callable[[list[Endpoint]], None]]] = defaultdict(list)

    def on_change(self, service: str, callback: Callable[[list[Endpoint]], None]) -> None:
        """Call this with the endpoints now, and each time they change."""
        self._listeners[service].append(callback)
        callback(self._endpoints[service])

    def set(self, endpoints: Iterable[Endpoint]) -> None:
        """Have these endpoints from now on."""
        self._endpoints.clear()
        for each in endpoints:
            self._endpoints[each.instance.partition(".")[0]].append(each)
        for service, listeners in self._listeners.items():
            for listener in listeners:
                listener(self._endpoints[service])


class FakeNode:
    """What the gateway needs of a node, without a control plane."""

    def __init__(self) -> None:
        self.instance = "gateway.1"
        self.directory = FakeDirectory()
        self.rng = random.Random(17)
        self.recorder = Recorder()
        self.events = Events(self.instance)
        self.lifecycle = Lifecycle(_announce_nothing)
        self.rules: list[FaultRule] = []
        self.faults = Injector(lambda: self.rules, random.Random(18))
        self.modes: dict[str, Mode] = {}
        self.settings: dict[str, float] = {"budget_ms": BUDGET_MS}
        self.choices: dict[str, str] = {}
        self.gates: dict[str, Resettable] = {}
        self.pressure_value = 0.0

    def mode(self, policy: str) -> Mode:
        """Return what the test set, else the lab's default."""
        return self.modes.get(policy) or default_mode(policy, "gateway")

    def setting(self, name: str, default: float) -> float:
        """Return what the test set, else the default."""
        return self.settings.get(name, default)

    def choice(self, name: str, default: str) -> str:
        """Return what the test chose, else the default."""
        return self.choices.get(name, default)

    def on_change(self, callback: Callable[[Any], None]) -> None:
        """Call nobody: a test that changes a setting builds its gateway after it."""

    def pressure(self) -> float:
        """Return what the test set."""
        return self.pressure_value

    def register_gate(self, name: str, gate: Resettable) -> None:
        """Keep a policy for the test to look at."""
        self.gates[name] = gate


class Trouble(UnaryInterceptor):
    """Make a service slow or failing, and remember what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.delay_s = 0.0
        self.error: ServiceError | None = None
        self.calls: list[str] = []
        self.deadlines_s: list[float | None] = []
        self.request_ids: list[str] = []
        self.cancelled = 0

    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Note the call, wait, fail or go on."""
        context = current()
        assert context is not None
        self.calls.append(method.rpartition("/")[2])
        self.deadlines_s.append(context.remaining_s(time.monotonic()))
        self.request_ids.append(context.request_id)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return await inner(request, servicer)


class FakeServices:
    """The four services, one replica each (and as many ``video`` as asked)."""

    def __init__(self, video_replicas: int = 1) -> None:
        self.accounts = MemoryAccounts(
            *(AccountRecord(each, f"author_{each}", 10**9) for each in range(1, AUTHORS + 1))
        )
        self.videos = MemoryVideos(VIDEOS)
        self.cache = MemoryCache()
        self.comments = MemoryComments()
        self.counters = MemoryCounters()
        self.comments.by_video[1] = [
            CommentBody(1 + each % AUTHORS, f"comment {each}", 10**9 + each)
            for each in range(1, COMMENTS_ON_1 + 1)
        ]
        self.trouble = {
            name: Trouble()
            for name in (
                "account.1",
                "comment.1",
                "counter.1",
                *(f"video.{each}" for each in range(1, video_replicas + 1)),
            )
        }
        self.servers: dict[str, grpc.aio.Server] = {}
        self.health: dict[str, HealthServicer] = {}
        self.endpoints: dict[str, Endpoint] = {}

    async def start(self) -> None:
        """Start everything."""
        for instance in self.trouble:
            await self.start_one(instance)

    async def start_one(self, instance: str) -> None:
        """Start one instance, on a new port."""
        service = instance.partition(".")[0]
        port = free_port()
        switches = FixedSwitches()
        server = grpc.aio.server(
            interceptors=[
                ContextInterceptor(switches=switches),
                DeadlineInterceptor(switches=switches),
                self.trouble[instance],
            ]
        )
        self._adders()[service](server)
        self.health[instance] = HealthServicer()
        await self.health[instance].set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health[instance], server)
        assert server.add_insecure_port(f"{HOST}:{port}") == port
        await server.start()
        self.servers[instance] = server
        self.endpoints[instance] = Endpoint(instance, HOST, port)

    def _adders(self) -> Mapping[str, Callable[[grpc.aio.Server], None]]:
        return {
            "account": lambda server: add_AccountServiceServicer_to_server(
                AccountServicer(Accounts(self.accounts)), server
            ),
            "video": lambda server: add_VideoServiceServicer_to_server(
                VideoServicer(make_videos(self.videos, self.cache)), server
            ),
            "comment": lambda server: add_CommentServiceServicer_to_server(
                CommentServicer(Comments(self.comments)), server
            ),
            "counter": lambda server: add_CounterServiceServicer_to_server(
                CounterServicer(Counters(self.counters)), server
            ),
        }

    async def stop(self) -> None:
        """End everything."""
        await asyncio.gather(*(each.stop(None) for each in self.servers.values()))


class SmallLab:
    """The gateway on a real socket in front of the fake services."""

    def __init__(self, video_replicas: int = 1) -> None:
        self.node = FakeNode()
        self.services = FakeServices(video_replicas)
        self.port = free_port()
        self.gateway = Gateway(self.node)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.gateway.app,
                host=HOST,
                port=self.port,
                http="httptools",
                ws="none",
                access_log=False,
                log_config=None,
                lifespan="off",
                server_header=False,
            )
        )
        # No signal handling of uvicorn's in a test process.
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self._serving: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def announce(self) -> None:
        """Tell the gateway who lives."""
        self.node.directory.set(self.services.endpoints.values())

    async def start(self) -> None:
        """Start everything."""
        await self.services.start()
        self.announce()
        self.gateway.start()
        self._serving = asyncio.create_task(self._server.serve())
        await until(lambda: self._server.started)

    async def stop(self) -> None:
        """End everything."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        await self.gateway.close()
        await self.services.stop()


@contextlib.asynccontextmanager
async def small_lab(video_replicas: int = 1) -> AsyncIterator[SmallLab]:
    """Run a small lab for the length of a with block."""
    lab = SmallLab(video_replicas)
    await lab.start()
    try:
        yield lab
    finally:
        await lab.stop()


async def until(condition: Callable[[], bool], limit_s: float = START_LIMIT_S) -> None:
    """Wait until a condition holds; fail when it doesn't within the limit."""
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "the condition did not come about in time"
        await asyncio.sleep(0.005)


def let_parts_take(monkeypatch: pytest.MonkeyPatch, max_s: float) -> None:
    """Let each optional part of a page hold it up for so long, instead of 300 ms."""
    patient = functools.partial(part_deadline_s, max_s=max_s)
    monkeypatch.setattr("gateway.fanout.part_deadline_s", patient)


def _announce_nothing() -> Awaitable[None]:
    return asyncio.sleep(0)
