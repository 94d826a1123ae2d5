"""Compare algorithms on one set of keys: how even, what moves, what it costs.

Why: the formulas say what holds for many keys; whose keys are sequential or few wants to see it on
them. Skew is the busiest node's keys over its share (1 is even), deviation the standard deviation
of keys over share; moved is the part of keys with another owner after a change, and the optimum
what any algorithm must move: the sum of what nodes' shares grow by.
Source of the bounded one: Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded
Loads" (2016): each key goes to the first node on the ring below ceil(c * keys * share).
Time enters as a clock in nanoseconds; memory is what ``sys.getsizeof`` says of all that a placement
reaches, shared things once.
Not handled: what keys weigh; requests (a hot key counts once).
"""

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from types import BuiltinFunctionType, FunctionType, ModuleType

from hashing import laboratory
from hashing.algorithm import Node, Placement, Refused, checked
from hashing.bounded import DEFAULT_BALANCE_FACTOR
from hashing.ketama import Ketama, hash_key

BOUNDED = "bounded-load"
NAMES = (*laboratory.ALGORITHMS, BOUNDED)

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of nodes did.

    Args:
        moved_ratio: Keys with another owner, 0..1; None when it was refused.
        optimum_ratio: The least possible for the shares, 0..1.
        refused: Why the algorithm can't do it, or None.
    """

    moved_ratio: float | None
    optimum_ratio: float
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One algorithm on one set of keys.

    Args:
        skew: Most keys over share, >= 1 unless a node has none.
        deviation: Standard deviation of keys over share.
        shares: Keys of each node.
        build_ms: Time to build, milliseconds.
        lookup_ns: Mean time of a lookup, nanoseconds.
        memory_bytes: Of the placement.
    """

    algorithm: str
    skew: float
    deviation: float
    shares: Mapping[str, int]
    on_add: Change | None
    on_remove: Change | None
    build_ms: float
    lookup_ns: float
    memory_bytes: int


class BoundedKeys:
    """A key set on a ketama ring, no node above its bound. Order of keys decides who spills.

    Args:
        nodes: Unique names, weights > 0.
        keys: All that will be placed.
        factor: The paper's c, > 1.
    """

    name = BOUNDED

    def __init__(
        self,
        nodes: Sequence[Node],
        keys: Sequence[bytes],
        factor: float = DEFAULT_BALANCE_FACTOR,
    ) -> None:
        self._ring = Ketama(checked(nodes))
        total = sum(node.weight for node in nodes)
        room = {node.name: ceil(factor * len(keys) * node.weight / total) for node in nodes}
        self._owners: dict[bytes, str] = {}
        for key in keys:
            if key not in self._owners:
                self._owners[key] = owner = self._first_with_room(key, room)
                room[owner] -= 1

    def lookup(self, key: bytes) -> str:
        """Name the node the key was placed on.

        Raises:
            KeyError: When it wasn't among the keys.
        """
        return self._owners[key]

    def _first_with_room(self, key: bytes, room: Mapping[str, int]) -> str:
        place, owner = self._ring.at(hash_key(key))
        while not room[owner]:
            place, owner = self._ring.at((place + 1) % (1 << 32))
        return owner


def compare(
    name: str,
    nodes: Sequence[Node],
    keys: Sequence[bytes],
    clock: Clock,
    *,
    added: Sequence[Node] = (),
    left: Sequence[str] = (),
) -> Result:
    """Measure one algorithm.

    Args:
        name: One of ``NAMES``.
        keys: At least one; duplicates count as often as they come.
        clock: Nanoseconds of a monotonic clock.
        added: Who comes, in one change.
        left: Names of who leaves, in another change; somebody must stay.

    Raises:
        ValueError: When the name is unknown, there is no key, or nodes can't be placed on.
    """
    if not keys:
        raise ValueError("no keys to compare on: give at least one")
    began = clock()
    placement = _build(name, nodes, keys)
    built = clock()
    owners = [placement.lookup(key) for key in keys]
    looked = clock()
    stay = [node for node in nodes if node.name not in left]
    shares = Counter(owners)
    relative = [shares[node.name] / (len(keys) * part) for node, part in _parts(nodes)]
    return Result(
        algorithm=name,
        skew=max(relative),
        deviation=sqrt(sum((each - 1.0) ** 2 for each in relative) / len(relative)),
        shares={node.name: shares[node.name] for node in nodes},
        on_add=_change(name, nodes, [*nodes, *added], keys, owners) if added else None,
        on_remove=_change(name, nodes, stay, keys, owners) if left else None,
        build_ms=(built - began) / 1e6,
        lookup_ns=(looked - built) / len(keys),
        memory_bytes=reachable_bytes(placement),
    )


def optimum(before: Sequence[Node], after: Sequence[Node]) -> float:
    """Return the least part of all keys that must move: the sum of what shares grow by, 0..1."""
    old = {node.name: part for node, part in _parts(before)}
    return sum(max(part - old.get(node.name, 0.0), 0.0) for node, part in _parts(after))


def reachable_bytes(thing: object) -> int:
    """Return the bytes of all objects a thing refers to, itself included, each once.

    Types, modules and functions belong to the program and count nothing.
    """
    seen: set[int] = set()
    waiting, total = [thing], 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(
            each, type | ModuleType | FunctionType | BuiltinFunctionType
        ):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting.extend(gc.get_referents(each))
    return total


def _build(name: str, nodes: Sequence[Node], keys: Sequence[bytes]) -> Placement:
    return BoundedKeys(nodes, keys) if name == BOUNDED else laboratory.build(name, nodes)


def _change(
    name: str,
    before: Sequence[Node],
    after: Sequence[Node],
    keys: Sequence[bytes],
    owners: Iterable[str],
) -> Change:
    least = optimum(before, after)
    try:
        if name == BOUNDED:
            changed: Placement = BoundedKeys(after, keys)
        else:
            changed = laboratory.rebuild(name, before, after)
    except Refused as error:
        return Change(None, least, str(error))
    moved = sum(changed.lookup(key) != owner for key, owner in zip(keys, owners, strict=True))
    return Change(moved / len(keys), least)


def _parts(nodes: Sequence[Node]) -> list[tuple[Node, float]]:
    total = sum(node.weight for node in nodes)
    return [(node, node.weight / total) for node in nodes]
