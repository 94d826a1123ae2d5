"""Strict framing: what is in doubt is refused, and no backend sees a byte of it."""

import pytest

from tests.lb.l7.rig import answering, ok, rig, swallowing, until

HOST = b"Host: lab\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "duplicate length": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "differing lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length list": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "hex length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "huge length": POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "stacked coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding after chunked": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "coding twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "coding behind a tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "blank before colon": b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length : 3\r\n\r\nabc",
    "bare LF after the line": b"GET / HTTP/1.1\nHost: lab\r\n\r\n",
    "bare LF after a header": b"GET / HTTP/1.1\r\nHost: lab\nX: y\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: lab\rX: y\r\n\r\n",
    "bare LF at the end": b"GET / HTTP/1.1\r\nHost: lab\r\n\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: lab\r\nX: y\r\n z\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: lab\r\nX: a\x00b\r\n\r\n",
    "bracket in a name": b"GET / HTTP/1.1\r\nHost: lab\r\nX(: a\r\n\r\n",
    "bare LF after a chunk size": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "oversized chunk size": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: lab\r\nHost: lab\r\n\r\n",
    "host list": b"GET / HTTP/1.1\r\nHost: lab, evil\r\n\r\n",
    "host with a path": b"GET / HTTP/1.1\r\nHost: lab/evil\r\n\r\n",
    "another host in the target": b"GET http://evil/ HTTP/1.1\r\nHost: lab\r\n\r\n",
    "no path": b"GET lab:80 HTTP/1.1\r\nHost: lab\r\n\r\n",
    "blank in the target": b"GET /a b HTTP/1.1\r\nHost: lab\r\n\r\n",
    "control byte in the target": b"GET /a\x01b HTTP/1.1\r\nHost: lab\r\n\r\n",
    "version 0.9": b"GET /\r\n\r\n",
    "version 2.0": b"GET / HTTP/2.0\r\nHost: lab\r\n\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\nHost: lab\r\n\r\n",
    "HTTP/2 preface with another target": b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.integration
@pytest.mark.parametrize("shape", REFUSED)
async def test_doubtful_framing_gets_400_and_reaches_no_backend(shape: str) -> None:
    """The answer is 400 problem+json, the connection ends, the backend received nothing."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(REFUSED[shape])
        answer = await client.answer()

        assert answer.status == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert b'"reason":"' in answer.body
        assert await client.rest() == b""
        assert lab.backends[0].received == b""
        assert lab.summaries[-1].code == 400


@pytest.mark.integration
async def test_bad_chunk_later_breaks_off_a_request_under_way() -> None:
    """A body that turns invalid is answered 400, and its backend's connection is closed."""
    async with rig(swallowing) as lab:
        backend = lab.backends[0]
        client = await lab.client()
        client.send(CHUNKED + b"3\r\nabc\r\n")
        await until(lambda: backend.received.endswith(b"abc\r\n"))
        client.send(b"zz\r\n")

        assert (await client.answer()).status == 400
        await until(lambda: backend.open_connections == 0)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"X: " + b"a" * 70_000 + b"\r\n", b"HEAD_TOO_LARGE"),
        (b"".join(b"X-%d: a\r\n" % i for i in range(101)), b"TOO_MANY_HEADERS"),
    ],
)
async def test_oversized_head_gets_431(lines: bytes, reason: bytes) -> None:
    """More than 64 KiB or 100 headers is answered 431 and reaches no backend."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(b"GET / HTTP/1.1\r\n" + HOST + lines + b"\r\n")
        answer = await client.answer()
        assert (answer.status, reason in answer.body) == (431, True)
        assert lab.backends[0].received == b""


@pytest.mark.integration
async def test_head_without_end_gets_431() -> None:
    """A header line that never ends is refused when it passes the limit."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"X: ")
        for _ in range(70):
            client.send(b"a" * 1024)
        assert (await client.answer()).status == 431


@pytest.mark.integration
async def test_large_head_within_the_limit_passes() -> None:
    """A head of 60 KiB is passed on as it came."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.get("/", "X-Large: " + "a" * 60_000)
        assert (await client.answer()).status == 200
        assert b"X-Large: " + b"a" * 60_000 + b"\r\n" in lab.backends[0].received


@pytest.mark.integration
@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT lab:80 HTTP/1.1\r\nHost: lab\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: lab\r\n\r\n",
        b"DESCRIBE rtsp://lab RTSP/1.0\r\n\r\n",
    ],
)
async def test_what_is_not_carried_gets_501(request_head: bytes) -> None:
    """Upgrades and methods that aren't passed on are answered 501, and say so."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(request_head)
        answer = await client.answer()
        assert (answer.status, b"passed on" in answer.body) == (501, True)
        assert lab.backends[0].received == b""


@pytest.mark.integration
async def test_hop_by_hop_headers_are_dropped_both_ways() -> None:
    """What belongs to one connection, and what Connection names, crosses in neither direction."""
    answer_bytes = ok(b"x", b"Keep-Alive: 5", b"X-Hop: 1", b"Connection: keep-alive, x-hop")
    async with rig(answering(answer_bytes)) as lab:
        answer = await lab.ask(
            "/", "Connection: keep-alive, X-Mine, Host", "X-Mine: 1", "Keep-Alive: 5", "X-Kept: 1"
        )
        seen = bytes(lab.backends[0].received).lower()
        assert b"x-mine" not in seen
        assert b"keep-alive" not in seen
        assert b"host: lab\r\n" in seen
        assert b"x-kept: 1\r\n" in seen
        assert "keep-alive" not in answer.headers
        assert "x-hop" not in answer.headers


@pytest.mark.integration
async def test_forwarded_headers_and_ids_are_added() -> None:
    """A backend learns the client's address, the scheme, a request id, a trace and the deadline."""
    async with rig(answering(ok())) as lab:
        answer = await lab.ask("/", "X-Forwarded-For: 10.0.0.9")
        seen = bytes(lab.backends[0].received)
        assert b"x-forwarded-for: 10.0.0.9, 127.0.0.1\r\n" in seen
        assert b"x-forwarded-proto: http\r\n" in seen
        assert b"x-request-id: " + answer.headers["x-request-id"].encode() + b"\r\n" in seen
        assert lab.summaries[0].trace_id.encode() in seen
        assert answer.headers["server-timing"].startswith('l7;desc="l7.1";dur=')


@pytest.mark.integration
async def test_given_ids_are_kept() -> None:
    """A valid request id and trace id stay; the span is this hop's own; a bad id is replaced."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with rig(answering(ok(b"x", b"Server-Timing: gateway;dur=1"))) as lab:
        answer = await lab.ask(
            "/", "X-Request-Id: mine-1", f"traceparent: 00-{trace}-00f067aa0ba902b7-00"
        )
        seen = bytes(lab.backends[0].received)
        assert answer.headers["x-request-id"] == "mine-1"
        assert f"traceparent: 00-{trace}-".encode() in seen
        assert b"00f067aa0ba902b7" not in seen
        assert answer.headers["server-timing"].startswith('gateway;dur=1, l7;desc="l7.1";dur=')
        assert (await lab.ask("/", "X-Request-Id: no good")).headers["x-request-id"] != "no good"


@pytest.mark.integration
async def test_absolute_form_becomes_a_path() -> None:
    """A target that names the same host as Host does is passed on as its path."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(b"GET http://LAB/a?b HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert (await client.answer()).status == 200
        assert lab.backends[0].received.startswith(b"GET /a?b HTTP/1.1\r\n")


@pytest.mark.integration
async def test_http10_client_without_host_is_served_and_closed() -> None:
    """An HTTP/1.0 request gets a plain body, and the connection ends unless asked to stay."""
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    async with rig(answering(chunked)) as lab:
        client = await lab.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        raw = await client.rest()
        assert raw.endswith(b"\r\n\r\nhi")
        assert b"transfer-encoding" not in raw


@pytest.mark.integration
async def test_http10_keep_alive_is_kept() -> None:
    """An HTTP/1.0 client that asks for keep-alive gets it, and is told so."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.answer()).headers["connection"] == "keep-alive"
