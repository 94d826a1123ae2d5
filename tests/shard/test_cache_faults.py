"""The cache's promise on real nodes: killed, frozen, cut off, restarted with what they had."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from shard.cache import NOTHING, CacheClient, Hit, Miss
from shard.policy import coherence
from shard.policy.coherence import LEASE_S
from shard.policy.topology import Address
from tests.ports import free_port
from tests.shard.cache_nodes import (
    CacheNodes,
    found,
    node_of,
    put,
    until_state,
    until_up,
)
from tests.shard.fake import until

pytestmark = pytest.mark.integration

SOAK_S = 2.0
PATIENCE_S = 0.2  # four times the default: a busy machine must not look like a dead node


class Ways:
    """A client's ways to the nodes; where a test has cut one, it dials a port nobody listens on."""

    def __init__(self) -> None:
        self.cut: set[Address] = set()
        self._nowhere = Address("127.0.0.1", free_port())

    def __call__(self, address: Address) -> Address:
        return self._nowhere if address in self.cut else address


@asynccontextmanager
async def connected(nodes: CacheNodes, *ways: Ways) -> AsyncIterator[list[CacheClient]]:
    """Connect a client for each set of ways, reading from all nodes."""
    clients = [CacheClient(nodes.addresses, dial=each, timeout_s=PATIENCE_S) for each in ways]
    try:
        for client in clients:
            await client.connect()
            await until_up(client)
        yield clients
    finally:
        for client in clients:
            await client.close()


def deletes_of(client: CacheClient) -> dict[str, int]:
    """Return how a client's deletes ended, by node."""
    counts = client.snapshot()["deletes"]
    assert isinstance(counts, dict)
    return counts


async def read_until(client: CacheClient, holds: Callable[[Hit | Miss], bool]) -> None:
    """Get ``k`` again and again until the answer is so."""
    while True:
        answer = await client.get("k")
        if holds(answer):
            return
        await asyncio.sleep(0.005)


async def test_a_killed_nodes_keys_go_to_the_others_and_come_back(nodes: CacheNodes) -> None:
    """Ejected by refusal; probed; read again in its next life, of which nothing is left over."""
    async with connected(nodes, Ways()) as [client]:
        owner = await put(client, "k", b"x")
        life = node_of(client, owner)["incarnation"]
        nodes.kill(owner)
        await until_state(client, owner, "ejected")
        stand_in = await put(client, "k", b"x")
        assert stand_in != owner
        assert await found(client, "k")

        nodes.start(owner)
        await until_state(client, owner, "up")
        assert node_of(client, owner)["incarnation"] != life
        assert node_of(client, owner)["ejections"] == 1
        assert await put(client, "k", b"x") == owner


async def test_a_frozen_node_costs_readers_their_timeout_only_until_it_is_ejected(
    nodes: CacheNodes,
) -> None:
    """A get never takes much longer than the timeout, and soon goes elsewhere."""
    async with connected(nodes, Ways()) as [client]:
        owner = await put(client, "k", b"x")
        nodes.freeze(owner)
        await until_state(client, owner, "ejected")

        assert await put(client, "k", b"x") != owner
        nodes.thaw(owner)
        await until_state(client, owner, "up")
        assert await found(client, "k")


async def test_while_a_node_is_silent_and_not_gone_nothing_is_read(nodes: CacheNodes) -> None:
    """Ejected is not enough: a deleter may have left its notice on that node's board alone."""
    async with connected(nodes, Ways()) as [client], asyncio.timeout(15):
        owner = await put(client, "k", b"x")
        silent = next(f"cache-{number}" for number in (1, 2) if owner != f"cache-{number}")
        nodes.freeze(silent)
        await read_until(client, lambda answer: answer == NOTHING)
        await read_until(client, lambda answer: isinstance(answer, Hit))
        assert client._watch.gone == {silent}


async def test_a_frozen_node_never_serves_what_it_missed(nodes: CacheNodes) -> None:
    """The delete waits a lease, then others wait no more; thawed, the node is flushed first."""
    async with connected(nodes, Ways(), Ways(), Ways()) as [ann, bob, eve]:
        owner = await put(ann, "k", b"old")
        assert await found(eve, "k")
        nodes.freeze(owner)
        began_s = time.monotonic()
        await ann.delete("k")
        assert time.monotonic() - began_s > LEASE_S
        nodes.thaw(owner)

        async def read_until_up(client: CacheClient) -> None:
            while node_of(client, owner)["state"] != "up":
                answer = await client.get("k")
                assert isinstance(answer, Miss)
                await asyncio.sleep(0.001)

        await asyncio.gather(*map(read_until_up, (ann, bob, eve)))
        assert isinstance(await bob.get("k"), Miss)
        assert deletes_of(ann)["barred"] >= 1
        assert deletes_of(ann)["unproven"] == 0


async def test_during_an_outage_only_the_first_delete_waits(nodes: CacheNodes) -> None:
    """Of twenty more, while the notice stands, not half take a lease."""
    async with connected(nodes, Ways(), Ways()) as [ann, _]:
        owner = await put(ann, "k", b"old")
        nodes.kill(owner)
        await ann.delete("k")
        waited = 0
        for _ in range(20):
            began_s = time.monotonic()
            await ann.delete("k")
            waited += time.monotonic() - began_s >= LEASE_S
        assert waited < 10


async def test_nobody_reads_past_the_delete_of_a_client_that_is_cut_off(nodes: CacheNodes) -> None:
    """The node is well and Bob reaches it: he leaves it all the same, until Ann is back."""
    ways = Ways()
    async with connected(nodes, ways, Ways()) as [ann, bob]:
        owner = await put(bob, "k", b"old")
        ways.cut.add(Address(*nodes.addresses[nodes.names.index(owner)]))
        ann.redial()
        assert await found(bob, "k")
        await ann.delete("k")

        assert isinstance(await bob.get("k"), Miss)
        assert node_of(bob, owner)["state"] != "up"
        assert await put(bob, "k", b"new") != owner
        assert await found(bob, "k")
        ways.cut.clear()
        await until_state(ann, owner, "up")
        await until_state(bob, owner, "up")
        assert isinstance(await bob.get("k"), Miss)


async def test_a_client_cut_off_from_everything_says_what_it_cannot_prove(
    nodes: CacheNodes,
) -> None:
    """No board to leave a notice on: counted as unproven, and made good when it is back."""
    ways = Ways()
    async with connected(nodes, ways, Ways()) as [ann, bob]:
        owner = await put(bob, "k", b"old")
        ways.cut.update(Address(*each) for each in nodes.addresses)
        ann.redial()
        await ann.delete("k")
        assert deletes_of(ann) == {"done": 0, "barred": 0, "unproven": 3}

        ways.cut.clear()
        await until_state(ann, owner, "up")
        await until_up(bob)
        assert isinstance(await bob.get("k"), Miss)


async def test_a_deleter_that_dies_leaves_its_notice_to_the_others(
    nodes: CacheNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody renews it: Bob flushes the node on its behalf, then reads from it."""
    monkeypatch.setattr(coherence, "NOTICE_TTL_S", 2.0)
    ways = Ways()
    async with connected(nodes, ways, Ways()) as [ann, bob]:
        owner = await put(bob, "k", b"old")
        ways.cut.add(Address(*nodes.addresses[nodes.names.index(owner)]))
        ann.redial()
        await ann.delete("k")
        await ann.close()
        assert node_of(bob, owner)["state"] != "up"
        await until_state(bob, owner, "up")

        assert isinstance(await bob.get("k"), Miss)


async def test_a_node_that_comes_back_with_its_data_serves_none_of_it(nodes: CacheNodes) -> None:
    """A snapshot holds what was deleted since; its run id was another's."""
    async with connected(nodes, Ways(), Ways()) as [ann, bob]:
        owner = await put(ann, "k", b"old")
        server = nodes.servers[owner]
        server.cli("SAVE")
        await ann.delete("k")
        nodes.kill(owner)
        nodes.start(owner)
        assert nodes.servers[owner].cli("DBSIZE") != "0"
        for client in (ann, bob):
            await until_state(client, owner, "up")
            assert isinstance(await client.get("k"), Miss)


async def test_a_tier_that_froze_as_a_whole_forgets(
    nodes: CacheNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could be told of the delete, so what stood longer than the gap is flushed first."""
    from shard import cache_scripts

    monkeypatch.setattr(cache_scripts, "GAP_S", 0.6)
    async with connected(nodes, Ways(), Ways()) as [ann, bob]:
        await put(ann, "k", b"old")
        for name in nodes.names:
            nodes.freeze(name)
        frozen_s = time.monotonic()
        await ann.delete("k")
        await until(lambda: time.monotonic() - frozen_s > 1.0)
        for name in nodes.names:
            nodes.thaw(name)
        for client in (ann, bob):
            await until_up(client)
            assert isinstance(await client.get("k"), Miss)


async def test_no_read_is_past_a_delete_while_nodes_die_and_freeze(nodes: CacheNodes) -> None:
    """Three clients read, fill, write and delete for two seconds; one node at a time fails."""
    seed = int(os.environ.get("SQUALL_SEED", time.time_ns() % 1_000_000))
    rng = Random(seed)
    origin = {f"k{number}": 0 for number in range(8)}
    floor = dict(origin)
    reads = hits = 0

    async def read(client: CacheClient) -> None:
        nonlocal reads, hits
        key = rng.choice(list(origin))
        oldest = floor[key]  # what had been deleted for good when this read began
        answer = await client.get(key)
        reads += 1
        if isinstance(answer, Hit):
            hits += 1
            assert int(answer.value) >= oldest, f"{key}: {answer} past {oldest}, SQUALL_SEED={seed}"
            return
        value = origin[key]
        await asyncio.sleep(rng.random() * 0.01)  # the origin takes its time to answer
        await client.fill(answer, key, str(value).encode(), 60.0)

    async def write(client: CacheClient) -> None:
        key = rng.choice(list(origin))
        origin[key] += 1
        version = origin[key]
        unproven = deletes_of(client)["unproven"]
        await client.delete(key)
        if deletes_of(client)["unproven"] == unproven:
            floor[key] = max(floor[key], version)

    async def work(client: CacheClient, end_s: float) -> None:
        while time.monotonic() < end_s:
            await (write(client) if rng.random() < 0.03 else read(client))
            await asyncio.sleep(0.001)

    async def break_things(end_s: float) -> None:
        while time.monotonic() < end_s:
            name, kind = rng.choice(nodes.names), rng.choice(["freeze", "kill"])
            pause_s = rng.uniform(0.1, 0.9)
            if kind == "freeze":
                nodes.freeze(name)
                await asyncio.sleep(pause_s)
                nodes.thaw(name)
            else:
                nodes.kill(name)
                await asyncio.sleep(pause_s)
                await asyncio.to_thread(nodes.start, name)
            await asyncio.sleep(rng.uniform(0.05, 0.3))

    async with connected(nodes, Ways(), Ways(), Ways()) as clients:
        end_s = time.monotonic() + SOAK_S
        async with asyncio.TaskGroup() as group:
            for client in clients:
                for _ in range(3):
                    group.create_task(work(client, end_s))
            group.create_task(break_things(end_s))
    assert hits > 0
    assert reads > hits
