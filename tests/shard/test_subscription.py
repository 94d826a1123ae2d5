"""Subscriptions: messages in order, gaps told, connected again by themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hashing.slots import slot_of
from shard.connection import DEFAULT_MAX_REPLY_BYTES
from shard.feed import MAX_WAITING, Feed
from shard.greeting import Greeting
from shard.policy.split import CrossSlotError
from shard.store import Gap, Message, StoreClient, Subscription
from shard.subscription import IDLE_S
from tests.shard.cluster import StoreCluster, key_in
from tests.shard.fake import bulk, fake_node, until
from tests.shard.one_node import Answers

pytestmark = pytest.mark.integration

LIMIT_S = 30.0


def test_documented_defaults() -> None:
    """A second of silence; as many frames as a connection has commands in flight."""
    assert (IDLE_S, MAX_WAITING) == (1.0, 1024)


@asynccontextmanager
async def client_of(cluster: StoreCluster, **options: Any) -> AsyncIterator[StoreClient]:
    """Connect a client and close it."""
    client = StoreClient(cluster.addresses, **options)
    await client.connect()
    yield client
    await client.close()


async def take(subscription: Subscription, count: int = 1) -> list[object]:
    """Take that many items."""
    async with asyncio.timeout(LIMIT_S):
        return [await anext(subscription) for _ in range(count)]


@pytest.mark.parametrize("protocol", [2, 3])
async def test_messages_of_channels_and_patterns(cluster: StoreCluster, protocol: Any) -> None:
    """Published at any node, heard at any; the pattern is told."""
    async with (
        client_of(cluster, greeting=Greeting(protocol)) as client,
        client.subscribe("news", patterns=["sport.*"]) as subscription,
    ):
        cluster.nodes[0].cli("PUBLISH", "news", "one")
        assert await take(subscription) == [Message(b"news", b"one")]
        cluster.nodes[1].cli("PUBLISH", "sport.chess", "two")
        assert await take(subscription) == [Message(b"sport.chess", b"two", b"sport.*")]


async def test_an_idle_node_is_asked_and_answers(store: StoreClient, cluster: StoreCluster) -> None:
    """Silence alone is no gap."""
    async with store.subscribe("quiet") as subscription:
        waiting = asyncio.create_task(take(subscription))
        await asyncio.wait([waiting], timeout=2.2 * IDLE_S)
        cluster.nodes[0].cli("PUBLISH", "quiet", "at last")
        assert await waiting == [Message(b"quiet", b"at last")]


async def test_a_broken_connection_is_a_gap(store: StoreClient, cluster: StoreCluster) -> None:
    """Told between what came before and after; the subscription stands again."""
    async with store.subscribe("gappy") as subscription:
        cluster.nodes[0].cli("PUBLISH", "gappy", "before")
        assert await take(subscription) == [Message(b"gappy", b"before")]
        for node in cluster.nodes:
            node.cli("CLIENT", "KILL", "TYPE", "pubsub")
        (gap,) = await take(subscription)
        assert isinstance(gap, Gap)
        assert gap.lasted_s >= 0
        cluster.nodes[0].cli("PUBLISH", "gappy", "after")
        assert await take(subscription) == [Message(b"gappy", b"after")]


async def test_a_sharded_channel_follows_its_slot(
    store: StoreClient, cluster: StoreCluster
) -> None:
    """The node that gives the slot away ends it; a gap, then the new owner's messages."""
    source, target = store.topology.primaries[:2]
    slot = next(s for s, owner in enumerate(store.topology.owners) if owner == source)
    channel = key_in({slot})
    async with store.subscribe(channel, sharded=True) as subscription:
        await store.write("SPUBLISH", channel, "one")
        assert await take(subscription) == [Message(channel.encode(), b"one")]
        cluster.hand_over(slot, source, target)
        (gap,) = await take(subscription)
        assert isinstance(gap, Gap)
        await store.write("SPUBLISH", channel, "two")
        assert await take(subscription) == [Message(channel.encode(), b"two")]
    cluster.hand_over(slot, target, source)


async def test_a_node_that_falls_silent_is_left() -> None:
    """It took the subscription and says nothing more, not even to PING."""
    asked: list[bytes] = []
    answers = Answers()

    def talk(command: list[bytes]) -> bytes | None:
        asked.append(command[0])
        if command[0] == b"SUBSCRIBE":
            return b"*3\r\n" + bulk(b"subscribe") + bulk(b"c") + b":1\r\n"
        return None if asked.count(b"SUBSCRIBE") == 1 else answers(command)

    async with fake_node(talk) as node:
        answers.owner = node.address
        client = StoreClient([node.address])
        await client.connect()
        async with client.subscribe("c") as subscription:
            (gap,) = await take(subscription)
        assert isinstance(gap, Gap)
        assert gap.why == "the node fell silent"
        assert asked.count(b"SUBSCRIBE") == 2
        await client.close()


async def test_what_comes_while_others_are_confirmed_is_kept() -> None:
    """The second channel's confirmation stands behind the first one's message."""
    answers = Answers()

    def talk(command: list[bytes]) -> bytes | None:
        if command[0] != b"SUBSCRIBE":
            return answers(command)
        first = b"*3\r\n" + bulk(b"subscribe") + bulk(b"a") + b":1\r\n"
        early = b"*3\r\n" + bulk(b"message") + bulk(b"a") + bulk(b"early")
        return first + early + b"*3\r\n" + bulk(b"subscribe") + bulk(b"b") + b":2\r\n"

    async with fake_node(talk) as node:
        answers.owner = node.address
        client = StoreClient([node.address])
        await client.connect()
        async with client.subscribe("a", "b") as subscription:
            assert await take(subscription) == [Message(b"a", b"early")]
        await client.close()


async def test_closing_ends_the_iteration(store: StoreClient) -> None:
    """Also for one that waits; cancelling leaves nothing behind either."""
    async with store.subscribe("closing") as subscription:
        waiting = asyncio.create_task(anext(subscription, None))
        await asyncio.sleep(0)
        subscription.close()
        assert await waiting is None
    async with store.subscribe("closing") as subscription:
        waiting = asyncio.create_task(anext(subscription, None))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()


async def test_closing_the_client_ends_its_subscriptions(cluster: StoreCluster) -> None:
    """They don't connect again behind its back."""
    async with client_of(cluster) as client, client.subscribe("closing") as subscription:
        waiting = asyncio.create_task(anext(subscription, None))
        await asyncio.sleep(0)
        await client.close()
        assert await waiting is None


async def test_a_slow_consumer_stops_the_reading() -> None:
    """Beyond the bound the node isn't read from; taken, it is again, and nothing is missing."""
    async with fake_node() as node:
        loop = asyncio.get_running_loop()
        transport, feed = await loop.create_connection(
            lambda: Feed(DEFAULT_MAX_REPLY_BYTES), *node.address
        )
        total = 100 * MAX_WAITING
        await until(lambda: node.connection_count == 1)
        node.say(b"".join(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:%d\r\n" % n for n in range(total)))
        await until(lambda: not transport.is_reading())
        assert len(feed._frames) < total
        taken = [await feed.next(LIMIT_S) for _ in range(total)]
        assert [frame[2] for frame in taken if isinstance(frame, list)] == list(range(total))
        feed.close()


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((), {}, "nothing to subscribe to"),
        (("a",), {"patterns": ["b*"], "sharded": True}, "no patterns"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    store: StoreClient, arguments: Any, options: Any, told: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=told):
        store.subscribe(*arguments, **options)
    assert slot_of(b"a") != slot_of(b"b")
    with pytest.raises(CrossSlotError, match="SSUBSCRIBE"):
        store.subscribe("a", "b", sharded=True)
