"""A tunnel's life: its bytes, who has to wait, and what ends it."""

import asyncio
import os

import pytest

from lb.l7.settings import BUFFER_BYTES
from lb.l7.tunnel import WebSocketOptions
from tests.lb.l7.rig import WAIT_S, Backend, until
from tests.lb.l7.websocket import AGREED, ASK, GET, agreeing, agreeing_rest, chat, opened, read


@pytest.mark.integration
async def test_what_looks_like_a_request_in_a_tunnel_is_none() -> None:
    """It reaches the backend as bytes, on the tunnel's connection; nothing is answered for it."""
    async with chat(agreeing()) as (lab, client, _):
        await opened(client)
        client.send(GET)
        assert await read(client, len(GET)) == GET
        assert lab.backends[0].connections == 1
        assert len(lab.summaries) == 1


@pytest.mark.integration
@pytest.mark.parametrize("who", ["client", "backend"])
async def test_one_sides_end_ends_both(who: str) -> None:
    """What was said before the end is still delivered."""

    async def leaving(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(AGREED + b"last words")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    handler = leaving if who == "backend" else agreeing()
    async with chat(handler) as (lab, client, tunnels):
        await opened(client)
        if who == "backend":
            assert await client.rest() == b"last words"
        else:
            client.send(b"last words")
            assert await read(client, 10) == b"last words"
            client.writer.close()
        await until(lambda: tunnels.open == 0)
        await until(lambda: lab.backends[0].open_connections == 0)
        await until(lambda: lab.server.connections == 0)
        assert tunnels.snapshot()["bytes_from_backends"] == 10


@pytest.mark.integration
async def test_a_side_that_does_not_read_makes_the_other_wait() -> None:
    """A backend that pours stands still when the client doesn't read, then all arrives."""
    size = 32 * 1024 * 1024
    sent = 0

    async def pouring(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal sent
        await backend.read_head(reader)
        writer.write(AGREED)
        block = bytes(256 * 1024)
        while sent < size:
            writer.write(block)
            sent += len(block)
            await writer.drain()
        await reader.read()

    async with chat(pouring) as (_, client, _tunnels):
        await opened(client)
        seen = -1

        async def stands_still() -> None:
            nonlocal seen
            while seen != sent:
                seen = sent
                await asyncio.sleep(0.1)

        await asyncio.wait_for(stands_still(), WAIT_S)
        assert 0 < sent < size
        left = size
        async with asyncio.timeout(WAIT_S):
            while left:
                left -= len(await client.reader.read(min(left, 1024 * 1024)))


@pytest.mark.integration
async def test_more_before_the_101_than_is_held() -> None:
    """The client has to wait; everything arrives once the backend agrees."""
    blob = os.urandom(4 * BUFFER_BYTES)
    may_agree = asyncio.Event()

    async def slow(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await may_agree.wait()
        await agreeing_rest(backend, reader, writer)

    async with chat(slow) as (lab, client, _):
        client.send(ASK + blob)
        await until(lambda: lab.backends[0].requests == 1)
        may_agree.set()
        assert (await client.answer()).status == 101
        assert await read(client, len(blob)) == blob


@pytest.mark.integration
async def test_silence_ends_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides are closed, and it is counted."""
    monkeypatch.setattr("lb.l7.server.SWEEP_S", 0.01)
    options = WebSocketOptions(enabled=True, idle_s=0.001)
    async with chat(agreeing(), options=options) as (lab, client, tunnels):
        await opened(client)
        assert await client.rest() == b""
        await until(lambda: lab.backends[0].open_connections == 0)
        assert (tunnels.ended_idle, tunnels.open) == (1, 0)


@pytest.mark.integration
async def test_beyond_the_limit_is_refused() -> None:
    """503 with retry-after; when the first has ended there is room again."""
    options = WebSocketOptions(enabled=True, limit=1)
    async with chat(agreeing(), options=options) as (lab, first, tunnels):
        await opened(first)
        second = await lab.client()
        second.send(ASK)
        answer = await second.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"TOO_MANY_TUNNELS" in answer.body
        first.writer.close()
        await until(lambda: tunnels.open == 0)
        await opened(await lab.client())


@pytest.mark.integration
async def test_a_drain_closes_tunnels() -> None:
    """It doesn't wait for what may last hours."""
    async with chat(agreeing()) as (lab, client, tunnels):
        await opened(client)
        assert await lab.server.drain(WAIT_S)
        assert await client.rest() == b""
        assert tunnels.open == 0


@pytest.mark.integration
async def test_while_draining_no_tunnel_begins() -> None:
    """A backend's 101 comes too late: 503, and the backend's connection is closed."""
    async with chat(agreeing()) as (lab, client, tunnels):
        lab.server.begin_drain()
        client.send(ASK)
        answer = await client.answer()
        assert answer.status == 503
        assert b"DRAINING" in answer.body
        await until(lambda: lab.backends[0].open_connections == 0)
        assert tunnels.opened == 0
