"""Answers whose heads trickle: bodies untouched, kept and pipelined connections followed."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.wire.exchange import Exchange
from faults.wire.http1 import MAX_HEAD_BYTES, MessageReader, NotHttpError, Part
from faults.wire.proof import WireProof
from tests.faults.wire.drive import DOWN, UP, data, drain, exchange_with, flow, until
from tests.faults.wire.lab import toxic

pytestmark = pytest.mark.unit

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nGET /"
CHUNKED_POST = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

SIZED = (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", b"HTTP/1.1 no")
EMPTY = (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"")
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"5;x=1\r\nHTTP/\r\nA\r\n1.1 200 OK\r\n0\r\ntrailer: x\r\n\r\n",
)
NO_CONTENT = (b"HTTP/1.1 204 No Content\r\n\r\n", b"")
NOT_MODIFIED = (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 11\r\n\r\n", b"")
TO_HEAD = (b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n", b"")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
UNTIL_CLOSE = (b"HTTP/1.0 200 OK\r\n\r\n", b"all that\r\n\r\nfollows")
SWITCHED = (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", b"\x81\x05hello")

EXCHANGES = [
    (GET, SIZED),
    (GET, EMPTY),
    (POST, CHUNKED),
    (CHUNKED_POST, NO_CONTENT),
    (GET, NOT_MODIFIED),
    (HEAD, TO_HEAD),
    (GET, (CONTINUE + SIZED[0], SIZED[1])),
]


def read_all(
    exchanges: list[tuple[bytes, tuple[bytes, bytes]]], size: int
) -> list[tuple[Part, bytes]]:
    """Read requests and their answers in pieces of a size; spans of one part joined."""
    methods: deque[bytes] = deque()
    requests, answers = MessageReader(False, methods), MessageReader(True, methods)
    sent = b"".join(request for request, _ in exchanges)
    assert b"".join(span.data for span in requests.feed(sent)) == sent
    received = b"".join(head + body for _, (head, body) in exchanges)
    joined: list[tuple[Part, bytes]] = []
    for start in range(0, len(received), size):
        for part, span in answers.feed(received[start : start + size]):
            if joined and joined[-1][0] is part:
                joined[-1] = (part, joined[-1][1] + span)
            else:
                joined.append((part, span))
    return joined


@pytest.mark.property
@given(picks=st.lists(st.sampled_from(EXCHANGES), min_size=1, max_size=8), size=st.integers(1, 300))
def test_heads_and_bodies_are_told_apart(
    picks: list[tuple[bytes, tuple[bytes, bytes]]], size: int
) -> None:
    """Pipelined, kept, chunked, without a body, to HEAD, after 100, in pieces of any size."""
    expected: list[tuple[Part, bytes]] = []
    for _, (head, body) in picks:
        for part, text in ((Part.HEAD, head), (Part.BODY, body)):
            if expected and text and expected[-1][0] is part:
                expected[-1] = (part, expected[-1][1] + text)
            elif text:
                expected.append((part, text))
    assert read_all(picks, size) == expected


@pytest.mark.parametrize("endless", [UNTIL_CLOSE, SWITCHED])
def test_a_body_may_have_no_end(endless: tuple[bytes, bytes]) -> None:
    """Without a length it lasts until the close, and after an upgrade for ever."""
    head, body = endless
    assert read_all([(GET, endless)], 7) == [(Part.HEAD, head), (Part.BODY, body)]


@pytest.mark.parametrize(
    "text",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"x" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_no_answer_is_an_error(text: bytes) -> None:
    """Other protocols and broken framing are named."""
    with pytest.raises(NotHttpError):
        list(MessageReader(True, deque([b"GET"])).feed(text))


def slow(ms: float = 10) -> tuple[Exchange, WireProof]:
    """Make a connection on which heads trickle; its proof too."""
    told = toxic("slow_headers", ms=ms)
    return exchange_with(told), told[1]


def test_a_head_takes_its_length_and_the_body_no_time() -> None:
    """40 bytes at 10 ms each, then the body at once; the request isn't held up."""
    exchange, proof = slow()
    exchange.take(UP, GET, 0.0)
    assert drain(exchange, 0.0, UP) == [(0.0, GET)]
    head, body = SIZED
    left = flow(exchange, [(1.0, head + body)])
    assert [piece for _, piece in left[:-1]] == [head[i : i + 1] for i in range(len(head))]
    assert left[0][0] == 1.01
    assert left[-1] == (round(1.0 + 0.01 * len(head), 6), body)
    assert (proof.hits, proof.connections, proof.bytes) == (1, 1, len(head))
    assert proof.delayed_ms == pytest.approx(10.0 * len(head))


def test_pipelined_answers_trickle_one_after_the_other() -> None:
    """Two answers in one read: the second's head begins when the first's body is out."""
    exchange, proof = slow()
    exchange.take(UP, HEAD + GET, 0.0)
    drain(exchange, 0.0, UP)
    answers = TO_HEAD[0] + SIZED[0] + SIZED[1]
    left = flow(exchange, [(0.0, answers)])
    assert data(left) == answers
    assert left[-1][0] == pytest.approx(0.01 * (len(TO_HEAD[0]) + len(SIZED[0])))
    assert proof.hits == 2


def test_a_kept_connection_is_followed() -> None:
    """The third answer's head trickles as the first's did, also when reads cut it."""
    exchange, proof = slow(1)
    for round_s in (0.0, 10.0, 20.0):
        exchange.take(UP, POST, round_s)
        drain(exchange, round_s, UP)
        text = b"".join(CHUNKED)
        left = flow(exchange, [(round_s, text[:9]), (round_s, text[9:])])
        assert data(left) == text
        assert left[-1][0] == pytest.approx(round_s + 0.001 * len(CHUNKED[0]))
    assert proof.hits == 3


def test_a_toxic_that_ends_lets_the_rest_of_a_head_go() -> None:
    """Half a head was out; the other half follows at once."""
    exchange, _ = slow(100)
    exchange.take(UP, GET, 0.0)
    exchange.take(DOWN, b"".join(SIZED), 0.0)
    first = until(exchange, 1.05)
    exchange.set_toxics((), 1.05)
    assert data(first) + data(drain(exchange, 1.05)) == b"".join(SIZED)
    assert len(first) == 10


def test_a_link_of_another_protocol_is_left_alone_and_says_so() -> None:
    """HTTP/2's preface is no HTTP/1 request."""
    exchange, proof = slow()
    assert data(flow(exchange, [(0.0, b"PRI * HTTP/2.0\r\n\r\nSM")], UP)) == (
        b"PRI * HTTP/2.0\r\n\r\nSM"
    )
    assert proof.error.startswith("not an HTTP/1 link")
