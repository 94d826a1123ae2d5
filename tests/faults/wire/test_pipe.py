"""Connections through a proxy, with real sockets on both sides."""

import asyncio
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
import uvloop

from faults.wire import pipe
from faults.wire.piece import Way
from faults.wire.proxy import Proxy
from kit.listen import reset_on_close
from tests.faults.wire.lab import Proxied, echo, ports, proxied, toxic
from tests.kit.lab import wait_until
from tests.ports import free_port

pytestmark = pytest.mark.integration

Scenario = Callable[[], Awaitable[None]]
MEGABYTE = 1_000_000


async def test_defaults_are_the_documented_ones() -> None:
    """1 MiB on its way, 64 KiB in a socket's buffer, 5 s to connect, 5 s to close."""
    assert (pipe.HELD_BYTES, pipe.WRITE_BUFFER_BYTES) == (1_048_576, 65_536)
    assert (pipe.CONNECT_TIMEOUT_S, pipe.CLOSE_LIMIT_S) == (5.0, 5.0)


async def test_a_close_does_not_wait_for_ever_for_a_peer_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was written before gets its time; then the connection is cut."""
    monkeypatch.setattr(pipe, "CLOSE_LIMIT_S", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"y" * 30 * MEGABYTE)
        await writer.drain()

    async with proxied(serve=serve) as made:
        _, writer = await made.connect()
        cast(asyncio.Transport, writer.transport).pause_reading()
        await wait_until(lambda: any(not one.client.may_write for one in made.proxy._pipes))
        made.proxy.close()
        made.proxy.set_toxics([toxic("latency", ms=1.0)])  # a change meanwhile is no reprieve
        await wait_until(lambda: made.proxy.connections == 0)


async def test_a_connection_cut_before_it_was_made_is_not_kept() -> None:
    """The proxy ends in the turn of the loop between the accepting and the making."""
    async with proxied(serve=echo) as made:
        client = made.proxy._accept()
        made.proxy.cut()
        await asyncio.get_running_loop().create_connection(lambda: client, *made.proxy.upstream)
        await wait_until(lambda: made.proxy.connections == 0)


async def test_a_server_whose_name_cannot_be_is_a_reset_for_the_client() -> None:
    """A label of a name is never empty; looking it up raises no OSError."""
    proxy = Proxy(ports().listen(), ("a..b", 80), random.Random(1))
    try:
        reader, writer = await asyncio.open_connection(*proxy.listen)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        await wait_until(lambda: proxy.connections == 0)
    finally:
        proxy.close()


async def whole_stream_and_half_close() -> None:
    """Three megabytes, then a half-close, then the answer; all of it counted."""

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = len(await reader.read())
        writer.write(f"{size} bytes".encode())
        writer.write_eof()

    async with proxied(serve=count) as made:
        reader, writer = await made.connect()
        writer.write(b"x" * 3 * MEGABYTE)
        writer.write_eof()
        assert await reader.read() == b"3000000 bytes"
        await wait_until(lambda: made.proxy.connections == 0)
        assert made.proxy.carried_bytes == {Way.UPSTREAM: 3 * MEGABYTE, Way.DOWNSTREAM: 13}


async def reset_is_real() -> None:
    """Both sides see a reset, no orderly end."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError:
            seen.append("reset")

    told = toxic("reset_peer", Way.UPSTREAM)
    async with proxied(told, serve=serve) as made:
        reader, writer = await made.connect()
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await wait_until(lambda: seen == ["reset"])
        assert told[1].resets == 1


async def live_changes() -> None:
    """Toxics come and go on a connection that stands."""
    async with proxied() as made:
        reader, writer = await made.connect()
        await ping(reader, writer)
        made.proxy.set_toxics([toxic("latency", ms=30_000)])
        writer.write(b"held")
        await wait_until(lambda: held(made) == 4)
        made.proxy.set_toxics([])
        assert await reader.readexactly(4) == b"held"
        made.proxy.set_toxics([toxic("latency", ms=30)])
        assert await ping(reader, writer) >= 0.03
        made.proxy.set_toxics([toxic("down")])
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def slices_stay_slices() -> None:
    """One write for each slice, so one packet for each."""
    async with proxied(toxic("slicer", bytes=10)) as made:
        reader, writer = await made.connect()
        writer.write(b"x" * 50)
        sizes: list[int] = []
        while sum(sizes) < 50:
            sizes.append(len(await reader.read(1_000)))
        assert max(sizes) <= 20  # the reader may be late by one


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    "scenario",
    [whole_stream_and_half_close, reset_is_real, live_changes, slices_stay_slices],
)
def test_on_both_event_loops(
    scenario: Scenario, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The lab runs on uvloop, the tests on asyncio's own; their transports differ in details."""

    async def run() -> None:
        await scenario()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """Send a message to an echoing server; return the seconds until it is back."""
    started_s = time.monotonic()
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    return time.monotonic() - started_s


def held(made: Proxied) -> int:
    """Bytes on their way through a proxy's connections."""
    exchanges = [one._exchange for one in made.proxy._pipes]
    return sum(each.held_bytes(way) for each in exchanges for way in Way)


async def test_what_is_down_is_reset_before_the_server_hears_of_it() -> None:
    """Each connection counts; nobody is dialled."""
    told = toxic("down")
    async with proxied(told) as made:
        for _ in range(3):
            reader, _ = await made.connect()
            with pytest.raises(ConnectionResetError):
                await reader.read()
        await wait_until(lambda: made.proxy.connections == 0)
        assert (told[1].hits, told[1].connections, told[1].resets) == (3, 3, 3)


async def test_a_server_that_refuses_is_a_reset_for_the_client() -> None:
    """A proxy can't refuse what it has accepted."""
    proxy = Proxy(ports().listen(), ("127.0.0.1", free_port()), random.Random(1))
    try:
        reader, writer = await asyncio.open_connection(*proxy.listen)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        await wait_until(lambda: proxy.connections == 0)
    finally:
        proxy.close()


@pytest.mark.parametrize("toxics", [[], [toxic("latency", Way.UPSTREAM, ms=1)]])
async def test_a_server_that_does_not_read_stops_the_client(toxics: list[object]) -> None:
    """What lies between them is bounded, with toxics and without."""
    is_over = asyncio.Event()

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await is_over.wait()

    async with proxied(*toxics, serve=never_read) as made:  # type: ignore[arg-type]
        _, writer = await made.connect()
        assert await write_until_stuck(writer) < 50 * MEGABYTE
        assert held(made) <= pipe.HELD_BYTES + 300_000  # one read more
        is_over.set()


async def write_until_stuck(writer: asyncio.StreamWriter) -> int:
    """Write until nobody takes it any more; return the bytes given away."""
    for sent in range(100):
        writer.write(b"x" * MEGABYTE)
        try:
            await asyncio.wait_for(writer.drain(), 0.5)
        except TimeoutError:
            return sent * MEGABYTE
    return 100 * MEGABYTE


async def test_a_client_that_does_not_read_stops_the_server() -> None:
    """The other direction likewise, and all of it arrives once the client reads."""
    body = b"y" * 30 * MEGABYTE
    has_sent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(body)
        await writer.drain()
        has_sent.set()
        writer.write_eof()

    async with proxied(toxic("latency", ms=1), serve=serve) as made:
        reader, _ = await made.connect()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(has_sent.wait(), 0.5)
        assert await reader.read() == body


async def test_a_reset_by_the_client_reaches_the_server_as_one() -> None:
    """Not as an orderly end."""
    seen: list[type[BaseException]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(100)
            await reader.read(100)
        except ConnectionResetError as error:
            seen.append(type(error))

    async with proxied(serve=serve) as made:
        _, writer = await made.connect()
        writer.write(b"hello")
        await wait_until(lambda: bool(made.proxy._pipes))
        await wait_until(lambda: all(one.bytes[Way.UPSTREAM] for one in made.proxy._pipes))
        reset_on_close(writer.get_extra_info("socket").fileno())
        writer.transport.abort()
        await wait_until(lambda: seen == [ConnectionResetError])


async def test_the_server_may_end_its_half_first() -> None:
    """It still receives what the client sends."""
    received = bytearray()

    async def end_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        received.extend(await reader.read())

    async with proxied(serve=end_first) as made:
        reader, writer = await made.connect()
        assert await reader.read() == b"hello"
        writer.write(b"still here")
        writer.write_eof()
        await wait_until(lambda: bytes(received) == b"still here")
        await wait_until(lambda: made.proxy.connections == 0)


async def test_what_a_toxic_answers_after_the_servers_end_is_dropped() -> None:
    """The client was told that no more comes; a refusal of ours breaks nothing then."""
    errors: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: errors.append(told))
    refused = toxic("loading")

    async def end_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await reader.read()

    async with proxied(refused, serve=end_first) as made:
        reader, writer = await made.connect()
        assert await reader.read() == b""
        writer.write(b"PING\r\n")
        await wait_until(lambda: refused[1].hits == 1)
        writer.close()
        await wait_until(lambda: made.proxy.connections == 0)
    assert errors == []


async def test_a_limit_ends_both_connections() -> None:
    """The client gets what was allowed and an end; the server an end."""
    async with proxied(toxic("limit_data", bytes=2)) as made:
        reader, writer = await made.connect()
        writer.write(b"hello")
        assert await reader.read() == b"he"
        await wait_until(lambda: made.proxy.connections == 0)


async def test_a_timeout_closes_a_connection_on_which_nothing_comes() -> None:
    """Its clock needs no bytes."""
    async with proxied(toxic("timeout", ms=50)) as made:
        reader, _ = await made.connect()
        assert await reader.read() == b""
        await wait_until(lambda: made.proxy.connections == 0)


async def test_share_is_one_of_connections() -> None:
    """With a share of a half some of 40 connections are cut and some echo."""
    told = toxic("down", share=0.5)
    async with proxied(told) as made:
        got = [await is_served(made) for _ in range(40)]
        assert 8 < sum(got) < 32
        assert told[1].hits == got.count(False)


async def is_served(made: Proxied) -> bool:
    """Whether a new connection works."""
    reader, writer = await made.connect()
    try:
        await ping(reader, writer)
    except (ConnectionResetError, asyncio.IncompleteReadError):
        return False
    return True


async def test_closing_a_proxy_ends_its_connections_and_refuses_others() -> None:
    """Nothing is left behind."""
    async with proxied(serve=echo) as made:
        reader, writer = await made.connect()
        await ping(reader, writer)
        made.proxy.close()
        assert await reader.read() == b""
        await wait_until(lambda: made.proxy.connections == 0)
        with pytest.raises(ConnectionRefusedError):
            await made.connect()
        assert "0 connections" in repr(made.proxy)


async def test_the_client_that_resets_while_the_server_is_dialled_is_forgotten() -> None:
    """No connection is left half made."""
    with socket.socket() as full:  # listens, and accepts nobody
        full.bind(("127.0.0.1", free_port()))
        full.listen(0)
        proxy = Proxy(ports().listen(), full.getsockname(), random.Random(1))
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            _, writer = await asyncio.open_connection(*proxy.listen)
            await wait_until(lambda: proxy.connections == 1)
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await wait_until(lambda: proxy.connections == 0)
        finally:
            proxy.close()
            for filler in fillers:
                filler.close()
