"""Bounded load: the ring's owner while it can, then the same next ones for everybody."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import ketama
from hashing.algorithm import Node
from hashing.bounded import (
    DEFAULT_BALANCE_FACTOR,
    DEFAULT_CANDIDATES,
    BoundedRing,
    bound_of,
)

FIVE = [f"cache-{number}" for number in range(1, 6)]
KEYS = [f"video:{number}".encode() for number in range(2000)]


@pytest.mark.unit
def test_the_defaults_are_those_of_their_sources() -> None:
    """c is Vimeo's 1.25; a key may be on three nodes."""
    assert DEFAULT_BALANCE_FACTOR == 1.25
    assert DEFAULT_CANDIDATES == 3
    assert BoundedRing(FIVE).balance_factor == 1.25


@pytest.mark.unit
def test_the_owner_is_ketamas() -> None:
    """Without load it is the ring that other clients know."""
    ring, plain = BoundedRing(FIVE), ketama.build([Node(name) for name in FIVE])
    assert [plain.lookup(key) for key in KEYS] == [ring.lookup(key) for key in KEYS]


@pytest.mark.unit
def test_who_follows_is_who_inherits() -> None:
    """The second candidate is the owner on the ring without the first, and so on."""
    ring = BoundedRing(FIVE)
    for key in KEYS[:40]:
        owner, first, second = ring.candidates(key)
        without = [name for name in FIVE if name != owner]
        assert BoundedRing(without).lookup(key) == first
        assert BoundedRing([name for name in without if name != first]).lookup(key) == second


@pytest.mark.unit
@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_candidates_are_distinct_and_no_more_than_there_are(count: int, expected: int) -> None:
    """One node has no successors; five give three."""
    ring = BoundedRing(FIVE[:count])
    for key in KEYS[:200]:
        assert len(ring.candidates(key)) == len(set(ring.candidates(key))) == expected


@pytest.mark.paper
def test_the_bound_is_the_papers() -> None:
    """Mirrokni et al., section 1: capacity ceil(c m / n), m with the request that comes."""
    assert bound_of({"a": 3.0, "b": 0.0, "c": 0.0}) == ceil(1.25 * 4 / 3) == 2
    assert bound_of({"a": 7.0, "b": 7.0}, 1.5) == 12


@pytest.mark.unit
def test_the_first_below_its_bound_takes_it() -> None:
    """Loads 4, 1 and 1 give a bound of 3: the owner is full, the next takes it."""
    ring = BoundedRing(FIVE[:3])
    loads = {"cache-1": 4.0, "cache-2": 1.0, "cache-3": 1.0}

    assert ring.choose(["cache-1", "cache-2", "cache-3"], loads) == 1
    assert ring.choose(["cache-2", "cache-1", "cache-3"], loads) == 0


@pytest.mark.unit
def test_with_all_candidates_full_the_least_loaded_takes_it() -> None:
    """Of five nodes a key has three; the two idle ones aren't asked."""
    ring = BoundedRing(FIVE)
    loads = dict(zip(FIVE, [9.0, 8.0, 7.0, 0.0, 0.0], strict=True))

    assert bound_of(loads) == 7
    assert ring.choose(FIVE[:3], loads) == 2


@pytest.mark.property
@given(st.lists(st.sampled_from(KEYS[:6]), max_size=300), st.floats(1.05, 3.0))
def test_no_node_of_three_gets_more_than_its_bound(requests: list[bytes], factor: float) -> None:
    """However skewed the keys are: the paper's promise, each request counted when it is placed."""
    ring = BoundedRing(FIVE[:3], balance_factor=factor)
    loads = dict.fromkeys(FIVE[:3], 0.0)
    for key in requests:
        candidates = ring.candidates(key)
        loads[candidates[ring.choose(candidates, loads)]] += 1.0
        assert max(loads.values()) <= ceil(factor * sum(loads.values()) / 3)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("names", "settings", "why"),
    [
        ([], {}, "no nodes"),
        (["a", "a"], {}, "listed twice"),
        (["a"], {"candidates": 0}, "at least one"),
        (["a"], {"balance_factor": 1.0}, "above 1"),
        (["a"], {"balance_factor": float("nan")}, "above 1"),
    ],
)
def test_a_ring_that_cannot_be_says_why(
    names: list[str], settings: dict[str, float], why: str
) -> None:
    """Wrong nodes and numbers are refused when it is built."""
    with pytest.raises(ValueError, match=why):
        BoundedRing(names, **settings)  # type: ignore[arg-type]
