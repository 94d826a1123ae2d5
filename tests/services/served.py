"""A service over a real gRPC socket, with the interceptor that turns errors into statuses."""

import contextlib
from collections.abc import AsyncIterator, Callable

import grpc.aio

from resilience.rpc.server import ContextInterceptor
from resilience.switches import FixedSwitches
from tests.ports import free_port


@contextlib.asynccontextmanager
async def served(add: Callable[[grpc.aio.Server], None]) -> AsyncIterator[grpc.aio.Channel]:
    """Serve what ``add`` adds, and hand out a channel to it."""
    port = free_port()
    server = grpc.aio.server(interceptors=[ContextInterceptor(switches=FixedSwitches())])
    add(server)
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)
