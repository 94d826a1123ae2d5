"""The cache's client on nodes that are well, and on none at all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from hashing.bounded import BoundedRing
from resilience import context
from resilience.context import Context
from shard import cache, cache_delete, cache_node, cache_reader, cache_watch
from shard.cache import NOTHING, CacheClient, Hit, Miss
from shard.policy.topology import Address
from tests.ports import free_port
from tests.shard.cache_nodes import (
    CacheNodes,
    found,
    missed,
    node_of,
    put,
    until_state,
    until_up,
)
from tests.shard.fake import fake_node, until
from tests.valkey import start_valkey

pytestmark = pytest.mark.integration

Make = Callable[..., CacheClient]


@pytest.fixture
async def make(nodes: CacheNodes) -> AsyncIterator[Make]:
    """Make clients that are closed at the end; by default of the three nodes."""
    made: list[CacheClient] = []

    def one(addresses: list[tuple[str, int]] | None = None, **settings: object) -> CacheClient:
        patient = {"timeout_s": 0.3, **settings}  # the machine may be busy with other tests
        client = CacheClient(addresses or nodes.addresses, **patient)  # type: ignore[arg-type]
        made.append(client)
        return client

    yield one
    for client in made:
        await client.close()


@pytest.fixture
async def client(make: Make) -> CacheClient:
    """Connect one client that reads from all three."""
    client = make(rng=Random(7))
    await client.connect()
    await until_up(client)
    return client


def test_the_defaults_are_documented() -> None:
    """50 ms for a get, 250 for a delete or a flush, a second of overflow, +-10 % of life."""
    assert cache_reader.DEFAULT_TIMEOUT_S == 0.05
    assert cache_delete.DELETE_TIMEOUT_S == cache_watch.FLUSH_TIMEOUT_S == 0.25
    assert cache_reader.OVERFLOW_TTL_S == 1.0
    assert cache_reader.TTL_JITTER_RATIO == 0.1
    assert cache.DEFAULT_LOAD_FLOOR == 1000.0
    assert (cache_node.RUN_CHARS, cache_node.STATISTICS_INTERVAL_S) == (12, 2.0)


async def test_what_one_client_fills_another_reads(client: CacheClient, make: Make) -> None:
    """With its age; both place the key on the same node."""
    await put(client, "video:7", b"a cat")
    other = make()
    await other.connect()
    await until_up(other)
    hit = await found(other, "video:7")

    assert hit.value == b"a cat"
    assert 0.0 <= hit.age_s < 30.0


async def test_the_key_read_most_is_known_with_its_node(client: CacheClient) -> None:
    """Hit or miss, a read is a read."""
    for number in range(2_000):
        await client.get_many(["hot", f"cold:{number}"])
    hottest = client.hot_keys.top()[0]
    assert hottest.key == "hot"
    assert hottest.share == pytest.approx(0.5, abs=0.15)  # six standard deviations of the sample
    assert client.owner("hot") in {"cache-1", "cache-2", "cache-3"}


async def test_a_fill_that_a_delete_overtook_is_refused(client: CacheClient) -> None:
    """What was read at the origin before the delete is never stored after it."""
    miss = await missed(client, "video:7")
    await client.delete("video:7")

    assert not await client.fill(miss, "video:7", b"old", 60.0)
    assert isinstance(await client.get("video:7"), Miss)


async def test_a_delete_takes_many_keys(client: CacheClient) -> None:
    """Every one of them is gone when it returns; no key at all is nothing to do."""
    keys = [f"video:{number}" for number in range(20)]
    for key in keys:
        await put(client, key, b"x")
    await client.delete(*keys, keys[0])
    await client.delete()

    assert all(isinstance(each, Miss) for each in await client.get_many(keys))


async def test_answers_come_in_the_order_of_the_keys(client: CacheClient) -> None:
    """Hits and misses mixed; one write per node, however many keys."""
    for number in range(0, 60, 2):
        await put(client, f"k{number}", str(number).encode())
    links = [node.link for node in client._nodes.values()]
    before = sum(link.connection.write_count for link in links if link.connection)
    looks = client._watch.round_count
    answers = await client.get_many([f"k{number}" for number in range(60)])
    after = sum(link.connection.write_count for link in links if link.connection)

    for number, answer in enumerate(answers):
        if number % 2:
            assert isinstance(answer, Miss)
        else:
            assert isinstance(answer, Hit)
            assert answer.value == str(number).encode()
    if client._watch.round_count == looks:  # no look came between
        assert after - before <= 3


async def test_lifetimes_are_spread_by_a_tenth(client: CacheClient, nodes: CacheNodes) -> None:
    """A hundred keys of 100 s live 90 to 110; none lives longer than the bound."""
    lives = []
    for number in range(100):
        name = await put(client, f"k{number}", b"x", 100.0)
        lives.append(_life_s(client, nodes, name, f"k{number}"))
    assert min(lives) < 95.0 < 105.0 < max(lives)
    assert all(85.0 < life <= 110.0 for life in lives)

    name = await put(client, "long", b"x", 3600.0)
    assert _life_s(client, nodes, name, "long") <= 300.0


async def test_a_hot_keys_overflow_lives_a_second_and_is_deleted_too(
    make: Make, nodes: CacheNodes
) -> None:
    """Beyond 1.25 of the mean the next candidates help out; the delete knows them."""
    client = make(load_floor=0.0)
    await client.connect()
    await until_up(client)
    owner, first, second = BoundedRing(nodes.names).candidates(b"hot")
    used = set()
    for _ in range(60):
        answer = await client.get("hot")
        if not isinstance(answer, Miss) or answer.token is None:
            continue
        if await client.fill(answer, "hot", b"x", 60.0):
            used.add(answer.token.node)
            life_s = _life_s(client, nodes, answer.token.node, "hot")
            assert (life_s > 50.0) == (answer.token.node == owner)
            assert life_s <= 66.0
    assert used == {owner, first, second}
    assert client.snapshot()["overflows"] != 0
    await client.delete("hot")

    assert isinstance(await client.get("hot"), Miss)
    for name in nodes.names:
        assert nodes.servers[name].cli("KEYS", "*:hot") in ("", _entry(client, name, "hot"))


async def test_below_the_floor_nothing_overflows(client: CacheClient) -> None:
    """A key read often by one client isn't yet a hot node."""
    await put(client, "hot", b"x")
    for _ in range(200):
        assert await found(client, "hot")
    assert client.snapshot()["overflows"] == 0


async def test_with_no_node_at_all_everything_is_a_quick_miss(make: Make) -> None:
    """connect returns, get and fill say no, delete returns; nothing raises."""
    client = make([("127.0.0.1", free_port()), ("127.0.0.1", free_port())])
    await client.connect()
    began_s = time.monotonic()

    assert await client.get("k") == NOTHING
    assert await client.get_many(["k", "l"]) == [NOTHING, NOTHING]
    assert not await client.fill(NOTHING, "k", b"x", 1.0)
    await client.delete("k")
    assert time.monotonic() - began_s < 5.0
    counts = client.snapshot()["deletes"]
    assert isinstance(counts, dict)
    assert counts["unproven"] == 2


async def test_before_connect_and_after_close_it_is_off(make: Make) -> None:
    """It says so by missing, and a delete doesn't hang."""
    client = make()
    assert await client.get("k") == NOTHING
    await client.connect()
    await client.close()

    assert await client.get("k") == NOTHING
    await client.delete("k")


async def test_a_spent_deadline_is_a_miss_and_nobodys_fault(client: CacheClient) -> None:
    """Neither the argument's nor the Context's is held against a node."""
    past_s = time.monotonic() - 1.0
    before = [node.failure_count for node in client._nodes.values()]
    assert await client.get("k", deadline_s=past_s) == NOTHING
    token = context.enter(Context("r", "0" * 32, "0" * 16, past_s, past_s))
    assert await client.get("k") == NOTHING
    context.leave(token)

    assert before == [node.failure_count for node in client._nodes.values()]


@pytest.mark.parametrize("reply", [b"-LOADING Valkey is loading\r\n", b"+OK\r\n", b":3\r\n"])
async def test_a_node_that_answers_nonsense_is_ejected(make: Make, reply: bytes) -> None:
    """Loading, or something else in its place: a miss for the reader."""
    async with fake_node(lambda command: reply) as node:
        client = make([tuple(node.address)])
        await client.connect()
        await until_state(client, "cache-1", "ejected")

        assert await client.get("k") == NOTHING
        await client.close()


async def test_a_node_that_begins_to_load_is_ejected_too(make: Make) -> None:
    """It greeted well, then every command gets -LOADING."""

    def handler(command: list[bytes]) -> bytes:
        if command[0] == b"INFO":
            return b"$18\r\nrun_id:0123456789a\r\n"
        return b"-LOADING Valkey is loading the dataset in memory\r\n"

    async with fake_node(handler) as node:
        client = make([tuple(node.address)])
        await client.connect()
        await until_state(client, "cache-1", "ejected")
        await client.close()


async def test_it_dials_where_it_is_told(make: Make, nodes: CacheNodes) -> None:
    """A way that leads nowhere is left with redial as soon as another one stands."""
    ways: dict[Address, Address] = {}
    client = make(dial=lambda address: ways.get(address, address))
    await client.connect()
    await until_up(client)
    name = await put(client, "k", b"x")
    address = Address(*nodes.addresses[nodes.names.index(name)])
    ways[address] = Address("127.0.0.1", free_port())
    client.redial()
    await until_state(client, name, "ejected")
    ways.clear()
    client.redial()
    await until_state(client, name, "up")

    assert await found(client, "k")
    assert node_of(client, name)["address"] == str(address)


async def test_evictions_are_counted(
    make: Make, nodes: CacheNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the nodes now and then, summed per node."""
    monkeypatch.setattr(cache_node, "STATISTICS_INTERVAL_S", 0.0)
    with start_valkey("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lfu") as small:
        client = make([(small.host, small.port)])
        await client.connect()
        await until_up(client)
        for number in range(100):
            miss = await client.get(f"k{number}")
            assert isinstance(miss, Miss)
            await client.fill(miss, f"k{number}", b"x" * 100_000, 60.0)
        await until(lambda: node_of(client, "cache-1")["evictions"] != 0)
        assert "squall:meta" in small.cli("KEYS", "squall:*")
        await client.close()


async def test_a_snapshot_is_plain_data(client: CacheClient) -> None:
    """It goes into a lease or onto a page as it is."""
    await put(client, "k", b"x")
    await client.get("k")
    snapshot = json.loads(json.dumps(client.snapshot()))

    assert snapshot["hits"] == 1
    assert snapshot["misses"] >= 1
    assert set(snapshot["nodes"]) == {"cache-1", "cache-2", "cache-3"}
    assert snapshot["nodes"]["cache-1"]["state"] == "up"
    run, _, generation = snapshot["nodes"]["cache-1"]["incarnation"].partition(".")
    assert len(run) == 12
    assert int(generation) >= 1


async def test_an_observer_hears_of_all(make: Make) -> None:
    """Operations with their results, nodes with what became of them."""
    heard: list[tuple[str, str]] = []

    class Ear:
        def on_operation(self, operation: str, result: str, duration_s: float) -> None:
            assert duration_s >= 0.0
            heard.append((operation, result))

        def on_node(self, node: str, event: str) -> None:
            heard.append((node, event))

    client = make(observer=Ear())
    await client.connect()
    await until_up(client)
    await put(client, "k", b"x")
    await client.get("k")
    await client.delete("k")
    await client.fill(NOTHING, "k", b"x", 1.0)

    assert ("cache-1", "connected") in heard
    operations = [each for each in heard if each[0] in ("get", "fill", "delete")]
    assert operations[-5:] == [
        ("get", "miss"),
        ("fill", "stored"),
        ("get", "hit"),
        ("delete", "done"),
        ("fill", "off"),
    ]


async def test_a_cancelled_delete_is_carried_through(client: CacheClient) -> None:
    """The origin has changed already: the caller's leaving changes nothing."""
    await put(client, "k", b"old")
    task = asyncio.create_task(client.delete("k"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: not client._deleter._tasks)
    assert isinstance(await client.get("k"), Miss)


def test_wrong_nodes_are_refused_with_the_reason() -> None:
    """None at all, or one twice."""
    with pytest.raises(ValueError, match="at least one"):
        CacheClient([])
    with pytest.raises(ValueError, match="listed twice"):
        CacheClient([("a", 1), ("a", 1)])


def _entry(client: CacheClient, name: str, key: str) -> str:
    return client._nodes[name].entry(key)


def _life_s(client: CacheClient, nodes: CacheNodes, name: str, key: str) -> float:
    """Return how long an entry has to live, by its node."""
    return int(nodes.servers[name].cli("PTTL", _entry(client, name, key))) / 1000.0
