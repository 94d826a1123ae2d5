"""A fake node: real sockets, RESP in, whatever a test wants out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import hiredis

from shard.policy.topology import Address
from tests.ports import free_port

Handler = Callable[[list[bytes]], bytes | None]


def echo(command: list[bytes]) -> bytes | None:
    """Answer PING, WAIT 1 with one replica, and anything else with its last word."""
    if command[0] == b"PING":
        return b"+PONG\r\n"
    if command[0] == b"WAIT":
        return b":1\r\n"
    return bulk(command[-1])


def bulk(value: bytes) -> bytes:
    """Make a RESP bulk string."""
    return b"$%d\r\n%s\r\n" % (len(value), value)


class FakeNode:
    """Counts what arrives; ``handler`` says what goes back, None means silence."""

    def __init__(self, address: Address, handler: Handler) -> None:
        self.address = address
        self.handler = handler
        self.reads: list[int] = []
        self.commands: list[list[bytes]] = []
        self.connection_count = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        self.connection_count += 1
        self._writers.append(writer)
        parser = hiredis.Reader()
        while data := await reader.read(1 << 20):
            parser.feed(data)
            before = len(self.commands)
            while (command := parser.gets()) is not False:
                self.commands.append(command)
                reply = self.handler(command)
                if reply is not None:
                    writer.write(reply)
            self.reads.append(len(self.commands) - before)
        writer.close()

    def say(self, data: bytes) -> None:
        """Send bytes on the newest connection, asked or not."""
        self._writers[-1].write(data)

    def hang_up(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def fake_node(handler: Handler = echo) -> AsyncIterator[FakeNode]:
    """Run a fake node for the length of a with block."""
    port = free_port()
    node = FakeNode(Address("127.0.0.1", port), handler)
    server = await asyncio.start_server(node.serve, "127.0.0.1", port)
    try:
        yield node
    finally:
        server.close()
        node.hang_up()
        await until(lambda: True)


async def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until a condition holds; fail when it doesn't within the limit."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    await asyncio.sleep(0)
    while not condition():
        assert loop.time() < end_s, f"not within {limit_s} s"
        await asyncio.sleep(0.002)
