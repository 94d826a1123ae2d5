"""Published ports in process mode: real sockets on both sides."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from chaos.supervisor.forward import Forwarder
from chaos.supervisor.plan import Forward
from kit.errors import LabEnvironmentError
from tests.ports import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMIT_S = 20.0
HOST = "127.0.0.1"
INNER = "127.77.9.1"

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def forwarded(handler: Handler | None) -> AsyncIterator[int]:
    """Publish a server (or nothing) and yield the published port."""
    inner, published = free_port(INNER), free_port()
    server = await asyncio.start_server(handler, INNER, inner) if handler else None
    forwarder = Forwarder(Forward(HOST, published, INNER, inner))
    await forwarder.start()
    try:
        yield published
    finally:
        forwarder.close()
        if server:
            server.close()
        await asyncio.sleep(0)


async def test_half_closed_clients_still_get_their_answer() -> None:
    """The server sees the end of the request and answers after it."""

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await reader.read()
        writer.write(str(len(body)).encode())
        writer.close()

    async with forwarded(count) as port, asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read() == b"1000000"
        writer.close()


async def test_a_slow_reader_holds_the_writer_back() -> None:
    """Of 200 MB offered to a client that doesn't read, only buffers' worth leaves the server."""
    sent = 0
    chunk = b"x" * 1_000_000
    is_blocked = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            for _ in range(200):
                writer.write(chunk)
                sent += len(chunk)
                await asyncio.wait_for(writer.drain(), 0.5)
        except TimeoutError:
            is_blocked.set()
        finally:
            writer.transport.abort()

    async with forwarded(pour) as port, asyncio.timeout(LIMIT_S):
        _, writer = await asyncio.open_connection(HOST, port, limit=1000)
        await is_blocked.wait()
        assert sent < 30_000_000
        writer.transport.abort()


async def test_nobody_behind_the_port_resets_the_client() -> None:
    """A connection that leads nowhere ends at once."""
    async with forwarded(None) as port, asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(HOST, port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_a_server_that_breaks_off_ends_the_client() -> None:
    """An aborted connection behind is an ended one in front."""

    async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with forwarded(abort) as port, asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"x")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_a_taken_port_is_named() -> None:
    """The error has the port and what to do."""

    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with forwarded(idle) as port:
        second = Forwarder(Forward(HOST, port, INNER, 1))
        with pytest.raises(LabEnvironmentError, match=f"port {port} .* is taken.*SQUALL_PORT"):
            await second.start()


def test_the_supervisor_s_loop_forwards_what_comes_early() -> None:
    """On uvloop, which reads at once, bytes and an end sent too early arrive all the same."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async def talk() -> list[bytes]:
        answers = []
        async with forwarded(echo) as port, asyncio.timeout(LIMIT_S):
            for _ in range(20):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(b"early")
                writer.write_eof()
                answers.append(await reader.read())
                writer.close()
        return answers

    assert uvloop.run(talk()) == [b"early"] * 20
