"""What a slot's move needs next, by what its nodes say: nothing else is remembered.

A move has five steps, and each leaves its mark on the nodes before the next begins:

    OPEN    the target imports the slot. Nobody is sent there yet, so what lies there isn't seen
    COPY    all keys lie on the target and on its replica, too (WAIT); the source still has them
    LEAVE   the source migrates the slot and has let go of its keys, all or none
    CLAIM   the target owns the slot, with an epoch above all others (``shard.policy.epochs``)
    TELL    the source knows it

So a mover that was killed is followed by another that only looks. What it may not do is go back
once the source migrates: from then on clients write new keys to the target. Until then going back
is safe, since the source alone was asked: the copies are deleted and the mark is taken off.
Source: Redis Cluster specification, "Live reconfiguration"; valkey: CLUSTER SETSLOT.
Not handled: two movers at once (``shard.move.journal`` holds a lease).
"""

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """What is done next; DONE when nothing is left."""

    OPEN = "open"
    COPY = "copy"
    LEAVE = "leave"
    CLAIM = "claim"
    TELL = "tell"
    CLEAN = "clean"  # only on the way back: delete the copies, take the mark off
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Marks:
    """What the nodes say of one slot.

    Args:
        target_owns: The target says that the slot is its own.
        target_imports: The target says that it imports the slot.
        source_owns: The source says that the slot is its own.
        source_migrates: The source says that it migrates the slot.
        is_copied: The mover has copied all keys in this attempt, and their WAIT returned 1.
        keys_left: Keys that the source still has.
    """

    target_owns: bool
    target_imports: bool
    source_owns: bool
    source_migrates: bool
    is_copied: bool
    keys_left: int


def next_step(marks: Marks) -> Step:
    """Say how a move goes on."""
    if marks.target_owns:
        # The source hears of it by gossip; told directly, its clients are sent on at once. A source
        # that has heard has dropped its mark with the slot.
        return Step.TELL if marks.source_owns or marks.source_migrates else Step.DONE
    if not marks.target_imports:
        # Also when the source migrates already: then the target lost its mark in a failover, and
        # until it has one again it sends everybody back.
        return Step.OPEN
    if marks.source_migrates:
        # No way back. With keys left they leave now; without, it is over.
        return Step.LEAVE if marks.keys_left else Step.CLAIM
    return Step.LEAVE if marks.is_copied else Step.COPY


def next_step_back(marks: Marks) -> Step:
    """Say how a move that was cancelled ends: back where that is safe, else forward to its end."""
    if marks.target_owns or marks.source_migrates:
        return next_step(marks)
    return Step.CLEAN if marks.target_imports else Step.DONE
