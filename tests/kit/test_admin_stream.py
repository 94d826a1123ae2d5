"""Events at the admin port: as a page, and as a stream over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from kit.admin import AdminServer
from kit.admin_stream import MAX_STREAMS
from kit.control import ControlClient
from kit.events import as_stream
from kit.node import Node
from tests.kit.lab import node_of, wait_until
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture
async def admin(control: ControlClient, shared_control: Valkey) -> AsyncIterator[AdminServer]:
    """The open admin port of a node."""
    async with node_of(shared_control) as node:
        found = AdminServer(node)
        await found.start()
        yield found
        await found.stop()


def refuse(node: Node) -> int:
    """Tell of a refusal; return its id."""
    node.events.on_decision("limiter", "rejected", node.instance, {"value": 6, "limit": 5})
    return node.events.newest(1)[0].id


async def listen(
    node: Node, accept: str = "text/event-stream", more: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for the events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.admin_port)
    head = f"GET /admin/events HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n{more}\r\n"
    writer.write(head.encode())
    return reader, writer


async def test_a_page_shows_the_newest_and_the_counts(admin: AdminServer) -> None:
    """Newest first, as JSON."""
    refuse(admin._node)
    last = refuse(admin._node)
    reader, writer = await listen(admin._node, "application/json")
    body = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    assert (body["left_out"], body["kept"]) == (0, body["told"])
    assert body["events"][0]["id"] == last


async def test_a_stream_sends_what_is_kept_and_what_comes(admin: AdminServer) -> None:
    """An event told after the stream began arrives on it."""
    reader, writer = await listen(admin._node)
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    event_id = refuse(admin._node)
    assert await reader.readuntil(b"\n\n") == admin_event(admin._node, event_id)
    writer.close()
    await wait_until(lambda: not admin.streams._tasks)


def admin_event(node: Node, event_id: int) -> bytes:
    """Write the event that the ring has under an id, as a stream has it."""
    return b"".join(as_stream(node.events.after(event_id - 1)))


async def test_a_client_that_comes_back_gets_what_it_missed(admin: AdminServer) -> None:
    """``Last-Event-ID`` says from where."""
    first = refuse(admin._node)
    second = refuse(admin._node)
    reader, writer = await listen(admin._node, more=f"last-event-id: {first}\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert (await reader.readuntil(b"\n\n")).startswith(b"id: %d\n" % second)
    writer.close()


@pytest.mark.parametrize("last_id", ["yesterday", "-1", "9" * 5_000])
async def test_a_last_event_id_that_is_none_is_refused(admin: AdminServer, last_id: str) -> None:
    """400, and it says what was meant."""
    reader, writer = await listen(admin._node, more=f"last-event-id: {last_id}\r\n")
    raw = await reader.read()
    writer.close()
    assert raw.startswith(b"HTTP/1.1 400")
    assert b"LAST_EVENT_ID_INVALID" in raw


async def test_a_few_listen_at_a_time(admin: AdminServer) -> None:
    """One more is told so, and the others go on."""
    open_ones = [await listen(admin._node) for _ in range(MAX_STREAMS)]
    for reader, _ in open_ones:
        await reader.readuntil(b"\r\n\r\n")
    reader, writer = await listen(admin._node)
    assert b"TOO_MANY_STREAMS" in await reader.read()
    refuse(admin._node)
    for stream, _ in open_ones:
        assert (await stream.readuntil(b"\n\n")).startswith(b"id: ")
    for _, each in [*open_ones, (reader, writer)]:
        each.close()


async def test_stopping_ends_the_streams(admin: AdminServer) -> None:
    """Nobody who listens holds a process up."""
    reader, writer = await listen(admin._node)
    await reader.readuntil(b"\r\n\r\n")
    await admin.stop()
    await reader.read()
    assert reader.at_eof()
    writer.close()
