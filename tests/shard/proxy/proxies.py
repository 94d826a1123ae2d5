"""A proxy in this process for tests: in front of whatever they say, with a client of bytes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random

from shard.policy.acl import User, Users
from shard.policy.topology import Address
from shard.proxy.cache import CacheRouter
from shard.proxy.front import Front
from shard.proxy.settings import ProxySettings
from shard.proxy.store import StoreRouter
from shard.proxy.turn import Turn
from shard.resp import pack

HOST = "127.0.0.1"
READ_LIMIT_S = 20.0


class Talker:
    """A client that writes bytes and reads bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, *commands: tuple[str | bytes | int, ...] | bytes) -> None:
        """Write commands in one piece; bytes as they are."""
        packed = [each if isinstance(each, bytes) else pack(each) for each in commands]
        self.writer.write(b"".join(packed))

    async def read(self, count: int) -> bytes:
        """Read exactly so many bytes."""
        async with asyncio.timeout(READ_LIMIT_S):
            return await self.reader.readexactly(count)

    async def line(self) -> bytes:
        """Read a line, without its end."""
        async with asyncio.timeout(READ_LIMIT_S):
            return (await self.reader.readuntil(b"\r\n"))[:-2]

    async def ask(self, *words: str | bytes | int) -> bytes:
        """Write a command whose answer is a line; return it."""
        self.write(words)
        return await self.line()

    async def bulk(self, *words: str | bytes | int) -> bytes | None:
        """Write a command whose answer is a string; return it."""
        head = await self.ask(*words)
        assert head[:1] == b"$", head
        return None if head == b"$-1" else (await self.read(int(head[1:]) + 2))[:-2]

    async def rest(self) -> bytes:
        """Read until the proxy closes."""
        async with asyncio.timeout(READ_LIMIT_S):
            return await self.reader.read()


class Proxy:
    """A running proxy."""

    def __init__(self, front: Front, port: int) -> None:
        self.front = front
        self.port = port
        self._talkers: list[Talker] = []

    async def talk(self) -> Talker:
        """Connect a client."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        self._talkers.append(Talker(reader, writer))
        return self._talkers[-1]

    def close(self) -> None:
        """End the clients."""
        for talker in self._talkers:
            talker.writer.transport.abort()


@asynccontextmanager
async def proxy_of(
    nodes: list[Address] | Mapping[str, Address],
    users: tuple[User, ...] = (),
    **settings: object,
) -> AsyncIterator[Proxy]:
    """Run a proxy: a list is a store's seeds, a mapping a cache's nodes."""
    turn = Turn()
    router = (
        StoreRouter(nodes, turn, Random(1))
        if isinstance(nodes, list)
        else CacheRouter(nodes, turn, Random(1))
    )
    front = Front(router, Users(users), ProxySettings(**settings), turn)  # type: ignore[arg-type]
    proxy = Proxy(front, await front.listen(HOST, 0))
    try:
        yield proxy
    finally:
        proxy.close()
        await front.close()
