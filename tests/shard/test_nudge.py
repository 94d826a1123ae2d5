"""A primary is made to send its replica something, as long as somebody waits for that replica."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hashing.slots import slot_of
from shard.connection import Connection, Limits
from shard.nudge import LONGEST_PAUSE_S, NUDGE_AFTER_S, Nudge
from shard.store import Durability, StoreClient, WriteStatus
from tests.shard.cluster import StoreCluster, first_good
from tests.shard.fake import FakeNode, fake_node, until
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


@asynccontextmanager
async def nudge_of(node: FakeNode) -> AsyncIterator[Nudge]:
    """Connect to a fake node."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Connection(Limits()), *node.address)

    async def connect() -> Connection:
        return made

    yield Nudge(connect)
    made.close()


def test_documented_defaults() -> None:
    """After a millisecond, then each 8 ms at most."""
    assert (NUDGE_AFTER_S, LONGEST_PAUSE_S) == (0.001, 0.008)


async def test_it_goes_on_as_long_as_something_waits_and_no_longer() -> None:
    """Of two that wait the last counts; then nothing is sent any more."""
    async with fake_node() as node, nudge_of(node) as nudge:
        nudge.begin()
        nudge.begin()
        await until(lambda: nudge.count >= 2)
        nudge.end()
        sent = nudge.count
        await until(lambda: nudge.count > sent)
        nudge.end()
        sent = nudge.count
        await until(lambda: len(node.commands) == sent)
        began_s = time.monotonic()
        await until(lambda: time.monotonic() - began_s > 3 * LONGEST_PAUSE_S)
        assert nudge.count == sent
        assert {command[0] for command in node.commands} == {b"FUNCTION"}


async def test_what_is_quick_is_never_nudged() -> None:
    """A replica that confirms at once costs nothing."""
    async with fake_node() as node, nudge_of(node) as nudge:
        for _ in range(100):
            nudge.begin()
            nudge.end()
        began_s = time.monotonic()
        await until(lambda: time.monotonic() - began_s > 3 * LONGEST_PAUSE_S)
        assert (nudge.count, node.commands) == (0, [])


async def test_a_node_that_is_gone_is_asked_again() -> None:
    """Whoever can't connect now may be able to later."""
    asked = 0

    async def connect() -> Connection | None:
        nonlocal asked
        asked += 1
        return None

    nudge = Nudge(connect)
    nudge.begin()
    await until(lambda: asked == 3)
    nudge.end()
    assert nudge.count == 0


def restores(node: Valkey) -> int:
    """Count how often a node was told to restore functions, by a client or by its primary."""
    found = re.search(r"cmdstat_function\|restore:calls=(\d+)", node.cli("INFO", "commandstats"))
    return int(found[1]) if found else 0


async def test_a_write_that_waits_has_its_primary_speak_to_the_replica(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """With the replica paused it waits in vain; back again, the replica has got every nudge."""
    await first_good(store, "SET", "nudged", "1", durability=Durability.REPLICATED, limit_s=20)
    owner = store.topology.owners[slot_of(b"nudged")]
    assert owner is not None
    primary = cluster.nodes[cluster.at(owner)]
    replica = cluster.at(store.topology.replicas[owner][0])
    library = "#!lua name=kept\nredis.register_function('kept', function() return 7 end)"
    primary.cli("FUNCTION", "LOAD", "REPLACE", library)
    before = restores(primary), restores(cluster.nodes[replica])
    cluster.pause(replica)
    lost = await store.write("SET", "nudged", "2", durability=Durability.REPLICATED)
    assert lost.status is WriteStatus.UNKNOWN
    cluster.resume(replica)
    sent = restores(primary) - before[0]
    assert sent > 0
    await until(lambda: restores(cluster.nodes[replica]) - before[1] >= sent)
    assert "kept" in primary.cli("FUNCTION", "LIST")
    primary.cli("FUNCTION", "DELETE", "kept")
