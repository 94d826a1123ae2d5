"""Group commit over a fake node: one WAIT a group, and what is known when it finds nobody."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shard.commit import DEFAULT_WAIT_TIMEOUT_S, PROBE_TIMEOUT_S, Committed, GroupCommit
from shard.connection import Connection, Limits
from shard.policy.attempt import Failure
from shard.policy.durability import ReplicaWatch
from shard.resp import pack
from tests.shard.fake import FakeNode, fake_node, until

pytestmark = pytest.mark.integration


class WaitingNode:
    """Executes writes at once; a WAIT is answered only when the test says so."""

    def __init__(self) -> None:
        self.waits = 0

    def __call__(self, command: list[bytes]) -> bytes | None:
        if command[0] == b"WAIT":
            self.waits += 1
            return None
        return b"+OK\r\n"


@asynccontextmanager
async def committing(node: FakeNode) -> AsyncIterator[GroupCommit]:
    """Open a commit connection to a fake node."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(Limits(reply_timeout_s=10.0)), *node.address
    )
    try:
        yield GroupCommit(connection, ReplicaWatch())
    finally:
        connection.close()


def write(
    group: GroupCommit, number: int, deadline_s: float | None = None
) -> asyncio.Task[Committed]:
    """Begin a write."""
    return asyncio.create_task(group.write(pack(("SET", number, 1)), deadline_s))


def test_documented_defaults() -> None:
    """A WAIT may block 500 ms, a probe 50 ms."""
    assert (DEFAULT_WAIT_TIMEOUT_S, PROBE_TIMEOUT_S) == (0.5, 0.05)


async def test_writes_of_one_turn_share_one_wait() -> None:
    """Forty writes and their WAIT are one read at the node."""
    async with fake_node() as node, committing(node) as group:
        done = await asyncio.gather(*(write(group, number) for number in range(40)))

        assert done == [Committed(b"1", 1)] * 40
        assert node.reads == [41]
        assert node.commands[-1] == [b"WAIT", b"1", b"500"]
        assert group.group_count == 1


async def test_later_writes_are_held_back_and_form_the_next_group() -> None:
    """While a WAIT is out nothing more is sent; then everything gathered leaves at once."""
    handler = WaitingNode()
    async with fake_node(handler) as node, committing(node) as group:
        first = write(group, 0)
        await until(lambda: handler.waits == 1)
        later = [write(group, number) for number in range(1, 6)]
        await until(lambda: group.connection.in_flight == 6)
        assert len(node.commands) == 2

        node.say(b":1\r\n")
        assert await first == (b"OK", 1)
        await until(lambda: handler.waits == 2)
        node.say(b":1\r\n")

        assert [await each for each in later] == [(b"OK", 1)] * 5
        assert node.reads == [2, 6]


async def test_a_wait_that_finds_no_replica_refuses_what_was_held_back() -> None:
    """Its own group is executed without proof; the held writes were never sent."""
    handler = WaitingNode()
    async with fake_node(handler) as node, committing(node) as group:
        first = write(group, 0)
        await until(lambda: handler.waits == 1)
        held = write(group, 1)
        await until(lambda: group.connection.in_flight == 2)
        node.say(b":0\r\n")

        assert await first == (b"OK", 0)
        assert await held == (Failure.UNREPLICATED, None)
        assert len(node.commands) == 2
        assert not await group.may_write(), "no probe is due yet"


async def test_a_probe_that_finds_a_replica_lets_writes_through_again() -> None:
    """After the interval one caller probes by a WAIT without a write."""
    answers = iter([b":0\r\n", b":1\r\n", b":1\r\n"])
    now_s = [100.0]

    def handler(command: list[bytes]) -> bytes:
        return next(answers) if command[0] == b"WAIT" else b"+OK\r\n"

    async with fake_node(handler) as node, committing(node) as opened:
        group = GroupCommit(opened.connection, opened.watch, clock=lambda: now_s[0])
        assert (await write(group, 0)).replicas == 0
        assert not await group.may_write()
        now_s[0] += 0.6

        assert await group.may_write()
        assert (await write(group, 1)).replicas == 1


async def test_the_deadline_covers_the_proof() -> None:
    """A write executed in time whose WAIT comes too late says so."""
    handler = WaitingNode()
    async with fake_node(handler) as node, committing(node) as group:
        done = await group.write(pack(("SET", "a", 1)), time.monotonic() + 1.5)

        assert done == (b"OK", Failure.OVERDUE)


async def test_a_lost_connection_ends_both_groups() -> None:
    """The group under way can't be proven, the one gathering was not sent."""
    handler = WaitingNode()
    async with fake_node(handler) as node, committing(node) as group:
        first = write(group, 0)
        await until(lambda: handler.waits == 1)
        held = write(group, 1)
        await until(lambda: group.connection.in_flight == 2)
        node.hang_up()

        assert await first == (b"OK", Failure.LOST)
        assert await held == (Failure.DOWN, None)


async def test_one_writer_that_leaves_does_not_disturb_its_group() -> None:
    """Cancelling a writer between write and proof leaves the others' proof alone."""
    handler = WaitingNode()
    async with fake_node(handler) as node, committing(node) as group:
        leaving, staying = write(group, 0), write(group, 1)
        await until(lambda: handler.waits == 1)
        leaving.cancel()
        node.say(b":1\r\n")

        assert await staying == (b"OK", 1)
        with pytest.raises(asyncio.CancelledError):
            await leaving


async def test_a_failed_write_of_a_group_leaves_the_others_proven() -> None:
    """MOVED for one key says nothing of the others."""

    def handler(command: list[bytes]) -> bytes:
        if command[0] == b"WAIT":
            return b":1\r\n"
        return b"-MOVED 1 127.0.0.1:1\r\n" if command[1] == b"1" else b"+OK\r\n"

    async with fake_node(handler) as node, committing(node) as group:
        good, moved = await asyncio.gather(write(group, 0), write(group, 1))

        assert good == (b"OK", 1)
        assert str(moved.answer) == "MOVED 1 127.0.0.1:1"
