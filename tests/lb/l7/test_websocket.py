"""How a WebSocket begins: what is agreed, and what never becomes a tunnel."""

import asyncio

import pytest

from kit.source import SourceError
from lb.l7.config import parse_config
from lb.l7.tunnel import IDLE_S, MAX_TUNNELS, WebSocketOptions
from tests.lb.l7.rig import Backend, answering, ok, rig, until
from tests.lb.l7.websocket import AGREED, ASK, BEGIN, GET, KEY, agreeing, agreeing_rest, chat, read


@pytest.mark.integration
async def test_bytes_go_both_ways_after_the_101() -> None:
    """The backend sees one upgrade request; what it says with its 101 comes first."""
    async with chat(agreeing(b"\x81\x02hi")) as (lab, client, tunnels):
        client.send(ASK)
        answer = await client.answer()
        assert answer.status == 101
        assert answer.headers["upgrade"] == "websocket"
        assert answer.headers["connection"] == "upgrade"
        assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert await read(client, 4) == b"\x81\x02hi"
        client.send(b"\x81\x85frame")
        assert await read(client, 7) == b"\x81\x85frame"
        seen = bytes(lab.backends[0].received).lower()
        assert seen.count(b"upgrade: websocket\r\n") == 1
        assert seen.count(b"connection: upgrade\r\n") == 1
        assert b"sec-websocket-key: " in seen
        assert b"x-forwarded-for: 127.0.0.1\r\n" in seen
        assert b"x-envoy-expected-rq-timeout-ms" not in seen
        assert (tunnels.open, tunnels.opened) == (1, 1)
        assert lab.proxy.snapshot()["websocket.open"] == 1
        assert [(one.code, one.status) for one in lab.summaries] == [(101, "SWITCHED")]


@pytest.mark.integration
async def test_bytes_before_the_101_are_held_and_come_first() -> None:
    """With the head and after it: the backend gets them once it has agreed, in order."""
    may_agree = asyncio.Event()

    async def slow(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await may_agree.wait()
        assert not reader._buffer  # type: ignore[attr-defined]  # nothing came before the 101
        await agreeing_rest(backend, reader, writer)

    async with chat(slow) as (lab, client, _):
        client.send(ASK + b"one")
        await until(lambda: lab.backends[0].requests == 1)
        client.send(b"two")
        may_agree.set()
        assert (await client.answer()).status == 101
        assert await read(client, 6) == b"onetwo"


@pytest.mark.integration
@pytest.mark.parametrize("behind", [b"", GET])
async def test_an_answer_that_is_no_101_is_an_ordinary_one(behind: bytes) -> None:
    """It is passed on, the connection ends, and what came behind the request is never parsed."""
    refusal = b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno"
    async with chat(answering(refusal)) as (lab, client, tunnels):
        client.send(ASK + behind)
        answer = await client.answer()
        assert (answer.status, answer.body) == (426, b"no")
        assert answer.headers["connection"] == "close"
        assert await client.rest() == b""
        assert lab.backends[0].requests == 1
        assert b"/secret" not in lab.backends[0].received
        assert tunnels.opened == 0


@pytest.mark.integration
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 X\r\n\r\n",
        b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 X\r\nupgrade: websocket\r\n\r\n",
        AGREED.replace(b"\r\n\r\n", b"\r\ncontent-length: 3\r\n\r\nabc"),
        AGREED.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        AGREED.replace(b"\r\n\r\n", b"\r\nupgrade: websocket\r\n\r\n"),
    ],
)
async def test_a_101_that_does_not_agree_is_a_bad_answer(answer: bytes) -> None:
    """502, and no tunnel: whoever said it is not believed to have changed protocols."""
    async with chat(agreeing(answer=answer)) as (_, client, tunnels):
        client.send(ASK)
        assert (await client.answer()).status == 502
        assert tunnels.opened == 0


@pytest.mark.integration
async def test_a_101_that_nobody_asked_for_is_a_bad_answer() -> None:
    """An ordinary request never becomes a tunnel."""
    async with chat(agreeing()) as (_, client, tunnels):
        client.get("/")
        assert (await client.answer()).status == 502
        assert tunnels.opened == 0


REFUSED = {
    "a length": (BEGIN + KEY + b"Content-Length: 3\r\n\r\nabc", 400),
    "a length of nothing": (BEGIN + KEY + b"Content-Length: 0\r\n\r\n", 400),
    "chunks": (BEGIN + KEY + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "another method": (ASK.replace(b"GET", b"POST"), 400),
    "HTTP/1.0": (ASK.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "h2c": (ASK.replace(b": WebSocket", b": h2c"), 501),
    "two protocols": (ASK.replace(b": WebSocket", b": websocket, h2c"), 501),
    "two headers": (BEGIN + b"Upgrade: websocket\r\n" + KEY + b"\r\n", 501),
    "an unknown one": (ASK.replace(b": WebSocket", b": websocket2"), 501),
}


@pytest.mark.integration
@pytest.mark.parametrize("shape", REFUSED)
async def test_a_doubtful_upgrade_reaches_no_backend(shape: str) -> None:
    """It is refused, the connection ends, and what stands behind it is no request either."""
    request, status = REFUSED[shape]
    async with chat(agreeing()) as (lab, client, tunnels):
        client.send(request + GET)
        assert (await client.answer()).status == status
        assert await client.rest() == b""
        assert lab.backends[0].requests == 0
        assert tunnels.opened == 0


@pytest.mark.integration
async def test_without_its_token_an_upgrade_header_means_nothing() -> None:
    """It is dropped, and the request is an ordinary one."""
    async with chat(answering(ok())) as (lab, client, _):
        client.get("/", "Upgrade: websocket")
        assert (await client.answer()).status == 200
        client.get("/")
        assert (await client.answer()).status == 200
        assert b"upgrade" not in lab.backends[0].received.lower()


@pytest.mark.integration
async def test_as_shipped_a_websocket_is_refused() -> None:
    """The answer says how to allow it."""
    async with rig(agreeing()) as lab:
        client = await lab.client()
        client.send(ASK)
        answer = await client.answer()
        assert answer.status == 501
        assert b"websocket: {enabled: true}" in answer.body


@pytest.mark.integration
async def test_an_upgrade_behind_another_request_waits_its_turn() -> None:
    """Pipelined: first the answer, then the 101, then the tunnel's bytes."""

    async def both(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(ok())
        await backend.read_head(reader)
        await agreeing_rest(backend, reader, writer)

    async with chat(both) as (_, client, _tunnels):
        client.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n" + ASK + b"frames")
        assert (await client.answer()).body == b"hello"
        assert (await client.answer()).status == 101
        assert await read(client, 6) == b"frames"


def test_defaults() -> None:
    """Off; silent for five minutes; a thousand."""
    assert WebSocketOptions() == WebSocketOptions(enabled=False, idle_s=IDLE_S, limit=MAX_TUNNELS)
    assert (IDLE_S, MAX_TUNNELS) == (300.0, 1000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("websocket: {idle_s: 0}", "l7.yaml:1:13: idle_s is 0; give more than 0"),
        ("websocket: {limit: 0}", "l7.yaml:1:13: limit is 0; give 1 at least"),
        ("websocket: {enable: true}", "l7.yaml:1:13: unknown key enable; did you mean enabled?"),
    ],
)
def test_what_a_file_says_wrong_is_told(text: str, told: str) -> None:
    """With its place, and what to do."""
    with pytest.raises(SourceError) as caught:
        parse_config(text)
    assert str(caught.value) == told
