"""Which node owns which slots: a hash algorithm applied to 16384 slots, and what a change moves.

Why: Redis Cluster leaves the assignment to the operator, and most tools deal slots out by count.
Computed by an algorithm from ``hashing`` instead, it is the same everywhere without being stored,
and a change of nodes is the difference of two assignments: as few moves as the algorithm promises.
Slots are placed in blocks of 16, not singly: neighbours that stay together keep ownership short to
say. Placed singly, three nodes make some 10,900 ranges, and every client that asks CLUSTER SLOTS
gets two megabytes; in blocks some 680. The cost is evenness: a block counts as one key.
Source: Redis Cluster specification, "Key distribution model"; Codis has 1024 slots, as many as here
are blocks.
Not handled: slots of different weight (hot slots); which replica follows which primary.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from hashing.algorithm import Placement
from hashing.slots import SLOT_COUNT

DEFAULT_BLOCK_SLOTS = 16

Assignment: TypeAlias = tuple[str, ...]
"""The owner's name of each slot; 16384 long."""


class Move(NamedTuple):
    """One slot that changes hands."""

    slot: int
    source: str
    target: str


def assign(placement: Placement, block_slots: int = DEFAULT_BLOCK_SLOTS) -> Assignment:
    """Give every slot to a node.

    Args:
        placement: An algorithm applied to the nodes; the keys it is asked for are block numbers.
        block_slots: Slots that stay together; divides 16384.
    """
    assert SLOT_COUNT % block_slots == 0, f"blocks of {block_slots} don't divide {SLOT_COUNT}"
    owners: list[str] = []
    for block in range(SLOT_COUNT // block_slots):
        owners.extend([placement.lookup(b"slots:%d" % block)] * block_slots)
    return tuple(owners)


def moves(before: Sequence[str], after: Sequence[str]) -> list[Move]:
    """List the slots that change hands between two assignments, in slot order."""
    assert len(before) == len(after)
    return [
        Move(slot, source, target)
        for slot, (source, target) in enumerate(zip(before, after, strict=True))
        if source != target
    ]


def slots_by_owner(assignment: Sequence[str]) -> dict[str, list[int]]:
    """Turn an assignment round: each owner's slots in ascending order."""
    owned: dict[str, list[int]] = {}
    for slot, owner in enumerate(assignment):
        owned.setdefault(owner, []).append(slot)
    return owned


def ranges(slots: Iterable[int]) -> list[tuple[int, int]]:
    """Join slots into ranges, both ends included, as CLUSTER ADDSLOTSRANGE takes them."""
    joined: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if joined and slot == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], slot)
        else:
            joined.append((slot, slot))
    return joined
