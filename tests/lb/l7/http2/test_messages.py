"""Requests and answers over HTTP/2, each of them an exchange with an HTTP/1.1 backend."""

import asyncio
import hashlib
import shutil

import pytest

from lb.l7.http2.options import Http2Options
from lb.l7.http2.session import PREFACE
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.http2.client import ACCEPTED_CODINGS, connected, request
from tests.lb.l7.rig import WAIT_S, Backend, answering, ok, rig, swallowing, until

pytestmark = pytest.mark.integration

BODY = hashlib.sha256(b"seed").digest() * 8192  # 256 KiB, four windows
NO_DEADLINE = FixedSwitches({"deadline": Mode.OFF})


async def echoing(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer each request that has a body with it, chunked or by its length."""
    while True:
        head = (await backend.read_head(reader)).lower()
        body = trailers = b""
        if b"transfer-encoding: chunked" in head:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:size]
            while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                trailers += line
        elif b"content-length: " in head:
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
        backend.received += trailers
        writer.write(ok(body))


async def test_a_request_without_a_body() -> None:
    """Its answer comes whole, and the backend reads a plain HTTP/1.1 request."""
    async with rig(answering(ok(b"hello", b"X-Kind: one"))) as lab, connected(lab) as client:
        for _ in range(2):
            seen = await client.ask(request("GET", "/a?b=1", ("x-request-id", "r1")))
            assert (seen.status, seen.body, seen.is_ended) == (200, b"hello", True)
            assert seen.headers["x-kind"] == "one"
            assert seen.headers["x-request-id"] == "r1"
            assert seen.headers["server-timing"].startswith("l7;")
            assert "connection" not in seen.headers
        head = bytes(lab.backends[0].received)
        assert head.startswith(b"GET /a?b=1 HTTP/1.1\r\n")
        assert b"\r\nhost: lab\r\n" in head
        assert b"\r\nx-forwarded-for: 127.0.0.1\r\n" in head
        assert (lab.backends[0].connections, lab.server.connections) == (1, 1)
        assert [one.status for one in lab.summaries] == ["OK", "OK"]


@pytest.mark.parametrize("length", [None, len(BODY)])
async def test_a_body_goes_there_and_comes_back(length: int | None) -> None:
    """Larger than every window, with a length and without one: not a byte is another."""
    more = [] if length is None else [("content-length", str(length))]
    async with rig(echoing, switches=NO_DEADLINE) as lab, connected(lab) as client:
        for _ in range(2):
            seen = await client.ask(request("POST", "/", *more), BODY)
            assert (seen.status, seen.body == BODY) == (200, True)
        assert lab.backends[0].connections == 1


async def test_many_streams_at_once() -> None:
    """Fifty requests, each with a body of its own: everyone gets his own answer."""
    async with rig(echoing, switches=NO_DEADLINE) as lab, connected(lab) as client:
        asked = {client.open(request("POST"), ends=False): b"%d" % at for at in range(50)}
        for number, body in asked.items():
            await client.send_body(number, body)
        for number, body in asked.items():
            seen = await client.answer(number)
            assert (seen.status, seen.body) == (200, body)


async def test_a_head_alone() -> None:
    """HEAD's answer has a length and no body, 204 has neither; both end with their head."""
    none = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with rig(answering(ok(b"")[:-4] + b"\r\n\r\n")) as lab, connected(lab) as client:
        seen = await client.ask(request("HEAD"))
        assert (seen.status, seen.body, seen.is_ended) == (200, b"", True)
    async with rig(answering(none)) as lab, connected(lab) as client:
        seen = await client.ask()
        assert (seen.status, seen.body, seen.is_ended) == (204, b"", True)


async def test_trailers_both_ways() -> None:
    """Those of the request reach the backend, those of the answer the client, but for framing."""
    answer = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a\r\n\r\n"
    )
    async with rig(answering(answer)) as lab, connected(lab) as client:
        seen = await client.ask()
        assert (seen.body, seen.trailers) == (b"ab", {"x-sum": "7"})
    async with rig(echoing) as lab, connected(lab) as client:
        number = client.open(request("POST"), ends=False)
        client.h2.send_data(number, b"abc")
        client.h2.send_headers(number, [("x-sum", "5"), ("host", "b")], end_stream=True)
        client.flush()
        assert (await client.answer(number)).body == b"abc"
        assert bytes(lab.backends[0].received).endswith(b"\r\n\r\nx-sum: 5\r\n")


async def test_interim_answers() -> None:
    """100 comes from the proxy when it was asked for, 103 from the backend."""
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with rig(answering(hints + ok())) as lab, connected(lab) as client:
        seen = await client.ask()
        assert (seen.interim, seen.status, seen.body) == ([103], 200, b"hello")
    async with rig(echoing) as lab, connected(lab) as client:
        number = client.open(request("POST", "/", ("expect", "100-continue")), ends=False)
        await client.until(lambda: client.streams[number].interim == [100])
        await client.send_body(number, b"now")
        assert (await client.answer(number)).body == b"now"


async def test_an_early_answer_lets_the_request_end() -> None:
    """Some clients drop an answer that a reset follows: who ends his request meets none."""
    async with rig(answering(ok(b"enough"))) as lab, connected(lab) as client:
        number = client.open(request("POST"), ends=False)
        seen = await client.answer(number)
        assert (seen.status, seen.body, seen.is_ended) == (200, b"enough", True)
        client.h2.send_data(number, b"x" * 1000, end_stream=True)
        assert (await client.ask()).status == 200
        assert seen.reset is None


async def test_an_early_answer_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever doesn't end it by himself: a reset without an error, after a while."""
    monkeypatch.setattr("lb.l7.server.SWEEP_S", 0.02)
    monkeypatch.setattr("lb.l7.http2.stream.LINGER_S", 0.05)
    async with rig(answering(ok(b"enough"))) as lab, connected(lab) as client:
        number = client.open(request("POST"), ends=False)
        seen = await client.answer(number)
        await client.until(lambda: seen.reset is not None)
        assert (seen.status, seen.body, seen.is_ended, seen.reset) == (200, b"enough", True, 0)
        assert (await client.ask(request("GET"))).status == 200


async def test_an_answer_that_breaks_off_resets_its_stream_only() -> None:
    """Half an answer is no answer; other requests of the connection are served."""

    async def breaking(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await backend.read_head(reader)
        writer.write(ok() if b"GET /good" in head else ok()[:-2])
        await writer.drain()

    async with rig(breaking) as lab, connected(lab) as client:
        seen = await client.ask()
        assert (seen.status, seen.is_ended, seen.reset) == (200, False, 2)
        assert (await client.ask(request("GET", "/good"))).body == b"hello"


async def test_what_the_proxy_refuses_leaves_the_connection() -> None:
    """No backend, a bad deadline, an unknown method: answers, and the next request is served."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        refused = await client.ask(request("GET", "/", ("x-envoy-expected-rq-timeout-ms", "x")))
        assert (refused.status, refused.is_ended) == (400, True)
        assert b"INVALID_DEADLINE" in refused.body
        assert (await client.ask(request("TRACE"))).status == 501
        assert (await client.ask(request("CONNECT"))).status == 501
        crowd = [(f"x-{at}", "y") for at in range(101)]
        assert (await client.ask(request("GET", "/", *crowd))).status == 431
        assert (await client.ask(request("GET", "/", ("x", "y" * 65_536)))).status == 431
        assert lab.backends[0].requests == 0
        assert (await client.ask()).status == 200


async def test_a_deadline_is_answered() -> None:
    """A backend that says nothing: 504 within the budget of the route."""
    async with rig(swallowing, route_budget_s=0.1) as lab, connected(lab) as client:
        seen = await client.ask()
        assert (seen.status, seen.is_ended) == (504, True)


async def test_grpc_gets_status_12_in_its_head() -> None:
    """As over HTTP/1.1: a head alone, and no backend sees the call."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        call = request(
            "POST", "/v.V/Get", ("content-type", "application/grpc"), (ACCEPTED_CODINGS, "trailers")
        )
        number = client.open(call, ends=False)
        await client.send_body(number, b"\0\0\0\0\0")
        seen = await client.answer(number)
        assert (seen.status, seen.headers["grpc-status"], seen.body) == (200, "12", b"")
        assert lab.backends[0].requests == 0


async def test_cookies_come_as_one_header() -> None:
    """RFC 9113 8.2.3: the crumbs that HTTP/2 allows are put together."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        await client.ask(request("GET", "/", ("cookie", "a=1"), ("cookie", "b=2")))
        assert b"\r\ncookie: a=1; b=2\r\n" in lab.backends[0].received


async def test_the_preface_may_come_in_pieces() -> None:
    """Cut anywhere, it is still known."""
    async with rig(answering(ok())) as lab:
        for cut in range(1, len(PREFACE)):
            client = await lab.client()
            client.send(PREFACE[:cut])
            await until(lambda at=cut: lab.server.connections == at)  # type: ignore[misc]
            client.send(PREFACE[cut:] + b"\0\0\0\4\0\0\0\0\0")
            head = await asyncio.wait_for(client.reader.readexactly(9), WAIT_S)
            assert head[3] == 4  # SETTINGS


async def test_switched_off_the_preface_is_a_bad_request() -> None:
    """As it was before there was HTTP/2: 400, in HTTP/1.1, and the connection closes."""
    async with rig(answering(ok())) as lab:
        lab.proxy.http2.options = Http2Options(enabled=False)
        client = await lab.client()
        client.send(PREFACE)
        assert (await client.answer()).status == 400
        assert lab.server.snapshot().get("http2.connections") is None


async def test_the_preface_behind_a_request_is_a_bad_request() -> None:
    """Nobody changes the protocol of a connection that is in use."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.get()
        assert (await client.answer()).status == 200
        client.send(PREFACE)
        assert (await client.answer()).status == 400


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")
async def test_curl_is_served() -> None:
    """Another implementation, nghttp2's, reads the answer whole."""
    async with rig(answering(ok(BODY)), switches=NO_DEADLINE) as lab:
        curl = await asyncio.create_subprocess_exec(
            "curl", "--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "10",
            "--noproxy", "*", "--write-out", "%{http_version}", f"http://127.0.0.1:{lab.port}/",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, told = await asyncio.wait_for(curl.communicate(), 2 * WAIT_S)
        if b"nsupported" in told:
            pytest.skip("this curl speaks no HTTP/2")
        assert out == BODY + b"2", told
