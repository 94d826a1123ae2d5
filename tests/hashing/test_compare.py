"""The comparison: figures that can be checked by hand, and the bounds of bounded load."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from math import ceil

import pytest

from hashing.algorithm import Node
from hashing.compare import BOUNDED, NAMES, BoundedKeys, compare, optimum, reachable_bytes

NODES = [Node(f"node-{number}") for number in range(1, 5)]
KEYS = [b"video:%d" % number for number in range(2000)]


def _clock() -> Callable[[], int]:
    ticks = count(0, 1_000_000)
    return lambda: next(ticks)


def test_the_optimum_is_what_shares_grow_by() -> None:
    """Four become five: a fifth; the last of weight 3 among 1, 2, 3 leaves: a half."""
    uneven = [Node("a", 1), Node("b", 2), Node("c", 3)]

    assert optimum(NODES, [*NODES, Node("node-5")]) == pytest.approx(0.2)
    assert optimum(uneven, uneven[:2]) == pytest.approx(0.5)
    assert optimum(uneven, uneven) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_every_algorithm(name: str) -> None:
    """Shares add up to all keys, skew is their greatest over the mean, time is the clock's."""
    result = compare(name, NODES, KEYS, _clock(), added=[Node("node-5")], left=["node-4"])

    assert sum(result.shares.values()) == len(KEYS)
    assert result.skew == pytest.approx(max(result.shares.values()) / 500)
    assert (result.build_ms, result.lookup_ns) == (1.0, 500.0)
    assert result.memory_bytes > 0
    for change in (result.on_add, result.on_remove):
        assert change is not None
        assert change.moved_ratio is not None
        assert 0.05 < change.moved_ratio < 0.9


def test_modulo_moves_almost_everything_on_add() -> None:
    """Of four nodes and a fifth, all keys move but one in five."""
    change = compare("modulo", NODES, KEYS, _clock(), added=[Node("node-5")]).on_add

    assert change is not None
    assert change.moved_ratio == pytest.approx(0.8, abs=0.04)


def test_jumps_refusal_is_a_result() -> None:
    """A node from the middle: no figure, but the reason."""
    change = compare("jump", NODES, KEYS, _clock(), left=["node-2"]).on_remove

    assert change is not None
    assert change.moved_ratio is None
    assert "node-2" in str(change.refused)


@pytest.mark.paper
@pytest.mark.parametrize("factor", [1.01, 1.25])
def test_no_node_is_above_its_bound(factor: float) -> None:
    """Mirrokni et al., section 1: at most ceil(c m / n) keys each, here by weight."""
    nodes = [Node("a", 1), Node("b", 1), Node("c", 2)]
    placed = Counter(map(BoundedKeys(nodes, KEYS, factor).lookup, KEYS))

    for node in nodes:
        assert placed[node.name] <= ceil(factor * len(KEYS) * node.weight / 4)


def test_a_tight_bound_binds() -> None:
    """At 1.01 the busiest of four has exactly its bound, where plain ketama gives it more."""
    tight = Counter(map(BoundedKeys(NODES, KEYS, 1.01).lookup, KEYS))

    assert max(tight.values()) == ceil(1.01 * 500)
    assert compare("ketama", NODES, KEYS, _clock()).skew > 1.01


def test_without_pressure_the_bounded_ring_is_ketamas() -> None:
    """A bound of ten times the share never binds, so nothing spills."""
    loose = BoundedKeys(NODES, KEYS, 10.0)
    plain = compare("ketama", NODES, KEYS, _clock())

    assert Counter(map(loose.lookup, KEYS)) == Counter(plain.shares)
    assert compare(BOUNDED, NODES, KEYS, _clock()).skew <= 1.25


def test_memory_counts_shared_things_once() -> None:
    """The same list twice is one list; a type costs nothing."""
    inner = [1.5]

    both = reachable_bytes((inner, inner))

    assert both == reachable_bytes((inner,)) + 8
    assert reachable_bytes(int) == 0


def test_no_keys_are_refused() -> None:
    """Without keys there is no share to speak of."""
    with pytest.raises(ValueError, match="no keys"):
        compare("ketama", NODES, [], _clock())
