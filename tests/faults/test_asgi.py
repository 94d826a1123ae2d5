"""Faults in an ASGI application."""

import random
import time
from typing import Any

import pytest

from faults.asgi import FaultMiddleware
from faults.injector import Injector
from faults.rule import FaultRule
from resilience.asgi.types import Message, Receive, Scope, Send
from resilience.context import Context, enter, leave
from resilience.errors import Code, ServiceError


class World:
    """An application behind the middleware, and what became of a request."""

    def __init__(self, *rules: FaultRule) -> None:
        self.calls = 0
        self.injector = Injector(lambda: rules, random.Random(1))
        self.app = FaultMiddleware(self.serve, self.injector)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the call."""
        self.calls += 1

    async def get(self, path: str = "/v1/home", **scope: Any) -> None:
        """Send a request."""
        await self.app({"type": "http", "method": "GET", "path": path, **scope}, nothing, drop)


async def nothing() -> Message:
    """Receive nothing."""
    return {"type": "http.disconnect"}


async def drop(message: Message) -> None:
    """Send nowhere."""


async def test_latency_delays_and_passes_on() -> None:
    """30 ms later the application is called; the request's notes say why."""
    world = World(FaultRule("f", "latency", "*", {"ms": 30}))
    context = Context("r", "t" * 32, "s" * 16, time.monotonic(), tenant="a")
    token = enter(context)
    started_s = time.monotonic()
    await world.get()
    leave(token)
    assert time.monotonic() - started_s >= 0.03
    assert world.calls == 1
    assert [(note.policy, note.what) for note in context.notes] == [("fault", "delayed")]
    assert context.notes[0].detail == {"fault": "f", "ms": 30.0}


async def test_an_error_is_a_service_error() -> None:
    """The application isn't called; the code is the rule's."""
    world = World(FaultRule("f", "error", "*", {"code": 503}))
    with pytest.raises(ServiceError) as caught:
        await world.get()
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.reason == "FAULT_INJECTED"
    assert world.calls == 0


async def test_an_abort_uses_the_servers_extension() -> None:
    """The application isn't called; without the extension it is a 502."""
    world = World(FaultRule("f", "abort", "*"))
    aborted: list[str] = []

    async def abort() -> None:
        """Note that it was called."""
        aborted.append("yes")

    await world.get(extensions={"squall.abort": abort})
    assert (aborted, world.calls) == (["yes"], 0)
    with pytest.raises(ServiceError) as caught:
        await world.get()
    assert caught.value.code is Code.BAD_GATEWAY


async def test_a_block_stops_the_loop() -> None:
    """It is no await: the time passes inside one turn."""
    world = World(FaultRule("f", "block", "*", {"ms": 30}))
    started_s = time.monotonic()
    await world.get()
    assert time.monotonic() - started_s >= 0.03
    assert world.calls == 1


async def test_burn_spends_cpu_and_passes_on() -> None:
    """5 ms by the thread's own clock, then the application is called."""
    world = World(FaultRule("f", "burn", "*", {"ms": 5}))
    before_s = time.thread_time()
    await world.get()
    assert time.thread_time() - before_s >= 0.005
    assert world.injector.proofs()["f"]["burnt_ms"] >= 5.0
    assert world.calls == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_health_and_metrics_pass(path: str) -> None:
    """A fault that made probes fail would show the probe."""
    world = World(FaultRule("f", "error", "*"))
    await world.get(path)
    assert world.calls == 1


async def test_only_http_is_disturbed() -> None:
    """Lifespan passes."""
    world = World(FaultRule("f", "error", "*"))
    await world.app({"type": "lifespan"}, nothing, drop)
    assert world.calls == 1
