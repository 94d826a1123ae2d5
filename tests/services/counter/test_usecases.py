"""The counter service's use cases, over a repository in memory."""

import pytest

from resilience.errors import Code, ServiceError
from services.counter.data import IN_FLIGHT_S
from services.counter.usecases import Counters
from services.idempotency import RECORD_TTL_S
from tests.services.counter.fakes import MemoryCounters


def test_defaults_are_the_documented_ones() -> None:
    """An idempotency record lives a day and counts as in flight for a second."""
    assert (RECORD_TTL_S, IN_FLIGHT_S) == (86_400, 1.0)


async def test_liking_twice_counts_once() -> None:
    """The second like of an account changes nothing and says so."""
    counters = Counters(MemoryCounters())
    first = await counters.add_like(1, 7, "", "")
    again = await counters.add_like(1, 7, "", "")
    other = await counters.add_like(1, 8, "", "")
    assert (first.liked_now, again.liked_now, other.liked_now) == (True, False, True)
    assert [each.stats.likes for each in (first, again, other)] == [1, 1, 2]
    assert not again.replayed


async def test_repeated_key_gets_the_kept_answer() -> None:
    """A repeat with the same key gets the first answer, marked as replayed."""
    repository = MemoryCounters()
    counters = Counters(repository)
    first = await counters.add_like(1, 7, "key", "print")
    await counters.add_like(1, 8, "", "")
    again = await counters.add_like(1, 7, "key", "print")
    assert again == first._replace(replayed=True)
    assert again.liked_now


async def test_key_used_for_another_request_is_refused() -> None:
    """The same key with another fingerprint is 422 IDEMPOTENCY_KEY_REUSED."""
    counters = Counters(MemoryCounters())
    await counters.add_like(1, 7, "key", "print")
    with pytest.raises(ServiceError) as caught:
        await counters.add_like(1, 7, "key", "another")
    assert (caught.value.code.http_status, caught.value.reason) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_key_used_for_another_video_is_refused() -> None:
    """A key belongs to its account, so another video's request can't use it."""
    counters = Counters(MemoryCounters())
    await counters.add_like(1, 7, "key", "print of 1")
    with pytest.raises(ServiceError) as caught:
        await counters.add_like(2, 7, "key", "print of 2")
    assert caught.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_key_in_flight_is_refused_until_it_is_old() -> None:
    """An unproven answer is 409 with the time left for a second, and is proven after it."""
    repository = MemoryCounters(proves=False)
    counters = Counters(repository)
    await counters.add_like(1, 7, "key", "print")
    repository.now_s = 0.25
    with pytest.raises(ServiceError) as caught:
        await counters.add_like(1, 7, "key", "print")
    assert (caught.value.code.http_status, caught.value.reason) == (
        409,
        "IDEMPOTENCY_KEY_IN_FLIGHT",
    )
    assert caught.value.retry_after_s == 0.75
    repository.now_s = 1.0
    assert (await counters.add_like(1, 7, "key", "print")).replayed


async def test_the_same_key_of_another_account_is_another_key() -> None:
    """Two accounts may choose the same key."""
    counters = Counters(MemoryCounters())
    await counters.add_like(1, 7, "key", "print")
    assert not (await counters.add_like(1, 8, "key", "other print")).replayed


@pytest.mark.parametrize("key", ["x" * 129, "tab\t", "é", "line\n"])
async def test_bad_keys_are_refused(key: str) -> None:
    """A key is 1 to 128 printable ASCII characters."""
    with pytest.raises(ServiceError) as caught:
        await Counters(MemoryCounters()).add_like(1, 7, key, "print")
    assert (caught.value.code, caught.value.reason) == (
        Code.INVALID_ARGUMENT,
        "IDEMPOTENCY_KEY_INVALID",
    )


async def test_views_and_stats_count() -> None:
    """Every view counts, and stats come in the order asked, zeros included."""
    counters = Counters(MemoryCounters())
    await counters.add_view(2)
    assert (await counters.add_view(2)).views == 2
    await counters.add_like(3, 7, "", "")
    assert await counters.stats([3, 2, 9]) == [(3, 1, 0), (2, 0, 2), (9, 0, 0)]
    assert await counters.stats([]) == []


async def test_bad_ids_are_refused() -> None:
    """An impossible id or more than 100 of them are an invalid argument."""
    counters = Counters(MemoryCounters())
    with pytest.raises(ServiceError, match="ids begin at 1"):
        await counters.stats([1, 0])
    with pytest.raises(ServiceError, match="in several batches"):
        await counters.stats(range(1, 102))
    with pytest.raises(ServiceError, match="ids begin at 1"):
        await counters.add_view(-1)
