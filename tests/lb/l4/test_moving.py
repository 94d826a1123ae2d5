"""Another way to the same backend: connections move between two requests, and only there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lb.l4.pipe import METHODS
from tests.lb.l4.test_server import Lab, echo, lab
from tests.lb.l7.rig import Where, until
from tests.relay import Relay, relay_to

pytestmark = pytest.mark.integration

GET = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def serve_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request; ``GET /close`` is the last one."""
    while head := await read_head(reader):
        writer.write(ANSWER)
        if b"/close" in head:
            writer.close()
            return


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Read one request without a body; b"" at the end."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def ask(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    """Send a request and read its answer."""
    reader, writer = streams
    writer.write(GET)
    async with asyncio.timeout(10):
        return await reader.readexactly(len(ANSWER))


@asynccontextmanager
async def relayed(one: Lab) -> AsyncIterator[Relay]:
    """Lead the proxy to its backend through a relay, and back again at the end."""
    (direct,) = one.backends
    async with relay_to(direct.host, direct.port) as relay:
        one.server.set_endpoints([Where(direct.instance, *relay.address)])
        yield relay
        one.server.set_endpoints([direct])


def test_a_request_begins_with_a_method_and_a_space() -> None:
    """The methods of RFC 9110 and PATCH; a byte of a WebSocket frame is none of them."""
    assert {each.decode().strip() for each in METHODS} == {
        *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
    }


async def test_an_open_connection_moves_with_its_next_request_and_back() -> None:
    """The client keeps its connection; the backend of the old way sees it end."""
    async with lab(serve_http) as one:
        streams = await one.connect()
        assert await ask(streams) == ANSWER
        async with relayed(one) as relay:
            assert relay.connection_count == 0
            assert await ask(streams) == ANSWER
            assert await ask(streams) == ANSWER
            assert (relay.connection_count, relay.byte_count) == (1, 2 * len(GET))
            one.server.set_endpoints(one.backends)
            assert await ask(streams) == ANSWER
            await until(lambda: relay.open_count == 0)
        assert one.server.connections == 1
        await until(lambda: one.server.snapshot()["l7.1.active"] == 1)


async def test_an_answer_under_way_is_finished_on_the_old_way() -> None:
    """The backend takes its time: its answer comes all the same, and then the connection moves."""
    may_answer = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_head(reader):
            await may_answer.wait()
            writer.write(ANSWER)

    async with lab(slowly) as one:
        streams = await one.connect()
        asking = asyncio.create_task(ask(streams))
        await until(lambda: one.server.snapshot()["l7.1.active"] == 1)
        async with relayed(one) as relay:
            may_answer.set()
            assert await asking == ANSWER
            assert relay.connection_count == 0
            assert await ask(streams) == ANSWER
            assert relay.connection_count == 1


async def test_a_body_that_follows_its_head_stays_with_it() -> None:
    """What comes while an answer is owed is no new request, whatever it looks like."""
    async with lab(echo) as one:
        reader, writer = await one.connect()
        writer.write(b"POST / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        async with relayed(one) as relay:
            writer.write(b"POST /moves HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert relay.connection_count == 1
            one.server.set_endpoints(one.backends)
            writer.write(b"body: not a request")
            assert await reader.readexactly(19) == b"body: not a request"
            assert relay.byte_count == 24 + 19


async def test_the_end_of_the_backend_stays_the_end_of_the_client() -> None:
    """A connection that was to move and is closed by the backend before is closed."""
    async with lab(serve_http) as one:
        reader, writer = await one.connect()
        writer.write(b"GET /close HTTP/1.1\r\n\r\n")
        async with relayed(one):
            assert await reader.read() == ANSWER
            writer.close()
        await until(lambda: one.server.connections == 0)


async def test_a_connection_that_has_said_nothing_moves_with_its_first_request() -> None:
    """It was tied while the link was well; the fault bites all the same."""
    async with lab(serve_http) as one:
        streams = await one.connect()
        await until(lambda: one.server.snapshot()["l7.1.active"] == 1)
        async with relayed(one) as relay:
            assert await ask(streams) == ANSWER
            assert relay.connection_count == 1


async def test_no_request_fails_while_the_way_turns() -> None:
    """Eight clients with open connections, ten turns, no answer missing."""
    async with lab(serve_http) as one:
        served = 0
        is_over = False

        async def keep_asking() -> None:
            """Ask on one connection, again and again."""
            nonlocal served
            streams = await one.connect()
            while not is_over:
                assert await ask(streams) == ANSWER
                served += 1

        (direct,) = one.backends
        async with relay_to(direct.host, direct.port) as relay, asyncio.TaskGroup() as group:
            asking = [group.create_task(keep_asking()) for _ in range(8)]
            for turn in range(10):
                before = served
                way = direct if turn % 2 else Where("l7.1", *relay.address)
                one.server.set_endpoints([way])
                await until(lambda before=before: served > before + 100)  # type: ignore[misc]
            is_over = True
            await asyncio.wait(asking)
        assert relay.connection_count >= 8


async def test_a_way_that_leads_nowhere_ends_the_connection() -> None:
    """A cut link: the next request finds no backend, as a new connection would."""
    async with lab(serve_http) as one:
        streams = await one.connect()
        assert await ask(streams) == ANSWER
        async with relayed(one) as relay:
            await relay.stop()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await ask(streams)
