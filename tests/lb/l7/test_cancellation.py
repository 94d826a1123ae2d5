"""The client leaves, or we do: nothing leaks, nobody works for nobody."""

import asyncio
from typing import Any

import pytest

from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, Rig, answering, ok, rig, swallowing, until

pytestmark = pytest.mark.integration


def is_settled(lab: Rig) -> bool:
    """Say whether everything that was counted in was counted out."""
    snapshot = lab.proxy.snapshot()
    actives = [value for key, value in snapshot.items() if key.endswith(".active")]
    return not any(actives) and snapshot["budget.calls"] == snapshot["budget.retries"] == 0


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
async def test_client_that_leaves_cancels_the_backends_work(how: str) -> None:
    """However a client goes, the backend's connection is closed and 499 is recorded."""
    async with rig(swallowing, switches=FixedSwitches({"deadline": Mode.OFF})) as lab:
        client = await lab.client()
        client.get()
        await until(lambda: lab.backends[0].received.endswith(b"\r\n\r\n"))
        if how == "reset":
            client.writer.transport.abort()
        elif how == "close":
            client.writer.close()
        else:
            client.writer.write_eof()
        await until(lambda: lab.backends[0].open_connections == 0)
        await until(lambda: lab.server.connections == 0)
        assert lab.summaries[0].code == 499
        assert is_settled(lab)


async def test_client_that_leaves_inside_the_body_cancels_too() -> None:
    """A request cut short is never taken for complete by the backend."""
    async with rig(swallowing) as lab:
        client = await lab.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: lab.backends[0].received.endswith(b"abc\r\n"))
        client.writer.transport.abort()
        await until(lambda: lab.backends[0].open_connections == 0)
        assert not lab.backends[0].received.endswith(b"0\r\n\r\n")
        assert is_settled(lab)


async def test_client_that_leaves_inside_the_answer_cancels_too() -> None:
    """A backend that is still sending is cut off."""

    async def endless(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4\r\nmore\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)

    async with rig(endless, switches=FixedSwitches({"deadline": Mode.OFF})) as lab:
        client = await lab.client()
        client.get()
        await client.reader.readuntil(b"more")
        client.writer.transport.abort()
        await until(lambda: lab.backends[0].open_connections == 0)
        assert is_settled(lab)


async def test_client_that_leaves_while_connecting_leaks_nothing() -> None:
    """The connection that comes too late is kept for the next request."""
    async with rig(answering(ok())) as lab:
        pool = lab.proxy._pools["gateway.1"]
        connect = pool.connect
        waiting: list[Any] = []
        pool.connect = waiting.append  # type: ignore[method-assign,assignment]
        client = await lab.client()
        client.get()
        await until(lambda: bool(waiting))
        client.writer.transport.abort()
        await until(lambda: bool(lab.summaries))
        connect(waiting[0])
        await until(lambda: pool.counts == (1, 1))
        pool.connect = connect  # type: ignore[method-assign]
        assert (await lab.ask()).status == 200
        assert lab.backends[0].connections == 1
        assert is_settled(lab)


async def test_pipelined_requests_of_a_client_that_left_are_not_sent() -> None:
    """What waited in line is forgotten with the client."""
    async with rig(swallowing) as lab:
        client = await lab.client()
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: b"/1" in lab.backends[0].received)
        client.writer.transport.abort()
        # Reading stopped with a request in line, so only the deadline tells that nobody is there.
        await until(lambda: lab.server.connections == 0)
        assert b"/2" not in lab.backends[0].received
        assert is_settled(lab)


async def test_drain_finishes_what_is_under_way_and_says_close() -> None:
    """Idle connections end at once, the answer under way says close, nobody new gets in."""
    release = asyncio.Event()

    async def held(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await release.wait()
        writer.write(ok())
        await reader.read()

    async with rig(held) as lab:
        idle, busy = await lab.client(), await lab.client()
        busy.get()
        await until(lambda: lab.backends[0].requests == 1 and lab.server.connections == 2)
        draining = asyncio.create_task(lab.server.drain(5.0))
        assert await idle.rest() == b""
        with pytest.raises(OSError, match=r"refused|Connect"):
            await lab.client()
        release.set()
        assert (await busy.answer()).headers["connection"] == "close"
        assert await draining
        assert await busy.rest() == b""


async def test_drain_gives_up_at_its_limit() -> None:
    """A request that doesn't end is cut off when the time for draining is over."""
    async with rig(swallowing, switches=FixedSwitches({"deadline": Mode.OFF})) as lab:
        client = await lab.client()
        client.get()
        await until(lambda: bool(lab.backends[0].received))
        assert not await lab.server.drain(0.05)
        lab.server.close()
        assert await client.rest() == b""
        await until(lambda: is_settled(lab))


async def test_lame_duck_still_serves_and_says_close() -> None:
    """Between not ready and the end, a request on a kept connection gets its answer, the last."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.get()
        assert "connection" not in (await client.answer()).headers
        lab.server.begin_drain()
        client.get()
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.rest() == b""
