"""Limits of clients over real sockets: rates, connections, bodies, heads."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.listen import bind
from kit.source import SourceError
from lb.l7 import clients
from lb.l7.clients import ClientLimits, ClientOptions, client_key
from lb.l7.config import L7Config, parse_config
from lb.l7.forwarded import EVERYONE, Forwarding
from lb.l7.standalone import Standalone
from resilience.policy.keyed import MAX_KEYS
from tests.lb.l7.http2.client import connected, request
from tests.lb.l7.rig import WAIT_S, Backend, RawClient, Rig, answering, ok, rig, until
from tests.ports import free_port

pytestmark = pytest.mark.integration

RARE_RPS = 0.01  # the next one passes after 100 s: no test lasts so long
GET = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: lab\r\n"
PROXIES = ("127.0.0.0/8", "10.0.0.0/8")


@asynccontextmanager
async def limited(options: ClientOptions, trust: tuple[str, ...] = EVERYONE) -> AsyncIterator[Rig]:
    """Run a proxy with these limits before one backend that answers."""
    async with rig(answering(ok())) as lab:
        lab.proxy.heads.limits.use(options, trust)
        yield lab


class NoCertificate:
    """What a handshake begins with that never gets so far as to need a certificate."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def refused(lab: Rig, kind: str) -> object:
    """Return the figure that a page shows."""
    return lab.server.snapshot()[f"refused.{kind}"]


def test_defaults_are_documented() -> None:
    """Everything is off, or the number that was always there."""
    assert ClientOptions() == ClientOptions(
        connections=10_000,
        connections_per_client=0,
        requests_per_connection=0,
        client_rps=0.0,
        client_burst=0.0,
        max_body_bytes=0,
        max_headers=100,
        max_head_bytes=65_536,
    )
    assert L7Config().clients == ClientOptions()
    assert (clients.LEAST_HEAD_BYTES, clients.MOST_HEADERS, MAX_KEYS) == (1024, 1000, 10_000)
    assert not ClientLimits().is_on


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{connections: 0}", "connections is 0; give 1 at least"),
        ("{connections_per_client: -1}", "connections_per_client is -1; give 0 for none, or more"),
        ("{requests_per_connection: -2}", "requests_per_connection is -2; give 0 for none"),
        ("{client_rps: -1}", "client_rps is -1; give 0 for none, or more"),
        ("{client_rps: 5, client_burst: 0.5}", "client_burst is 0.5; give 1 at least"),
        ("{client_burst: 5}", "client_burst says nothing without client_rps; give both"),
        ("{max_body_bytes: -1}", "max_body_bytes is -1; give 0 for none, or more"),
        ("{max_headers: 0}", "max_headers is 0; give 1 to 1000"),
        ("{max_head_bytes: 65537}", "max_head_bytes is 65537; give 1024 to 65536"),
        ("{client_rsp: 5}", "unknown key client_rsp; did you mean client_rps"),
    ],
)
def test_a_mistake_is_told(text: str, told: str) -> None:
    """With its place in the file."""
    with pytest.raises(SourceError, match=r"^l7\.yaml:1:\d+: ") as caught:
        parse_config(f"clients: {text}")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("no:address", "no:address"),
    ],
)
def test_an_address_of_ipv6_counts_by_its_network(address: str, key: str) -> None:
    """One customer has all of a /64; an address of IPv4 is the same in either notation."""
    assert client_key(address) == key


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    """429 with retry-after and the decision; no backend sees it, and the connection stays."""
    async with limited(ClientOptions(client_rps=RARE_RPS, client_burst=2)) as lab:
        client = await lab.client()
        for _ in range(2):
            client.get("/")
            assert (await client.answer()).status == 200
        client.get("/")
        answer = await client.answer()
        assert answer.status == 429
        assert 0 < int(answer.headers["retry-after"]) <= 100
        assert answer.headers["x-squall-decision"].startswith("rate; clients/127.0.0.1; ")
        assert answer.headers["x-squall-decision"].endswith("/2")
        assert b"CLIENT_RATE_EXCEEDED" in answer.body
        assert "connection" not in answer.headers
        assert lab.backends[0].requests == 2
        assert refused(lab, "rate") == 1
        assert lab.server.snapshot()["clients"] == 1
        lab.server.reset(0.0)
        assert refused(lab, "rate") == 0


async def test_a_reload_with_the_same_rate_gives_nobody_a_new_burst() -> None:
    """With another rate everybody begins anew; with none there is no limit."""
    async with limited(ClientOptions(client_rps=RARE_RPS)) as lab:
        limits = lab.proxy.heads.limits
        assert (await lab.ask()).status == 200
        limits.use(ClientOptions(client_rps=RARE_RPS, max_body_bytes=9))
        assert (await lab.ask()).status == 429
        limits.use(ClientOptions(client_rps=RARE_RPS, client_burst=2))
        assert (await lab.ask()).status == 200
        limits.use(ClientOptions())
        assert [(await lab.ask()).status for _ in range(3)] == [200, 200, 200]


async def test_a_new_file_holds_for_who_is_connected(tmp_path: Path) -> None:
    """The next request of a kept connection is the first under the new limit."""
    path, port, backend = tmp_path / "l7.yaml", free_port(), Backend("one", answering(ok()))
    text = (
        f"{{listen: '127.0.0.1:{port}', policies: {{checks: off}},\n"
        f" backends: [{{address: '127.0.0.1:{backend.port}'}}],\n clients: {{%s}}}}\n"
    )
    path.write_text(text % "")
    await backend.start()
    alone = Standalone(path)
    serving = asyncio.create_task(alone.run())
    try:
        client = await connected_to(port)
        path.write_text(text % f"client_rps: {RARE_RPS}")
        alone.look()
        client.send(GET * 2)
        assert [(await client.answer()).status for _ in range(2)] == [200, 429]
        client.writer.transport.abort()
    finally:
        alone.lifecycle.request_stop()
        await asyncio.wait_for(serving, 2 * WAIT_S)
        await backend.stop()


@pytest.mark.parametrize(
    ("trust", "chains", "statuses"),
    [
        # A proxy that is named says for whom it asks.
        (PROXIES, ["192.0.2.1", "192.0.2.1", "192.0.2.2"], [200, 429, 200]),
        # What a client itself puts in front of that counts for nothing.
        (PROXIES, ["1.1.1.1, 192.0.2.1", "2.2.2.2, 192.0.2.1"], [200, 429]),
        # A chain of proxies that are named is followed to its end.
        (PROXIES, ["192.0.2.1, 10.0.0.1", "192.0.2.2, 10.0.0.1"], [200, 200]),
        # What is no address is nobody's name.
        (PROXIES, ["nonsense", "other, 10.0.0.1", "more"], [200, 200, 429]),
        # While everyone is trusted, or the peer isn't, it's the connection that counts.
        (EVERYONE, ["192.0.2.1", "192.0.2.2"], [200, 429]),
        (("10.0.0.0/8",), ["192.0.2.1", "192.0.2.2"], [200, 429]),
    ],
)
async def test_whose_rate_it_is(
    trust: tuple[str, ...], chains: list[str], statuses: list[int]
) -> None:
    """The last address of the chain that is none of the proxies in front."""
    text = f"forwarded: {{trust: {list(trust)}}}"
    options = ClientOptions(client_rps=RARE_RPS)
    async with limited(options, parse_config(text).forwarded.trust) as lab:
        lab.proxy.forwarding = Forwarding(parse_config(text).forwarded)
        answers = [await lab.ask("/", f"X-Forwarded-For: {chain}") for chain in chains]
        assert [answer.status for answer in answers] == statuses


async def test_one_client_has_so_many_connections() -> None:
    """One more is closed at once; when one has ended there is room again."""
    async with limited(ClientOptions(connections_per_client=2)) as lab:
        first, second = await lab.client(), await lab.client()
        await until(lambda: lab.server.connections == 2)
        assert await (await lab.client()).rest() == b""
        assert refused(lab, "connections") == 1
        first.writer.close()
        await until(lambda: lab.server.connections == 1)
        assert (await lab.ask()).status == 200
        second.get("/")
        assert (await second.answer()).status == 200


async def test_handshakes_that_stand_still_are_counted_by_client_too() -> None:
    """Who opens connections and says nothing takes nobody's place to arrive."""
    async with limited(ClientOptions(connections_per_client=2)) as lab:
        port = free_port()
        lab.server.start_tls(bind("127.0.0.1", port), NoCertificate())
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await until(lambda: lab.server.arrivals()["arriving"] == 2)
        third = RawClient(*await asyncio.open_connection("127.0.0.1", port))
        assert await third.rest() == b""
        assert (lab.server.arrivals()["refused_arrivals"], refused(lab, "connections")) == (1, 1)
        assert (await lab.ask()).status == 200
        for _, writer in silent:
            writer.transport.abort()
        await until(lambda: lab.server.arrivals()["arriving"] == 0)
        third.writer.transport.abort()


async def test_a_connection_carries_so_many_requests() -> None:
    """The last answer says so, and what was sent behind it is not served."""
    async with limited(ClientOptions(requests_per_connection=2)) as lab:
        client = await lab.client()
        for _ in range(3):
            client.get("/")
        first, second = await client.answer(), await client.answer()
        assert "connection" not in first.headers
        assert second.headers["connection"] == "close"
        assert await client.rest() == b""
        assert lab.backends[0].requests == 2


async def test_over_http2_the_client_is_told_to_leave() -> None:
    """GOAWAY, and what was asked is answered."""
    async with limited(ClientOptions(requests_per_connection=1)) as lab, connected(lab) as client:
        assert (await client.ask()).status == 200
        await client.until_closed()
        assert client.goaways
        assert lab.backends[0].requests == 1


async def test_a_body_that_says_it_is_too_large_is_never_begun() -> None:
    """413 before a backend hears of it, and no 100 invites it; the limit itself passes."""
    async with limited(ClientOptions(max_body_bytes=4)) as lab:
        client = await lab.client()
        client.send(POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 413
        assert b"the body is larger than 4 bytes" in answer.body
        assert answer.headers["connection"] == "close"
        assert lab.backends[0].connections == 0
        client = await lab.client()
        client.send(POST + b"Content-Length: 4\r\n\r\nfour")
        assert (await client.answer()).status == 200
        assert refused(lab, "body") == 1


@pytest.mark.parametrize("is_http2", [False, True])
async def test_a_body_that_grows_too_large_is_broken_off(is_http2: bool) -> None:
    """413 as soon as it does, and the backend that has begun to read it is let go."""
    async with rig(reading) as lab:
        lab.proxy.heads.limits.use(ClientOptions(max_body_bytes=64_000))
        if is_http2:
            async with connected(lab) as client2:
                stream = client2.open(request("POST"), ends=False)
                client2.h2.send_data(stream, b"x" * 16_000)
                client2.flush()
                await until(lambda: b"x" in lab.backends[0].received)
                for _ in range(3):
                    client2.h2.send_data(stream, b"x" * 16_000)
                client2.h2.send_data(stream, b"x")
                client2.flush()
                assert (await client2.answer(stream)).status == 413
        else:
            client = await lab.client()
            client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n")
            await until(lambda: b"four" in lab.backends[0].received)
            client.send(b"f9fd\r\n" + b"x" * 0xF9FD + b"\r\n")
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")
        await until(lambda: lab.backends[0].open_connections == 0)
        assert refused(lab, "body") == 1


async def test_a_body_that_waits_in_line_is_refused_in_its_turn() -> None:
    """The answers keep their order, and no backend has seen a byte of it."""
    async with limited(ClientOptions(max_body_bytes=4)) as lab:
        client = await lab.client()
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n"
        client.send(GET + chunked)
        assert [(await client.answer()).status for _ in range(2)] == [200, 413]
        assert await client.rest() == b""
        assert lab.backends[0].requests == 1


@pytest.mark.parametrize(
    ("options", "lines", "reason"),
    [
        (ClientOptions(max_headers=2), ["A: 1", "B: 2"], b"TOO_MANY_HEADERS"),
        (ClientOptions(max_head_bytes=1024), ["A: " + "x" * 1024], b"HEAD_TOO_LARGE"),
    ],
)
async def test_a_head_has_the_file_s_limits(
    options: ClientOptions, lines: list[str], reason: bytes
) -> None:
    """431 over both protocols; what is within them passes."""
    async with limited(options) as lab:
        assert (await lab.ask("/", "A: 1")).status == 200
        answer = await lab.ask("/", *lines)
        assert (answer.status, reason in answer.body) == (431, True)
        async with connected(lab) as client:
            fields = [(line.split(": ")[0].lower(), line.split(": ")[1]) for line in lines]
            assert (await client.ask(request("GET", "/", *fields))).status == 431
        assert lab.backends[0].requests == 1


async def test_more_headers_than_before_may_be_allowed() -> None:
    """A hundred is the default, not the most."""
    lines = [f"H{number}: 1" for number in range(150)]
    async with limited(ClientOptions()) as lab:
        assert (await lab.ask("/", *lines)).status == 431
        lab.proxy.heads.limits.use(ClientOptions(max_headers=200))
        assert (await lab.ask("/", *lines)).status == 200


async def reading(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Record what comes, and answer nothing."""
    while data := await reader.read(65_536):
        backend.received += data


async def connected_to(port: int) -> RawClient:
    """Connect as soon as somebody listens."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return RawClient(*await asyncio.open_connection("127.0.0.1", port))
            except OSError:
                await asyncio.sleep(0.01)
