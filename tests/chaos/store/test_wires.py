"""The wires: what passes, what a cut holds, and what comes of it afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from chaos.store.wires import PORTS, Wires

pytestmark = pytest.mark.integration

HOST, ANNOUNCED, OTHER = "127.83.0.1", "127.84.0.1", "127.83.0.2"
LIMIT_S = 10.0
SILENCE_S = 0.1  # how long nothing may arrive


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    """Says everything again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Know where to."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Say it."""
        self.transport.write(data)


@pytest.fixture
async def wires() -> AsyncIterator[Wires]:
    """Relay to a server that says everything again."""
    server = await asyncio.get_running_loop().create_server(Echo, HOST, PORTS[0])
    made = Wires({ANNOUNCED: HOST})
    await made.open()
    yield made
    made.close()
    server.close()
    await asyncio.sleep(0)


@asynccontextmanager
async def connect(from_host: str, port: int = PORTS[0]) -> AsyncIterator[Ends]:
    """Connect through the relay as a node does: from its own address."""
    reader, writer = await asyncio.open_connection(ANNOUNCED, port, local_addr=(from_host, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def says(ends: Ends, text: bytes) -> bytes:
    """Send and return what comes back within the limit; nothing when nothing does."""
    reader, writer = ends
    writer.write(text)
    async with asyncio.timeout(LIMIT_S):
        return await reader.readexactly(len(text))


async def is_silent(reader: asyncio.StreamReader) -> bool:
    """Whether nothing arrives for a while."""
    try:
        async with asyncio.timeout(SILENCE_S):
            await reader.readexactly(1)
    except TimeoutError:
        return True
    return False


async def test_everything_passes_and_a_large_answer_too(wires: Wires) -> None:
    """More than any buffer holds, both ways."""
    text = b"x" * (4 << 20)
    async with connect(OTHER) as ends:
        assert await says(ends, text) == text


async def test_a_cut_holds_what_is_said_until_it_is_healed(wires: Wires) -> None:
    """The connection stays open and nothing arrives; afterwards everything does, in order."""
    async with connect(OTHER) as ends:
        assert await says(ends, b"before") == b"before"

        assert wires.cut(HOST, [OTHER]) == 1
        ends[1].write(b"meanwhile")
        assert await is_silent(ends[0])
        assert wires.is_cut_off(HOST)
        wires.heal()

        assert await ends[0].readexactly(9) == b"meanwhile"
        assert await says(ends, b"after") == b"after"
        assert not wires.is_cut_off(HOST)


async def test_a_cut_holds_who_connects_during_it(wires: Wires) -> None:
    """A new connection is accepted and says nothing either."""
    wires.cut(HOST, [OTHER])
    async with connect(OTHER) as ends:
        ends[1].write(b"new")
        assert await is_silent(ends[0])
        wires.heal()
        assert await ends[0].readexactly(3) == b"new"


async def test_a_cut_is_between_two_and_concerns_nobody_else(wires: Wires) -> None:
    """Who connects from another address is served."""
    wires.cut(HOST, [OTHER])
    async with connect("127.83.0.3") as ends:
        assert await says(ends, b"hello") == b"hello"


async def test_nobody_behind_a_wire_is_a_connection_that_ends(wires: Wires) -> None:
    """As if it had been refused."""
    async with connect(OTHER, PORTS[1]) as ends, asyncio.timeout(LIMIT_S):
        with pytest.raises((OSError, EOFError)):
            await ends[0].readexactly(1)
