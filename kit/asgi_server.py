"""Serve an ASGI application as a process of the lab: uvicorn inside, the node's life around it.

Why uvicorn embedded: its HTTP is the one everybody knows, but its signals, logs and start are ours:
SIGTERM goes to the node, a taken port is one line, and the loop ticks once a second instead of ten
times.
Not handled: WebSockets and HTTP/2; TLS (the lab's edge is plain HTTP on a loopback address).
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import uvicorn

from faults.asgi import ABORT_EXTENSION
from kit.errors import LabError
from kit.listen import BACKLOG, bind, reset_on_close
from kit.node import Node
from resilience.asgi.types import HEALTH_PATHS, ASGIApp, Receive, Scope, Send

GATEWAY_PORT = 8000
KEEP_ALIVE_S = 75  # nginx: keepalive_timeout 75 s; longer than the balancer keeps an idle one
TICK_S = 1.0  # the date header counts seconds


async def serve_asgi(node: Node, app: ASGIApp, port: int = GATEWAY_PORT) -> None:
    """Serve until the node is told to stop, then drain.

    Args:
        node: Started.
        app: The application with its middleware; health paths are its own.
        port: Where to listen, on the node's address.

    Raises:
        LabEnvironmentError: When the port is taken.
        LabError: When the application's lifespan does not start.
    """
    listener = bind(node.settings.bind_host, port)
    server = _Server(_config(_Outermost(node, app)))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="uvicorn")
    try:
        await server.wait_started(serving)
        node.port = port
        await node.lifecycle.serve(lambda limit_s: server.close(limit_s, serving))
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        listener.close()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level=logging.getLogger().level,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


class _Server(uvicorn.Server):
    """uvicorn without its signals, and with an end that is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._ready = asyncio.Event()

    async def wait_started(self, serving: asyncio.Task[None]) -> None:
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set():
            raise LabError("the application did not start: its lifespan failed, see the log")

    async def close(self, limit_s: float, serving: asyncio.Task[None]) -> None:
        self.config.timeout_graceful_shutdown = limit_s  # type: ignore[assignment]
        self.should_exit = True
        self._told.set()
        await asyncio.gather(serving, return_exceptions=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[Any] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # the application's lifespan said no
            self.should_exit = True
            return
        self._ready.set()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._told.wait()
            counter = (counter + 10) % 864_000  # uvicorn counts tenths of a second


class _Outermost:
    """Count requests in flight, and let a fault drop the connection."""

    def __init__(self, node: Node, app: ASGIApp) -> None:
        self._node = node
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        lifecycle = self._node.lifecycle
        scope.setdefault("extensions", {})[ABORT_EXTENSION] = lambda: _abort(receive, send)
        lifecycle.begin_request()
        try:
            await self._app(scope, receive, send)
        finally:
            lifecycle.end_request()


async def _abort(receive: Receive, send: Send) -> None:
    """Reset the connection under a request; returns once the server has noticed.

    ASGI has no message for it, so this reaches into uvicorn's cycle, whose bound ``send`` we hold.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise LabError("this server cannot drop a connection: not uvicorn")
    reset_on_close(transport.get_extra_info("socket").fileno())
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
