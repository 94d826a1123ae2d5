"""In front of plain nodes: the ring's owner, its stand-in while it is gone, and empty on return."""

from collections.abc import Iterator

import pytest

from hashing.bounded import BoundedRing
from shard.policy.topology import Address
from tests.shard.fake import until
from tests.shard.proxy.proxies import Talker, proxy_of
from tests.valkey import Valkey, launch, start_valkey


@pytest.fixture
def nodes() -> Iterator[dict[str, Valkey]]:
    """Run three independent nodes."""
    with start_valkey() as one, start_valkey() as two, start_valkey() as three:
        yield {"cache-1": one, "cache-2": two, "cache-3": three}


def addresses(nodes: dict[str, Valkey]) -> dict[str, Address]:
    """Return where they listen."""
    return {name: Address(node.host, node.port) for name, node in nodes.items()}


async def test_a_key_is_at_the_owner_that_the_ring_names(nodes: dict[str, Valkey]) -> None:
    """The same ring as the cache's client has; split commands reach every owner."""
    ring = BoundedRing(list(nodes))
    keys = [f"key:{number}" for number in range(30)]
    async with proxy_of(addresses(nodes)) as proxy:
        talker = await proxy.talk()
        talker.write(("MSET", *(word for key in keys for word in (key, key))))
        assert await talker.line() == b"+OK"
        for key in keys:
            assert nodes[ring.lookup(key.encode())].cli("GET", key) == key
        assert await talker.ask("EXISTS", *keys) == b":30"
        assert await talker.ask("DEL", *keys) == b":30"


async def test_keys_of_two_nodes_can_t_be_in_one_command(nodes: dict[str, Valkey]) -> None:
    """Nor in a transaction, which no node could answer for."""
    ring = BoundedRing(list(nodes))
    first = "key:0"
    other = next(
        key
        for key in (f"key:{number}" for number in range(1, 100))
        if ring.lookup(key.encode()) != ring.lookup(first.encode())
    )
    async with proxy_of(addresses(nodes)) as proxy:
        talker = await proxy.talk()
        assert (await talker.ask("RENAME", first, other)).startswith(b"-CROSSSLOT")
        assert (await talker.ask("MULTI")).startswith(b"-ERR MULTI isn't available in front of a")


async def test_a_dead_node_s_keys_go_to_its_stand_in_and_it_returns_empty(
    nodes: dict[str, Valkey],
) -> None:
    """What it had kept is older than what was written meanwhile."""
    key = "key:0"
    owner, stand_in, _ = BoundedRing(list(nodes)).candidates(key.encode())
    async with proxy_of(addresses(nodes)) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("SET", key, "old") == b"+OK"
        dead = nodes[owner]
        dead.process.kill()
        dead.process.wait(10)
        assert await serves(talker, "SET", key, "new")
        assert nodes[stand_in].cli("GET", key) == "new"
        assert await talker.bulk("GET", key) == b"new"

        nodes[owner] = launch(dead.port, folder=dead.folder)
        try:
            nodes[owner].cli("SET", key, "old")
            await until(lambda: proxy.front.figures()["ejected_nodes"] == 0)
            assert await talker.bulk("GET", key) is None
        finally:
            nodes[owner].stop()


async def test_a_silent_node_is_ejected_and_its_clients_stay(nodes: dict[str, Valkey]) -> None:
    """Each command ends by its deadline; after three the stand-in answers."""
    key = "key:0"
    owner = BoundedRing(list(nodes)).lookup(key.encode())
    async with proxy_of(addresses(nodes), command_timeout_s=0.2) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("SET", key, "v") == b"+OK"
        nodes[owner].process.send_signal(19)
        first = await talker.ask("SET", key, "w")
        assert first.startswith(b"-ERR STORE_TIMEOUT: " + owner.encode())
        assert await serves(talker, "SET", key, "x")
        assert proxy.front.figures()["ejections_total"] == 1
        nodes[owner].process.send_signal(18)
        await until(lambda: proxy.front.figures()["ejected_nodes"] == 0)


async def test_with_no_node_left_it_says_so(nodes: dict[str, Valkey]) -> None:
    """At once: nothing is to be waited for."""
    async with proxy_of(addresses(nodes)) as proxy:
        talker = await proxy.talk()
        for node in nodes.values():
            node.process.kill()
            node.process.wait(10)
        await until(lambda: proxy.front.figures()["ejected_nodes"] == 0)
        for _ in range(10):
            answer = await talker.ask("GET", "key:0")
            assert answer.startswith(b"-ERR STORE_UNAVAILABLE: cache-")
        assert answer.endswith(b"trying again is safe")


async def serves(talker: Talker, *words: str) -> bool:
    """Ask until it is done; a few attempts are what an ejection takes."""
    for _ in range(20):
        if await talker.ask(*words) == b"+OK":
            return True
    return False
