"""A store that answers -LOADING: which commands, in what order, and when it is over."""

import random
from collections.abc import Iterable

import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError

from faults.wire.exchange import Exchange
from faults.wire.proxy import Proxy
from faults.wire.toxics.loading import LOADING_REPLY
from tests.faults.wire.drive import DOWN, UP, data, drain, exchange_with
from tests.faults.wire.lab import ports, toxic
from tests.valkey import start_valkey


def command(*words: str) -> bytes:
    """Make a command."""
    parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
    return b"*%d\r\n" % len(words) + parts


def send(exchange: Exchange, pieces: bytes | Iterable[bytes]) -> bytes:
    """Send as a client; return what reaches the server."""
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        exchange.take(UP, piece, 0.0)
    return data(drain(exchange, 0.0, UP))


def answer(exchange: Exchange, piece: bytes = b"") -> bytes:
    """Send as a server; return what reaches the client."""
    if piece:
        exchange.take(DOWN, piece, 0.0)
    return data(drain(exchange, 0.0, DOWN))


@pytest.mark.unit
def test_every_command_is_refused_and_none_forwarded() -> None:
    """Three pipelined commands get three answers, in one read or byte by byte."""
    pipeline = command("SET", "a", "1") + command("GET", "a") + b"PING\r\n"
    for pieces in ([pipeline], [pipeline[i : i + 1] for i in range(len(pipeline))]):
        told = toxic("loading")
        exchange = exchange_with(told)
        assert send(exchange, pieces) == b""
        assert answer(exchange) == LOADING_REPLY * 3
        assert told[1].hits == 3
        assert told[1].connections == 1
    assert LOADING_REPLY.startswith(b"-LOADING ")
    assert LOADING_REPLY.endswith(b"\r\n")


class Scripted(random.Random):
    """Draws what it is told: True refuses."""

    def __init__(self, refused: Iterable[bool]) -> None:
        super().__init__(0)
        self._refused = iter(refused)

    def random(self) -> float:
        return 0.0 if next(self._refused) else 0.999


def sharing(*refused: bool) -> Exchange:
    """Make a connection on which these commands are refused."""
    exchange = Exchange(Scripted(refused))
    exchange.set_toxics([toxic("loading", share=0.5)], 0.0)
    return exchange


@pytest.mark.unit
def test_a_refusal_waits_for_the_replies_before_it() -> None:
    """Commands 1 and 3 are forwarded, 2 and 4 refused: answers come as 1, 2, 3, 4."""
    exchange = sharing(False, True, False, True)
    sent = b"".join(command("GET", key) for key in "abcd")
    assert send(exchange, sent) == command("GET", "a") + command("GET", "c")
    assert answer(exchange) == b""
    assert answer(exchange, b"$1\r\n1\r\n") == b"$1\r\n1\r\n" + LOADING_REPLY
    assert answer(exchange, b">1\r\n+push\r\n") == b">1\r\n+push\r\n"
    assert answer(exchange, b"*1\r\n$1") == b""
    assert answer(exchange, b"\r\n3\r\n") == b"*1\r\n$1\r\n3\r\n" + LOADING_REPLY


@pytest.mark.property
@given(
    refused=st.lists(st.booleans(), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=30),
)
def test_answers_come_in_the_order_of_commands(refused: list[bool], cuts: list[int]) -> None:
    """However many are refused, and however the bytes are cut."""
    exchange = sharing(*refused)
    numbers = [str(number) for number in range(len(refused))]
    sent = b"".join(command("ECHO", number) for number in numbers)
    forwarded = send(exchange, pieces_of(sent, cuts))
    kept = [number for number, no in zip(numbers, refused, strict=True) if not no]
    assert forwarded == b"".join(command("ECHO", number) for number in kept)
    got = answer(exchange)
    for piece in pieces_of(b"".join(b"+%s\r\n" % number.encode() for number in kept), cuts):
        got += answer(exchange, piece)
    assert got == b"".join(
        LOADING_REPLY if no else b"+%s\r\n" % number.encode()
        for number, no in zip(numbers, refused, strict=True)
    )


def pieces_of(text: bytes, cuts: list[int]) -> list[bytes]:
    """Cut a text into pieces of these sizes, in turn."""
    pieces, start, turn = [], 0, 0
    while start < len(text):
        end = start + cuts[turn % len(cuts)]
        pieces.append(text[start:end])
        start, turn = end, turn + 1
    return pieces


@pytest.mark.unit
def test_a_transaction_is_refused_whole_or_not_at_all() -> None:
    """One draw for MULTI holds until EXEC."""
    transaction = command("MULTI") + command("INCR", "a") + command("EXEC")
    exchange = sharing(True, False, False)
    assert send(exchange, transaction + command("GET", "a")) == command("GET", "a")
    assert answer(exchange) == LOADING_REPLY * 3
    exchange = sharing(False)
    assert send(exchange, transaction) == transaction


@pytest.mark.unit
def test_what_is_forwarded_when_it_ends_is_answered_before_it_is_gone() -> None:
    """The refusal that waits for a reply is still given, then bytes pass unread."""
    exchange = sharing(False, True)
    send(exchange, command("GET", "a") + command("GET", "b"))
    exchange.set_toxics((), 1.0)
    assert send(exchange, b"*2\r\n$3\r\nGET\r\n") == b"*2\r\n$3\r\nGET\r\n"
    assert not exchange.is_plain(DOWN)
    assert answer(exchange, b"+1\r\n") == b"+1\r\n" + LOADING_REPLY
    assert exchange.is_plain(DOWN)


@pytest.mark.unit
@pytest.mark.parametrize(
    "endless", [command("SUBSCRIBE", "c"), command("CLIENT", "REPLY", "OFF"), b"MONITOR\r\n"]
)
def test_after_a_command_without_a_last_answer_bytes_pass(endless: bytes) -> None:
    """Nobody can tell any more which answer belongs to what."""
    exchange = sharing(False, False)
    after = command("GET", "a")
    assert send(exchange, command("GET", "b") + endless + after).endswith(endless + after)
    assert answer(exchange, b"+b\r\n") == b"+b\r\n"
    assert answer(exchange, b"*3\r\n$9") == b"*3\r\n$9"


@pytest.mark.unit
def test_a_link_of_another_protocol_is_left_alone_and_says_so() -> None:
    """Bytes that are no RESP pass; the proof has the reason."""
    told = toxic("loading")
    exchange = exchange_with(told)
    nonsense = b"*what\r\nis this"
    assert send(exchange, nonsense) == nonsense
    assert told[1].as_dict()["error"] == "not a RESP link: b'what' is no length"
    assert told[1].hits == 0


@pytest.mark.integration
async def test_a_real_client_sees_a_loading_server() -> None:
    """redis-py raises its own error for it, and works again when it is over."""
    with start_valkey() as server:
        proxy = Proxy(ports().listen(), (server.host, server.port), random.Random(5))
        client = redis.asyncio.Redis(
            host="127.0.0.1", port=proxy.listen[1], retry=Retry(NoBackoff(), 0), protocol=3
        )
        try:
            proxy.set_toxics([toxic("loading", share=0.5)])
            got = [await outcome(client, number) for number in range(60)]
            assert {"loading", "stored"} == set(got)
            proxy.set_toxics(())
            for number, what in enumerate(got):
                stored = await client.get(f"key{number}")
                assert (stored is not None) == (what == "stored")
        finally:
            await client.aclose()
            proxy.close()


async def outcome(client: redis.asyncio.Redis, number: int) -> str:
    """Write a key; say whether it was stored."""
    try:
        await client.set(f"key{number}", "value" * 100)
    except BusyLoadingError:
        return "loading"
    return "stored"
