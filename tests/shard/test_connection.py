"""The connection over real sockets: pipelining, order, bounds, deadlines, loss."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shard.connection import (
    DEFAULT_CONNECT_TIMEOUT_S,
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_REPLY_TIMEOUT_S,
    SWEEP_INTERVAL_S,
    Connection,
    Limits,
)
from shard.policy.attempt import Failure
from shard.resp import ReplyError, pack
from tests.shard.fake import FakeNode, echo, fake_node, until

pytestmark = pytest.mark.integration


@asynccontextmanager
async def connected(node: FakeNode, limits: Limits | None = None) -> AsyncIterator[Connection]:
    """Open a connection to a fake node."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(limits or Limits()), *node.address
    )
    try:
        yield connection
    finally:
        connection.close()


def test_documented_defaults() -> None:
    """The limits are those that the module's comments give reasons for."""
    assert Limits() == Limits(
        connect_timeout_s=DEFAULT_CONNECT_TIMEOUT_S,
        reply_timeout_s=DEFAULT_REPLY_TIMEOUT_S,
        max_in_flight=DEFAULT_MAX_IN_FLIGHT,
    )
    assert (DEFAULT_CONNECT_TIMEOUT_S, DEFAULT_REPLY_TIMEOUT_S) == (0.3, 1.0)
    assert DEFAULT_MAX_IN_FLIGHT == 1024
    assert SWEEP_INTERVAL_S == 0.010


async def test_a_leader_leaves_with_its_command_or_not_at_all() -> None:
    """ASKING goes directly before its command; that of a command given up reaches nobody."""
    asking = pack(("ASKING",))
    async with fake_node() as node, connected(node) as connection:
        given_up = connection.send(pack(("GET", "a")), None, [connection.leader(asking)])
        other = connection.send(pack(("GET", "b")))
        asked = connection.send(pack(("GET", "c")), None, [connection.leader(asking)])
        given_up.cancel()
        assert [await other, await asked] == [b"b", b"c"]
        assert node.commands == [[b"GET", b"b"], [b"ASKING"], [b"GET", b"c"]]
        assert connection.dropped_count == 0


async def test_all_commands_of_a_turn_leave_in_one_write() -> None:
    """A hundred commands from a hundred tasks are one write, and replies come in order."""
    async with fake_node() as node, connected(node) as connection:

        async def ask(number: int) -> object:
            return await connection.send(pack(("GET", number)))

        replies = await asyncio.gather(*(ask(number) for number in range(100)))

        assert replies == [b"%d" % number for number in range(100)]
        assert connection.write_count == 1
        assert node.reads == [100]


async def test_a_command_cancelled_before_the_write_is_not_sent() -> None:
    """Abandoned within its own turn, it never reaches the node."""
    async with fake_node() as node, connected(node) as connection:
        first = connection.send(pack(("GET", "first")))
        abandoned = connection.send(pack(("GET", "abandoned")))
        last = connection.send(pack(("GET", "last")))
        abandoned.cancel()

        assert [await first, await last] == [b"first", b"last"]
        assert [command[1] for command in node.commands] == [b"first", b"last"]


async def test_a_command_cancelled_after_the_write_drops_its_own_reply_only() -> None:
    """Replies stay matched, and the abandoned command counts as in flight until answered."""
    async with fake_node(lambda command: None) as node, connected(node) as connection:
        futures = [connection.send(pack(("GET", number))) for number in range(3)]
        await until(lambda: len(node.commands) == 3)
        futures[1].cancel()
        assert connection.in_flight == 3

        node.say(b"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n")

        assert [await futures[0], await futures[2]] == [b"a", b"c"]
        assert connection.dropped_count == 1
        assert connection.in_flight == 0


async def test_replies_in_pieces_are_put_together() -> None:
    """A reply cut anywhere is one reply."""
    async with fake_node(lambda command: None) as node, connected(node) as connection:
        future = connection.send(pack(("GET", "k")))
        await until(lambda: len(node.commands) == 1)
        for piece in (b"*2\r\n$3\r", b"\nab", b"c\r\n:", b"7\r\n"):
            node.say(piece)
            await asyncio.sleep(0)

        assert await future == [b"abc", 7]


async def test_an_error_reply_is_a_value() -> None:
    """A good and a bad reply of one pipeline stand side by side."""
    async with fake_node(lambda command: None) as node, connected(node) as connection:
        bad, good = connection.send(pack(("GET", "a"))), connection.send(pack(("GET", "b")))
        await until(lambda: len(node.commands) == 2)
        node.say(b"-MOVED 7 127.0.0.1:1\r\n+OK\r\n")

        answer = await bad
        assert isinstance(answer, ReplyError)
        assert answer.kind == "MOVED"
        assert await good == b"OK"


async def test_beyond_the_bound_a_command_is_refused_at_once() -> None:
    """Abandoned commands still fill the bound: the node works on them all the same."""
    limits = Limits(max_in_flight=2)
    async with fake_node(lambda command: None) as node, connected(node, limits) as connection:
        connection.send(pack(("GET", "a"))).cancel()
        connection.send(pack(("GET", "b")))
        assert await connection.send(pack(("GET", "c"))) is Failure.FULL

        await until(lambda: len(node.commands) == 1)
        assert connection.in_flight == 1, "the one cancelled before the write left the queue"


async def test_a_deadline_after_the_write_is_overdue() -> None:
    """The sweep fails the command in time; the connection lives on, its reply is dropped."""
    patient = Limits(reply_timeout_s=10.0)
    async with fake_node(lambda command: None) as node, connected(node, patient) as connection:
        began_s = time.monotonic()
        answer = await connection.send(pack(("GET", "a")), began_s + 1.5)

        assert answer is Failure.OVERDUE
        assert time.monotonic() - began_s > 1.45
        node.say(b"+late\r\n")
        await until(lambda: connection.dropped_count == 1)
        assert connection.is_open


async def test_a_deadline_while_held_back_is_expired() -> None:
    """A command that was never written is refused, not unknown, and isn't written later."""
    async with fake_node() as node, connected(node) as connection:
        connection.hold()
        answer = await connection.send(pack(("GET", "a")), time.monotonic() + 0.02)
        connection.release()

        assert answer is Failure.EXPIRED
        assert await connection.send(pack(("GET", "b"))) == b"b"
        assert [command[1] for command in node.commands] == [b"b"]


async def test_what_is_held_back_leaves_at_release() -> None:
    """Holding keeps order: the held commands follow those sent before."""
    async with fake_node() as node, connected(node) as connection:
        before = connection.send(pack(("GET", "1")))
        connection.hold()
        held = connection.send(pack(("GET", "2")))
        assert await before == b"1"
        assert not held.done()

        connection.release()

        assert await held == b"2"
        assert node.reads == [1, 1]


async def test_the_oldest_reply_overdue_closes_the_connection() -> None:
    """A node that hangs takes all its commands with it: sent ones lost, held ones not sent."""
    limits = Limits(reply_timeout_s=0.05)
    lost: list[bool] = []
    async with fake_node(lambda command: None) as node:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(limits, on_lost=lambda: lost.append(True)), *node.address
        )
        sent = connection.send(pack(("SET", "a", 1)))
        await until(lambda: len(node.commands) == 1)
        connection.hold()
        held = connection.send(pack(("SET", "b", 1)))

        assert await sent is Failure.LOST
        assert await held is Failure.DOWN
        assert not connection.is_open
        assert lost == [True]
        assert await connection.send(pack(("GET", "a"))) is Failure.DOWN


async def test_the_node_hanging_up_fails_what_is_in_flight() -> None:
    """Each command in flight ends as lost, once."""
    async with fake_node(lambda command: None) as node, connected(node) as connection:
        futures = [connection.send(pack(("GET", number))) for number in range(3)]
        await until(lambda: len(node.commands) == 3)
        node.hang_up()

        assert [await each for each in futures] == [Failure.LOST] * 3
        assert repr(connection) == "<Connection closed, 0 in flight>"


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+nobody asked\r\n"]
)
async def test_an_answer_that_cannot_be_trusted_closes_the_connection(garbage: bytes) -> None:
    """Neither another protocol nor a reply too many may shift replies to wrong commands."""
    async with fake_node(lambda command: None) as node, connected(node) as connection:
        connection.send(pack(("GET", "a")))
        await until(lambda: len(node.commands) == 1)
        node.say(garbage)

        await until(lambda: not connection.is_open)


async def test_no_timer_runs_while_nothing_is_in_flight() -> None:
    """The sweep ends by itself, so an idle client costs nothing."""
    async with fake_node(echo) as node, connected(node) as connection:
        await connection.send(pack(("GET", "a")), time.monotonic() + 5)
        await until(lambda: connection._sweep_timer is None)
