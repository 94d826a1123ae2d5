"""A proxy that passes WebSockets on, a backend that agrees, and a client that asks for one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lb.l7.tunnel import Tunnels, WebSocketOptions
from tests.lb.l7.rig import WAIT_S, Backend, Handler, RawClient, Rig, rig

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
BEGIN = (
    b"GET /chat HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
)
ASK = BEGIN + KEY + b"\r\n"
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
GET = b"GET /secret HTTP/1.1\r\nHost: lab\r\n\r\n"  # what stands behind, to be no request


def agreeing(first: bytes = b"", *, answer: bytes = AGREED) -> Handler:
    """Make a backend that agrees, says ``first`` at once and echoes from then on."""

    async def handle(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(answer + first)
        while data := await reader.read(64 * 1024):
            backend.received += data
            writer.write(data)
            await writer.drain()

    return handle


@asynccontextmanager
async def chat(
    *handlers: Handler, options: WebSocketOptions | None = None
) -> AsyncIterator[tuple[Rig, RawClient, Tunnels]]:
    """Run a proxy that passes WebSockets on, with one client."""
    async with rig(*handlers) as lab:
        tunnels = Tunnels(options or WebSocketOptions(enabled=True))
        lab.proxy.heads.tunnels = tunnels
        yield lab, await lab.client(), tunnels


async def opened(client: RawClient) -> None:
    """Send the request and read the 101."""
    client.send(ASK)
    assert (await client.answer()).status == 101


async def read(client: RawClient, size: int) -> bytes:
    """Read so many bytes."""
    async with asyncio.timeout(WAIT_S):
        return await client.reader.readexactly(size)


async def agreeing_rest(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Agree and echo."""
    writer.write(AGREED)
    while data := await reader.read(64 * 1024):
        writer.write(data)
