"""Explicit slot map: keys have slots by a fixed hash, and a table says whose each slot is.

Why: which node owns what is a decision that can be looked at, changed slot by slot, and agreed on;
moves are the least possible and the shares even to one slot. The price: the table must be kept and
shared (Redis Cluster gossips it; Codis keeps it in a coordinator), while a ring needs only names.
Source: Redis Cluster specification, "Key distribution model" (CRC16, 16384 slots, hash tags;
``hashing.slots``). The first table is contiguous ranges, as ``redis-cli --cluster create`` makes
them; a change takes from who has too many and gives to who has too few, as ``rebalance`` does.
Not handled: what the slots weigh (keys, bytes, load): each counts as one.
"""

from collections.abc import Sequence

from hashing.algorithm import Node, checked
from hashing.slots import SLOT_COUNT, slot_of


class SlotMap:
    """A table of owners. Lookup is O(length of the key).

    Args:
        owners: The name for each of the ``SLOT_COUNT`` slots.
    """

    name = "slot-map"

    def __init__(self, owners: Sequence[str]) -> None:
        if len(owners) != SLOT_COUNT:
            raise ValueError(f"{len(owners)} owners: a slot map has {SLOT_COUNT}, one a slot")
        self.owners = tuple(owners)

    def lookup(self, key: bytes) -> str:
        """Name the owner of the key's slot."""
        return self.owners[slot_of(key)]


def build(nodes: Sequence[Node]) -> SlotMap:
    """Give each node a contiguous range (see ``hashing.algorithm.Build``)."""
    quotas = _quotas(checked(nodes))
    return SlotMap([name for name, quota in quotas.items() for _ in range(quota)])


def rebuild(before: Sequence[Node], after: Sequence[Node]) -> SlotMap:
    """Change the map that ``build(before)`` made as little as the shares of ``after`` allow."""
    return moved(build(before), after)


def moved(current: SlotMap, nodes: Sequence[Node]) -> SlotMap:
    """Return a map for other nodes in which no slot moves that needn't.

    Only slots of nodes that left or have too many move, to nodes that have too few.
    """
    room = _quotas(checked(nodes))
    owners: list[str | None] = []
    for owner in current.owners:
        stays = room.get(owner, 0) > 0
        if stays:
            room[owner] -= 1
        owners.append(owner if stays else None)
    takers = (name for name, free in room.items() for _ in range(free))
    return SlotMap([owner if owner is not None else next(takers) for owner in owners])


def _quotas(nodes: Sequence[Node]) -> dict[str, int]:
    """Return how many slots each node has: its share, rounded so that the sum is exact."""
    total = sum(node.weight for node in nodes)
    quotas, given, reached = {}, 0, 0.0
    for node in nodes:
        reached += node.weight
        end = SLOT_COUNT if node is nodes[-1] else round(SLOT_COUNT * (reached / total))
        quotas[node.name], given = end - given, end
    return quotas
