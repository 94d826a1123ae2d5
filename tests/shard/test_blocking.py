"""Commands that wait: on connections of their own, cancellable, within a deadline."""

import asyncio
import time

import pytest

from hashing.slots import slot_of
from shard.blocking import FOREVER_S, GRACE_S, LEAST_S, RESERVE_S
from shard.nodes import MAX_IDLE
from shard.policy.split import CrossSlotError
from shard.store import StoreClient, WriteStatus
from tests.shard.cluster import StoreCluster
from tests.shard.fake import until
from tests.shard.one_node import serving

pytestmark = pytest.mark.integration


def test_documented_defaults() -> None:
    """A node timeout of grace; what the executor keeps back; a handful of idle connections."""
    assert (GRACE_S, RESERVE_S, LEAST_S, MAX_IDLE, FOREVER_S) == (1.0, 0.2, 0.001, 4, 1e8)


def blocked(cluster: StoreCluster) -> int:
    """Count the clients that wait, at all nodes."""
    infos = [node.cli("INFO", "clients") for node in cluster.nodes]
    lines = [line for info in infos for line in info.splitlines()]
    return sum(int(line.partition(":")[2]) for line in lines if "blocked_clients" in line)


async def test_what_comes_later_is_taken(store: StoreClient) -> None:
    """And others use the store meanwhile: nobody is held up."""
    waiting = asyncio.create_task(store.block("BLPOP", "{q}a", "{q}b", 30))
    for _ in range(20):
        await store.read("GET", "{q}x")
    assert not waiting.done()
    await store.write("RPUSH", "{q}b", "job")
    done = await waiting
    assert (done.status, done.value) == (WriteStatus.ACKNOWLEDGED, [b"{q}b", b"job"])


@pytest.mark.parametrize(
    "command",
    [
        ("BLPOP", "{q}none", "0.05"),
        ("BZPOPMIN", "{q}none", "0.05"),
        ("BLMOVE", "{q}none", "{q}to", "LEFT", "RIGHT", "0.05"),
        ("BLMPOP", "0.05", "1", "{q}none", "LEFT"),
        ("XREAD", "COUNT", "1", "BLOCK", "50", "STREAMS", "{q}stream", "$"),
    ],
)
async def test_nothing_came(store: StoreClient, command: tuple[str, ...]) -> None:
    """The command's own timeout, wherever it stands; the answer is the node's."""
    done = await store.block(*command)
    assert (done.status, done.value) == (WriteStatus.ACKNOWLEDGED, None)


async def test_the_deadline_shortens_the_wait(store: StoreClient) -> None:
    """For ever becomes what is left, and the node still has the word, unless it stood still."""
    for _ in range(5):
        began_s = time.monotonic()
        done = await store.block("BLPOP", "{q}none", 0, deadline_s=began_s + 2)
        assert done.value is None
        assert time.monotonic() - began_s >= 1.5
        if done.status is WriteStatus.ACKNOWLEDGED:
            break
    assert done.status is WriteStatus.ACKNOWLEDGED


async def test_who_cancels_is_forgotten_by_the_node(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """Or it would take an element for nobody."""
    waiting = asyncio.create_task(store.block("BLPOP", "{q}gone", 0))
    await until(lambda: blocked(cluster) == 1)
    waiting.cancel()
    await asyncio.wait([waiting])
    await until(lambda: blocked(cluster) == 0)
    await store.write("RPUSH", "{q}gone", "kept")
    assert await store.read("LRANGE", "{q}gone", 0, -1) == [b"kept"]
    await store.delete("{q}gone")


async def test_connections_are_lent_again(store: StoreClient) -> None:
    """Three waits one after the other need one connection."""
    for _ in range(3):
        await store.block("BLPOP", "{q}none", "0.001")
    assert sum(map(len, store._nodes._idle.values())) == 1


async def test_it_follows_a_failover(cluster: StoreCluster, store: StoreClient) -> None:
    """The old primary dies; what is pushed at the new one is taken by a new attempt."""
    owner = store.topology.owners[slot_of(b"q")]
    assert owner is not None
    waiting = asyncio.create_task(store.block("BLPOP", "{q}over", 0))
    await until(lambda: blocked(cluster) == 1)
    cluster.kill(cluster.at(owner))
    lost = await waiting
    assert (lost.status, lost.reason) == (WriteStatus.UNKNOWN, "STORE_UNAVAILABLE")

    again = asyncio.create_task(store.block("BLPOP", "{q}over", 0))
    late_s = time.monotonic() + 30
    done = await store.write("RPUSH", "{q}over", "job", deadline_s=late_s)
    assert done.status is WriteStatus.ACKNOWLEDGED
    assert (await again).value == [b"{q}over", b"job"]


async def test_a_primary_that_is_one_no_more_is_left() -> None:
    """UNBLOCKED took nothing, so it is asked again."""
    unblocked = b"-UNBLOCKED force unblock from blocking operation, instance state changed\r\n"
    async with serving(unblocked, b"*2\r\n$1\r\nq\r\n$3\r\njob\r\n") as (client, _, answers):
        assert (await client.block("BLPOP", "q", 5)).value == [b"q", b"job"]
        assert answers.seen == [[b"BLPOP", b"q", b"5.000"]] * 2


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("GET", "a"), "doesn't wait"),
        (("XREAD", "STREAMS", "s", "0"), "doesn't wait"),
        ((), "doesn't wait"),
        (("BLPOP", "a", "soon"), "'soon' is no timeout"),
        (("BLPOP", "a", -1), "'-1' is no timeout"),
        (("BLPOP", "a", "nan"), "'nan' is no timeout"),
        (("BLPOP", "a"), "BLPOP: it takes at least 2"),
    ],
)
async def test_what_is_wrong_is_said(command: tuple[str, ...], told: str) -> None:
    """Before a connection is opened."""
    async with serving() as (client, node, _):
        before = node.connection_count
        with pytest.raises(ValueError, match=told):
            await client.block(*command)
        with pytest.raises(CrossSlotError, match="BLPOP"):
            await client.block("BLPOP", "a", "b", 1)
        assert node.connection_count == before
