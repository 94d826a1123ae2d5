"""The PROXY protocol in front of a client's first request, over real connections."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kit.listen import bind
from kit.source import SourceError
from lb.l7.arrivals import HANDSHAKE_S, HEADER_S, MAX_ARRIVING, ProxyProtocolOptions
from lb.l7.config import parse_config
from lb.proxy_protocol import Address, Header, render_v1, render_v2
from tests.lb.l7.rig import RawClient, Rig, answering, ok, rig, until
from tests.ports import free_port

HEADER = Header(Address("203.0.113.7", 4711), Address("192.0.2.1", 443))
GET = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
ACCEPT = ProxyProtocolOptions(mode="accept", trusted=("127.0.0.0/8",))
REQUIRE = ProxyProtocolOptions(mode="require", trusted=("127.0.0.0/8",))


@asynccontextmanager
async def door(options: ProxyProtocolOptions) -> AsyncIterator[tuple[Rig, RawClient]]:
    """Run a proxy whose second listener reads headers, and connect there."""
    async with rig(answering(ok())) as lab:
        port = free_port()
        await lab.server.start(bind("127.0.0.1", port), options)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield lab, RawClient(reader, writer)
        finally:
            writer.transport.abort()


def told(lab: Rig) -> str:
    """Return the x-forwarded-for that the backend has seen last."""
    found = re.findall(r"x-forwarded-for: (.*)\r\n", lab.backends[0].received.decode())
    return str(found[-1])


@pytest.mark.integration
@pytest.mark.parametrize("options", [ACCEPT, REQUIRE])
@pytest.mark.parametrize("header", [render_v1(HEADER), render_v2(HEADER)])
async def test_the_header_says_who_the_client_is(
    options: ProxyProtocolOptions, header: bytes
) -> None:
    """In one piece with the request; the next request on the connection has the same client."""
    async with door(options) as (lab, client):
        for data in (header + GET, GET):
            client.send(data)
            assert (await client.answer()).body == b"hello"
            assert told(lab) == "203.0.113.7"
        assert lab.server.arrivals()["proxy_headers"] == 1


@pytest.mark.integration
@pytest.mark.parametrize("render", [render_v1, render_v2])
async def test_a_header_may_come_byte_by_byte(render: object) -> None:
    """However it is cut, it is read whole, and the request behind it too."""
    assert callable(render)
    async with door(REQUIRE) as (lab, client):
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in render(HEADER) + GET:
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.answer()).body == b"hello"
        assert told(lab) == "203.0.113.7"


@pytest.mark.integration
@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", render_v2(Header())])
async def test_a_header_that_names_nobody_leaves_the_peer(header: bytes) -> None:
    """Health checks of the proxy in front come so."""
    async with door(REQUIRE) as (lab, client):
        client.send(header + GET)
        assert (await client.answer()).status == 200
        assert told(lab) == "127.0.0.1"


@pytest.mark.integration
async def test_accept_serves_who_sends_none() -> None:
    """Without a header the peer is the client."""
    async with door(ACCEPT) as (lab, client):
        client.send(GET)
        assert (await client.answer()).status == 200
        assert told(lab) == "127.0.0.1"


@pytest.mark.integration
async def test_a_request_that_begins_as_a_header_might() -> None:
    """The P of a PUT that comes alone is not lost."""
    async with door(ACCEPT) as (lab, client):
        client.send(b"P")
        await until(lambda: lab.server.arrivals()["arriving"] == 1)
        for _ in range(5):
            await asyncio.sleep(0)  # turns in which the P is taken
        client.send(b"UT / HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert lab.backends[0].received.startswith(b"PUT / ")


@pytest.mark.integration
@pytest.mark.parametrize(
    "first",
    [
        GET,
        b"PROXY TCP4 1.2.3.4 nonsense\r\n",
        b"PROXY " + b"x" * 200,
        b"\r\n\r\n\x00\r\nQUIT\n!!!!",
    ],
)
async def test_require_closes_on_anything_else(first: bytes) -> None:
    """No answer, no backend, and a count."""
    async with door(REQUIRE) as (lab, client):
        client.send(first)
        assert await client.rest() == b""
        assert lab.server.arrivals()["refused_proxy_headers"] == 1
        assert lab.backends[0].requests == 0


@pytest.mark.integration
async def test_a_client_that_leaves_before_its_header() -> None:
    """It is counted, and holds nothing."""
    async with door(REQUIRE) as (lab, client):
        client.send(b"PROXY TCP4 ")
        client.writer.close()
        await until(lambda: lab.server.arrivals()["refused_proxy_headers"] == 1)
        await until(lambda: lab.server.arrivals()["arriving"] == 0)


@pytest.mark.integration
async def test_who_is_not_trusted_is_not_read() -> None:
    """Require closes; accept takes the header for the bad request that it is."""
    strangers = ("10.0.0.0/8",)
    async with door(ProxyProtocolOptions(mode="require", trusted=strangers)) as (lab, client):
        client.send(render_v1(HEADER) + GET)
        assert await client.rest() == b""
        assert lab.backends[0].requests == 0
    async with door(ProxyProtocolOptions(mode="accept", trusted=strangers)) as (lab, client):
        client.send(render_v1(HEADER) + GET)
        assert (await client.answer()).status == 400
        assert lab.backends[0].requests == 0


@pytest.mark.integration
async def test_off_takes_a_header_for_a_bad_request() -> None:
    """As shipped, nobody is believed."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(render_v1(HEADER) + GET)
        assert (await client.answer()).status == 400


@pytest.mark.integration
async def test_a_drain_ends_who_is_still_arriving() -> None:
    """Half a header keeps no drain waiting."""
    async with door(REQUIRE) as (lab, client):
        client.send(b"PROXY ")
        await until(lambda: lab.server.arrivals()["arriving"] == 1)
        assert await lab.server.drain(10.0)
        assert await client.rest() == b""


def test_defaults() -> None:
    """Nobody is believed; 3 s for a header, 10 s for a handshake."""
    assert ProxyProtocolOptions() == ProxyProtocolOptions(mode="off", trusted=())
    assert (HEADER_S, HANDSHAKE_S, MAX_ARRIVING) == (3.0, 10.0, 1024)


def test_a_mode_that_could_believe_nobody_is_a_mistake() -> None:
    """The message says what is missing."""
    with pytest.raises(SourceError, match="trusted is empty; name who may send it"):
        parse_config("proxy_protocol: {mode: require}")
    with pytest.raises(SourceError, match="give a network such as"):
        parse_config("proxy_protocol: {mode: accept, trusted: [lab]}")
