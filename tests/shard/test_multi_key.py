"""Commands of many keys: cut by slot, sent in one turn, joined; what is known when parts fail."""

import asyncio
import time

import pytest

from hashing.slots import slot_of
from resilience.errors import ServiceError
from shard.multi_key import SplitResult
from shard.policy.split import CrossSlotError
from shard.runner import WINDOW
from shard.store import Durability, StoreClient, WriteStatus
from tests.shard.cluster import StoreCluster, key_in
from tests.shard.fake import until
from tests.shard.one_node import serving

pytestmark = pytest.mark.integration

BOTH = (Durability.LOCAL, Durability.REPLICATED)
ACKNOWLEDGED, REFUSED, UNKNOWN = WriteStatus
OOM = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
AGAIN = b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"


async def refused_beside(done: SplitResult) -> None:
    """Check a write of a, b, c of which b was refused."""
    assert (done.status, done.whole.reason) == (UNKNOWN, "STORE_FULL")
    assert done.keys(ACKNOWLEDGED) == [b"a", b"c"]
    assert (done.keys(REFUSED), done.keys(UNKNOWN)) == ([b"b"], [])
    assert "acknowledged: a, c; refused: b" in done.whole.message


async def test_parts_leave_in_one_write_and_are_joined_in_order() -> None:
    """Three slots, three commands of one key each; the reply is one list."""
    replies = (b"*1\r\n$1\r\n1\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$1\r\n3\r\n")
    async with serving(*replies) as (client, node, answers):
        node.reads.clear()
        assert await client.mget("a", "b", "c") == [b"1", None, b"3"]
        assert answers.seen == [[b"MGET", b"a"], [b"MGET", b"b"], [b"MGET", b"c"]]
        assert node.reads == [3]


async def test_keys_of_one_slot_are_one_command() -> None:
    """Hash tags keep them together, so the node answers for one moment."""
    async with serving(b":2\r\n") as (client, _, answers):
        assert await client.exists("{t}a", "{t}b") == 2
        assert len(answers.seen) == 1


async def test_of_no_keys_nothing_is_asked() -> None:
    """An empty list has an empty answer; writing nothing is a mistake."""
    async with serving() as (client, _, answers):
        assert (await client.mget(), await client.exists(), await client.touch()) == ([], 0, 0)
        with pytest.raises(ValueError, match="MSET: it takes at least 2, got 0"):
            await client.mset({})
        assert answers.seen == []


async def test_read_and_write_split_the_same() -> None:
    """By the command's name, in any case."""
    async with serving(b":1\r\n", b":0\r\n", b"+OK\r\n", b"+OK\r\n") as (client, _, _):
        assert await client.read("exists", "a", "b") == 1
        assert (await client.write("Mset", "a", 1, b"b", 2.5)).value == b"OK"


async def test_a_part_that_is_refused_leaves_the_rest() -> None:
    """The write as a whole is unknown, key by key it is known."""
    async with serving(b"+OK\r\n", OOM, b"+OK\r\n") as (client, _, _):
        await refused_beside(await client.mset({"a": 1, "b": 2, "c": 3}))
    async with serving(b":1\r\n", OOM, b":0\r\n") as (client, _, _):
        await refused_beside(await client.delete("a", "b", "c"))


async def test_all_refused_is_refused() -> None:
    """Safe to try again."""
    async with serving(OOM, OOM) as (client, _, _):
        done = await client.unlink("a", "b")
        assert (done.status, done.value) == (REFUSED, None)
        with pytest.raises(ServiceError) as caught:
            done.raise_for_status()
        assert (caught.value.reason, caught.value.started) == ("STORE_FULL", False)


async def test_a_part_lost_with_its_connection_is_unknown() -> None:
    """The others keep what they know; the lost one isn't sent again."""
    async with serving(b"+OK\r\n", None) as (client, node, answers):
        writing = asyncio.create_task(client.mset({"a": 1, "b": 2}))
        await until(lambda: len(answers.seen) == 2)
        node.hang_up()
        done = await writing
        assert (done.keys(ACKNOWLEDGED), done.keys(UNKNOWN)) in (
            ([b"a"], [b"b"]),
            ([], [b"a", b"b"]),  # the reply to the first was under way still
        )
        assert len(answers.seen) == 2


async def test_a_read_that_fails_in_part_fails() -> None:
    """Half an answer would look like missing keys."""
    wrong = b"-WRONGTYPE no\r\n"
    async with serving(b"*1\r\n$1\r\n1\r\n", wrong) as (client, _, _):
        with pytest.raises(ServiceError, match="WRONGTYPE"):
            await client.mget("a", "b")


async def test_during_a_move_a_part_is_tried_again_alone() -> None:
    """TRYAGAIN says that a slot's keys are at two nodes for now."""
    async with serving(b":2\r\n", AGAIN, AGAIN, b":2\r\n") as (client, _, answers):
        assert await client.exists("{x}1", "{x}2", "{y}1", "{y}2") == 4
        assert len(answers.seen) == 4
        assert client.snapshot()["retries"] == 2


async def test_a_move_that_does_not_end_outlasts_the_deadline() -> None:
    """Refused in time, with what the node said."""
    async with serving(*[AGAIN] * 1000) as (client, _, _):
        with pytest.raises(ServiceError, match="TRYAGAIN"):
            await client.read("SINTER", "{x}1", "{x}2", deadline_s=time.monotonic() + 0.5)


async def test_what_cannot_be_split_is_refused_with_its_keys() -> None:
    """Before anything is sent."""
    async with serving() as (client, _, answers):
        with pytest.raises(CrossSlotError, match=r"SUNION .* a \(slot 15495\), b \(slot 3300\)"):
            await client.read("SUNION", "a", "b")
        with pytest.raises(CrossSlotError, match="RENAME"):
            await client.write("RENAME", "a", "b")
        assert answers.seen == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("BLPOP", "a", 0), "BLPOP would hold"),
        (("MULTI",), "MULTI would hold"),
        (("WATCH", "a"), "WATCH would hold"),
        (("XREAD", "BLOCK", 0, "STREAMS", "s", 0), "XREAD would hold"),
        (("MSET", "a"), "MSET: it takes at least 2"),
        (("NOSUCH",), "no key"),
        ((), "empty command"),
    ],
)
async def test_what_would_harm_others_is_refused(command: tuple[str, ...], told: str) -> None:
    """A shared connection must not block, subscribe or begin a transaction."""
    async with serving() as (client, _, answers):
        with pytest.raises(ValueError, match=told):
            await client.write(*command)
        assert answers.seen == []


async def test_a_stream_is_read_where_it_does_not_block() -> None:
    """And a command that nobody knows goes by its second word."""
    async with serving(b"*-1\r\n", b"+fine\r\n") as (client, _, answers):
        assert await client.read("XREAD", "STREAMS", "block", 0) is None
        assert (await client.write("MODULE.SET", "k", 1)).value == b"fine"
        assert len(answers.seen) == 2


@pytest.mark.parametrize("durability", BOTH)
async def test_many_keys_over_a_real_cluster(store: StoreClient, durability: Durability) -> None:
    """More than one window of them, over all nodes, read back in order."""
    keys = [f"many:{durability.value}:{number}" for number in range(2 * WINDOW + 7)]
    values = {key: f"v{number}" for number, key in enumerate(keys)}

    written = await store.mset(values, durability=durability)

    assert (written.status, written.value) == (ACKNOWLEDGED, b"OK")
    assert len(written.parts) == len({slot_of(key.encode()) for key in keys})
    assert await store.mget(*keys) == [value.encode() for value in values.values()]
    assert await store.exists(*keys, "many:none") == len(keys)
    assert await store.touch(*keys[:9]) == 9
    assert (await store.delete(*keys[:300], durability=durability)).value == 300
    assert (await store.unlink(*keys, durability=durability)).value == len(keys) - 300


async def test_a_slot_on_the_move_is_waited_for(cluster: StoreCluster, store: StoreClient) -> None:
    """MGET of a slot whose keys are at two nodes: TRYAGAIN until the move ends, then the values."""
    source, target = store.topology.primaries[:2]
    slot = next(s for s, owner in enumerate(store.topology.owners) if owner == source)
    tag = key_in({slot})
    here, gone = f"{{{tag}}}:here", f"{{{tag}}}:gone"
    await store.mset({here: 1, gone: 2})
    at_source, at_target = (cluster.nodes[cluster.at(each)] for each in (source, target))
    source_id, target_id = cluster.node_id(source), cluster.node_id(target)
    at_target.cli("CLUSTER", "SETSLOT", str(slot), "IMPORTING", source_id)
    at_source.cli("CLUSTER", "SETSLOT", str(slot), "MIGRATING", target_id)
    at_source.cli("MIGRATE", target.host, str(target.port), gone, "0", "5000")

    reading = asyncio.create_task(store.mget(here, gone, deadline_s=time.monotonic() + 20))
    await until(lambda: store.snapshot()["retries"] > 2)
    at_source.cli("MIGRATE", target.host, str(target.port), here, "0", "5000")
    for node in (at_target, at_source):
        node.cli("CLUSTER", "SETSLOT", str(slot), "NODE", target_id)

    assert await reading == [b"1", b"2"]
    await store.delete(here, gone)
    cluster.hand_over(slot, target, source)
