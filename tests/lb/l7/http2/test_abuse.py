"""What clients must not do over HTTP/2: floods, malformed requests, requests within requests."""

from collections.abc import Callable

import pytest

from lb.l7.http2.options import Http2Options
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.http2.client import (
    ACCEPTED_CODINGS,
    GET,
    Fields,
    H2Client,
    connected,
    is_settled,
    request,
)
from tests.lb.l7.rig import answering, ok, rig, swallowing, until

pytestmark = pytest.mark.integration

NO_DEADLINE = FixedSwitches({"deadline": Mode.OFF})
PROTOCOL_ERROR, FRAME_SIZE, CALM = 1, 6, 11
Flood = Callable[[H2Client, int], bytes]


def frame(kind: int, payload: bytes, *, flags: int = 0, stream: int = 0) -> bytes:
    """Return one frame."""
    size = len(payload).to_bytes(3, "big")
    return size + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def head_block(client: H2Client, fields: Fields = GET) -> bytes:
    """Return fields as HPACK has them."""
    return bytes(client.h2.encoder.encode(fields))


def rapid_resets(client: H2Client, count: int) -> bytes:
    """CVE-2023-44487: open and take back."""
    return b"".join(
        frame(1, head_block(client), flags=5, stream=number)
        + frame(3, b"\0\0\0\x08", stream=number)
        for number in range(1, 2 * count, 2)
    )


def provoked_resets(client: H2Client, count: int) -> bytes:
    """CVE-2025-8671: open in a way that makes the proxy break it."""
    bad = request("GET", "/", ("connection", "close"))
    return b"".join(
        frame(1, head_block(client, bad), flags=5, stream=number)
        for number in range(1, 2 * count, 2)
    )


def pings(client: H2Client, count: int) -> bytes:
    """CVE-2019-9512."""
    return frame(6, bytes(8)) * count


def settings(client: H2Client, count: int) -> bytes:
    """CVE-2019-9515."""
    return frame(4, b"") * count


def priorities(client: H2Client, count: int) -> bytes:
    """CVE-2019-9513."""
    return frame(2, bytes(5), stream=1) * count


def empty_data(client: H2Client, count: int) -> bytes:
    """CVE-2019-9518, some of it as padding."""
    opened = frame(1, head_block(client, request("POST")), flags=4, stream=1)
    return opened + (frame(0, b"", stream=1) + frame(0, b"\2\0\0", flags=8, stream=1)) * count


def window_updates(client: H2Client, count: int) -> bytes:
    """More than there was data for."""
    return frame(8, b"\0\0\0\1") * count


@pytest.mark.parametrize(
    "flood",
    [rapid_resets, provoked_resets, pings, settings, priorities, empty_data, window_updates],
)
async def test_a_flood_ends_its_connection(flood: Flood) -> None:
    """GOAWAY says ENHANCE_YOUR_CALM and why, nothing is left in flight, others are served."""
    async with rig(swallowing, answering(ok()), switches=NO_DEADLINE) as lab:
        async with connected(lab) as client:
            client.send(flood(client, 300))
            await client.until_closed()
            assert [one.code for one in client.goaways] == [CALM]
            assert "more " in client.goaways[0].reason
        assert lab.server.snapshot()["http2.floods"] == 1
        await until(lambda: is_settled(lab))
        lab.proxy.set_endpoints([lab.backends[1].where])
        async with connected(lab) as client:
            assert (await client.ask()).status == 200


async def test_what_is_below_the_limits_is_no_flood() -> None:
    """Sixty of each in a second, as a busy client may have: the next request is answered."""
    async with rig(answering(ok()), switches=NO_DEADLINE) as lab, connected(lab) as client:
        client.send(frame(6, bytes(8)) * 60 + frame(4, b"") * 60)
        client.flush()
        for _ in range(60):
            client.h2.reset_stream(client.open())
        client.flush()
        assert (await client.ask()).status == 200
        assert not client.goaways


async def test_a_head_in_endless_pieces_ends_the_connection() -> None:
    """CVE-2024-27316: CONTINUATION after CONTINUATION, none of them the last."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        client.send(frame(1, b"\0\1x\1y", flags=1, stream=1))
        client.send(frame(9, b"\0\1x\1y" * 3000, stream=1) * 6)
        await client.until_closed()
        assert [one.code for one in client.goaways] == [CALM]


async def test_a_small_block_that_unpacks_to_much_ends_the_connection() -> None:
    """A field of 4 KB that is named 900 times: 900 bytes are sent, 3.6 MB would be held."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        block = head_block(client, [*GET, ("x-bomb", "y" * 3900)])
        client.send(frame(1, block + b"\xbe" * 900, flags=5, stream=1))
        await client.until_closed()
        assert [one.code for one in client.goaways] == [CALM]
        assert lab.backends[0].requests == 0


async def test_a_frame_that_is_too_long_ends_the_connection() -> None:
    """Its header is enough to know."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        client.send(b"\x00\x40\x01\0\0\0\0\0\1")
        await client.until_closed()
        assert [one.code for one in client.goaways] == [FRAME_SIZE]
        assert lab.server.snapshot()["http2.errors"] == 1


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(frame(9, b"", flags=4, stream=1), id="CONTINUATION without a head"),
        pytest.param(
            frame(1, b"", flags=1, stream=1) + frame(9, b"", stream=1) * 300,
            id="empty CONTINUATION frames",
        ),
        pytest.param(frame(0, b"x", stream=1), id="DATA on a stream that isn't open"),
        pytest.param(frame(1, b"\x82", flags=5, stream=2), id="an even stream"),
        pytest.param(frame(5, bytes(4), stream=1), id="a push"),
        pytest.param(frame(8, bytes(4)), id="a window update of nothing"),
        pytest.param(frame(1, b"\xff\xff\xff\xff\xff", flags=5, stream=1), id="no HPACK"),
        pytest.param(frame(3, bytes(4), stream=9), id="a reset of nothing"),
    ],
)
async def test_what_no_client_may_send_ends_the_connection(junk: bytes) -> None:
    """GOAWAY with an error, counted, and no backend sees anything."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        client.send(junk)
        await client.until_closed()
        assert len(client.goaways) == 1
        assert client.goaways[0].code != 0
        assert lab.server.snapshot()["http2.errors"] == 1
        assert lab.backends[0].requests == 0


MALFORMED = {
    "CR LF in a value": request("GET", "/", ("x-a", "b\r\nhost: c")),
    "LF in a value": request("GET", "/", ("x-a", "b\nc")),
    "NUL in a value": request("GET", "/", ("x-a", "b\0c")),
    "blank before a value": request("GET", "/", ("x-a", " b")),
    "upper case in a name": request("GET", "/", ("X-A", "b")),
    "colon in a name": request("GET", "/", ("x:a", "b")),
    "line end in a name": request("GET", "/", ("x\r\nhost", "b")),
    "blank in a name": request("GET", "/", ("x a", "b")),
    "no name": request("GET", "/", ("", "b")),
    "line end in the path": request("GET", "/ HTTP/1.1\r\nx: y"),
    "blank in the path": request("GET", "/a b"),
    "fragment": request("GET", "/a#b"),
    "no path": request("GET", ""),
    "path without a slash": request("GET", "a"),
    "star for GET": request("GET", "*"),
    "blank in the method": request("GET /x"),
    "no method": GET[1:],
    "no scheme": (GET[0], *GET[2:]),
    "scheme of mail": (GET[0], (":scheme", "mailto"), *GET[2:]),
    "two paths": (*GET, (":path", "/b")),
    "pseudo-header behind a header": (*GET[:3], ("x-a", "b"), GET[3]),
    "unknown pseudo-header": (*GET, (":protocol", "websocket")),
    "an answer's pseudo-header": (*GET, (":status", "200")),
    "connection": request("GET", "/", ("connection", "close")),
    "keep-alive": request("GET", "/", ("keep-alive", "5")),
    "proxy-connection": request("GET", "/", ("proxy-connection", "close")),
    "transfer-encoding": request("POST", "/", ("transfer-encoding", "chunked")),
    "upgrade": request("GET", "/", ("upgrade", "websocket")),
    "another transfer coding": request("GET", "/", (ACCEPTED_CODINGS, "gzip")),
}


@pytest.mark.parametrize("shape", MALFORMED)
async def test_a_malformed_request_resets_its_stream(shape: str) -> None:
    """No backend sees a byte of it, and the connection serves the next request."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        number = client.h2.get_next_available_stream_id()
        client.open()
        await client.answer(number)
        bad = number + 2
        client.send(frame(1, head_block(client, MALFORMED[shape]), flags=5, stream=bad))
        client.h2.highest_outbound_stream_id = bad
        await until(lambda: lab.server.snapshot()["http2.malformed"] == 1)
        client.h2.ping(b"12345678")
        client.flush()
        await client.until(lambda: bool(client.pongs))
        assert lab.backends[0].requests == 1
        assert lab.summaries[-1].status == "MALFORMED_REQUEST"
        assert not client.goaways


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (request("GET", "/", ("host", "other")), b"HOST_CONFLICT"),
        ((GET[0], GET[1], GET[3]), b"HOST_MISSING"),
        ((*GET[:2], (":authority", "u@lab"), GET[3]), b"BAD_HOST"),
        (request("GET", "/", ("host", "lab"), ("host", "lab")), b"DUPLICATE_HEADER"),
    ],
)
async def test_a_host_in_doubt_is_refused(fields: Fields, reason: bytes) -> None:
    """With an answer, because the request itself is whole."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        seen = await client.ask(fields)
        assert seen.status == 400
        assert reason in seen.body
        assert lab.backends[0].requests == 0
        assert (await client.ask(request("GET", "/", ("host", "LAB")))).status == 200


@pytest.mark.parametrize(("said", "sent"), [("5", b"abc"), ("2", b"abc")])
async def test_a_body_that_differs_from_its_length_ends_the_exchange(
    said: str, sent: bytes
) -> None:
    """Not a byte too many reaches the backend, and its connection isn't used again."""
    async with rig(swallowing, switches=NO_DEADLINE) as lab, connected(lab) as client:
        number = client.open(request("POST", "/", ("content-length", said)), ends=False)
        await until(lambda: b"\r\n\r\n" in lab.backends[0].received)
        client.h2.send_data(number, sent, end_stream=True)
        client.flush()
        await client.until(lambda: client.streams[number].is_over or client.is_closed)
        assert client.streams[number].status == 0
        await until(lambda: lab.backends[0].open_connections == 0)
        assert len(bytes(lab.backends[0].received).split(b"\r\n\r\n")[1]) <= int(said)
        assert [one.code for one in lab.summaries if one.route == "POST"] == [499]


async def test_trailers_are_checked_as_headers_are() -> None:
    """A line end in one resets the stream; the backend's connection is closed."""
    async with rig(swallowing, switches=NO_DEADLINE) as lab, connected(lab) as client:
        number = client.open(request("POST"), ends=False)
        await until(lambda: b"\r\n\r\n" in lab.backends[0].received)
        block = head_block(client, [("x-sum", "5\r\n\r\nGET /hidden HTTP/1.1")])
        client.send(frame(1, block, flags=5, stream=number))
        assert (await client.answer(number)).reset == PROTOCOL_ERROR
        await until(lambda: lab.backends[0].open_connections == 0)
        assert b"hidden" not in lab.backends[0].received


async def test_limits_are_read_for_each_new_connection() -> None:
    """An open one keeps what it was told."""
    async with rig(answering(ok())) as lab, connected(lab) as old:
        await old.ask()
        lab.proxy.http2.options = Http2Options(control_frames_per_s=5)
        async with connected(lab) as new:
            new.send(frame(6, bytes(8)) * 20)
            await new.until_closed()
        old.send(frame(6, bytes(8)) * 20)
        await old.until(lambda: len(old.pongs) == 20)
        assert (await old.ask()).status == 200
