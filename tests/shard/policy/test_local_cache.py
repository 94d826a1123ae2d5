"""When a copy is given, kept and dropped."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.policy import local_cache
from shard.policy.heavy_keeper import Hot
from shard.policy.local_cache import PROOF_S, LocalCache

pytestmark = pytest.mark.unit


def put(cache: LocalCache, key: str, now_s: float, value: bytes = b"x", node: str = "n") -> bool:
    """Ask and be answered in the same moment."""
    return cache.keep(key, cache.ask(key, node, now_s), value, 0.0, 60.0, now_s)


def value_of(cache: LocalCache, key: str, now_s: float) -> bytes | None:
    """Return what a read gets."""
    copy = cache.get(key, now_s)
    return None if copy is None else copy.value


def test_the_defaults_are_documented() -> None:
    """32 copies, 1 MiB, five seconds, five reads a second, proof as fresh as a look."""
    assert local_cache.DEFAULT_MAX_ENTRIES == 32
    assert local_cache.DEFAULT_MAX_BYTES == 1 << 20
    assert local_cache.DEFAULT_MAX_AGE_S == 5.0
    assert local_cache.DEFAULT_HOT_RATE == 5.0
    assert PROOF_S == 0.5


@pytest.mark.parametrize(
    "settings", [{"max_entries": 0}, {"max_bytes": 0}, {"max_age_s": 0.0}, {"hot_rate": -1.0}]
)
def test_what_makes_no_sense_is_refused(settings: dict[str, float]) -> None:
    """The message shows all four."""
    with pytest.raises(ValueError, match="max_entries"):
        LocalCache(**settings)  # type: ignore[arg-type]


def test_only_hot_keys_are_wanted_and_only_once() -> None:
    """Often enough, not here, not asked for, not being deleted."""
    cache = LocalCache(hot_rate=5.0)
    cache.set_hot([Hot("hot", 5.0, 0.5), Hot("warm", 4.9, 0.4)])
    assert [cache.is_wanted(key) for key in ("hot", "warm", "cold")] == [True, False, False]
    number = cache.ask("hot", "n", 0.0)
    assert not cache.is_wanted("hot")
    cache.give_up("hot", number)
    assert cache.is_wanted("hot")
    put(cache, "hot", 0.0)
    assert not cache.is_wanted("hot")
    cache.hold(["hot"])
    assert not cache.is_wanted("hot")
    cache.release(["hot"])
    assert cache.is_wanted("hot")


def test_a_copy_is_given_while_its_node_answers() -> None:
    """Half a second after the last answered question it waits for the next answer."""
    cache = LocalCache()
    put(cache, "k", 10.0)
    assert value_of(cache, "k", 10.49) == b"x"
    assert value_of(cache, "k", 10.5) is None
    cache.on_answer("n", 10.4)
    cache.on_answer("n", 10.2)  # an older one that came late
    assert value_of(cache, "k", 10.89) == b"x"
    assert (cache.snapshot()["hits"], cache.snapshot()["unproven"]) == (2, 1)


def test_a_copy_has_a_largest_age_and_ends_with_its_freshness() -> None:
    """Whichever comes first."""
    cache = LocalCache(max_age_s=5.0)
    for key, fresh_s in (("long", 60.0), ("short", 1.0)):
        cache.keep(key, cache.ask(key, "n", 0.0), b"x", 2.0, fresh_s, 0.0)
    cache.on_answer("n", 4.9)
    assert value_of(cache, "short", 0.9) == b"x"
    assert value_of(cache, "short", 1.0) is None
    copy = cache.get("long", 4.9)
    assert copy is not None
    assert copy.filled_s == -2.0
    assert value_of(cache, "long", 5.0) is None
    assert (cache.snapshot()["expired"], len(cache)) == (2, 0)


def test_what_is_stale_already_is_not_kept() -> None:
    """It would be given for nothing."""
    cache = LocalCache()
    assert not cache.keep("k", cache.ask("k", "n", 0.0), b"x", 61.0, 0.0, 0.0)
    assert len(cache) == 0


def test_an_invalidation_drops_what_it_names() -> None:
    """The copy of that node and no other; one that isn't here is nobody's."""
    cache = LocalCache()
    put(cache, "k", 0.0)
    put(cache, "other", 0.0)
    cache.on_invalidated("elsewhere", "k")
    cache.on_invalidated("n", "unknown")
    assert value_of(cache, "k", 0.1) == b"x"
    cache.on_invalidated("n", "k")
    assert value_of(cache, "k", 0.1) is None
    assert value_of(cache, "other", 0.1) == b"x"
    assert cache.snapshot()["invalidations"] == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cache: cache.on_invalidated("n", "k"),
        lambda cache: cache.drop_node("n"),
        lambda cache: cache.on_flushed("n"),
        lambda cache: cache.clear(),
        lambda cache: (cache.hold(["k"]), cache.release(["k"])),
    ],
)
def test_what_would_drop_a_copy_spoils_its_fetch(spoil: Callable[[LocalCache], object]) -> None:
    """The answer may be older than the change."""
    cache = LocalCache()
    number = cache.ask("k", "n", 0.0)
    spoil(cache)
    assert not cache.keep("k", number, b"old", 0.0, 60.0, 0.0)
    assert value_of(cache, "k", 0.0) is None


def test_a_fetch_is_spoiled_by_its_own_node_alone() -> None:
    """Another node's loss, or its word for a key that has moved since, says nothing."""
    cache = LocalCache()
    number = cache.ask("k", "n", 0.0)
    cache.drop_node("other")
    cache.on_invalidated("other", "k")
    cache.give_up("k", number + 1)
    assert cache.keep("k", number, b"x", 0.0, 60.0, 0.0)


def test_a_lost_node_takes_its_copies_and_its_proof_along() -> None:
    """Those of others stay."""
    cache = LocalCache()
    put(cache, "k", 0.0)
    put(cache, "other", 0.0, node="m")
    assert cache.has_any_of("n")
    cache.drop_node("n")
    assert not cache.has_any_of("n")
    assert (value_of(cache, "k", 0.1), value_of(cache, "other", 0.1)) == (None, b"x")
    assert cache.snapshot()["dropped"] == 1


def test_while_a_key_is_held_by_two_deletes_the_end_of_one_is_not_enough() -> None:
    """Nothing is kept before the last has ended."""
    cache = LocalCache()
    cache.set_hot([Hot("k", 9.0, 1.0)])
    put(cache, "k", 0.0)
    cache.hold(["k"])
    cache.hold(["k"])
    assert value_of(cache, "k", 0.0) is None
    cache.release(["k"])
    assert not cache.is_wanted("k")
    cache.release(["k"])
    assert cache.is_wanted("k")


def test_the_least_recently_given_makes_room() -> None:
    """By count, and by bytes of keys and values; what is too big for all of it isn't kept."""
    cache = LocalCache(max_entries=2, max_bytes=10)
    put(cache, "a", 0.0)
    put(cache, "b", 0.0)
    value_of(cache, "a", 0.1)
    put(cache, "c", 0.1)
    assert [cache.node_of(key) for key in "abc"] == ["n", None, "n"]
    assert put(cache, "d", 0.2, b"x" * 9)
    assert [cache.node_of(key) for key in "acd"] == [None, None, "n"]
    assert not put(cache, "e", 0.3, b"x" * 10)
    assert (cache.snapshot()["evicted"], cache.snapshot()["bytes"]) == (3, 10)


def test_a_reset_zeroes_the_counts_and_keeps_the_copies() -> None:
    """Each arm of a drill counts from zero."""
    cache = LocalCache()
    put(cache, "k", 0.0)
    value_of(cache, "k", 0.0)
    assert repr(cache) == "<LocalCache 1 copies, 2 bytes>"
    cache.reset(0.0)
    assert (cache.snapshot()["hits"], cache.snapshot()["entries"]) == (0, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.binary(max_size=8), st.sampled_from("nm")),
        max_size=40,
    ),
    st.integers(1, 4),
    st.integers(1, 16),
)
def test_its_bounds_hold_whatever_comes(
    puts: list[tuple[str, bytes, str]], max_entries: int, max_bytes: int
) -> None:
    """Count and bytes, after every single one; the bytes counted are those that are kept."""
    cache = LocalCache(max_entries=max_entries, max_bytes=max_bytes)
    for key, value, node in puts:
        if cache.node_of(key) is not None:
            cache.on_invalidated(cache.node_of(key) or "", key)
        put(cache, key, 0.0, value, node)
        kept = {each: value_of(cache, each, 0.0) for each in "abcdef"}
        sizes = [len(each) + len(value) for each, value in kept.items() if value is not None]
        assert cache.snapshot()["bytes"] == sum(sizes) <= max_bytes
        assert cache.snapshot()["entries"] == len(sizes) <= max_entries
