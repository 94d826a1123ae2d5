"""Local copies and stale values on real nodes: who says when they end, and what is never given."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from shard.cache import CacheClient, Hit, Miss
from shard.cache_local import NAME
from shard.policy.local_cache import LocalCache
from tests.shard.cache_nodes import CacheNodes, found, put, until_up
from tests.shard.fake import until

pytestmark = pytest.mark.integration

KEY = "video:7"
TIMEOUT_S = 0.2  # a busy machine must not look like a dead node


@asynccontextmanager
async def client_of(
    nodes: CacheNodes, mode: Mode = Mode.ON, *, local: bool = True
) -> AsyncIterator[CacheClient]:
    """Connect a client for which every key that is read is hot."""
    client = CacheClient(
        nodes.addresses,
        rng=Random(7),
        timeout_s=TIMEOUT_S,
        local=LocalCache(hot_rate=0.0) if local else None,
        switches=FixedSwitches({NAME: mode}),
    )
    await client.connect()
    await until_up(client)
    try:
        yield client
    finally:
        await client.close()


async def read_locally(client: CacheClient) -> Hit:
    """Read until the answer comes out of this process."""
    while True:
        hit = await found(client, KEY)
        if hit.is_local:
            return hit


async def read_at_a_node(client: CacheClient) -> Hit | Miss:
    """Read until a node has answered."""
    while True:
        answer = await client.get(KEY)
        if not (isinstance(answer, Hit) and answer.is_local) and answer != Miss(None):
            return answer


@pytest.mark.timeout(60)
async def test_a_hot_key_is_answered_here_and_asks_nobody(nodes: CacheNodes) -> None:
    """The node's counts stand still while the key is read."""
    async with client_of(nodes) as client:
        node = await put(client, KEY, b"seen")
        hit = await read_locally(client)
        assert (hit.value, hit.node, hit.is_stale) == (b"seen", node, False)
        assert 0 <= hit.age_s < 30
        before = client.snapshot()["hits"]
        for _ in range(20):
            await read_locally(client)
        after = client.snapshot()["hits"]
        assert isinstance(before, int)
        assert isinstance(after, int)
        assert after - before < 20
        counts = client.local.snapshot()
        assert (counts["hits"], counts["entries"], counts["kept"]) >= (21, 1, 1)


@pytest.mark.timeout(60)
async def test_somebody_elses_delete_drops_the_copy(nodes: CacheNodes) -> None:
    """The node says so, without being asked; the next read sees the new value."""
    async with client_of(nodes) as reader, client_of(nodes, local=False) as writer:
        await put(reader, KEY, b"old")
        await read_locally(reader)
        await writer.delete(KEY)
        await until(lambda: reader.local.snapshot()["invalidations"] == 1)
        assert isinstance(await read_at_a_node(reader), Miss)
        await put(writer, KEY, b"new")
        assert (await read_locally(reader)).value == b"new"


@pytest.mark.timeout(60)
async def test_its_own_delete_is_seen_by_the_very_next_read(nodes: CacheNodes) -> None:
    """No push is waited for."""
    async with client_of(nodes) as client:
        for number in range(10):
            await put(client, KEY, b"%d" % number)
            assert (await read_locally(client)).value == b"%d" % number
            await client.delete(KEY)
            assert not isinstance(await client.get(KEY), Hit)


@pytest.mark.timeout(60)
async def test_a_node_that_is_lost_takes_its_copies_along(nodes: CacheNodes) -> None:
    """Killed: nobody would say when they end."""
    async with client_of(nodes) as client:
        node = await put(client, KEY, b"kept")
        await read_locally(client)
        nodes.kill(node)
        await until(lambda: client.local.snapshot()["entries"] == 0)
        assert isinstance(await client.get(KEY), Miss)


@pytest.mark.timeout(60)
async def test_a_frozen_node_s_copies_end_with_their_proof(nodes: CacheNodes) -> None:
    """It says nothing any more, and can't: within half a second the copy isn't given."""
    async with client_of(nodes) as client:
        node = await put(client, KEY, b"kept")
        await read_locally(client)
        nodes.freeze(node)
        try:
            while isinstance(answer := await client.get(KEY), Hit):
                assert answer.is_local
        finally:
            nodes.thaw(node)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("mode", "kept"), [(Mode.SHADOW, True), (Mode.OFF, False)])
async def test_only_when_it_is_on_are_copies_given(
    nodes: CacheNodes, mode: Mode, kept: bool
) -> None:
    """In shadow they are kept and counted; off, nothing is."""
    async with client_of(nodes, mode) as client:
        await put(client, KEY, b"seen")
        for _ in range(50):
            assert not (await found(client, KEY)).is_local
        if kept:
            await until(lambda: client.local.snapshot()["entries"] == 1)
            while not client.local.snapshot()["hits"]:
                assert not (await found(client, KEY)).is_local
        else:
            assert client.local.snapshot()["entries"] == 0


@pytest.mark.timeout(60)
async def test_a_stale_value_is_given_and_one_reader_may_fill_it_anew(nodes: CacheNodes) -> None:
    """All of them get the old value at once, one of them the right to fetch the next."""
    async with client_of(nodes, local=False) as one, client_of(nodes, local=False) as other:
        missed = await one.get(KEY)
        assert isinstance(missed, Miss)
        assert await one.fill(missed, KEY, b"old", 0.001, 30.0)
        while not (first := await found(one, KEY)).is_stale:
            pass
        answers = [first, *[await found(client, KEY) for client in (other, one, other)]]
        assert {(each.value, each.is_stale) for each in answers} == {(b"old", True)}
        rights = [each.refresh for each in answers if each.refresh is not None]
        assert len(rights) == 1
        assert await other.fill(Miss(rights[0]), KEY, b"new", 30.0, 30.0)
        fresh = await found(one, KEY)
        assert (fresh.value, fresh.is_stale, fresh.refresh) == (b"new", False, None)


@pytest.mark.timeout(60)
async def test_a_deleted_value_is_not_given_as_stale_and_its_refresh_is_refused(
    nodes: CacheNodes,
) -> None:
    """Age is all that staleness excuses."""
    async with client_of(nodes, local=False) as client:
        missed = await client.get(KEY)
        assert isinstance(missed, Miss)
        assert await client.fill(missed, KEY, b"old", 0.001, 30.0)
        while (right := (await found(client, KEY)).refresh) is None:
            pass
        await client.delete(KEY)
        assert not isinstance(await client.get(KEY), Hit)
        assert not await client.fill(Miss(right), KEY, b"older than the delete", 30.0)
