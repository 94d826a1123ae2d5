"""The client against a real cluster: commands, durability, failover, slots on the move."""

import asyncio
import time

import pytest

from hashing.slots import slot_of
from resilience import context
from resilience.errors import ServiceError
from shard.policy.topology import Address
from shard.store import Durability, Script, StoreClient, WriteStatus
from tests.shard.cluster import StoreCluster, first_good, key_in

pytestmark = pytest.mark.integration

ADD_TWICE = Script("redis.call('INCR', KEYS[1]); return redis.call('INCRBY', KEYS[1], ARGV[1])")
BOTH = (Durability.LOCAL, Durability.REPLICATED)


@pytest.mark.parametrize("durability", BOTH)
async def test_what_was_written_is_read(store: StoreClient, durability: Durability) -> None:
    """A write is acknowledged with the node's reply, and any later read sees it."""
    done = await store.write("SET", "plain", "value", durability=durability)

    assert (done.status, done.value, done.reason) == (WriteStatus.ACKNOWLEDGED, b"OK", None)
    assert done.raise_for_status() == b"OK"
    assert await store.read("GET", "plain") == b"value"
    assert await store.read("GET", "no such key") is None


async def test_keys_are_spread_over_all_primaries(store: StoreClient) -> None:
    """Sixty keys reach three nodes, and read_many keeps their order."""
    numbers = range(60)
    for number in numbers:
        (await store.write("SET", f"spread:{number}", number)).raise_for_status()

    replies = await store.read_many([("GET", f"spread:{number}") for number in numbers])

    assert replies == [b"%d" % number for number in numbers]
    owners = {store.topology.owners[slot_of(b"spread:%d" % number)] for number in numbers}
    assert owners == set(store.topology.primaries)
    assert len(owners) == 3


@pytest.mark.parametrize("durability", BOTH)
async def test_a_script_is_learned_and_then_known(
    cluster: StoreCluster, store: StoreClient, durability: Durability
) -> None:
    """The first node that doesn't know the digest gets the source, once."""
    key = f"script:{durability.value}"
    for node in cluster.nodes:
        node.cli("SCRIPT", "FLUSH")

    first = await store.eval(ADD_TWICE, [key], [5], durability=durability)
    again = await store.eval(ADD_TWICE, [key], [5], durability=durability)

    assert (first.value, again.value) == (6, 12)
    assert again.status is WriteStatus.ACKNOWLEDGED


async def test_the_key_asked_for_most_is_known_with_its_node(store: StoreClient) -> None:
    """Reads, many reads, writes and scripts count; the owner is who has its slot."""
    for number in range(200):
        await store.read("GET", "hot:one")
        await store.read_many([("GET", "hot:one"), ("GET", f"cold:{number}")])
        await store.write("SET", b"hot:two", number)
        await store.eval(ADD_TWICE, ["hot:two"], [0])
    first, second = store.hot_keys.top()[:2]
    assert {first.key, second.key} == {"hot:one", "hot:two"}
    assert 0.2 < second.share <= first.share < 0.6
    assert store.owner("hot:one") == str(store.topology.owners[slot_of(b"hot:one")])


async def test_keys_of_two_slots_in_a_script_are_refused(store: StoreClient) -> None:
    """A script runs on one node; the error names the keys."""
    with pytest.raises(ValueError, match="one slot: a, b"):
        await store.eval(ADD_TWICE, ["a", "b"], [1])


async def test_a_wrong_command_is_an_error_of_its_own(store: StoreClient) -> None:
    """A programming error is told apart from an unavailable store, and isn't retried."""
    await store.write("SET", "text", "abc")

    refused = await store.write("INCR", "text")
    with pytest.raises(ServiceError, match="not an integer") as caught:
        refused.raise_for_status()

    assert refused.status is WriteStatus.REFUSED
    assert (caught.value.reason, caught.value.started) == ("STORE_ERROR", False)
    with pytest.raises(ServiceError, match="WRONGTYPE"):
        await store.read("LRANGE", "text", 0, -1)


async def test_replicated_writes_of_one_turn_commit_in_groups(store: StoreClient) -> None:
    """Ninety concurrent writes need a WAIT per node, not per write."""
    before = store.snapshot()["commit_groups"]

    done = await asyncio.gather(
        *(store.write("SET", f"g:{n}", n, durability=Durability.REPLICATED) for n in range(90))
    )

    assert {each.status for each in done} == {WriteStatus.ACKNOWLEDGED}
    assert store.snapshot()["commit_groups"] - before <= 9


async def test_the_context_gives_the_deadline(store: StoreClient) -> None:
    """A request that has no time left isn't begun: refused, not unknown."""
    now_s = time.monotonic()
    token = context.enter(context.Context("r", "t", "s", now_s, deadline_s=now_s - 0.01))
    try:
        done = await store.write("SET", "late", 1)
        with pytest.raises(ServiceError) as caught:
            await store.read("GET", "late")
    finally:
        context.leave(token)

    assert (done.status, done.reason) == (WriteStatus.REFUSED, "STORE_TIMEOUT")
    assert (caught.value.reason, caught.value.code.http_status) == ("STORE_TIMEOUT", 504)
    assert await store.read("GET", "late") is None


async def test_a_moved_slot_is_followed_and_remembered(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """The first command after a move is redirected, the second goes straight."""
    source, target = store.topology.primaries[:2]
    slot = next(s for s, owner in enumerate(store.topology.owners) if owner == source)
    key = key_in({slot})
    cluster.hand_over(slot, source, target)

    try:
        assert (await store.write("SET", key, "new home")).raise_for_status() == b"OK"
        assert store.topology.owners[slot] == target
        assert store.snapshot()["moved"] == 1
        assert await store.read("GET", key) == b"new home"
        assert store.snapshot()["moved"] == 1
        (await store.write("DEL", key, durability=Durability.REPLICATED)).raise_for_status()
    finally:
        cluster.hand_over(slot, target, source)


@pytest.mark.parametrize("durability", BOTH)
async def test_a_slot_on_the_move_is_asked_for_at_the_target(
    cluster: StoreCluster, store: StoreClient, durability: Durability
) -> None:
    """While it migrates, a key that is not at the source is served by the target, once each."""
    source, target = store.topology.primaries[:2]
    slot = next(s for s, owner in enumerate(store.topology.owners) if owner == source)
    key = key_in({slot}, "asked")
    at_source, at_target = (cluster.nodes[cluster.at(each)] for each in (source, target))
    at_target.cli("CLUSTER", "SETSLOT", str(slot), "IMPORTING", cluster.node_id(source))
    at_source.cli("CLUSTER", "SETSLOT", str(slot), "MIGRATING", cluster.node_id(target))

    try:
        done = await store.write("SET", key, "early", durability=durability)
        assert done.status is WriteStatus.ACKNOWLEDGED
        assert await store.read("GET", key) == b"early"
        assert store.topology.owners[slot] == source, "ASK corrects nothing"
        (await store.write("DEL", key)).raise_for_status()
    finally:
        for node in (at_source, at_target):
            node.cli("CLUSTER", "SETSLOT", str(slot), "STABLE")


async def last_acknowledged(store: StoreClient, key: str, stop: asyncio.Event) -> int:
    """Write 1, 2, 3… REPLICATED until told to stop; return the last that was acknowledged."""
    number = last = 0
    while not stop.is_set():
        number += 1
        done = await store.write("SET", key, number, durability=Durability.REPLICATED)
        if done.status is WriteStatus.ACKNOWLEDGED:
            last = number
        else:
            await asyncio.sleep(0.005)
    return last


async def test_a_killed_primary_is_survived(cluster: StoreCluster, store: StoreClient) -> None:
    """Reads and LOCAL writes come back, REPLICATED ones are refused until the node is back, and
    nothing acknowledged is lost."""
    key = "failover:counter"
    primary = store.topology.owners[slot_of(key.encode())]
    assert isinstance(primary, Address)
    stop = asyncio.Event()
    writer = asyncio.create_task(last_acknowledged(store, key, stop))
    await first_good(store, "SET", key + ":warm", "1", durability=Durability.REPLICATED, limit_s=30)

    cluster.kill(cluster.at(primary))
    local = f"{{{key}}}:local"
    await first_good(store, "SET", local, "1", durability=Durability.LOCAL, limit_s=30)
    assert await store.read("GET", local) == b"1"
    stop.set()
    last = await writer
    kept = await store.read("GET", key)
    assert isinstance(kept, bytes)
    assert int(kept) >= last > 0

    refused = await store.write("SET", key, "x", durability=Durability.REPLICATED)
    assert (refused.status, refused.reason) == (WriteStatus.REFUSED, "NOT_REPLICATED")
    with pytest.raises(ServiceError) as caught:
        refused.raise_for_status()
    assert (caught.value.code.http_status, caught.value.started) == (503, False)
    assert await store.read("GET", key) == kept, "refused means not executed"

    cluster.start(cluster.at(primary))
    await first_good(store, "SET", key, "back", durability=Durability.REPLICATED, limit_s=30)


async def test_a_paused_replica_leaves_one_group_unknown_and_refuses_the_rest(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """The primary believes its replica connected; the first WAIT finds out."""
    key = "paused:replica"
    primary = store.topology.owners[slot_of(key.encode())]
    assert primary is not None
    (replica,) = store.topology.replicas[primary]
    await first_good(store, "SET", key, "0", durability=Durability.REPLICATED, limit_s=30)

    cluster.pause(cluster.at(replica))
    first = await store.write("SET", key, "1", durability=Durability.REPLICATED)
    second = await store.write("SET", key, "2", durability=Durability.REPLICATED)
    local = await store.write("SET", key, "3")
    cluster.resume(cluster.at(replica))

    assert (first.status, first.reason) == (WriteStatus.UNKNOWN, "NOT_REPLICATED")
    assert (second.status, second.reason) == (WriteStatus.REFUSED, "NOT_REPLICATED")
    assert local.status is WriteStatus.ACKNOWLEDGED
    await first_good(store, "SET", key, "4", durability=Durability.REPLICATED, limit_s=30)


async def test_a_paused_primary_loses_no_caller_past_its_deadline(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """A hanging node costs each caller its own deadline, and the others nothing."""
    key = "paused:primary"
    primary = store.topology.owners[slot_of(key.encode())]
    assert primary is not None
    other = key_in({s for s, owner in enumerate(store.topology.owners) if owner != primary})
    for each in (key, other):  # connected to both nodes before one of them hangs
        (await store.write("SET", each, "fine")).raise_for_status()

    cluster.pause(cluster.at(primary))
    began_s = time.monotonic()
    done = await store.write("SET", key, "1", deadline_s=began_s + 0.1)
    took_s = time.monotonic() - began_s
    alive = await store.read("GET", other)
    cluster.resume(cluster.at(primary))

    assert (done.status, done.reason) == (WriteStatus.UNKNOWN, "STORE_TIMEOUT")
    assert took_s < 1.5  # without its deadline a command waits 2 s for a reply
    assert alive == b"fine"


async def test_a_cancelled_caller_leaves_the_client_whole(store: StoreClient) -> None:
    """Commands cancelled at any moment disturb no other command."""
    for pause_s in (0.0, 0.0002, 0.001):
        tasks = [asyncio.create_task(store.read("GET", f"c:{n}")) for n in range(50)]
        others = [asyncio.create_task(store.write("SET", f"o:{n}", n)) for n in range(50)]
        await asyncio.sleep(pause_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        assert {each.status for each in await asyncio.gather(*others)} == {WriteStatus.ACKNOWLEDGED}
    replies = await store.read_many([("GET", f"o:{n}") for n in range(50)])
    assert replies == [b"%d" % n for n in range(50)]
    assert store.snapshot()["under_way"] == 0
