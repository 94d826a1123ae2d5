"""Reads from replicas by choice, and what happens when one can't answer."""

import time

import pytest

from hashing.slots import slot_of
from resilience.errors import ServiceError
from shard.store import Durability, Reads, StoreClient
from tests.shard.cluster import StoreCluster

pytestmark = pytest.mark.integration


def gets(cluster: StoreCluster, number: int) -> int:
    """Return how many GETs a node has executed."""
    for line in cluster.nodes[number].cli("INFO", "commandstats").splitlines():
        if line.startswith("cmdstat_get:"):
            return int(line.partition("calls=")[2].partition(",")[0])
    return 0


def shard_of(cluster: StoreCluster, store: StoreClient, key: str) -> tuple[int, int]:
    """Return the numbers of a key's primary and replica."""
    owner = store.topology.owners[slot_of(key.encode())]
    assert owner is not None
    (replica,) = store.topology.replicas[owner]
    return cluster.at(owner), cluster.at(replica)


@pytest.mark.parametrize(
    ("reads", "at_primary", "at_replica"),
    [(Reads.PRIMARY, True, False), (Reads.REPLICA, False, True), (Reads.ANY, True, True)],
)
async def test_who_may_answer_answers(
    cluster: StoreCluster, store: StoreClient, reads: Reads, at_primary: bool, at_replica: bool
) -> None:
    """Forty reads reach whom the caller chose, nobody else, and give the value."""
    await store.write("SET", "where", "v", durability=Durability.REPLICATED)
    shard = shard_of(cluster, store, "where")
    before = [gets(cluster, number) for number in shard]
    for _ in range(40):
        assert await store.read("GET", "where", reads=reads) == b"v"
    done = [gets(cluster, number) - old for number, old in zip(shard, before, strict=True)]

    assert sum(done) == 40
    assert (done[0] > 0, done[1] > 0) == (at_primary, at_replica)
    assert store.snapshot()["replica_fallbacks"] == 0


async def test_many_keys_from_replicas(store: StoreClient) -> None:
    """Split as ever, each part to a replica."""
    values = {f"rep:{number}": str(number) for number in range(20)}
    await store.mset(values, durability=Durability.REPLICATED)
    found = await store.mget(*values, reads=Reads.REPLICA)
    assert found == [each.encode() for each in values.values()]


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_a_replica_that_cannot_leaves_it_to_the_primary(
    cluster: StoreCluster, store: StoreClient, how: str
) -> None:
    """Dead or frozen: within the deadline, since it may take no more than half of it."""
    await store.write("SET", "fallen", "v", durability=Durability.REPLICATED)
    _, replica = shard_of(cluster, store, "fallen")
    assert await store.read("GET", "fallen", reads=Reads.REPLICA) == b"v"
    getattr(cluster, how)(replica)
    late_s = time.monotonic() + 4

    assert await store.read("GET", "fallen", reads=Reads.REPLICA, deadline_s=late_s) == b"v"
    assert store.snapshot()["replica_fallbacks"] == 1


async def test_a_write_asked_of_replicas_reaches_the_primary(store: StoreClient) -> None:
    """A replica sends it there: nothing is written where it would be lost."""
    assert await store.read("INCR", "misread", reads=Reads.REPLICA) == 1
    assert await store.read("GET", "misread") == b"1"


async def test_a_wrong_command_is_the_answer(store: StoreClient) -> None:
    """The replica knows the type as well as the primary does."""
    await store.write("SET", "typed", "v", durability=Durability.REPLICATED)
    with pytest.raises(ServiceError, match="WRONGTYPE"):
        await store.read("LLEN", "typed", reads=Reads.REPLICA)
    assert store.snapshot()["replica_fallbacks"] == 0
