"""A plan to move slots: from who owns what to who should, as few moves as the algorithm promises.

Shards are known by the ids of their nodes, not by numbers: a failover in the middle changes which
of them is the primary and nothing else. The algorithm only decides the assignment; the moves are
its difference to what is, in groups of slots that may go side by side, and in turns over the
sources so that none is drained ahead of the others.

- ``slot-map``: who has too many gives to who has too few. Moved equals what the newcomer ends with.
- ``maglev``: nodes take turns at a table; a few slots also move between those who stay. Its ratio
  is near 1 only where the slots lay by Maglev before: the first plan to it deals them anew.
- ``modulo``: the lab's bad example; nearly everything moves.

Source: ``hashing.slot_map``, ``hashing.maglev``, ``hashing.modulo``; ``shard.policy.assignment``.
Not handled: weights; slots that are hotter than others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest

from hashing import maglev, modulo, slot_map
from hashing.algorithm import Node
from hashing.slots import SLOT_COUNT
from shard.policy.assignment import Move, assign, moves, slots_by_owner

ALGORITHMS = ("slot-map", "maglev", "modulo")
DEFAULT_ALGORITHM = "slot-map"
GROUP_SLOTS = 16  # side by side: more are a longer pause of their nodes (docs/shard/moving.md)


class PlanRefused(ValueError):
    """The change can't or mustn't be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What moves.

    Args:
        algorithm: Who computed it.
        members: The ids of each shard's nodes, by its name, which is its primary's id now.
        moves: In the order in which they are made; names of shards.
    """

    algorithm: str
    members: Mapping[str, tuple[str, ...]]
    moves: tuple[Move, ...]


def owners_of(owned: Mapping[str, frozenset[int]]) -> tuple[str, ...]:
    """Turn shards' slots into the owner of each slot.

    Raises:
        PlanRefused: A slot has no owner, or two.
    """
    owners: list[str | None] = [None] * SLOT_COUNT
    for name, slots in owned.items():
        for slot in slots:
            if owners[slot] is not None:
                raise PlanRefused(f"slot {slot} has two owners, {owners[slot]} and {name}: wait")
            owners[slot] = name
    known = [owner for owner in owners if owner is not None]
    if len(known) < SLOT_COUNT:
        raise PlanRefused(
            f"{SLOT_COUNT - len(known)} slots have no owner: give them one first (shard.form)"
        )
    return tuple(known)


def make_plan(
    owners: Sequence[str],
    members: Mapping[str, tuple[str, ...]],
    wanted: Sequence[str],
    *,
    algorithm: str = DEFAULT_ALGORITHM,
    dead: frozenset[str] = frozenset(),
) -> Plan:
    """Plan the way from one assignment to another.

    Args:
        owners: The shard of each slot now; 16384 long.
        members: The node ids of every shard there is, wanted or not.
        wanted: The shards that should own slots afterwards.
        algorithm: One of ``ALGORITHMS``.
        dead: Shards whose primary doesn't answer.

    Raises:
        PlanRefused: An unknown shard or algorithm, one named twice, none left, or a move that
            would touch a dead one.
    """
    _check(members, wanted, algorithm)
    after = _place(owners, wanted, algorithm)
    ordered = in_turns(moves(owners, after))
    touched = {name for move in ordered for name in (move.source, move.target)}
    if stuck := sorted(touched & dead):
        raise PlanRefused(f"shard {stuck[0][:8]} doesn't answer: nothing can move from or to it")
    return Plan(algorithm, dict(members), tuple(ordered))


def in_turns(unordered: Sequence[Move]) -> list[Move]:
    """Order moves so that the sources take turns, each with a group of slots ascending."""
    by_way: dict[tuple[str, str], list[Move]] = {}
    for move in sorted(unordered):
        by_way.setdefault((move.source, move.target), []).append(move)
    turns = zip_longest(*(_in_groups(each) for each in by_way.values()), fillvalue=())
    return [move for turn in turns for group in turn for move in group]


def next_group(ordered: Sequence[Move], done: int) -> Sequence[Move]:
    """Return the moves that come next and may go side by side: of one source to one target.

    Args:
        ordered: As in a plan.
        done: How many of them are.

    Returns:
        At most ``GROUP_SLOTS``; none when all are done.
    """
    left = ordered[done : done + GROUP_SLOTS]
    return [*takewhile(lambda move: move[1:] == left[0][1:], left)]


def _in_groups(moves_: Sequence[Move]) -> list[Sequence[Move]]:
    return [moves_[at : at + GROUP_SLOTS] for at in range(0, len(moves_), GROUP_SLOTS)]


def check_assignment(after: Sequence[str], known: Sequence[str]) -> None:
    """Refuse an assignment that leaves a slot without an owner.

    Raises:
        PlanRefused: It isn't 16384 long, or names a shard that isn't there.
    """
    if len(after) != SLOT_COUNT:
        raise PlanRefused(f"{SLOT_COUNT - len(after)} slots would have no owner: give all 16384")
    if strangers := sorted(set(after) - set(known)):
        raise PlanRefused(f"no shard {strangers[0][:8]!r} is there: slots would have no owner")


def moved_ratio(plan: Plan, newcomers: Sequence[str]) -> float | None:
    """Return slots moved over slots the newcomers get; None when nobody is new."""
    gained = sum(1 for move in plan.moves if move.target in newcomers)
    return len(plan.moves) / gained if gained else None


def _check(members: Mapping[str, tuple[str, ...]], wanted: Sequence[str], algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        raise PlanRefused(f"no algorithm {algorithm!r}: give one of {', '.join(ALGORITHMS)}")
    if not wanted:
        raise PlanRefused("no shard would be left: the last one can't be removed")
    if strangers := [name for name in wanted if name not in members]:
        raise PlanRefused(f"no shard {strangers[0][:8]!r} is there: see squall shard status")
    if len(set(wanted)) < len(wanted):
        raise PlanRefused("a shard is named twice: name each once")


def _place(owners: Sequence[str], wanted: Sequence[str], algorithm: str) -> tuple[str, ...]:
    nodes = [Node(name) for name in wanted]
    if algorithm == "slot-map":
        after = slot_map.moved(slot_map.SlotMap(owners), nodes).owners
    else:
        build = maglev.build_envoy if algorithm == "maglev" else modulo.build
        after = assign(build(nodes))
    check_assignment(after, wanted)
    return after


def shares(owners: Sequence[str], plan: Plan) -> dict[str, tuple[int, int]]:
    """Return each shard's number of slots before and after."""
    before = {name: len(slots) for name, slots in slots_by_owner(owners).items()}
    after = dict(before)
    for move in plan.moves:
        after[move.source] -= 1
        after[move.target] = after.get(move.target, 0) + 1
    return {name: (before.get(name, 0), after.get(name, 0)) for name in plan.members}
