"""Bodies, streamed both ways, in every framing, with back-pressure."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from lb.l7.settings import BUFFER_BYTES
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, answering, http1_clients, ok, rig, until

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
NO_DEADLINE = FixedSwitches({"deadline": Mode.OFF})


async def echo_length(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer each request that has a content-length with its body."""
    while True:
        head = await backend.read_head(reader)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        writer.write(ok(await reader.readexactly(length)))


async def record_chunks(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Record a chunked request up to its empty line, then answer."""
    while True:
        await backend.read_head(reader)
        body = await reader.readuntil(b"0\r\n")
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            body += line
        backend.received += body
        writer.write(ok())


async def test_request_body_with_a_length_arrives_unchanged() -> None:
    """A mebibyte sent with content-length comes back from the backend as it was."""
    body = hashlib.sha256(b"seed").digest() * (MEBIBYTE // 32)
    async with rig(echo_length) as lab:
        client = await lab.client()
        for _ in range(2):
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
            client.send(body)
            answer = await client.answer()
            assert (answer.status, answer.body == body) == (200, True)
        assert lab.backends[0].connections == 1


async def test_chunked_request_keeps_its_trailers() -> None:
    """Chunks and trailers are passed on; a trailer that steers routing is not."""
    async with rig(record_chunks) as lab:
        client = await lab.client()
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\nHost: b\r\n\r\n"
        )
        assert (await client.answer()).status == 200
        seen = bytes(lab.backends[0].received)
        assert seen.endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n")
        assert b"transfer-encoding: chunked\r\n" in seen


async def test_chunked_answer_keeps_its_trailers() -> None:
    """Chunks and trailers of an answer reach the client, and the connections stay."""
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
    )
    async with rig(answering(chunked)) as lab:
        client = await lab.client()
        for _ in range(3):
            client.get()
            assert (await client.answer()).body == b"abcde"
            assert client.trailers == b"X-Sum: 5\r\n"
        assert lab.backends[0].connections == 1


async def test_answer_that_ends_with_the_connection_becomes_chunked() -> None:
    """Without length or chunks the backend's close is the end, and the client may stay."""

    async def until_close(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall")
        writer.write_eof()
        await reader.read()

    async with rig(until_close) as lab:
        client = await lab.client()
        for _ in range(2):
            client.get()
            answer = await client.answer()
            assert (answer.body, answer.headers["transfer-encoding"]) == (b"all", "chunked")


@pytest.mark.parametrize("framing", [b"content-length: 5", b"transfer-encoding: chunked"])
async def test_head_answer_has_no_body(framing: bytes) -> None:
    """An answer to HEAD ends with its head, whatever its framing says, and connections stay."""
    async with rig(answering(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")) as lab:
        client = await lab.client()
        for _ in range(3):
            client.get(method="HEAD")
            answer = await client.answer(is_head=True)
            assert answer.headers.get("content-length") == (
                "5" if framing.startswith(b"content") else None
            )
        assert lab.backends[0].connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
    ],
)
async def test_bodiless_statuses_have_no_body(raw: bytes) -> None:
    """204 and 304 end with their head, and the next answer is read where it begins."""
    async with rig(answering(raw)) as lab:
        client = await lab.client()
        for _ in range(3):
            client.get()
            assert (await client.answer()).status in (204, 304)
        assert lab.backends[0].connections == 1


async def test_expect_continue_is_answered_before_the_body() -> None:
    """The client is told to go on, the backend never sees the expectation."""
    async with rig(echo_length) as lab:
        client = await lab.client()
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await client.answer()).status == 100
        client.send(b"abc")
        assert (await client.answer()).body == b"abc"
        assert b"100-continue" not in lab.backends[0].received


async def test_early_hints_are_passed_on_and_100_is_not() -> None:
    """A 103 reaches the client before the answer; the backend's own 100 goes no further."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with rig(answering(hints + ok())) as lab:
        client = await lab.client()
        client.get()
        assert (await client.answer()).head.endswith(b"\r\nLink: </a>\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_early_answer_ends_the_connection_and_arrives_whole() -> None:
    """An answer before the body's end is passed on, says close, and no reset overtakes it."""

    async def refuse(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await reader.read()

    async with rig(refuse) as lab:
        client = await lab.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
        client.send(b"x" * 2_000_000)
        answer = await client.answer()
        assert (answer.status, answer.body) == (413, b"big")
        assert answer.headers["connection"] == "close"
        assert await client.rest() == b""


async def test_slow_reader_makes_the_backend_wait() -> None:
    """While the client doesn't read, the backend can send only what the buffers hold."""
    size = 32 * MEBIBYTE
    sent = 0

    async def large(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal sent
        await backend.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536
        await reader.read()

    async with rig(large, switches=NO_DEADLINE) as lab:
        client = await lab.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.get()
        await _settled(lambda: sent)
        assert 0 < sent < 16 * MEBIBYTE  # kernel buffers of two connections, and ours
        (serving,) = http1_clients(lab)
        assert serving.transport.get_write_buffer_size() <= BUFFER_BYTES + 2 * 256 * 1024

        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answer = await client.answer()
        assert len(answer.body) == size


async def test_slow_backend_makes_the_client_wait() -> None:
    """While the backend doesn't read, the client can send only what the buffers hold."""
    size = 32 * MEBIBYTE
    may_read = asyncio.Event()

    async def slow(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await may_read.wait()
        left = size
        while left:
            left -= len(await reader.read(1 << 20))
        writer.write(ok())

    async with rig(slow, switches=NO_DEADLINE) as lab:
        client = await lab.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        sent = 0

        async def feed() -> None:
            nonlocal sent
            while sent < size:
                client.send(b"x" * 65536)
                await client.writer.drain()
                sent += 65536

        feeding = asyncio.create_task(feed())
        await _settled(lambda: sent)
        assert 0 < sent < 16 * MEBIBYTE
        may_read.set()
        await feeding
        assert (await client.answer()).status == 200


async def test_body_held_for_a_connection_is_bounded() -> None:
    """Before a backend accepts, at most the buffer and one read of the body are taken in."""
    async with rig(echo_length, switches=NO_DEADLINE) as lab:
        pool = lab.proxy._pools["gateway.1"]
        waiting: list[Any] = []
        pool.connect = waiting.append  # type: ignore[method-assign,assignment]
        client = await lab.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
        client.send(b"x" * 9_000_000)
        await until(lambda: bool(waiting))
        (serving,) = http1_clients(lab)
        await until(lambda: serving._gate.reasons != 0)
        (exchange,) = serving._line
        assert exchange.body._held_bytes <= BUFFER_BYTES + 256 * 1024  # type: ignore[union-attr]


async def _settled(value: Callable[[], int]) -> None:
    """Wait until a counter has begun to move and then stands still."""
    last, still = -1, 0
    async with asyncio.timeout(10):
        while still < 10:
            await asyncio.sleep(0.02)
            now = value()
            still = still + 1 if now == last and now > 0 else 0
            last = now
