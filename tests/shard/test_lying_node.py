"""A node that lies: whatever it says, each command is answered, and the client stays whole.

Bytes are fed to the connection as the loop would, so that hypothesis may try thousands.
"""

import asyncio
import resource
import time
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shard.connection import Connection, Limits
from shard.feed import Feed
from shard.policy.attempt import Failure
from shard.policy.topology import Address, parse_shards, parse_slots
from shard.resp import Answer, pack
from shard.store import StoreClient, WriteStatus
from tests.shard.fake import echo, fake_node, until
from tests.shard.one_node import serving

GET = pack(("GET", "k"))
NODE = Address("127.0.0.1", 1)
SMALL = Limits(max_reply_bytes=4096)
MIB = 1 << 20

HEADERS = st.builds(
    lambda kind, number, end: kind + number + end,
    st.sampled_from([b"*", b"$", b"%", b"~", b">", b"|", b"+", b"-", b":", b",", b"(", b"=", b"#"]),
    st.sampled_from(
        b" 0 -1 -2 1 3 t nan 1x 536870912 4294967296 99999999999999999999 "
        b"9223372036854775807 -9223372036854775808".split(b" ")
    ),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""]),
)
SPEECH = st.lists(st.one_of(HEADERS, st.binary(max_size=12), st.just(b"$1\r\nx\r\n")), max_size=30)


class Wire:
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        self.aborted = False

    def write(self, data: bytes) -> None:
        """Swallow it."""

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        """Nothing is read."""


async def hear(speech: list[bytes], limits: Limits = SMALL) -> tuple[Connection, list[Answer]]:
    """Let a node answer three commands with that; then it hangs up. Return the answers."""
    connection = Connection(limits)
    connection.connection_made(cast(asyncio.Transport, Wire()))
    asked = [connection.send(GET) for _ in range(3)]
    connection.flush()
    for piece in speech:
        connection.data_received(piece)
    connection.connection_lost(None)
    return connection, [await each for each in asked]


@pytest.mark.unit
@given(SPEECH)
@example([b"*1\r\n" * 2000])
@example([b"%1\r\n*1\r\n:1\r\n:2\r\n"])
@example([b"*4294967295\r\n"])
@example([b"*536870912\r\n"])
@example([b"*1\r\n~5368709", b"12\r\n"])
@example([b">1\r\n+push\r\n", b"+a\r\n+b\r\n+c\r\n+nobody asked\r\n"])
async def test_whatever_is_said_each_command_is_answered_once(speech: list[bytes]) -> None:
    """By replies in order, then LOST; a connection that heard nonsense says nothing more."""
    connection, answers = await hear(speech)

    assert not connection.is_open
    assert connection.in_flight == 0
    lost = [answer is Failure.LOST for answer in answers]
    assert lost == sorted(lost), "a reply behind a lost one was matched to a wrong command"
    assert await connection.send(GET) is Failure.DOWN


@pytest.mark.unit
@pytest.mark.parametrize(
    "nonsense",
    [
        b"$-2\r\n", b"*-2\r\n", b"$99999999999999999999\r\n", b"*99999999999\r\n", b":1x\r\n",
        b"HTTP/1.1 200 OK\r\n", b"\x00", b"*4294967295\r\n", b"(1x\r\n",
        b"%1\r\n*0\r\n:1\r\n",
    ],
)  # fmt: skip
async def test_nonsense_closes_the_connection_at_once(nonsense: bytes) -> None:
    """Not only when the node hangs up."""
    connection = Connection(SMALL)
    wire = Wire()
    connection.connection_made(cast(asyncio.Transport, wire))
    asked = connection.send(GET)
    connection.flush()
    connection.data_received(nonsense + b"\r\n")
    assert wire.aborted
    assert await asked is Failure.LOST


@pytest.mark.unit
@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"$536870912\r\n", b"x" * 65_536),
        (b"*1\r\n$536870912\r\n", b"x" * 65_536),
        (b"+", b"x" * 65_536),
        (b"*100000\r\n" * 5, b"$1\r\nx\r\n" * 9000),
    ],
)
async def test_a_reply_without_end_is_bounded(begin: bytes, more: bytes) -> None:
    """A bulk header of 512 MiB is believed as far as the limit goes, and costs no more memory."""
    limit = 2 * MIB
    wire, connection = Wire(), Connection(Limits(max_reply_bytes=limit))
    connection.connection_made(cast(asyncio.Transport, wire))
    asked = connection.send(GET)
    connection.flush()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.data_received(begin)
    fed = 0
    while not wire.aborted and fed <= limit:
        connection.data_received(more)
        fed += len(more)

    assert wire.aborted, "it reads on"
    assert await asked is Failure.LOST
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 64 * 1024


@pytest.mark.unit
async def test_depth_is_bounded_by_the_limit() -> None:
    """A million lists inside each other would be no list that Python could free."""
    connection, answers = await hear([b"*1\r\n" * 10_000] * 10, Limits(max_reply_bytes=64 * 1024))
    assert answers == [Failure.LOST] * 3
    assert not connection.is_open


@pytest.mark.unit
async def test_replies_in_many_small_reads_never_meet_the_limit() -> None:
    """It bounds one reply, not what a connection carries in its life."""
    connection = Connection(SMALL)
    connection.connection_made(cast(asyncio.Transport, Wire()))
    for _ in range(100):
        asked = connection.send(GET)
        connection.flush()
        connection.data_received(b"$200\r\n" + b"x" * 100)
        connection.data_received(b"x" * 100 + b"\r\n")
        assert await asked == b"x" * 200
    assert connection.is_open


@pytest.mark.unit
@given(SPEECH)
async def test_a_feed_hears_nonsense_and_ends(speech: list[bytes]) -> None:
    """Subscriptions too: frames, then the end, never an exception of another kind."""
    feed = Feed(4096)
    feed.connection_made(cast(asyncio.Transport, Wire()))
    for piece in speech:
        feed.data_received(piece)
    feed.connection_lost(None)
    frames = len(feed._frames)
    for _ in range(frames):
        await feed.next(1.0)
    with pytest.raises(ConnectionError):
        await feed.next(1.0)


@pytest.mark.unit
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
async def test_what_looks_like_a_header_inside_a_value_is_a_value(size: int) -> None:
    """However the reads are cut; so is a long list that really comes."""
    value = b"\r\n*99999999\r\n~12345678\r\n>10\r\n|77" * 5
    wanted = [value, [b"%d" % number for number in range(400)], value, b"*12", b"end"]
    speech = b"$%d\r\n%s\r\n*400\r\n" % (len(value), value)
    speech += b"".join(b"$%d\r\n%d\r\n" % (len(str(n)), n) for n in range(400))
    speech += b"$%d\r\n%s\r\n+*12\r\n$3\r\nend\r\n" % (len(value), value)
    connection = Connection(SMALL)
    connection.connection_made(cast(asyncio.Transport, Wire()))
    asked = [connection.send(GET) for _ in wanted]
    connection.flush()
    for begin in range(0, len(speech), size):
        connection.data_received(speech[begin : begin + size])
    assert connection.is_open
    assert [await each for each in asked] == wanted


@pytest.mark.unit
async def test_promises_are_summed_within_a_reply_and_forgotten_with_it() -> None:
    """Lists of a thousand, one after the other, are fine; inside each other they aren't."""
    thousand = b"*1000\r\n" + b"_\r\n" * 1000
    connection = Connection(SMALL)
    connection.connection_made(cast(asyncio.Transport, Wire()))
    for _ in range(5):
        asked = connection.send(GET)
        connection.flush()
        connection.data_received(thousand)
        assert await asked == [None] * 1000
    connection.send(GET)
    connection.flush()
    connection.data_received(b"*1000\r\n" * 2)
    assert not connection.is_open


VALUES = st.recursive(
    st.none() | st.integers() | st.binary(max_size=8) | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner),
    max_leaves=20,
)


@pytest.mark.unit
@given(VALUES)
@example([[b"slots", [0, 99999], b"nodes", []]])
@example([[b"slots", [0], b"nodes", [[b"port", 1, b"role", b"master"]]]])
@example([{b"slots": [0, 16384], b"nodes": [{b"port": 1, b"role": b"master", b"ip": b"\xff"}]}])
@example([[[1], 2]])
@example([[0, 1, [b"host", 70000]]])
@example([[0, 1, [b"host", -1]]])
@example([[0, 1, []]])
def test_a_topology_is_read_or_refused(value: object) -> None:
    """By ValueError, which the keeper takes for "ask another node"."""
    for parse in (parse_shards, parse_slots):
        try:
            topology = parse(value, NODE)
        except ValueError:
            continue
        assert len(topology.owners) == 16_384


@pytest.mark.integration
@pytest.mark.parametrize(
    "lie", [b"$536870912\r\nshort", b"*-7\r\n", b"+OK\r\n+OK\r\n+OK\r\n", b"\xff" * 100]
)
async def test_a_client_of_a_lying_node_goes_on(lie: bytes) -> None:
    """The write is UNKNOWN or answered, the next one finds a new connection and works."""
    async with serving(lie, deadline := b"+OK\r\n") as (client, node, answers):
        first = asyncio.create_task(client.write("SET", "k", 1))
        await until(lambda: len(answers.seen) == 1)
        if lie.startswith(b"$5"):
            node.hang_up()
        assert (await first).reason in (None, "STORE_UNAVAILABLE")
        assert (await client.write("SET", "k", 2)).value == deadline[1:3]


@pytest.mark.integration
@pytest.mark.parametrize("lie", [b"*1\r\n*2\r\n$5\r\nslots\r\n:7\r\n", b"*1\r\n:1\r\n", b"+no\r\n"])
async def test_a_lie_about_the_topology_is_not_believed(lie: bytes) -> None:
    """The next node is asked."""

    def liar(command: list[bytes]) -> bytes | None:
        return lie if command[0] == b"CLUSTER" else echo(command)

    async with fake_node(liar) as bad, serving() as (_, good, _):
        client = StoreClient([bad.address, good.address])
        await client.connect()
        assert client.topology.primaries == (good.address,)
        await client.close()


@pytest.mark.integration
@pytest.mark.parametrize("host", [b"\x00", b"x" * 300, b"..", b"nowhere.invalid"])
async def test_a_way_that_leads_nowhere_is_a_failed_attempt(host: bytes) -> None:
    """MOVED to what is no host: refused in time, and the client lives."""
    moved = b"-MOVED 1 " + host + b":6379\r\n"
    async with serving(*[moved] * 40) as (client, _, _):
        done = await client.write("SET", "k", 1, deadline_s=time.monotonic() + 0.5)
        assert (done.status, done.reason) == (WriteStatus.REFUSED, "STORE_UNAVAILABLE")
