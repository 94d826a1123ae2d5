"""Reading through a cache: what comes from where, what is kept, and that no write is read past."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import context as request_context
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from services.read_through import Found, Kind, Lookup, ReadThrough
from shard.cache import Miss
from tests.resilience.fakes import make_context
from tests.services.video.fakes import MemoryCache, read_through

LIMIT_S = 10.0


def decode(stored: bytes) -> str:
    """Read a text back, as a decoder of msgspec's would."""
    if not stored.startswith(b"t:"):
        raise msgspec.DecodeError("not a text")
    return stored[2:].decode()


TEXT: Kind[str] = Kind(30.0, lambda text: b"t:" + text.encode(), decode)


class Origin:
    """One value that can be written; reads can be held at a barrier after they have read."""

    def __init__(self, value: str | None = "one") -> None:
        self.value = value
        self.reads = 0
        self.under_way = 0
        self.barrier: asyncio.Event | None = None
        self.error: Exception | None = None

    async def read(self) -> str | None:
        """Read the value, and then wait where the test holds it."""
        self.reads += 1
        value = self.value
        self.under_way += 1
        try:
            if self.error is not None:
                raise self.error
            if self.barrier is not None:
                await self.barrier.wait()
        finally:
            self.under_way -= 1
        return value


async def read(reads: ReadThrough, origin: Origin) -> Found[str] | None:
    """Read the one key there is."""
    return await asyncio.wait_for(reads.get("k", TEXT, origin.read), LIMIT_S)


async def write(reads: ReadThrough, origin: Origin, value: str) -> None:
    """Write as every writer does: the origin first, then the delete."""
    origin.value = value
    await reads.forget("k")


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until a condition holds."""
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, "the condition did not come about in time"
        await asyncio.sleep(0)


async def test_a_miss_is_filled_and_then_hit() -> None:
    """The first reader asks the origin; the next one on another replica gets it from the cache."""
    cache, origin = MemoryCache(), Origin()
    assert await read(read_through(cache), origin) == Found("one", Lookup.MISS)
    cache.age_s = 2.5
    assert await read(read_through(cache), origin) == Found("one", Lookup.HIT, 2.5)
    assert (origin.reads, cache.ttls_s) == (1, {"k": 30.0})


async def test_a_stale_value_is_given_at_once_and_read_anew_behind() -> None:
    """Nobody waits; one reader fetches; a write meanwhile is not undone by what it fetched."""
    cache, origin, kind = MemoryCache(), Origin(), replace(TEXT, stale_s=5.0)
    reads = read_through(cache)
    await reads.get("k", kind, origin.read)
    assert cache.stales_s == {"k": 5.0}
    cache.is_stale, origin.value, origin.barrier = True, "two", asyncio.Event()
    for _ in range(3):
        found = await asyncio.wait_for(reads.get("k", kind, origin.read), LIMIT_S)
        assert found is not None
        assert (found.value, found.lookup) == ("one", Lookup.STALE)
    await until(lambda: origin.under_way == 1)
    origin.barrier.set()
    await until(lambda: cache.values["k"] == b"t:two")
    assert (origin.reads, reads.snapshot()["stale_hits"]) == (2, 3)

    origin.barrier = asyncio.Event()
    await reads.get("k", kind, origin.read)
    await until(lambda: origin.under_way == 1)
    await write(reads, origin, "three")
    origin.barrier.set()
    await until(lambda: reads.snapshot()["fills_refused"] == 1)
    assert "k" not in cache.values
    await reads.close()


async def test_a_refresh_outlives_the_request_that_found_it_due() -> None:
    """It runs under nobody's deadline."""
    cache, seen = MemoryCache(), list[object]()
    reads = read_through(cache)
    await read(reads, Origin())
    cache.is_stale = True

    async def origin() -> str:
        seen.append(request_context.current())
        return "two"

    token = request_context.enter(make_context())
    assert await reads.get("k", TEXT, origin) is not None
    request_context.leave(token)
    await until(lambda: cache.values["k"] == b"t:two")
    assert seen == [None]
    await reads.close()


async def test_a_refresh_that_fails_leaves_the_stale_value() -> None:
    """It is counted, and no reader hears of it."""
    cache, origin = MemoryCache(), Origin()
    reads = read_through(cache)
    await read(reads, origin)
    cache.is_stale = True
    origin.error = ServiceError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "away")
    assert await read(reads, origin) == Found("one", Lookup.STALE, 0.0, Miss(cache.tokens["k"]))
    await until(lambda: reads.snapshot()["refreshes_failed"] == 1)
    assert cache.values["k"] == b"t:one"
    await reads.close()


async def test_a_local_hit_says_so() -> None:
    """It is a hit all the same."""
    cache, origin = MemoryCache(), Origin()
    reads = read_through(cache)
    await read(reads, origin)
    cache.is_local, cache.age_s = True, 1.0
    assert await read(reads, origin) == Found("one", Lookup.LOCAL, 1.0)
    assert (reads.snapshot()["hits"], reads.snapshot()["local_hits"]) == (1, 1)


async def test_without_a_cache_every_read_goes_to_the_origin() -> None:
    """No cache: the origin answers, and the answer says that no cache was asked."""
    reads, origin = read_through(None), Origin()
    for _ in range(2):
        assert await read(reads, origin) == Found("one", Lookup.OFF)
    assert origin.reads == 2
    await reads.forget("k")


async def test_a_cache_that_is_down_is_a_miss_that_nobody_fills() -> None:
    """With every node away the origin answers, and a write still ends well."""
    cache, origin = MemoryCache(), Origin()
    cache.is_down = True
    reads = read_through(cache)
    assert await read(reads, origin) == Found("one", Lookup.MISS)
    await write(reads, origin, "two")
    assert await read(reads, origin) == Found("two", Lookup.MISS)
    assert reads.snapshot()["fills"] == 0


async def test_off_reads_past_the_cache_and_still_deletes() -> None:
    """Off, nothing is read or filled; writes delete, so that turning it on shows nothing old."""
    cache, origin, switches = MemoryCache(), Origin(), FixedSwitches()
    reads = read_through(cache, switches)
    await read(reads, origin)
    switches.set("cache", Mode.OFF)
    assert await read(reads, origin) == Found("one", Lookup.OFF)
    await write(reads, origin, "two")
    switches.set("cache", Mode.ON)
    assert await read(reads, origin) == Found("two", Lookup.MISS)


async def test_shadow_asks_and_counts_and_the_origin_answers() -> None:
    """In shadow hits are counted and not used."""
    cache, origin, switches = MemoryCache(), Origin(), FixedSwitches()
    reads = read_through(cache, switches)
    await read(reads, origin)
    switches.set("cache", Mode.SHADOW)
    assert await read(reads, origin) == Found("one", Lookup.OFF)
    assert (origin.reads, reads.snapshot()["hits"]) == (2, 1)


async def test_what_is_not_there_is_not_kept() -> None:
    """None is answered and never filled: who makes the thing is read at once."""
    cache, origin = MemoryCache(), Origin(None)
    reads = read_through(cache)
    assert await read(reads, origin) is None
    origin.value = "made meanwhile"
    assert await read(reads, origin) == Found("made meanwhile", Lookup.MISS)


async def test_what_fails_is_not_kept() -> None:
    """An error of the origin reaches the reader, and the next one tries again."""
    cache, origin = MemoryCache(), Origin()
    reads = read_through(cache)
    origin.error = ServiceError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "away")
    with pytest.raises(ServiceError, match="away"):
        await read(reads, origin)
    origin.error = None
    assert await read(reads, origin) == Found("one", Lookup.MISS)


async def test_what_nobody_can_decode_is_forgotten() -> None:
    """A value of another version's is deleted, and the origin answers."""
    cache, origin = MemoryCache(), Origin()
    cache.values["k"] = b"of another kind"
    reads = read_through(cache)
    assert await read(reads, origin) == Found("one", Lookup.MISS)
    assert "k" not in cache.values
    assert await read(reads, origin) == Found("one", Lookup.MISS)
    assert await read(reads, origin) == Found("one", Lookup.HIT)


async def test_those_who_miss_together_ask_the_origin_once() -> None:
    """Forty readers of one replica: one read of the origin; who came later finds it filled."""
    cache, origin = MemoryCache(), Origin()
    origin.barrier = asyncio.Event()
    reads = read_through(cache)
    first = asyncio.create_task(read(reads, origin))
    await until(lambda: origin.under_way)
    others = [asyncio.create_task(read(reads, origin)) for _ in range(39)]
    await until(lambda: reads.snapshot()["misses"] == 40)
    origin.barrier.set()
    assert await first == Found("one", Lookup.MISS)
    assert {await each for each in others} == {Found("one", Lookup.HIT)}
    assert origin.reads == 1


async def test_with_single_flight_off_each_asks_for_himself() -> None:
    """The switch off: as many reads of the origin as readers."""
    cache, origin = MemoryCache(), Origin()
    origin.barrier = asyncio.Event()
    reads = read_through(cache, FixedSwitches({"single_flight": Mode.OFF}))
    readers = [asyncio.create_task(read(reads, origin)) for _ in range(5)]
    await until(lambda: origin.under_way == 5)
    origin.barrier.set()
    assert {await each for each in readers} == {Found("one", Lookup.MISS)}


@pytest.mark.parametrize("is_down", [False, True])
@pytest.mark.parametrize("reader", [0, 1])
async def test_a_write_is_seen_by_the_next_read_though_a_fill_began_before_it(
    reader: int, is_down: bool
) -> None:
    """Hold a fill, write, read: new on the holder's replica and on another; then release."""
    cache, origin = MemoryCache(), Origin("old")
    cache.is_down = is_down
    replicas = [read_through(cache), read_through(cache)]
    origin.barrier = barrier = asyncio.Event()
    held = asyncio.create_task(read(replicas[0], origin))
    await until(lambda: origin.under_way)
    await write(replicas[1], origin, "new")
    origin.barrier = None
    after = asyncio.create_task(read(replicas[reader], origin))
    await asyncio.sleep(0)
    barrier.set()
    found = await after
    assert found is not None
    assert found.value == "new"
    before = await held
    assert before is not None
    assert before.value == "old"  # it began before the write was answered
    for each in replicas:
        later = await read(each, origin)
        assert later is not None
        assert later.value == "new"


async def test_a_reader_who_leaves_ends_a_read_that_nobody_else_wants() -> None:
    """The read of the origin is cancelled with its last reader, and nothing is filled."""
    cache, origin = MemoryCache(), Origin()
    origin.barrier = asyncio.Event()
    reads = read_through(cache)
    reader = asyncio.create_task(read(reads, origin))
    await until(lambda: origin.under_way)
    reader.cancel()
    await until(lambda: not origin.under_way)
    assert (cache.values, reads.flights.snapshot()["abandoned"]) == ({}, 1)


async def test_lookups_are_noted_for_explain() -> None:
    """A request's summary says what the cache had for it."""
    cache, origin = MemoryCache(), Origin()
    reads = read_through(cache)
    context = make_context()
    token = request_context.enter(context)
    await read(reads, origin)
    await read(reads, origin)
    request_context.leave(token)
    assert [(each.policy, each.what) for each in context.notes] == [
        ("cache", "miss"),
        ("cache", "hit"),
    ]
    assert context.notes[1].detail == {"key": "k", "age_s": 0.0}


async def test_figures_count_since_the_reset_and_name_the_nodes() -> None:
    """Hits, misses and origin reads are counted; nodes are shown beside; a reset zeroes ours."""
    cache, origin = MemoryCache(), Origin()
    reads = read_through(cache)
    for _ in range(4):
        await read(reads, origin)
    assert reads.snapshot() == {
        "hits": 3,
        "local_hits": 0,
        "stale_hits": 0,
        "refreshes_failed": 0,
        "misses": 1,
        "origin_reads": 1,
        "fills": 1,
        "fills_refused": 0,
        "deletes": 0,
        "hit_ratio": 0.75,
        "ejections": 2,
        "cache-1.state": "up",
        "cache-1.hits": 7,
        "cache-1.ejections": 2,
    }
    reads.reset(0.0)
    assert (reads.snapshot()["hits"], reads.snapshot()["hit_ratio"]) == (0, 0.0)


async def test_closing_ends_what_is_under_way() -> None:
    """Nothing is left running when a replica stops."""
    cache, origin = MemoryCache(), Origin()
    origin.barrier = asyncio.Event()
    reads = read_through(cache)
    reader = asyncio.create_task(read(reads, origin))
    await until(lambda: origin.under_way)
    await reads.close()
    await asyncio.gather(reader, return_exceptions=True)
    assert origin.under_way == 0


# Reads and writes more often than the rest: what could go wrong needs both.
STEPS = ("read", "read", "read", "write", "write", "release", "leave", "down", "up")


@pytest.mark.property
@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1)), max_size=30))
async def test_no_read_is_older_than_the_last_answered_write(steps: list[tuple[str, int]]) -> None:
    """Two replicas, reads held and released, readers who leave, a cache that comes and goes."""
    cache, origin = MemoryCache(), Origin("0")
    replicas = [read_through(cache), read_through(cache)]
    answered = 0  # number of the last write that was answered
    doors: list[asyncio.Event] = []
    readers: list[tuple[asyncio.Task[Found[str] | None], int]] = []

    async def held() -> str | None:
        value = origin.value
        door = asyncio.Event()
        doors.append(door)
        await door.wait()
        return value

    for step, number in steps:
        replica = replicas[number]
        if step == "read":
            call: Awaitable[Found[str] | None] = replica.get("k", TEXT, held)
            readers.append((asyncio.ensure_future(call), answered))
        elif step == "write":
            await write(replica, origin, str(answered + 1))
            answered += 1
        elif step == "release" and doors:
            doors.pop(0).set()
        elif step == "leave" and readers:
            readers[len(readers) // 2][0].cancel()
        elif step in ("down", "up"):
            # What a node missed while it was away is the client's to keep from readers.
            cache.is_down = step == "down"
        for _ in range(6):
            await asyncio.sleep(0)

    def all_are_released() -> bool:
        for door in doors:
            door.set()
        return all(each.done() for each, _ in readers)

    await until(all_are_released)
    for reader, oldest in readers:
        if not reader.cancelled():
            found = reader.result()
            assert found is not None
            assert int(found.value) >= oldest
