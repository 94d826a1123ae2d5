"""Likes, views and idempotency keys in a real store, against the fake that other tests trust."""

import asyncio

import pytest

from services.counter.data import LikeStatus, StoreCounters, claim_key, record_key
from services.idempotency import RECORD_TTL_S, IdempotencyKey
from shard.store import StoreClient
from tests.services.counter.fakes import MemoryCounters

pytestmark = pytest.mark.integration

KEY = IdempotencyKey("a key {with} braces", "fingerprint one")


async def test_likes_and_views_count_as_in_memory(store: StoreClient) -> None:
    """The store and the fake count alike: each account once, each view."""
    for counters in (StoreCounters(store), MemoryCounters()):
        first = await counters.add_like(701, 1, None)
        again = await counters.add_like(701, 1, None)
        other = await counters.add_like(701, 2, None)
        assert [each.liked_now for each in (first, again, other)] == [True, False, True]
        assert await counters.add_view(701) == (701, 2, 1)
        assert await counters.stats([702, 701]) == [(702, 0, 0), (701, 2, 1)]


async def test_repeat_with_a_key_keeps_its_answer(store: StoreClient) -> None:
    """A repeat gets the numbers of the first time, whatever happened since."""
    counters = StoreCounters(store)
    first = await counters.add_like(711, 1, KEY)
    await counters.add_like(711, 2, None)
    again = await counters.add_like(711, 1, KEY)
    assert first.status is LikeStatus.ADDED
    assert again == first._replace(status=LikeStatus.KEPT)


@pytest.mark.parametrize("video_id", [712, 713])
async def test_key_of_another_request_is_reused(store: StoreClient, video_id: int) -> None:
    """Another fingerprint is seen, for the same video and for one in another slot."""
    counters = StoreCounters(store)
    key = KEY._replace(key=f"used once {video_id}")
    await counters.add_like(712, 3, key)
    other = key._replace(fingerprint="fingerprint two")
    assert (await counters.add_like(video_id, 3, other)).status is LikeStatus.REUSED
    assert (await counters.stats([713]))[0].likes == 0


async def test_same_fingerprint_is_checked_in_the_script_too(store: StoreClient) -> None:
    """Without the claim, lost in a failover, the record still knows its request."""
    counters = StoreCounters(store)
    await counters.add_like(714, 1, KEY)
    await store.write("DEL", claim_key(1, KEY.key))
    other = KEY._replace(fingerprint="fingerprint two")
    assert (await counters.add_like(714, 1, other)).status is LikeStatus.REUSED
    await store.write("DEL", claim_key(1, KEY.key))


async def test_unproven_answer_is_in_flight_then_renewed(store: StoreClient) -> None:
    """A record that nobody marked done is in flight for a second, and then proven anew."""
    counters = StoreCounters(store)
    key = KEY._replace(key="unproven")
    record = record_key(715, 1, key.key)
    first = await counters.add_like(715, 1, key)
    await store.write("HSET", record, "state", "in_flight")
    in_flight = await counters.add_like(715, 1, key)
    assert in_flight.status is LikeStatus.IN_FLIGHT
    assert 0.0 < in_flight.retry_after_s <= 1.0
    at_ms = await store.read("HGET", record, "at_ms")
    assert isinstance(at_ms, bytes)
    await store.write("HSET", record, "at_ms", int(at_ms) - 1_001)
    assert await counters.add_like(715, 1, key) == first._replace(status=LikeStatus.RENEWED)
    assert (await counters.add_like(715, 1, key)).status is LikeStatus.KEPT


async def test_clock_of_another_node_is_no_reason_to_wait(store: StoreClient) -> None:
    """A record from the future, by a failed-over node's clock, counts as old."""
    counters = StoreCounters(store)
    key = KEY._replace(key="from the future")
    record = record_key(716, 1, key.key)
    await counters.add_like(716, 1, key)
    await store.write("HSET", record, "state", "in_flight", "at_ms", 10**14)
    assert (await counters.add_like(716, 1, key)).status is LikeStatus.RENEWED


async def test_records_and_claims_expire(store: StoreClient) -> None:
    """Both keys of an idempotency key live a day."""
    counters = StoreCounters(store)
    key = KEY._replace(key="expires")
    await counters.add_like(717, 1, key)
    for name in (record_key(717, 1, key.key), claim_key(1, key.key)):
        ttl_s = await store.read("TTL", name)
        assert isinstance(ttl_s, int)
        assert RECORD_TTL_S - 10 <= ttl_s <= RECORD_TTL_S


async def test_one_key_at_once_takes_effect_once(store: StoreClient) -> None:
    """Of many requests with one key at the same time one is executed."""
    counters = StoreCounters(store)
    key = KEY._replace(key="all at once")
    results = await asyncio.gather(*(counters.add_like(718, 1, key) for _ in range(12)))
    statuses = [each.status for each in results]
    assert statuses.count(LikeStatus.ADDED) == 1
    assert set(statuses) <= {LikeStatus.ADDED, LikeStatus.IN_FLIGHT, LikeStatus.KEPT}
    assert (await counters.stats([718]))[0].likes == 1
