"""The client's edge, fuzzed: no bytes make the proxy fail, or a backend read another request.

Smuggling needs two readers who disagree. So the second reader is another parser (h11), behind the
proxy and beside it: what reaches a backend must be whole requests to h11, and where h11 accepts
what the client sent, it must have read the same requests there.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.l7.clients import ClientLimits
from lb.l7.errors import Problem
from lb.l7.headers import Headers
from lb.l7.parser import RequestParser
from tests.lb.l7.rig import Backend, Rig, rig
from tests.lb.l7.test_framing import REFUSED
from tests.lb.policy.patience import PATIENT

EXAMPLES = 500
LONG_ENOUGH_S = 0.05  # cuts an example short at worst; nothing is asserted of its end
Read = tuple[bytes, bytes, bytes]  # method, target, body

LINES = (
    b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"HEAD /b?c=d HTTP/1.1", b"PUT /x HTTP/1.0",
    b"GET http://lab/abs HTTP/1.1", b"OPTIONS * HTTP/1.1", b"get / HTTP/1.1", b"GET  / HTTP/1.1",
    b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET / HTTP/1.10",
)  # fmt: skip
HEADERS = (
    b"Host: lab", b"Host:lab", b"Host: lab ", b"Host : lab", b"host: LAB",
    b"Content-Length: 3", b"Content-Length: 03", b"Content-Length: +3", b"Content-Length: 3,3",
    b"Content-Length: 0", b"Content-Length:", b"Content-Length: 3 ", b"Content-Length: -1",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"transfer-encoding:chunked",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding\x00: chunked", b"Transfer-Encoding: \x0bchunked", b" Transfer-Encoding: x",
    b"Connection: close", b"Connection: keep-alive", b"Connection: content-length",
    b"Connection: transfer-encoding", b"Connection: host", b"Expect: 100-continue",
    b"Upgrade: h2c", b"TE: trailers",  # codespell:ignore te
    b"Trailer: x", b"X: y", b"X: \x80", b": x", b"X", b"",
)  # fmt: skip
BODIES = (
    b"", b"abc", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"03\r\nabc\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n", b"3\nabc\n0\n\n",
    b"0x3\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n", b"3\r\nabcGET / HTTP/1.1\r\n\r\n",
    b"3\r\nabc\r\n0\r\nContent-Length: 4\r\n\r\n", b"ffffffffffffffff1\r\nabc",
)  # fmt: skip
SOUND = (
    (b"", b""),
    (b"Content-Length: 3\r\n", b"abc"),
    (b"Content-Length: 0\r\n", b""),
    (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"),
)
HARMLESS = (
    b"X: y", b"X: \x80", b"host-not: lab", b"Connection: keep-alive",
    b"TE: trailers",  # codespell:ignore te
)  # fmt: skip
ENDS = (b"\r\n",) * 30 + (b"\n", b"\r", b"\r\r\n", b"\r\n ")


@st.composite
def sound(draw: st.DrawFn) -> bytes:
    """Draw a request that everybody reads in the same way."""
    line = draw(st.sampled_from(LINES[:4]))
    framing, body = draw(st.sampled_from(SOUND)) if line.endswith(b"1.1") else SOUND[0]
    more = b"".join(one + b"\r\n" for one in draw(st.lists(st.sampled_from(HARMLESS), max_size=2)))
    return b"%b\r\nHost: lab\r\n%b%b\r\n%b" % (line, framing, more, body)


@st.composite
def doubtful(draw: st.DrawFn) -> bytes:
    """Draw what may be a request, from parts that are read in more than one way."""
    parts = [draw(st.sampled_from(LINES)), b"Host: lab"]
    parts += draw(st.lists(st.sampled_from(HEADERS), max_size=3))
    head = b"".join(part + draw(st.sampled_from(ENDS)) for part in parts)
    return b"".join((head, draw(st.sampled_from(ENDS)), draw(st.sampled_from(BODIES))))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw what one client may send: some requests, with a few bytes of it changed."""
    known = st.sampled_from(list(REFUSED.values()))
    one = st.one_of(sound(), sound(), doubtful(), doubtful(), known)
    text = b"".join(draw(st.lists(one, min_size=1, max_size=3)))
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.binary(max_size=2)) + text[place + draw(st.integers(0, 2)) :]
    return text


class Taker:
    """Keep what the parser tells."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self._body = b""

    def on_head(
        self, method: bytes, target: bytes, version: str, headers: Headers, *, keep_alive: bool
    ) -> None:
        """Keep a head."""
        self.told.append((method, target, version, tuple(headers), keep_alive))

    def on_body(self, body: bytes) -> None:
        """Join pieces."""
        self._body += body

    def on_end(self, trailers: Headers) -> None:
        """Keep the whole body."""
        self.told.append((self._body, tuple(trailers)))
        self._body = b""


def parse(pieces: Sequence[bytes]) -> tuple[list[object], bool]:
    """Return what the parser told, and whether it refused."""
    taker = Taker()
    parser = RequestParser(taker, ClientLimits())
    for piece in pieces:
        try:
            if parser.feed(piece) is not None:
                return taker.told, True
        except httptools.HttpParserUpgrade:
            return taker.told, False
    return taker.told, False


@pytest.mark.unit
@PATIENT
@given(text=streams(), data=st.data())
def test_how_bytes_are_cut_changes_nothing(text: bytes, data: st.DataObject) -> None:
    """The same requests and the same verdict, whatever pieces it comes in."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    edges = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges) if b > a]
    told, refused = parse(pieces)
    assert parse([text]) == (told, refused)
    assert parse([bytes((byte,)) for byte in text]) == (told, refused)


@pytest.mark.unit
@PATIENT
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    """Nothing but a Problem comes of them."""
    taker = Taker()
    problem = RequestParser(taker, ClientLimits()).feed(text)
    assert problem is None or (isinstance(problem, Problem) and 400 <= problem.status < 600)


class SecondReader:
    """A backend whose parser is another one's; it keeps what it read, and what it couldn't."""

    def __init__(self) -> None:
        self.read: list[Read] = []
        self.mistakes: list[str] = []

    async def handle(
        self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer each request with its number of bytes."""
        conn = h11.Connection(h11.SERVER)
        while data := await reader.read(64 * 1024):
            conn.receive_data(data)
            try:
                for one in _requests_of(conn):
                    self.read.append(one)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            except h11.RemoteProtocolError as error:
                self.mistakes.append(f"{error}: {data!r}")
                return


def _requests_of(conn: h11.Connection) -> Iterator[Read]:
    """Return every request that is complete; raises what h11 raises."""
    method = target = body = b""
    while True:
        event = conn.next_event()
        if isinstance(event, h11.Request):
            method, target, body = event.method, event.target, b""
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            yield method, target, body
            conn.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
            conn.send(h11.EndOfMessage())
            if conn.our_state is h11.MUST_CLOSE:
                return
            conn.start_next_cycle()
        else:
            return


def read_beside(text: bytes) -> list[Read] | None:
    """Return the requests that h11 reads of the client's bytes; None when it refuses any."""
    conn = h11.Connection(h11.SERVER)
    conn.receive_data(text)
    try:
        return list(_requests_of(conn))
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return None


async def send(lab: Rig, text: bytes) -> bytes:
    """Send these bytes, and a last request that ends the connection; return what is answered.

    Where what was sent wants more of a body than there is, nobody ends anything: then not for long.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    answer = b""
    try:
        writer.write(text + b"\r\n\r\nGET /last HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(LONG_ENOUGH_S):
            while data := await reader.read(64 * 1024):
                answer += data
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return answer


async def pass_on(text: bytes) -> tuple[SecondReader, bytes]:
    """Send these bytes through a proxy of their own."""
    second = SecondReader()
    async with rig(second.handle) as lab:
        return second, await send(lab, text)


@pytest.mark.integration
def test_no_bytes_make_two_readers_disagree() -> None:
    """What reaches the backend is whole, and is what was sent where both could read that."""
    counts = {"passed on": 0, "compared": 0, "refused": 0}
    with asyncio.Runner() as runner:

        @settings(PATIENT, max_examples=EXAMPLES)
        @given(streams())
        def fuzz(text: bytes) -> None:
            second, answer = runner.run(pass_on(text))
            assert not second.mistakes
            assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
            counts["passed on"] += bool(second.read)
            counts["refused"] += b"HTTP/1.1 400" in answer
            beside = read_beside(text)
            if beside and second.read:
                counts["compared"] += 1
                whole = [(method, _path(target), body) for method, target, body in beside]
                compared = min(len(whole), len(second.read))
                assert second.read[:compared] == whole[:compared]

        fuzz()
    assert min(counts.values()) >= EXAMPLES // 20, counts  # or it tries nothing worth the name


def _path(target: bytes) -> bytes:
    """Return a target as the proxy passes it on."""
    return target.removeprefix(b"http://lab") or b"/"
