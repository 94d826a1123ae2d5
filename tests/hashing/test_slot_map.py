"""The slot map: exact shares, contiguous at first, and least moves."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import slot_map
from hashing.algorithm import Node

WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@pytest.mark.paper
def test_three_primaries_have_redis_clis_ranges() -> None:
    """Redis Cluster tutorial: 0-5460, 5461-10922, 10923-16383, and foo's slot is 12182."""
    placement = slot_map.build([Node("a"), Node("b"), Node("c")])

    assert [placement.owners.index(name) for name in "abc"] == [0, 5461, 10923]
    assert placement.lookup(b"foo") == placement.owners[12182] == "c"


@pytest.mark.property
@given(WEIGHTS, WEIGHTS)
def test_moves_are_what_shares_require(before: list[int], after: list[int]) -> None:
    """Slots that change their owner are exactly those by which nodes have to grow."""
    old = slot_map.build([Node(str(n), weight) for n, weight in enumerate(before)])
    new = slot_map.moved(old, [Node(str(n), weight) for n, weight in enumerate(after)])
    grown = Counter(new.owners) - Counter(old.owners)

    assert sum(a != b for a, b in zip(old.owners, new.owners, strict=True)) == grown.total()
    for number, weight in enumerate(after):
        share = weight / sum(after) * len(new.owners)
        assert abs(Counter(new.owners)[str(number)] - share) <= 1


def test_a_map_with_holes_is_refused() -> None:
    """Every slot has an owner, or it is no map."""
    with pytest.raises(ValueError, match="16384"):
        slot_map.SlotMap(["a"])
