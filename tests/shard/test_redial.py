"""Another way to the same node: taken by what comes next, and nobody notices."""

import asyncio
import time
from functools import partial
from random import Random

import pytest

from resilience.errors import ServiceError
from shard.connection import Connection, Limits
from shard.executor import RESERVE_S
from shard.link import CommitLink, Link
from shard.policy.topology import Address
from shard.store import Durability, StoreClient, WriteStatus
from tests.ports import free_port
from tests.relay import Relay, relay_to
from tests.shard.cluster import StoreCluster
from tests.shard.fake import bulk, echo, fake_node, until

pytestmark = pytest.mark.integration

PATIENT = Limits(connect_timeout_s=10.0, reply_timeout_s=10.0)


def test_the_documented_reserve() -> None:
    """Trouble is told 50 ms before the deadline, so that the reason arrives."""
    assert RESERVE_S == 0.05


class Way:
    """A dial that can be turned.

    Args:
        to: Address to dialled address; what isn't named is dialled directly.
    """

    def __init__(self) -> None:
        self.to: dict[Address, Address] = {}

    def __call__(self, address: Address) -> Address:
        """Say where to connect."""
        return self.to.get(address, address)


async def test_a_link_takes_the_new_way_and_finishes_what_is_on_the_old_one() -> None:
    """The unanswered command gets its answer on the old connection, which is closed then."""
    asked: list[bytes] = []

    def slowly(command: list[bytes]) -> bytes | None:
        """Answer PING alone; the test answers the rest."""
        asked.append(command[0])
        return echo(command) if command[0] == b"PING" else None

    way = Way()
    async with fake_node(slowly) as old, fake_node() as new:
        link = Link(old.address, PATIENT, Random(1), dial=way)
        connection = await link.open()
        assert connection is not None
        unanswered = connection.send(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
        await until(lambda: b"GET" in asked)

        way.to[old.address] = new.address
        link.redial()
        other = await link.open()
        assert other is not None
        assert await other.send(b"*2\r\n$3\r\nGET\r\n$1\r\nb\r\n") == b"b"
        assert (connection.is_open, link.in_flight) == (True, 1)

        old.say(bulk(b"late"))
        assert await unanswered == b"late"
        await until(lambda: not connection.is_open)
        assert link.connection is other
        await link.close()


async def test_a_link_whose_way_is_the_same_stays_as_it_is() -> None:
    """Turning another node's way costs this one nothing."""
    async with fake_node() as node:
        link = Link(node.address, PATIENT, Random(1), dial=Way())
        connection = await link.open()
        link.redial()
        assert link.connection is connection
        await link.close()


async def test_a_new_way_is_tried_at_once_after_failures_of_the_old_one() -> None:
    """The backoff is the old way's; and an attempt under way there is given up."""
    way, now_s = Way(), [100.0]
    async with fake_node() as node, fake_node(lambda command: None) as silent:
        dead = Address("127.0.0.1", free_port())
        way.to[node.address] = dead
        link = Link(node.address, PATIENT, Random(1), dial=way, clock=lambda: now_s[0])
        assert await link.open() is None
        assert await link.open() is None

        way.to[node.address] = silent.address
        link.redial()
        waiting = asyncio.create_task(link.open())
        await until(lambda: silent.connection_count == 1)

        way.to.clear()
        link.redial()
        assert await link.open() is not None
        assert await waiting is None  # and a command that waited for it is tried again
        await link.close()


async def test_closing_a_link_ends_connections_that_are_leaving_too() -> None:
    """A node that never answers keeps none alive."""
    way = Way()
    async with fake_node(lambda c: echo(c) if c[0] == b"PING" else None) as old:
        link = Link(old.address, PATIENT, Random(1), dial=way)
        connection = await link.open()
        assert connection is not None
        connection.send(b"*1\r\n$5\r\nNEVER\r\n")
        way.to[old.address] = Address("127.0.0.1", free_port())
        link.redial()
        assert connection.is_open
        await link.close()
        assert not connection.is_open


async def test_a_leaving_connection_without_anything_on_it_closes_at_once() -> None:
    """And one whose last command is abandoned, when its answer has come."""
    async with fake_node() as node:
        loop = asyncio.get_running_loop()
        _, idle = await loop.create_connection(lambda: Connection(PATIENT), *node.address)
        idle.close_when_done()
        assert not idle.is_open
        _, busy = await loop.create_connection(lambda: Connection(PATIENT), *node.address)
        busy.send(b"*1\r\n$4\r\nPING\r\n").cancel()
        busy.close_when_done()
        await until(lambda: not busy.is_open)


async def test_a_group_of_writes_keeps_its_wait_on_the_connection_it_began_on() -> None:
    """Held back behind a WAIT when the way turns: sent, proven and acknowledged on the old one."""
    waits: list[bytes] = []

    def handler(command: list[bytes]) -> bytes | None:
        """Answer the greeting's WAIT; the test answers those that follow writes."""
        if command[0] != b"WAIT":
            return echo(command)
        waits.append(command[0])
        return b":1\r\n" if len(waits) == 1 else None

    way = Way()
    async with fake_node(handler) as old, fake_node() as new:
        link = CommitLink(old.address, PATIENT, Random(1), dial=way)
        group = await link.open_group()
        assert group is not None
        first = asyncio.create_task(group.write(b"*1\r\n$5\r\nFIRST\r\n", None))
        await until(lambda: len(waits) == 2)
        held = asyncio.create_task(group.write(b"*1\r\n$4\r\nHELD\r\n", None))
        await asyncio.sleep(0)

        way.to[old.address] = new.address
        link.redial()
        other = await link.open_group()
        assert other is not None
        assert (await other.write(b"*1\r\n$4\r\nLAST\r\n", None)).replicas == 1
        old.say(b":1\r\n")
        await until(lambda: len(waits) == 3)
        old.say(b":1\r\n")
        assert [(await each).replicas for each in (first, held)] == [1, 1]
        await until(lambda: not group.connection.is_open)
        assert [b"HELD"] in old.commands
        assert [b"HELD"] not in new.commands
        await link.close()


async def test_no_command_fails_while_ways_turn_under_load(cluster: StoreCluster) -> None:
    """Reads, LOCAL and REPLICATED writes go on while every node's way turns ten times."""
    way = Way()
    relays: dict[Address, Relay] = {}
    client = StoreClient(
        cluster.addresses, limits=Limits(reply_timeout_s=4.0), wait_timeout_s=2.0, dial=way
    )
    await client.connect()
    counts = dict.fromkeys(("read", "local", "replicated"), 0)
    is_over = False

    async def keep(number: int) -> None:
        """Write and read one key after the other."""
        while not is_over:
            for durability in Durability:
                done = await client.write(
                    *("INCR", f"turn:{number}"), durability=durability, deadline_s=patient_s()
                )
                assert done.status is WriteStatus.ACKNOWLEDGED, done
                counts[durability.name.lower()] += 1
            await client.read("GET", f"turn:{number}", deadline_s=patient_s())
            counts["read"] += 1

    try:
        for address in cluster.addresses:
            relays[address] = Relay(*address)
            await relays[address].start()
        ways = {address: Address(*relay.address) for address, relay in relays.items()}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(keep(number)) for number in range(12)]
            for turn in range(10):
                way.to = {} if turn % 2 else ways
                client.redial()
                goal = min(counts.values()) + 60
                await until(partial(reached, counts, goal), 20.0)
            is_over = True
            await asyncio.wait(tasks)
        assert sum(relay.connection_count for relay in relays.values()) >= 6
        kept = [await client.read("GET", f"turn:{number}") for number in range(12)]
        total = sum(int(each) for each in kept if isinstance(each, bytes))
        assert total == counts["local"] + counts["replicated"]
        await until(lambda: not any(relay.open_count for relay in relays.values()))
    finally:
        await client.close()
        for relay in relays.values():
            await relay.stop()


async def test_a_way_that_leads_nowhere_is_unavailable_and_ends_with_it(
    cluster: StoreCluster,
) -> None:
    """Cut off from every node: 503 within the deadline. Back on the direct way: served at once."""
    way = Way()
    client = StoreClient(cluster.addresses, dial=way)
    await client.connect()
    try:
        (await client.write("SET", "cut", "kept")).raise_for_status()
        nowhere = Address("127.0.0.1", free_port())
        way.to = dict.fromkeys(cluster.addresses, nowhere)
        client.redial()
        with pytest.raises(ServiceError) as caught:
            await client.read("GET", "cut")
        assert (caught.value.code.http_status, caught.value.reason) == (503, "STORE_UNAVAILABLE")
        way.to = {}
        client.redial()
        assert await client.read("GET", "cut") == b"kept"
    finally:
        await client.close()


def reached(counts: dict[str, int], goal: int) -> bool:
    """Whether each count has come so far."""
    return min(counts.values()) >= goal


def patient_s() -> float:
    """Return a deadline that no disk under load makes anybody miss."""
    return time.monotonic() + 10.0


async def test_the_relay_passes_bytes_and_counts_them() -> None:
    """The stand-in of these tests does what it says."""
    async with fake_node() as node, relay_to(*node.address) as relay:
        reader, writer = await asyncio.open_connection(*relay.address)
        writer.write(b"*1\r\n$4\r\nPING\r\n")
        assert await reader.readline() == b"+PONG\r\n"
        assert (relay.connection_count, relay.byte_count) == (1, 14)
        writer.close()
