"""The parts that need no socket: cutting frames, reading requests, and any bytes at all."""

import asyncio
import re

import httptools
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.l7.errors import Problem
from lb.l7.forwarded import PLAIN_HOP
from lb.l7.headers import Headers
from lb.l7.http2.answer import AnswerReader
from lb.l7.http2.connection import Http2Connection
from lb.l7.http2.frames import FrameCutter
from lb.l7.http2.options import Http2Options
from lb.l7.http2.request import Asked, Malformed, read_request
from lb.l7.http2.session import PREFACE, begin_session, rest_of_preface
from lb.l7.proxy import Proxy
from lb.l7.served import Served
from resilience.switches import FixedSwitches

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"lab"), (b":path", b"/")]
BYTES = st.binary(max_size=12) | st.sampled_from(
    [b"a\r\nb", b"content-length", b"transfer-encoding", b"host", b"0", b"5", b"chunked", b"x y"]
)
NAMES = BYTES | st.sampled_from([name for name, _ in GET])


def test_the_preface_is_found_wherever_it_is_cut() -> None:
    """With what follows it; what only resembles it is none."""
    for begun in range(len(PREFACE)):
        assert rest_of_preface(PREFACE[begun:] + b"abc", begun) == b"abc"
        assert rest_of_preface(PREFACE[begun:-1], begun) is None
    assert rest_of_preface(b"abc", len(PREFACE)) is None


@given(sizes=st.lists(st.integers(0, 40), max_size=8), cuts=st.lists(st.integers(1, 30)))
def test_frames_are_the_same_however_they_are_cut(sizes: list[int], cuts: list[int]) -> None:
    """Each comes out once, whole, in its order."""
    wire = b"".join(
        size.to_bytes(3, "big") + bytes([kind, 1, 0, 0, 0, 1]) + bytes(size)
        for kind, size in enumerate(sizes)
    )
    cutter = FrameCutter()
    found = []
    rest = wire
    for cut in [*cuts, len(wire)]:
        found += list(cutter.cut(rest[:cut]))
        rest = rest[cut:]
    assert [(one.kind, len(one.data) - 9) for one in found] == list(enumerate(sizes))
    assert not cutter.is_within


def test_half_a_frame_of_a_body_is_no_head() -> None:
    """A body may take its time (it has limits of its own), everything else may not."""
    cutter = FrameCutter()
    assert list(cutter.cut(b"\0\0\5\0")) == []
    assert not cutter.is_within
    cutter = FrameCutter()
    assert list(cutter.cut(b"\0\0\5\1")) == []
    assert cutter.is_within


@pytest.mark.parametrize(
    ("method", "headers", "ends", "framing", "length"),
    [
        (b"GET", [], True, [], None),
        (b"POST", [], True, [(b"content-length", b"0")], None),
        (b"POST", [], False, [(b"transfer-encoding", b"chunked")], None),
        (b"POST", [(b"content-length", b"5")], False, [(b"content-length", b"5")], 5),
        (b"POST", [(b"content-length", b"0")], True, [(b"content-length", b"0")], 0),
    ],
)
def test_a_body_gets_the_framing_of_http11(
    method: bytes, headers: Headers, ends: bool, framing: Headers, length: int | None
) -> None:
    """By its length where one was said, else in chunks, and none where there is none."""
    asked = read_request([(b":method", method), *GET[1:], *headers], ends=ends)
    assert asked == Asked(method, b"/", [(b"host", b"lab"), *framing], length)


@pytest.mark.parametrize("value", [b"-1", b"+5", b"5,5", b"0x5", b""])
def test_a_length_that_is_no_number_is_malformed(value: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(Malformed):
        read_request([*GET, (b"content-length", value)], ends=False)


class Parsed:
    """What an HTTP/1.1 parser sees in bytes."""

    def __init__(self) -> None:
        self.requests = 0
        self.headers: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect."""
        self.headers.append((name, value))

    def on_message_complete(self) -> None:
        """Count."""
        self.requests += 1


@settings(max_examples=300, deadline=None)
@given(
    fields=st.lists(st.tuples(NAMES, BYTES), max_size=6),
    path=BYTES.map(lambda text: b"/" + text) | BYTES,
    method=st.sampled_from([b"GET", b"POST", b"GET / HTTP/1.1\r\n", b"OPTIONS"]),
)
def test_no_fields_become_two_requests(fields: Headers, path: bytes, method: bytes) -> None:
    """Whatever is accepted is one request of HTTP/1.1, with the very headers that were read."""
    given_fields = [(b":method", method), *GET[1:3], (b":path", path), *fields]
    try:
        asked = read_request(given_fields, ends=True)
    except (Malformed, Problem):
        return
    lines = b"".join(b"%b: %b\r\n" % line for line in asked.headers)
    parsed = Parsed()
    parser = httptools.HttpRequestParser(parsed)
    try:
        parser.feed_data(b"%b %b HTTP/1.1\r\n%b\r\n" % (asked.method, asked.target, lines))
    except httptools.HttpParserError:
        return  # it would be refused, not misread
    assert parsed.requests == 1
    assert parsed.headers == asked.headers
    assert not any(re.search(rb"[\r\n\0]", name + value) for name, value in asked.headers)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep."""
        self.written += data

    def abort(self) -> None:
        """Note it."""
        self.is_over = True

    def write_eof(self) -> None:
        """Note it."""
        self.is_over = True

    def can_write_eof(self) -> bool:
        """As a socket can."""
        return True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Nothing ever comes of itself."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is room always."""

    def pause_reading(self) -> None:
        """Nothing ever comes of itself."""

    def resume_reading(self) -> None:
        """Nothing ever comes of itself."""


class Counted:
    """A listener that lets everybody in."""

    def admit(self, client: Served, peer: bytes = b"") -> bool:
        """Let it in."""
        return True

    def forget(self, client: Served) -> None:
        """Nothing was counted."""


class Tally:
    """Count what is in flight."""

    def __init__(self) -> None:
        self.open = 0

    def begin_request(self) -> None:
        """One more."""
        self.open += 1

    def end_request(self) -> None:
        """One less."""
        self.open -= 1


FRAMES = st.tuples(
    st.integers(0, 10),
    st.integers(0, 255) | st.sampled_from([0, 1, 4, 5]),
    st.sampled_from([0, 1, 1, 3, 5]),
    st.binary(max_size=20) | st.sampled_from([b"\x82\x86\x84\x41\x01a", b"\x83\x86\x84\x41\x01a"]),
)


@settings(max_examples=150, deadline=None)
@given(frames=st.lists(FRAMES, max_size=12), size=st.integers(1, 200))
def test_any_frames_are_answered_or_end_the_connection(
    frames: list[tuple[int, int, int, bytes]], size: int
) -> None:
    """No byte that a client may send makes an exception, and no request stays in flight."""
    wire = b"\0\0\0\4\0\0\0\0\0" + b"".join(
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload
        for kind, flags, number, payload in frames
    )
    tally = Tally()

    async def serve() -> None:
        proxy = Proxy(FixedSwitches(), lambda _: None, tally)  # without a backend: 503
        client = Http2Connection(proxy, Counted(), b"127.0.0.1", PLAIN_HOP)
        transport = Wire()
        client.take_over(transport, b"")
        for at in range(0, len(wire), size):
            client.data_received(wire[at : at + size])
            await asyncio.sleep(0)
        client.data_received(b"\0\0\x08\6\0\0\0\0\0" + b"12345678")
        assert transport.is_over or b"\0\0\x08\6\1\0\0\0\00012345678" in transport.written
        client.connection_lost(None)

    asyncio.run(serve())
    assert tally.open == 0


class Answered:
    """What a reader made of an answer."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_answer_head(self, status: int, headers: Headers) -> None:
        """Keep."""
        self.told.append((status, headers))

    def on_answer_body(self, data: bytes) -> None:
        """Keep, pieces put together."""
        if self.told and isinstance(self.told[-1], bytes):
            data = self.told.pop() + data  # type: ignore[operator]
        self.told.append(data)

    def on_answer_end(self, trailers: Headers) -> None:
        """Keep."""
        self.told.append(trailers)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_an_answer_is_read_however_it_is_cut(size: int) -> None:
    """Interim head, head, body, trailers; nothing of the connection's own."""
    wire = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-A:  b \r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 7\r\n\r\n"
    )
    answered = Answered()
    reader = AnswerReader(answered, is_head=False)
    for at in range(0, len(wire), size):
        reader.feed(wire[at : at + size])
    assert answered.told == [
        (103, [(b"link", b"</a>")]), (200, [(b"x-a", b"b")]), b"abc", [(b"x-sum", b"7")],
    ]  # fmt: skip


def test_settings_hold_when_they_are_acknowledged() -> None:
    """A client that can't know a smaller window yet may use the one it began with."""
    session = begin_session(Http2Options(window_bytes=1024))
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, [(name.decode(), value.decode()) for name, value in GET])
    client.send_data(1, bytes(16_384))
    events = session.receive_data(client.data_to_send())
    assert [type(one).__name__ for one in events][-2:] == ["RequestReceived", "DataReceived"]
    assert session.remote_flow_control_window(1) == 65_535 - 16_384
