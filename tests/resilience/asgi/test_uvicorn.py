"""The ASGI adapters under a real server, over a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from resilience.asgi.concurrency import ConcurrencyMiddleware
from resilience.asgi.context import ContextMiddleware
from resilience.asgi.deadline import DeadlineMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.asgi.types import ASGIApp
from resilience.policy.bbr import BbrLimiter
from resilience.summary import Finished
from resilience.switches import FixedSwitches
from tests.ports import free_port
from tests.resilience.asgi.client import echo, hang

pytestmark = pytest.mark.integration


class Site:
    """A server with the whole chain; ``wait_finished`` waits for the next summary."""

    def __init__(self) -> None:
        self.port = free_port()
        self.finished: asyncio.Queue[Finished] = asyncio.Queue()
        switches = FixedSwitches()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await (hang if scope["path"] == "/hang" else echo)(scope, receive, send)

        chain: ASGIApp = LimiterMiddleware(
            app, BbrLimiter(lambda: 0.0), switches=switches, scope_name="gateway.1"
        )
        chain = DeadlineMiddleware(chain, switches=switches)
        chain = ConcurrencyMiddleware(chain, scope_name="gateway.1", cap=lambda: 4)
        self.app = ContextMiddleware(
            chain,
            instance="gateway.1",
            switches=switches,
            budget=lambda scope: 5.0,
            on_finish=self.finished.put_nowait,
        )

    async def connect(self, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.encode())
        await writer.drain()
        return reader, writer

    async def wait_finished(self) -> Finished:
        return await asyncio.wait_for(self.finished.get(), 5)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Site]:
    """Serve a site under a real uvicorn."""
    site = Site()
    config = uvicorn.Config(
        site.app, port=site.port, lifespan="off", log_config=None, http="httptools", ws="none"
    )
    server = uvicorn.Server(config)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_signals_untouched(server))
        serving = asyncio.ensure_future(server.serve())
        for _ in range(500):
            if server.started:
                break
            await asyncio.sleep(0.01)
        assert server.started
        try:
            yield site
        finally:
            server.should_exit = True
            await serving


@contextlib.contextmanager
def _signals_untouched(server: Any) -> Any:
    """Leave pytest's signal handlers alone."""
    server.capture_signals = contextlib.nullcontext
    yield


async def test_a_client_who_hangs_up_ends_the_work() -> None:
    """A closed connection cancels an application that never asks."""
    async with running() as site:
        _, writer = await site.connect("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.close()
        finished = await site.wait_finished()

    assert (finished.status, finished.code) == ("CLIENT_CLOSED", 499)
    assert finished.duration_s < 4


async def test_a_deadline_header_cuts_the_work_and_the_connection_lives_on() -> None:
    """504 problem+json; the next request on the same connection is served."""
    async with running() as site:
        reader, writer = await site.connect(
            "GET /hang HTTP/1.1\r\nhost: x\r\nx-envoy-expected-rq-timeout-ms: 50\r\n\r\n"
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 504 Gateway Timeout")
        assert b"application/problem+json" in head
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))

        writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"server-timing: gateway" in head
        writer.close()
        await writer.wait_closed()


async def test_a_large_body_comes_through_whole() -> None:
    """Two mebibytes, chunked, echoed back."""
    body = bytes(range(256)) * 8192
    async with running() as site:
        reader, writer = await site.connect(
            "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            "transfer-encoding: chunked\r\n\r\n"
        )
        for start in range(0, len(body), 65536):
            piece = body[start : start + 65536]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(-1), 10)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert len(answer) > len(body)
