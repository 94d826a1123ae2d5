"""Transactions as one block, and optimistic ones under watch."""

import asyncio

import pytest

from resilience.errors import ServiceError
from shard.policy.attempt import Failure
from shard.policy.split import CrossSlotError
from shard.policy.topology import Address
from shard.resp import Answer, ReplyError
from shard.store import Durability, StoreClient, WriteStatus
from shard.transaction import outcome
from shard.watch import UNWATCH_TIMEOUT_S
from tests.shard.cluster import StoreCluster, key_in
from tests.shard.fake import until
from tests.shard.one_node import serving

pytestmark = pytest.mark.integration

BOTH = (Durability.LOCAL, Durability.REPLICATED)
QUEUED = (b"+OK\r\n", b"+QUEUED\r\n")
MOVED = "MOVED 7 127.0.0.1:1"


def test_documented_defaults() -> None:
    """A third of a second to take back a watch."""
    assert UNWATCH_TIMEOUT_S == 0.3


@pytest.mark.parametrize(
    ("queued", "executed", "kind"),
    [
        ([b"OK", ReplyError(MOVED)], ReplyError("EXECABORT Transaction discarded"), "MOVED"),
        ([b"OK", b"QUEUED"], ReplyError(MOVED), "MOVED"),
        ([b"OK", ReplyError("ERR unknown")], ReplyError("EXECABORT Transact"), "EXECABORT"),
        ([b"OK"], ReplyError("EXECABORT ... because of: -MISCONF disk"), "MISCONF"),
        ([b"OK"], ReplyError("EXECABORT ... because of: ERR x"), "EXECABORT"),
        ([ReplyError("NOPERM multi"), b"OK"], ReplyError("ERR EXEC without MULTI"), "ERR"),
        ([ReplyError("NOAUTH x")] * 2, ReplyError("NOAUTH x"), "NOAUTH"),
        ([b"OK", b"QUEUED"], None, "CONFLICT"),
    ],
)
def test_what_a_block_comes_to(queued: list[Answer], executed: Answer, kind: str) -> None:
    """The refusal that decides what to do next."""
    found = outcome(queued, executed)
    assert isinstance(found, ReplyError)
    assert found.kind == kind


def test_what_was_executed_or_lost_stays() -> None:
    """A list is the result, and no answer no answer."""
    assert outcome([b"OK", b"QUEUED"], [1]) == [1]
    assert outcome([], Failure.LOST) is Failure.LOST


async def test_a_block_is_one_write_and_nothing_comes_between() -> None:
    """Twenty callers at once: between MULTI and EXEC stand the transaction's own commands."""
    async with serving() as (client, node, answers):
        node.reads.clear()

        async def transact(number: int) -> None:
            await client.transaction(("SET", f"{{t}}{number}", 1), ("INCR", f"{{t}}{number}"))

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(transact(number))
                group.create_task(client.read("GET", f"{{t}}{number}"))
        assert node.reads == [100]
        names = [command[0] for command in answers.seen]
        begins = [place for place, name in enumerate(names) if name == b"MULTI"]
        assert len(begins) == 20
        for place in begins:
            assert names[place : place + 4] == [b"MULTI", b"SET", b"INCR", b"EXEC"]
            assert answers.seen[place + 1][1] == answers.seen[place + 2][1]


async def test_one_given_up_before_the_write_is_not_begun() -> None:
    """Neither MULTI nor anything behind it reaches the node."""
    async with serving() as (client, _, answers):
        given_up = asyncio.create_task(client.transaction(("SET", "a", 1)))
        await asyncio.sleep(0)
        given_up.cancel()
        await client.read("GET", "b")
        assert [command[0] for command in answers.seen] == [b"GET"]


async def test_a_redirected_block_is_sent_again_whole() -> None:
    """ASK: ASKING, then all of it; the answers stay matched."""
    async with serving() as (client, node, answers):
        ask = b"-ASK 1 %s:%d\r\n" % (node.address.host.encode(), node.address.port)
        answers.script = [
            b"+OK\r\n", ask, b"-EXECABORT Transaction discarded\r\n",
            b"+OK\r\n", *QUEUED, b"*1\r\n:5\r\n",
        ]  # fmt: skip
        done = await client.transaction(("INCR", "n"))
        assert (done.status, done.value) == (WriteStatus.ACKNOWLEDGED, [5])
        names = [command[0] for command in answers.seen]
        block = [b"MULTI", b"INCR", b"EXEC"]
        assert names == [*block, b"ASKING", *block]


@pytest.mark.parametrize("durability", BOTH)
async def test_one_lost_with_its_connection_is_unknown(durability: Durability) -> None:
    """It may have been executed, so it isn't sent again."""
    async with serving(*QUEUED, None) as (client, node, answers):
        writing = asyncio.create_task(client.transaction(("INCR", "n"), durability=durability))
        await until(lambda: len(answers.seen) == 3)
        node.hang_up()
        assert (await writing).status is WriteStatus.UNKNOWN


@pytest.mark.parametrize("durability", BOTH)
async def test_a_real_transaction(store: StoreClient, durability: Durability) -> None:
    """All or none; a command that fails inside keeps its place."""
    key = f"{{tx:{durability.value}}}"
    done = await store.transaction(
        ("SET", key, "text"), ("INCR", key), ("INCR", key + "n"), durability=durability
    )
    assert done.status is WriteStatus.ACKNOWLEDGED
    assert isinstance(done.value, list)
    assert (done.value[0], done.value[2]) == (b"OK", 1)
    assert isinstance(done.value[1], ReplyError)

    refused = await store.transaction(("INCR", key + "n"), ("NOSUCH", key), durability=durability)
    assert (refused.status, refused.reason) == (WriteStatus.REFUSED, "STORE_ERROR")
    assert "unknown command" in refused.message
    assert await store.read("GET", key + "n") == b"1"


async def test_a_transaction_follows_its_slot(cluster: StoreCluster, store: StoreClient) -> None:
    """MOVED where a command was queued: the whole block goes to the new owner."""
    source, target = store.topology.primaries[:2]
    slot = next(s for s, owner in enumerate(store.topology.owners) if owner == source)
    key = key_in({slot})
    cluster.hand_over(slot, source, target)
    done = await store.transaction(("SET", key, 1), ("INCR", key))
    assert done.value == [b"OK", 2]
    await store.delete(key)
    cluster.hand_over(slot, target, source)


async def test_keys_of_several_slots_are_named(store: StoreClient) -> None:
    """Before anything is sent; so is a transaction of nothing."""
    with pytest.raises(CrossSlotError, match=r"MULTI .* a \(slot 15495\), b \(slot 3300\)"):
        await store.transaction(("SET", "a", 1), ("SET", "b", 1))
    with pytest.raises(ValueError, match="no commands"):
        await store.transaction()
    with pytest.raises(CrossSlotError, match="WATCH"):
        async with store.watch("a", "b"):
            raise AssertionError


@pytest.mark.parametrize("durability", BOTH)
async def test_a_watched_key_that_changed_refuses_the_write(
    store: StoreClient, durability: Durability
) -> None:
    """Optimistic: the second writer sees the conflict, begins again and wins."""
    key = f"watched:{durability.value}"
    await store.write("SET", key, 1)
    async with store.watch(key) as watched:
        assert await watched.read("GET", key) == b"1"
        await store.write("SET", key, 5)
        done = await watched.commit(("SET", key, 2), durability=durability)
    assert (done.status, done.reason) == (WriteStatus.REFUSED, "STORE_CONFLICT")
    assert await store.read("GET", key) == b"5"

    async with store.watch(key) as watched:
        done = await watched.commit(("INCR", key), durability=durability)
    assert (done.status, done.value) == (WriteStatus.ACKNOWLEDGED, [6])


async def test_sixteen_writers_under_watch_lose_no_update(store: StoreClient) -> None:
    """Each adds one, again until nobody came between; connections are lent again."""
    key = "watched:counter"

    async def add() -> None:
        while True:
            async with store.watch(key) as watched:
                value = await watched.read("GET", key)
                number = int(value) if isinstance(value, bytes) else 0
                done = await watched.commit(("SET", key, number + 1))
            if done.status is WriteStatus.ACKNOWLEDGED:
                return
            assert done.reason == "STORE_CONFLICT"

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(add())
    assert await store.read("GET", key) == b"16"
    assert sum(map(len, store._nodes._idle.values())) <= 4


async def test_a_watch_without_a_commit_is_forgotten(store: StoreClient) -> None:
    """Who uses the connection next isn't refused for it."""
    async with store.watch("forgotten"):
        await store.write("SET", "forgotten", 1)
    async with store.watch("forgotten") as watched:
        assert (await watched.commit(("INCR", "forgotten"))).value == [2]
        with pytest.raises(ValueError, match="the watched ones are of slot"):
            await watched.read("GET", "another")


async def test_a_watch_ends_with_its_connection(cluster: StoreCluster, store: StoreClient) -> None:
    """Nothing is written, and the caller is told to begin again."""
    async with store.watch("lost") as watched:
        owner = watched._own.address
        assert isinstance(owner, Address)
        cluster.nodes[cluster.at(owner)].cli("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: watched._own.connection is None)
        done = await watched.commit(("SET", "lost", 1))
        assert (done.status, done.reason) == (WriteStatus.REFUSED, "STORE_UNAVAILABLE")
        assert "begin again" in done.message
        with pytest.raises(ServiceError, match="begin again"):
            await watched.read("GET", "lost")
    assert await store.read("GET", "lost") is None
