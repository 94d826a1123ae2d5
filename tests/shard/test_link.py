"""Links: opened once for all who need them, not hammered, closed for good."""

import asyncio
from random import Random

import pytest

from shard.connection import Limits
from shard.link import CommitLink, Link
from shard.policy.topology import Address
from tests.ports import free_port
from tests.shard.fake import fake_node, until

pytestmark = pytest.mark.integration

SHORT = Limits(connect_timeout_s=0.05)  # where silence is expected
PATIENT = Limits(connect_timeout_s=10.0, reply_timeout_s=10.0)  # where an answer is


class Events:
    """Collect what a link tells."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, address: Address, event: str) -> None:
        self.heard.append(event)


async def test_callers_share_one_attempt() -> None:
    """Twenty callers at once make one connection."""
    events = Events()
    async with fake_node() as node:
        link = Link(node.address, PATIENT, Random(1), on_event=events)
        opened = await asyncio.gather(*(link.open() for _ in range(20)))

        assert len(set(map(id, opened))) == 1
        assert opened[0] is not None
        assert node.connection_count == 1
        await link.close()
    assert events.heard == ["connected", "lost"]


async def test_the_attempt_survives_the_caller_who_began_it() -> None:
    """Cancelling the first caller leaves the second with a connection."""
    async with fake_node() as node:
        link = Link(node.address, PATIENT, Random(1))
        first = asyncio.create_task(link.open())
        second = asyncio.create_task(link.open())
        await asyncio.sleep(0)
        first.cancel()

        assert await second is not None
        assert node.connection_count == 1
        await link.close()


async def test_a_caller_waits_no_longer_than_it_has_time() -> None:
    """The attempt goes on without it."""
    async with fake_node(lambda command: None) as node:
        link = Link(node.address, PATIENT, Random(1))

        assert await link.open(0.01) is None
        await until(lambda: node.connection_count == 1)
        await link.close()


async def test_a_refusal_is_told_from_silence() -> None:
    """Where nobody listens is refused; a node that takes the connection and says nothing isn't."""
    refused = Link(Address("127.0.0.1", free_port()), PATIENT, Random(1))
    assert await refused.open() is None
    assert refused.was_refused
    async with fake_node(lambda command: None) as node:
        silent = Link(node.address, SHORT, Random(1))
        assert await silent.open() is None
        assert not silent.was_refused
        await silent.close()
    await refused.close()


async def test_a_dead_node_is_not_hammered() -> None:
    """During the backoff callers fail at once, without an attempt."""
    events, now_s = Events(), [100.0]
    address = Address("127.0.0.1", free_port())
    link = Link(address, PATIENT, Random(1), on_event=events, clock=lambda: now_s[0])

    assert await link.open() is None
    assert await link.open() is None
    assert events.heard == ["failed"]
    now_s[0] += 1.0
    assert await link.open() is None
    assert events.heard == ["failed", "failed"]


@pytest.mark.parametrize("reply", [None, b"-LOADING Valkey is loading the dataset in memory\r\n"])
async def test_a_node_that_accepts_and_does_not_serve_is_not_connected(reply: bytes | None) -> None:
    """A paused process still accepts, one that loads its data answers so: neither is ready."""
    async with fake_node(lambda command: reply) as node:
        link = Link(node.address, SHORT, Random(1))

        assert await link.open() is None
        assert link.connection is None
        await link.close()


async def test_a_lost_connection_is_opened_again() -> None:
    """The next caller after a loss gets a new one."""
    async with fake_node() as node:
        link = Link(node.address, PATIENT, Random(1))
        assert await link.open() is not None
        node.hang_up()
        await until(lambda: link.connection is None)

        assert await link.open() is not None
        assert node.connection_count == 2
        await link.close()


async def test_a_closed_link_stays_closed() -> None:
    """Closing ends an attempt under way and allows no other."""
    async with fake_node(lambda command: None) as node:
        link = Link(node.address, PATIENT, Random(1))
        waiting = asyncio.create_task(link.open())
        await until(lambda: node.connection_count == 1)
        await link.close()

        assert await waiting is None
        assert await link.open() is None
        assert node.connection_count == 1


async def test_a_commit_link_knows_of_its_replica_before_the_first_write() -> None:
    """Its greeting is a WAIT: with nobody following, writes are refused beforehand."""
    alone = iter([b":0\r\n"])

    def handler(command: list[bytes]) -> bytes:
        return b"+PONG\r\n" if command[0] == b"PING" else next(alone)

    async with fake_node(handler) as node:
        link = CommitLink(node.address, PATIENT, Random(1))
        group = await link.open_group()

        assert group is not None
        assert not await group.may_write()
        await link.close()


async def test_a_commit_link_to_a_replica_is_open() -> None:
    """WAIT is an error there; the write will be answered with MOVED."""

    def handler(command: list[bytes]) -> bytes:
        return b"+PONG\r\n" if command[0] == b"PING" else b"-ERR WAIT cannot be used\r\n"

    async with fake_node(handler) as node:
        link = CommitLink(node.address, PATIENT, Random(1))
        group = await link.open_group()

        assert group is not None
        assert await group.may_write()
        await link.close()
