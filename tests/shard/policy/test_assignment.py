"""Assignments: total, even enough, and changed by as little as the algorithm promises."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import registry
from hashing.algorithm import Node
from hashing.slots import SLOT_COUNT
from shard.policy.assignment import (
    DEFAULT_BLOCK_SLOTS,
    Move,
    assign,
    moves,
    ranges,
    slots_by_owner,
)

THREE = [Node(f"shard-{number}") for number in (1, 2, 3)]
FOUR = [*THREE, Node("shard-4")]
NAMES = sorted(registry.ALGORITHMS)


def test_documented_constants() -> None:
    """Slots are placed in blocks of 16: 1,024 of them, as many as Codis has slots."""
    assert DEFAULT_BLOCK_SLOTS == 16
    assert SLOT_COUNT // DEFAULT_BLOCK_SLOTS == 1024


@pytest.mark.parametrize("name", NAMES)
def test_every_slot_has_an_owner_and_nobody_much_more_than_a_share(name: str) -> None:
    """Three shards get between 0.8 and 1.25 of a third each."""
    assignment = assign(registry.build(name, THREE))

    shares = Counter(assignment)

    assert len(assignment) == SLOT_COUNT
    assert set(shares) == {node.name for node in THREE}
    assert all(0.8 < share * 3 / SLOT_COUNT < 1.25 for share in shares.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_fourth_shard_takes_slots_and_nothing_else_moves(name: str) -> None:
    """Slots moved over slots the newcomer ends with is exactly 1.0."""
    before, after = (assign(registry.build(name, nodes)) for nodes in (THREE, FOUR))

    moved = moves(before, after)

    assert {move.target for move in moved} == {"shard-4"}
    assert len(moved) == after.count("shard-4")


def test_ownership_is_short_to_say() -> None:
    """Blocks keep CLUSTER SLOTS below a thousand ranges, where single slots make ten times it."""
    placement = registry.build("rendezvous", THREE)

    blocks = slots_by_owner(assign(placement))
    singles = slots_by_owner(assign(placement, block_slots=1))

    assert sum(len(ranges(slots)) for slots in blocks.values()) < 1_000
    assert sum(len(ranges(slots)) for slots in singles.values()) > 10_000


def test_moves_name_slot_source_and_target() -> None:
    """The difference of two assignments, in slot order."""
    assert moves(["a", "a", "b"], ["a", "b", "a"]) == [Move(1, "a", "b"), Move(2, "b", "a")]


@given(st.sets(st.integers(0, SLOT_COUNT - 1), max_size=200))
def test_ranges_say_exactly_the_slots(slots: set[int]) -> None:
    """Joined and taken apart again, nothing is lost, and no two ranges touch."""
    joined = ranges(slots)

    assert {slot for first, last in joined for slot in range(first, last + 1)} == slots
    assert all(one[1] + 1 < other[0] for one, other in pairwise(joined))
