"""In front of a real cluster: redis-py, pipelines, splits, transactions, moves and deaths."""

import asyncio
import time

import pytest
import redis.asyncio as redis_py

from hashing.slots import slot_of
from shard.policy.topology import Address
from tests.shard.cluster import StoreCluster, key_in
from tests.shard.fake import until
from tests.shard.proxy.proxies import HOST, proxy_of


@pytest.mark.parametrize("protocol", [2, 3])
async def test_redis_py_finds_one_server(cluster: StoreCluster, protocol: int) -> None:
    """Its single-node client reads, writes, splits, pipelines and runs transactions."""
    async with proxy_of(cluster.addresses) as proxy:
        client = redis_py.Redis(host=HOST, port=proxy.port, protocol=protocol)
        names = [f"py:{number}" for number in range(50)]
        assert await client.mset({name: name for name in names})
        assert await client.mget([*names, "py:none"]) == [*(each.encode() for each in names), None]
        assert await client.exists(*names) == len(names)
        await client.hset("py:hash", mapping={"a": 1, "b": 2})
        assert await client.hgetall("py:hash") == {b"a": b"1", b"b": b"2"}
        async with client.pipeline(transaction=True) as block:
            for words in (("SET", "{py}a", "1"), ("INCR", "{py}a"), ("GET", "{py}a")):
                block.execute_command(*words)
            done = await block.execute()
        assert done == [True, 2, b"2"]
        assert await client.delete(*names, "py:hash", "{py}a") == len(names) + 2
        await client.aclose()


async def test_a_script_is_loaded_at_every_node(cluster: StoreCluster) -> None:
    """What redis-py does after a NOSCRIPT: the digest works wherever the key is."""
    async with proxy_of(cluster.addresses) as proxy:
        client = redis_py.Redis(host=HOST, port=proxy.port)
        script = client.register_script("return {KEYS[1], 'proxied'}")
        for number in range(20):
            key = f"script:{number}"
            assert await script(keys=[key]) == [key.encode(), b"proxied"]
        await client.aclose()
        talker = await proxy.talk()
        assert (await talker.ask("SCRIPT", "KILL")).startswith(b"-ERR SCRIPT isn't available")


async def test_a_pipeline_is_answered_in_order(cluster: StoreCluster) -> None:
    """Thousands of commands to every node, with answers of the proxy's own between."""
    async with proxy_of(cluster.addresses, pipeline=100) as proxy:
        talker = await proxy.talk()
        for number in range(2000):
            talker.write(("SET", f"order:{number}", number), ("ECHO", number))
        for number in range(2000):
            assert await talker.line() == b"+OK"
            assert await talker.line() == b"$%d" % len(str(number))
            assert await talker.line() == b"%d" % number
        for number in range(2000):
            talker.write(("GET", f"order:{number}"))
        for number in range(2000):
            await talker.line()
            assert await talker.line() == b"%d" % number
        assert proxy.front.figures()["commands_under_way"] == 0


async def test_large_values_and_long_lists_come_whole(cluster: StoreCluster) -> None:
    """What comes in many pieces is handed on in them, both ways."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        large = bytes(range(256)) * 20_000
        assert await talker.ask("SET", "large", large) == b"+OK"
        assert await talker.bulk("GET", "large") == large
        count = 8_000
        await talker.ask("DEL", "long", "large")
        assert await talker.ask("RPUSH", "long", *range(count)) == b":%d" % count
        assert await talker.ask("LRANGE", "long", 0, -1) == b"*%d" % count
        for number in range(count):
            await talker.line()
            assert await talker.line() == b"%d" % number


async def test_an_error_is_the_node_s_own(cluster: StoreCluster) -> None:
    """Word by word, and the connection stays."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        await talker.ask("DEL", "wrong")
        await talker.ask("HSET", "wrong", "a", 1)
        assert await talker.ask("INCR", "wrong") == (
            b"-WRONGTYPE Operation against a key holding the wrong kind of value"
        )
        assert await talker.ask("PING") == b"+PONG"


async def test_a_split_write_tells_what_was_done(cluster: StoreCluster) -> None:
    """Of parts that failed the first error, and how many parts didn't."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("RENAME", "a", "b") == (
            b"-CROSSSLOT RENAME needs its keys in one slot: a (slot 15495), b (slot 3300); "
            b"give them a common hash tag, such as {user:7}:name"
        )


async def test_a_transaction_of_two_slots_is_refused(cluster: StoreCluster) -> None:
    """The command that doesn't fit is told at once, and EXEC executes nothing."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        await talker.ask("DEL", "a")
        assert await talker.ask("MULTI") == b"+OK"
        assert await talker.ask("SET", "a", 1) == b"+QUEUED"
        assert (await talker.ask("SET", "b", 1)).startswith(b"-CROSSSLOT")
        assert (await talker.ask("EXEC")).startswith(b"-EXECABORT")
        assert await talker.bulk("GET", "a") is None
        assert await talker.ask("EXEC") == b"-ERR EXEC without MULTI"
        assert await talker.ask("DISCARD") == b"-ERR DISCARD without MULTI"
        assert await talker.ask("MULTI") == b"+OK"
        assert await talker.ask("MULTI") == b"-ERR MULTI calls can not be nested"
        assert await talker.ask("DISCARD") == b"+OK"
        assert await talker.ask("MULTI") == b"+OK"
        assert await talker.ask("EXEC") == b"*0"


async def test_a_node_that_refuses_a_queued_command_says_why(cluster: StoreCluster) -> None:
    """An error at EXEC is the node's."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        await talker.ask("SET", "text", "a")
        for words in (("MULTI",), ("INCR", "text"), ("GET", "text")):
            await talker.ask(*words)
        assert await talker.ask("EXEC") == b"*2"
        assert await talker.line() == b"-ERR value is not an integer or out of range"
        assert await talker.line() == b"$1"


async def test_moved_slots_are_followed(cluster: StoreCluster) -> None:
    """A command, a transaction and a split one arrive where the slot has gone."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("SET", "warm", 1) == b"+OK"
        key = key_in(set(range(16_384)), "moving")
        slot = slot_of(key.encode())
        source, target = await _owner_and_other(cluster, slot)
        await talker.ask("DEL", key)
        cluster.hand_over(slot, source, target)
        try:
            talker.write(("SET", key, 1), ("GET", key), ("MGET", key, "warm"))
            assert await talker.line() == b"+OK"
            assert [await talker.line() for _ in range(2)] == [b"$1", b"1"]
            assert [await talker.line() for _ in range(5)] == [b"*2", b"$1", b"1", b"$1", b"1"]
            await until(lambda: proxy.front.figures()["redirected_total"] >= 1)
            await talker.ask("DEL", key)
        finally:
            cluster.hand_over(slot, target, source)
        for words in (("MULTI",), ("INCR", key)):
            await talker.ask(*words)
        assert [await talker.ask("EXEC"), await talker.line()] == [b"*1", b":1"]
        await talker.ask("DEL", key)


async def test_a_slot_on_its_way_is_asked_for_at_its_target(cluster: StoreCluster) -> None:
    """ASK: what the source has no longer is found, and the source stays the owner."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        key = key_in(set(range(16_384)), "asking")
        slot = slot_of(key.encode())
        source, target = await _owner_and_other(cluster, slot)
        source_node, target_node = (
            cluster.nodes[cluster.at(source)],
            cluster.nodes[cluster.at(target)],
        )
        target_node.cli("CLUSTER", "SETSLOT", str(slot), "IMPORTING", cluster.node_id(source))
        source_node.cli("CLUSTER", "SETSLOT", str(slot), "MIGRATING", cluster.node_id(target))
        try:
            assert await talker.ask("SET", key, "gone") == b"+OK"
            assert await talker.bulk("GET", key) == b"gone"
            for words in (("MULTI",), ("APPEND", key, "!")):
                await talker.ask(*words)
            assert [await talker.ask("EXEC"), await talker.line()] == [b"*1", b":5"]
            assert await talker.ask("DEL", key) == b":1"
        finally:
            for node in (source_node, target_node):
                node.cli("CLUSTER", "SETSLOT", str(slot), "STABLE")


async def test_a_dead_primary_costs_errors_until_another_is_elected(cluster: StoreCluster) -> None:
    """Each command ends by its deadline with a reason, the connection stays, and then it works."""
    async with proxy_of(cluster.addresses, command_timeout_s=0.5) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("SET", "death", 1) == b"+OK"
        owner, _ = await _owner_and_other(cluster, slot_of(b"death"))
        cluster.kill(cluster.at(owner))

        began_s = time.monotonic()
        first = await talker.ask("SET", "death", 2)
        assert time.monotonic() - began_s < 1.5
        assert first.startswith(b"-ERR STORE_UNAVAILABLE: "), first
        assert b"executed" in first

        async def serves() -> bool:
            return await talker.ask("SET", "death", 3) == b"+OK"

        end_s = time.monotonic() + 15
        while not await serves():
            assert time.monotonic() < end_s
        assert await talker.bulk("GET", "death") == b"3"


async def test_a_silent_node_fails_only_its_own_commands(cluster: StoreCluster) -> None:
    """The others' answers that stand before it come; what may have happened is told so."""
    async with proxy_of(cluster.addresses, command_timeout_s=0.4) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("SET", "pause", 1) == b"+OK"
        owner, _ = await _owner_and_other(cluster, slot_of(b"pause"))
        other = next(
            f"other:{n}" for n in range(100)
            if cluster_owner(cluster, slot_of(f"other:{n}".encode())) != owner
        )  # fmt: skip
        cluster.pause(cluster.at(owner))
        try:
            talker.write(("SET", other, 1), ("SET", "pause", 2), ("GET", "pause"), ("PING",))
            assert await talker.line() == b"+OK"
            write, read = await talker.line(), await talker.line()
            assert write.startswith(b"-ERR STORE_TIMEOUT: ")
            assert write.endswith(b"it may have been executed")
            assert read.endswith(b"trying again is safe")
            assert await talker.line() == b"+PONG"
        finally:
            cluster.resume(cluster.at(owner))


async def test_a_proxy_that_knows_no_node_says_so(unused_port: int) -> None:
    """Within the deadline, and it goes on looking."""
    async with proxy_of([Address(HOST, unused_port)], command_timeout_s=0.3) as proxy:
        talker = await proxy.talk()
        answer = await talker.ask("GET", "a")
        assert answer.startswith(b"-ERR STORE_UNAVAILABLE: slot 15495: no owner of the slot")
        assert not proxy.front.router.is_ready
        assert await talker.ask("PING") == b"+PONG"


async def test_what_is_under_way_is_answered_before_the_end(cluster: StoreCluster) -> None:
    """Drain: no new client, every answer, then the end of the connection."""
    async with proxy_of(cluster.addresses) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("SET", "drain", 1) == b"+OK"
        talker.write(*[("INCR", "drain")] * 200)
        await until(lambda: proxy.front.figures()["node_commands_total"] > 1)
        assert await proxy.front.drain() == 0
        answers = (await talker.rest()).split()
        assert answers == [b":%d" % number for number in range(2, 2 + len(answers))]
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection(HOST, proxy.port)


def cluster_owner(cluster: StoreCluster, slot: int) -> Address | None:
    """Ask a node who owns a slot."""
    for line in cluster.nodes[0].cli("CLUSTER", "NODES").splitlines():
        fields = line.split()
        ranges = [each.partition("-") for each in fields[8:] if not each.startswith("[")]
        if any(int(low) <= slot <= int(high or low) for low, _, high in ranges):
            host, _, port = fields[1].partition("@")[0].rpartition(":")
            return Address(host, int(port))
    return None


async def _owner_and_other(cluster: StoreCluster, slot: int) -> tuple[Address, Address]:
    owner = cluster_owner(cluster, slot)
    assert owner is not None
    others = {cluster_owner(cluster, each) for each in range(0, 16_384, 64)} - {owner, None}
    other = next(iter(others))
    assert other is not None
    return owner, other
