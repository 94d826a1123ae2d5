"""The typed layer over a real cluster, in both RESPs; mypy holds the types of this file."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ServiceError
from shard.codec import INTEGER, JSON, RAW, TEXT, Codec
from shard.greeting import Greeting
from shard.store import Durability, Reads, StoreClient
from shard.typed import Counter, Hash, Key, Members, OnlyIf, Ranking, Value
from tests.shard.cluster import StoreCluster

pytestmark = pytest.mark.integration


@pytest.fixture(params=[2, 3])
async def client(cluster: StoreCluster, request: Any) -> AsyncIterator[StoreClient]:
    """Connect in RESP2 and in RESP3, whose replies have other shapes."""
    client = StoreClient(cluster.addresses, greeting=Greeting(request.param))
    await client.connect()
    yield client
    await client.delete(*(f"typed:{kind}" for kind in ("v", "c", "h", "s", "z", "x")))
    await client.close()


@given(st.integers(), st.text(), st.binary())
def test_codecs_give_back_what_they_took(number: int, text: str, raw: bytes) -> None:
    """Integers of any length, any text, any bytes, anything JSON knows."""
    assert INTEGER.decode(INTEGER.encode(number)) == number
    assert TEXT.decode(TEXT.encode(text)) == text
    assert RAW.decode(RAW.encode(raw)) == raw
    value = {"n": [number, text, None, True]}
    assert JSON.decode(JSON.encode(value)) == value


async def test_a_value(client: StoreClient) -> None:
    """Set, conditionally, for a time, swapped, gone."""
    title: Value[str] = Value(client, "typed:v", TEXT, durability=Durability.REPLICATED)
    assert await title.get() is None
    assert await title.set("ä cat", only_if=OnlyIf.ABSENT)
    assert not await title.set("a dog", only_if=OnlyIf.ABSENT)
    assert await title.get() == "ä cat"
    assert await title.ttl_s() is None
    assert await title.set("a dog", ttl_s=50, only_if=OnlyIf.PRESENT)
    left_s = await title.ttl_s()
    assert left_s is not None
    assert 40 < left_s <= 50
    assert await title.swap("a cow") == "a dog"
    assert (await title.exists(), await title.delete(), await title.delete()) == (True, True, False)
    assert not await title.expire(1)


async def test_a_counter(client: StoreClient) -> None:
    """Nothing counted is zero."""
    views = Counter(client, "typed:c")
    assert [await views.get(), await views.add(), await views.add(4), await views.add(-2)] == [
        0, 1, 5, 3,
    ]  # fmt: skip
    assert await views.get() == 3


async def test_a_hash(client: StoreClient) -> None:
    """Fields of one type."""
    stock: Hash[int] = Hash(client, "typed:h", INTEGER)
    assert await stock.all() == {}
    assert await stock.put({"pears": 3, "figs": 4}) == 2
    assert await stock.put({"figs": 5}) == 0
    assert (await stock.field("figs"), await stock.field("nuts")) == (5, None)
    assert await stock.all() == {"pears": 3, "figs": 5}
    assert await stock.drop("figs", "nuts") == 1


async def test_a_set(client: StoreClient) -> None:
    """Members once each."""
    tags: Members[str] = Members(client, "typed:s", TEXT)
    assert await tags.add("a", "b", "a") == 2
    assert (await tags.has("a"), await tags.has("c"), await tags.size()) == (True, False, 2)
    assert await tags.remove("b", "c") == 1
    assert await tags.all() == ["a"]


async def test_a_ranking(client: StoreClient) -> None:
    """By score, from either end."""
    charts: Ranking[str] = Ranking(client, "typed:z", TEXT)
    assert await charts.put({"cat": 3.5, "dog": 1, "cow": 2}) == 3
    assert (await charts.score("cat"), await charts.score("hen")) == (3.5, None)
    assert await charts.top(2) == [("cat", 3.5), ("cow", 2.0)]
    assert await charts.top(1, highest=False) == [("dog", 1.0)]
    assert (await charts.remove("dog", "hen"), await charts.size()) == (1, 2)
    with pytest.raises(ValueError, match="at least 1"):
        await charts.top(0)


async def test_what_is_not_of_the_type_is_named(client: StoreClient) -> None:
    """The key, the value and the type; a wrong kind of key is the node's word."""
    await client.write("SET", "typed:x", "seven")
    number: Value[int] = Value(client, "typed:x", INTEGER)
    with pytest.raises(ValueError, match="typed:x: b'seven' is not an integer"):
        await number.get()
    with pytest.raises(ServiceError, match="WRONGTYPE"):
        await Members(client, "typed:x", TEXT).size()
    with pytest.raises(ValueError, match="time to live of 0 s"):
        await number.set(1, ttl_s=0)
    assert repr(number) == "<Value typed:x>"


async def test_a_codec_of_ones_own_and_reads_from_replicas(client: StoreClient) -> None:
    """Any pair of functions."""
    pair: Codec[tuple[int, int]] = Codec(
        "a pair", lambda two: b"%d,%d" % two, lambda raw: _two(raw.decode())
    )
    point = Value(client, "typed:v", pair, durability=Durability.REPLICATED, reads=Reads.REPLICA)
    await point.set((3, 4))
    assert await point.get() == (3, 4)
    assert await Key(client, "typed:v", reads=Reads.ANY).exists()


def _two(text: str) -> tuple[int, int]:
    first, _, second = text.partition(",")
    return int(first), int(second)
