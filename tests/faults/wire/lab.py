"""Servers, clients and proxies for the tests of links."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from faults.wire.piece import Way
from faults.wire.ports import PortRange
from faults.wire.proof import WireProof
from faults.wire.proxy import Proxy
from faults.wire.spec import ToxicSpec
from tests.kit.lab import wait_until
from tests.ports import LAST_PORT, free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def toxic(
    kind: str, way: Way = Way.DOWNSTREAM, share: float = 1.0, **params: float
) -> tuple[ToxicSpec, WireProof]:
    """Make a toxic whose id is its kind, with a proof of its own."""
    return ToxicSpec(kind, kind, way, share, params), WireProof(kind)


def ports() -> PortRange:
    """Hand out ports that nobody else in this run has."""
    first = free_port()
    return PortRange("127.0.0.1", first, min(first + 50, LAST_PORT))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, and end when the other side does."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@asynccontextmanager
async def server(serve: Serve = echo) -> AsyncIterator[int]:
    """Run a TCP server; gives its port."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError):
            await serve(reader, writer)

    port = free_port()
    listening = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield port
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the turn in which they are gone


class Proxied:
    """A proxy before a server, and clients that are put away at the end."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Streams:
        """Connect through the proxy."""
        reader, writer = await asyncio.open_connection(*self.proxy.listen)
        self.writers.append(writer)
        return reader, writer


@asynccontextmanager
async def proxied(
    *toxics: tuple[ToxicSpec, WireProof], serve: Serve = echo, seed: int = 7
) -> AsyncIterator[Proxied]:
    """Run a server and a proxy before it with these toxics."""
    async with server(serve) as port:
        proxy = Proxy(ports().listen(), ("127.0.0.1", port), random.Random(seed))
        proxy.set_toxics(toxics)
        made = Proxied(proxy)
        try:
            yield made
        finally:
            for writer in made.writers:
                writer.transport.abort()
            proxy.cut()
            await wait_until(lambda: proxy.connections == 0)
