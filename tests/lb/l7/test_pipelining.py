"""Several requests on one connection: order, keep-alive, and what closes."""

import asyncio

import pytest

from lb.l7.client import ClientConnection
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, Rig, answering, http1_clients, ok, rig, until

pytestmark = pytest.mark.integration


async def by_path(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer with the path; ``/slow`` takes its time."""
    while True:
        head = await backend.read_head(reader)
        path = head.split(b" ")[1]
        if path == b"/slow":
            await asyncio.sleep(0.05)
        writer.write(ok(path))


async def test_pipelined_requests_are_answered_in_order() -> None:
    """A slow first request is answered before the quick ones behind it, on two backends."""
    async with rig(by_path, by_path) as lab:
        client = await lab.client()
        paths = ["/slow", *(f"/{number}" for number in range(20))]
        client.send("".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n" for path in paths).encode())
        assert [(await client.answer()).body.decode() for _ in paths] == paths


async def test_bad_request_behind_a_good_one_is_answered_second() -> None:
    """The good one gets its answer, then comes 400 and the end."""
    async with rig(by_path) as lab:
        client = await lab.client()
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"/slow"
        assert (await client.answer()).status == 400
        assert await client.rest() == b""
        assert lab.backends[0].requests == 1


async def test_close_is_honoured_and_what_follows_ignored() -> None:
    """After a request that says close nothing more is served."""
    async with rig(by_path) as lab:
        client = await lab.client()
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        client.send(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.rest() == b""
        assert lab.backends[0].requests == 1


async def test_both_sides_keep_alive() -> None:
    """Fifty requests of one client use one connection to the backend."""
    async with rig(by_path) as lab:
        client = await lab.client()
        for number in range(50):
            client.get(f"/{number}")
            assert (await client.answer()).body == f"/{number}".encode()
        assert lab.backends[0].connections == 1
        assert len(lab.summaries) == 50


async def test_request_in_single_bytes_is_understood() -> None:
    """A head that arrives byte by byte is one request."""
    async with rig(by_path) as lab:
        client = await lab.client()
        for byte in b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n":
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer()).body == b"/a"


async def test_second_answer_of_a_backend_is_not_passed_on() -> None:
    """Bytes after an answer's end are nobody's: the backend's connection is closed."""
    async with rig(answering(ok(b"one") + ok(b"two"))) as lab:
        client = await lab.client()
        client.get()
        assert (await client.answer()).body == b"one"
        await until(lambda: lab.backends[0].open_connections == 0)
        client.get()
        assert (await client.answer()).body == b"one"


async def test_too_many_connections_are_closed_at_once() -> None:
    """Beyond the limit a connection ends without an answer; below it the next is served."""
    async with rig(by_path) as lab:
        lab.server._max_connections = 1
        first = await lab.client()
        await until(lambda: lab.server.connections == 1)
        second = await lab.client()
        assert await second.rest() == b""
        first.get("/1")
        assert (await first.answer()).status == 200
        assert lab.server.refused_connections == 1


async def test_idle_connections_are_swept() -> None:
    """A client that says nothing for the idle time is let go; one with half a head sooner."""
    async with rig(by_path) as lab:
        idle, half = await lab.client(), await lab.client()
        half.send(b"GET / HT")
        await until(lambda: sum(bool(c._parser.head_bytes) for c in http1_clients(lab)) == 1)
        for client in http1_clients(lab):
            client.sweep(client._idle_since_s + 9.9)
        assert not half.reader.at_eof()
        for client in http1_clients(lab):
            client.sweep(client._idle_since_s + 10.0)
        assert (await half.answer()).status == 408
        assert await half.rest() == b""
        for client in http1_clients(lab):
            client.sweep(client._idle_since_s + 60.0)
        assert await idle.rest() == b""


async def test_client_that_never_reads_its_last_answer_is_cut_off() -> None:
    """Closing waits for the client to read, and not for ever."""
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n" + b"x" * 20_000_000
    switches = FixedSwitches({"deadline": Mode.OFF})
    async with rig(answering(large), switches=switches) as lab:
        client = await lab.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.get("/", "Connection: close")
        (serving,) = await until_one(lab)
        await until(lambda: not serving.has_room)
        serving._line.clear()
        serving.close_if_idle()
        await asyncio.sleep(0.05)
        assert lab.server.connections == 1
        serving.sweep(serving._idle_since_s + 60.0)
        await until(lambda: lab.server.connections == 0)


async def test_requests_behind_the_last_answer_are_not_served() -> None:
    """After an answer that says close, what waits in line is dropped, room to write or not."""
    may_answer = asyncio.Event()

    async def gated(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await backend.read_head(reader)
            await may_answer.wait()
            writer.write(ok())

    async with rig(gated) as lab:
        client = await lab.client()
        client.get("/1")
        client.get("/2")
        (serving,) = await until_one(lab)
        await until(lambda: len(serving._line) == 2)
        finish = serving.on_exchange_done

        def finish_and_drain_the_buffer(*, keep_alive: bool, broken: bool) -> None:
            finish(keep_alive=keep_alive, broken=broken)
            serving.resume_writing()

        serving.on_exchange_done = finish_and_drain_the_buffer  # type: ignore[method-assign]
        lab.server.begin_drain()
        may_answer.set()
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.rest() == b""
        await until(lambda: lab.server.connections == 0 or serving._is_ending)
        assert (len(lab.summaries), len(serving._line)) == (1, 0)


async def until_one(lab: Rig) -> tuple[ClientConnection]:
    """Return the one connection that is served, once it is there."""
    await until(lambda: lab.server.connections == 1)
    (one,) = http1_clients(lab)
    return (one,)
