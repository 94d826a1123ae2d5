"""Plans: as few moves as promised, refused where they would harm, whole or not at all."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import maglev, modulo, rendezvous
from hashing.algorithm import Node
from shard.policy.assignment import Move, assign
from shard.policy.plan import (
    ALGORITHMS,
    DEFAULT_ALGORITHM,
    GROUP_SLOTS,
    PlanRefused,
    check_assignment,
    in_turns,
    make_plan,
    moved_ratio,
    next_group,
    owners_of,
    shares,
)
from shard.policy.plan_file import from_text, to_text

NAMES = ("a", "b", "c", "d")
MEMBERS = {name: (name, name + "-replica") for name in NAMES}
THREE = [Node(name) for name in NAMES[:3]]
BY_RENDEZVOUS = assign(rendezvous.build(THREE))


def test_documented_defaults() -> None:
    """The least moves."""
    assert DEFAULT_ALGORITHM == "slot-map"
    assert ALGORITHMS == ("slot-map", "maglev", "modulo")


def test_a_newcomer_gets_its_share_and_nothing_else_moves() -> None:
    """Ratio 1.0 exactly, whatever lay before; nobody differs by more than a slot after."""
    plan = make_plan(BY_RENDEZVOUS, MEMBERS, NAMES)
    assert moved_ratio(plan, ["d"]) == 1.0
    assert {after for _, after in shares(BY_RENDEZVOUS, plan).values()} == {4096}
    assert all(move.target == "d" for move in plan.moves)


def test_maglev_moves_a_tenth_more_at_most_and_modulo_nearly_all() -> None:
    """The bound of the issue, and the lab's control."""
    by_maglev = assign(maglev.build_envoy(THREE))
    plan = make_plan(by_maglev, MEMBERS, NAMES, algorithm="maglev")
    assert 1.0 <= (moved_ratio(plan, ["d"]) or 0.0) <= 1.1
    by_modulo = assign(modulo.build(THREE))
    plan = make_plan(by_modulo, MEMBERS, NAMES, algorithm="modulo")
    assert len(plan.moves) / 16384 >= 0.6


def test_a_shard_that_leaves_gives_everything_away() -> None:
    """And nobody else loses a slot."""
    plan = make_plan(BY_RENDEZVOUS, MEMBERS, ["a", "b"])
    assert {move.source for move in plan.moves} == {"c"}
    assert shares(BY_RENDEZVOUS, plan)["c"][1] == 0


def test_sources_take_turns() -> None:
    """So that load stays even while it moves: a group of each, its slots ascending."""
    many = [Move(slot, "a", "d") for slot in range(GROUP_SLOTS + 2)]
    ordered = in_turns([Move(99, "c", "d"), *reversed(many), Move(98, "b", "d")])
    assert [move.slot for move in ordered] == [*range(16), 98, 99, 16, 17]
    assert GROUP_SLOTS == 16


_WAYS = st.sampled_from([("a", "d"), ("a", "c"), ("b", "d")])


@given(st.lists(_WAYS, max_size=100), st.booleans())
def test_groups_are_of_one_way_and_leave_nothing_out(
    ways: list[tuple[str, str]], is_ordered: bool
) -> None:
    """Of any moves; those of a plan as large as may be."""
    moves = [Move(slot, *way) for slot, way in enumerate(ways)]
    moves = in_turns(moves) if is_ordered else moves
    groups: list[Sequence[Move]] = []
    while group := next_group(moves, sum(len(each) for each in groups)):
        groups.append(group)
    assert [move for group in groups for move in group] == moves
    assert all(len({move[1:] for move in group}) == 1 for group in groups)
    assert all(len(group) <= GROUP_SLOTS for group in groups)
    if is_ordered and len(set(ways)) == 1:
        assert len(groups) == -(-len(ways) // GROUP_SLOTS)


@pytest.mark.parametrize(
    ("wanted", "algorithm", "dead", "said"),
    [
        ((), "slot-map", (), "the last one can't be removed"),
        (("a", "x"), "slot-map", (), "no shard 'x'"),
        (("a", "a"), "slot-map", (), "named twice"),
        (NAMES, "jump", (), "slot-map, maglev, modulo"),
        (NAMES, "slot-map", ("d",), "doesn't answer"),
    ],
)
def test_what_is_refused(
    wanted: tuple[str, ...], algorithm: str, dead: tuple[str, ...], said: str
) -> None:
    """With the reason."""
    with pytest.raises(PlanRefused, match=said):
        make_plan(BY_RENDEZVOUS, MEMBERS, wanted, algorithm=algorithm, dead=frozenset(dead))


def test_slots_without_an_owner_or_with_two_are_refused() -> None:
    """Before and after."""
    with pytest.raises(PlanRefused, match="16383 slots have no owner"):
        owners_of({"a": frozenset({7})})
    with pytest.raises(PlanRefused, match="slot 7 has two owners"):
        owners_of({"a": frozenset({7}), "b": frozenset({7})})
    with pytest.raises(PlanRefused, match="would have no owner"):
        check_assignment(["a"] * 16383, ["a"])
    with pytest.raises(PlanRefused, match="would have no owner"):
        check_assignment(["x"] * 16384, ["a"])


def test_a_plan_file_is_read_as_it_was_written() -> None:
    """Moves, order and members."""
    plan = make_plan(BY_RENDEZVOUS, MEMBERS, NAMES)
    assert from_text(to_text(plan)) == plan


@given(st.data())
def test_no_part_and_no_change_of_a_plan_file_is_taken(data: st.DataObject) -> None:
    """A file cut anywhere is refused, and so is one with another digit in it."""
    text = to_text(make_plan(("a",) * 16384, MEMBERS, ["a", "b"])).rstrip()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(PlanRefused):
        from_text(text[:cut])
    place = data.draw(st.sampled_from([i for i, c in enumerate(text) if c.isdigit()]))
    other = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    with pytest.raises(PlanRefused):
        from_text(other)
