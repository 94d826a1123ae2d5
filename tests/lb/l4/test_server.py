"""The L4 proxy over real sockets: bytes, half-closes, resets, limits, failures, drain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from kit.listen import bind
from lb.l4 import settings
from lb.l4.pipe import Side
from lb.l4.server import L4Server, Tied
from lb.l4.settings import L4Settings
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Where, until
from tests.ports import free_port

pytestmark = pytest.mark.integration

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MEBIBYTE = 1024 * 1024


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, and end when the other side does."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


class Lab:
    """An L4 proxy before some backends."""

    def __init__(self, server: L4Server, port: int, backends: Sequence[Where]) -> None:
        self.server = server
        self.port = port
        self.backends = backends
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect through the proxy."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer


@asynccontextmanager
async def lab(*serves: Serve | None, **options: L4Settings) -> AsyncIterator[Lab]:
    """Run a proxy before one backend per handler; None is a port nobody listens on."""
    wheres, listening = [], []
    writers: list[asyncio.StreamWriter] = []
    for number, serve in enumerate(serves, 1):
        where = Where(f"l7.{number}", "127.0.0.1", free_port())
        wheres.append(where)
        if serve is not None:
            listening.append(await _listen(where, serve, writers))
    server = L4Server(FixedSwitches(), **options)  # type: ignore[arg-type]
    server.set_endpoints(wheres)
    port = free_port()
    await server.start(bind("127.0.0.1", port))
    made = Lab(server, port, wheres)
    made.writers = writers
    try:
        yield made
    finally:
        server.close()
        for one in listening:
            one.close()
        for writer in writers:
            writer.transport.abort()


async def _listen(
    where: Where, serve: Serve, writers: list[asyncio.StreamWriter]
) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError):
            await serve(reader, writer)

    return await asyncio.start_server(handle, where.host, where.port)


def test_defaults_are_the_documented_ones() -> None:
    """Connect in 1 s, idle for 600 s, three backends asked, 10,000 connections, 64 KiB held."""
    assert (
        settings.PORT,
        settings.CONNECT_TIMEOUT_S,
        settings.IDLE_TIMEOUT_S,
        settings.MAX_ATTEMPTS,
        settings.MAX_CONNECTIONS,
        settings.BUFFER_BYTES,
    ) == (8080, 1.0, 600.0, 3, 10_000, 65_536)


async def test_bytes_cross_unchanged_and_half_close_is_preserved() -> None:
    """The backend answers after the client has said that it is done."""

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = len(await reader.read())
        writer.write(f"{size} bytes".encode())
        writer.write_eof()

    async with lab(count) as one:
        reader, writer = await one.connect()
        writer.write(b"x" * 3_000_000)
        writer.write_eof()
        assert await reader.read() == b"3000000 bytes"
        await until(lambda: one.server.connections == 0)


async def test_backends_half_close_leaves_the_other_direction_open() -> None:
    """A backend that ends its stream still receives what the client sends."""
    received = bytearray()

    async def end_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        received.extend(await reader.read())

    async with lab(end_first) as one:
        reader, writer = await one.connect()
        assert await reader.read() == b"hello"
        writer.write(b"still here")
        writer.write_eof()
        await until(lambda: received == b"still here")
        await until(lambda: one.server.connections == 0)


async def test_reset_crosses_as_a_reset() -> None:
    """When the backend resets, the client's read fails instead of ending quietly."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER, no time
        writer.transport.abort()

    async with lab(reset) as one:
        reader, writer = await one.connect()
        writer.write(b"xyz")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        await until(lambda: one.server.connections == 0)


async def test_client_that_leaves_is_gone_for_the_backend_too() -> None:
    """A client's reset ends the backend's connection."""
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            ended.set()
            writer.close()

    async with lab(wait) as one:
        _, writer = await one.connect()
        writer.write(b"x")
        await until(lambda: one.server.snapshot()["l7.1.active"] == 1)
        writer.transport.abort()
        async with asyncio.timeout(10):
            await ended.wait()
        await until(lambda: one.server.snapshot()["l7.1.active"] == 0)


async def test_slow_reader_makes_the_sender_wait() -> None:
    """Buffers stay bounded while one side doesn't read, and everything arrives in the end."""
    size, sent = 32 * MEBIBYTE, 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < size:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536
        writer.write_eof()

    async with lab(flood) as one:
        reader, writer = await one.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        last, still = -1, 0
        while still < 10:
            await asyncio.sleep(0.02)
            still, last = (still + 1 if sent == last and sent else 0), sent
        assert sent < 16 * MEBIBYTE
        (client,) = one.server._clients
        assert client.transport.get_write_buffer_size() <= settings.BUFFER_BYTES + 512 * 1024
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        received = 0
        while data := await reader.read(1 << 20):
            received += len(data)
        assert received == size


async def test_what_a_client_says_before_the_backend_is_there_is_kept() -> None:
    """Bytes and the end of a stream that came early reach the backend in order."""
    async with lab(echo) as one:
        connect = one.server._connect_to
        gate = asyncio.Event()

        async def late(endpoint: str, client: object) -> bool:
            await gate.wait()
            return await connect(endpoint, client)  # type: ignore[arg-type]

        one.server._connect_to = late  # type: ignore[method-assign]
        reader, writer = await one.connect()
        writer.write(b"early")
        writer.write_eof()
        await until(lambda: any(c.has_ended or c._held for c in one.server._clients))
        gate.set()
        assert await reader.read() == b"early"


async def test_slow_backend_makes_a_client_wait_from_its_first_bytes() -> None:
    """What was held for the backend counts too: one that doesn't read stops the client at once."""
    may_read = asyncio.Event()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await may_read.wait()

    async with lab(later) as one:
        connect, gate = one.server._connect_to, asyncio.Event()

        async def late(endpoint: str, client: object) -> bool:
            await gate.wait()
            return await connect(endpoint, client)  # type: ignore[arg-type]

        one.server._connect_to = late  # type: ignore[method-assign]
        _, writer = await one.connect()
        (client,) = await _one_client(one)
        client._held.append(b"x" * 16 * MEBIBYTE)  # more than any kernel's buffers take at once
        gate.set()
        await until(lambda: one.server._clients[client] is not None)
        assert not client.transport.is_reading()
        may_read.set()
        writer.transport.abort()


async def test_both_ends_that_came_early_close_the_connection() -> None:
    """Two sides that had ended before they were tied don't wait for the idle sweep."""

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()

    async with lab(nothing) as one:
        tie = one.server._tie

        def late(client: Side, tied: Tied) -> None:
            async def when_both_have_ended() -> None:
                await until(lambda: client.has_ended and tied.backend.has_ended)
                tie(client, tied)

            tasks.append(asyncio.ensure_future(when_both_have_ended()))

        tasks: list[asyncio.Future[None]] = []
        one.server._tie = late  # type: ignore[method-assign]
        reader, writer = await one.connect()
        writer.write_eof()
        assert await reader.read() == b""
        await until(lambda: one.server.connections == 0)
        await asyncio.gather(*tasks)


async def test_connect_that_times_out_as_it_succeeds_is_counted_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that is made but not handed over in time leaves no count behind."""
    loop = asyncio.get_running_loop()
    make = loop.create_connection

    async def too_late(factory: Callable[[], Side], host: str, port: int) -> None:
        await make(factory, host, port)
        raise TimeoutError

    async with lab(echo) as one:
        writers = one.writers
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writers.append(writer)
        writer.write(b"hi")
        assert await reader.readexactly(2) == b"hi"
        with monkeypatch.context() as patch:
            patch.setattr(loop, "create_connection", too_late)
            client = Side()
            assert not await one.server._connect_to("l7.1", client)
        assert one.server.snapshot()["l7.1.active"] == 1
        writer.transport.abort()
        await until(lambda: one.server.snapshot()["l7.1.active"] == 0)


async def _one_client(one: Lab) -> tuple[Side]:
    await until(lambda: one.server.connections == 1)
    (client,) = one.server._clients
    return (client,)


async def test_refused_backend_is_skipped_and_left_for_a_second() -> None:
    """The next backend serves the client, and the dead one is not asked again at once."""
    async with lab(None, echo) as one:
        for _ in range(10):
            reader, writer = await one.connect()
            writer.write(b"hi")
            assert await reader.readexactly(2) == b"hi"
            writer.transport.abort()
        assert one.server.balancer.candidates == ("l7.2",)
        assert one.server.unserved_connections == 0


async def test_without_a_backend_the_connection_is_closed_at_once() -> None:
    """Nobody listening, or nobody known, ends the connection without a byte."""
    for serves in ((None, None), ()):
        async with lab(*serves) as one:
            reader, _ = await one.connect()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            await until(lambda one=one: one.server.unserved_connections == 1)  # type: ignore[misc]


async def test_connections_spread_by_how_many_are_open() -> None:
    """Ten connections held open over two backends are five each."""
    async with lab(echo, echo) as one:
        for _ in range(10):
            reader, writer = await one.connect()
            writer.write(b"x")
            await reader.readexactly(1)
        snapshot = one.server.snapshot()
        assert (snapshot["l7.1.active"], snapshot["l7.2.active"]) == (5, 5)


async def test_connection_limit() -> None:
    """Beyond the limit a connection is closed at once; the others go on."""
    async with lab(echo, settings=L4Settings(max_connections=1)) as one:
        reader, writer = await one.connect()
        writer.write(b"x")
        await reader.readexactly(1)
        second, _ = await one.connect()
        with suppress(ConnectionResetError):
            assert await second.read() == b""
        assert one.server.refused_connections == 1
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"


async def test_idle_connections_end() -> None:
    """Silence in both directions for the idle time ends the connection."""
    async with lab(echo, settings=L4Settings(idle_s=0.1)) as one:
        reader, writer = await one.connect()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert await reader.read() == b""
        await until(lambda: one.server.connections == 0)


async def test_drain_waits_for_connections_and_gives_up_at_its_limit() -> None:
    """Draining ends when the last connection does, or when its time is up."""
    async with lab(echo) as one:
        reader, writer = await one.connect()
        writer.write(b"x")
        await reader.readexactly(1)
        assert not await one.server.drain(0.05)
        draining = asyncio.create_task(one.server.drain(5.0))
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
        writer.write_eof()
        assert await reader.read() == b""
        assert await draining


async def test_counts_are_told_to_the_lifecycle() -> None:
    """Each connection is counted in and out once."""
    counts = [0, 0]

    def begin() -> None:
        counts[0] += 1

    def end() -> None:
        counts[1] += 1

    async with lab(echo, on_begin=begin, on_end=end) as one:  # type: ignore[arg-type]
        for _ in range(3):
            _, writer = await one.connect()
            writer.close()
        await until(lambda: counts == [3, 3])
