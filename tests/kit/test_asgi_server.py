"""An ASGI process of the lab over a real socket: serving, aborting, draining, failing to start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from faults.asgi import ABORT_EXTENSION
from kit.asgi_server import serve_asgi
from kit.control import ControlClient
from kit.errors import LabEnvironmentError, LabError
from kit.listen import bind
from kit.node import Node
from resilience.asgi.types import ASGIApp, Receive, Scope, Send
from tests.kit.lab import hold_notice, node_of, wait_member, wait_until
from tests.ports import free_port
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


class Application:
    """Answers at once, waits to be let go, or drops the connection."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("no lifespan here")
        if scope["path"] == "/abort":
            await scope["extensions"][ABORT_EXTENSION]()
            return
        if scope["path"] == "/slow":
            await self.go.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(node: Node, app: ASGIApp) -> AsyncIterator[int]:
    """Serve on a free port."""
    port = free_port()
    task = asyncio.create_task(serve_asgi(node, app, port))
    await wait_until(lambda: node.lifecycle.is_ready or task.done())
    yield port
    if not node.lifecycle.is_stopping:
        node.lifecycle.request_stop()
    await task


async def get(port: int, path: str = "/") -> bytes:
    """Send a request on a connection of its own; return all that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_it_serves_and_announces_its_port(
    control: ControlClient, shared_control: Valkey
) -> None:
    """200, and the lease says where."""
    async with node_of(shared_control, "gateway") as node, serving(node, Application()) as port:
        assert (await get(port)).startswith(b"HTTP/1.1 200 OK")
        assert (await wait_member(control, lambda lease: lease.ready)).port == port
        assert node.lifecycle.in_flight == 0


async def test_an_abort_drops_the_connection_without_a_byte(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Not a 500: nothing at all, and the server serves on."""
    async with node_of(shared_control, "gateway") as node, serving(node, Application()) as port:
        with pytest.raises(ConnectionResetError):
            await get(port, "/abort")
        assert b"200 OK" in await get(port)


async def test_a_drain_finishes_what_is_in_flight(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Told to stop during a request: it is answered; new connections are refused then."""
    app = Application()
    async with node_of(shared_control, "gateway") as node:
        notice = hold_notice(node)
        async with serving(node, app) as port:
            slow = asyncio.create_task(get(port, "/slow"))
            await wait_until(lambda: node.lifecycle.in_flight == 1)
            node.lifecycle.request_stop()
            await wait_until(lambda: not node.lifecycle.is_ready)
            assert b"200 OK" in await get(port)  # balancers have not noticed yet
            notice.set()
            app.go.set()
            assert b"200 OK" in await slow
        with pytest.raises(ConnectionRefusedError):
            await get(port)


async def test_without_drain_a_stop_breaks_what_is_in_flight(
    control: ControlClient, shared_control: Valkey
) -> None:
    """The control arm: the connection ends without an answer."""
    await control.write({"policy/gateway/drain": {"mode": "off"}})
    async with (
        node_of(shared_control, "gateway") as node,
        serving(node, Application()) as port,
    ):
        slow = asyncio.create_task(get(port, "/slow"))
        await wait_until(lambda: node.lifecycle.in_flight == 1)
        node.lifecycle.request_stop()
        await wait_until(slow.done)
        assert slow.exception() is not None or b"200 OK" not in slow.result()


async def test_a_taken_port_is_one_line(control: ControlClient, shared_control: Valkey) -> None:
    """The address and the advice, as an environment error."""
    port = free_port()
    taken = bind("127.0.0.1", port)
    taken.listen()
    try:
        async with node_of(shared_control, "gateway") as node:
            with pytest.raises(LabEnvironmentError, match=rf"127.0.0.1:{port}.*taken"):
                await serve_asgi(node, Application(), port)
    finally:
        taken.close()


async def test_a_lifespan_that_fails_is_one_line(
    control: ControlClient, shared_control: Valkey
) -> None:
    """The application said no; the process ends with an error instead of hanging."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse to start."""
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    async with node_of(shared_control, "gateway") as node:
        with pytest.raises(LabError, match="did not start"):
            await serve_asgi(node, app, free_port())


def test_an_address_that_is_not_ours_is_named() -> None:
    """Advice fits the cause."""
    with pytest.raises(LabEnvironmentError, match="doesn't have that address"):
        bind("192.0.2.1", free_port())
