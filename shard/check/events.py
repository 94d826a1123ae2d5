"""What a history of a store's clients tells: operations, faults, and what was found in the end.

Times are seconds of one monotonic clock, from the history's beginning. Lines are those of the file,
so that whoever doubts a violation can read it there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

Found: TypeAlias = int | tuple[int, ...] | None
Slots: TypeAlias = tuple[tuple[int, int], ...]


class Op(Enum):
    """What an operation does."""

    RAISE = "raise"  # a register to 1, 2, 3…, by its only writer; never lowers it
    ADD = "add"  # an element to a set
    COUNT = "count"  # a counter up by one
    READ = "read"  # a register
    PROBE = "probe"  # a LOCAL write that only tells when writes are taken again


class Outcome(Enum):
    """What its caller was told."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Operation:
    """One operation, from its invocation to what its caller was told.

    Args:
        op: What it does.
        key: To what.
        value: What it writes; 0 for reads.
        began_s: When it was invoked.
        began_line: Where that stands.
        outcome: UNKNOWN until told otherwise.
        ended_s: When it was told; None for never.
        ended_line: Where that stands; 0 for nowhere.
        found: What a read returned; None for an absent key.
    """

    op: Op
    key: str
    value: int
    began_s: float
    began_line: int
    outcome: Outcome = Outcome.UNKNOWN
    ended_s: float | None = None
    ended_line: int = 0
    found: int | None = None


@dataclass(slots=True)
class FaultSpan:
    """One declared fault.

    Args:
        kind: Such as ``kill``.
        on: The node.
        role: What the node was when it began: ``primary`` or ``replica``.
        slots: Bounds, inclusive, of what it concerns; () for all.
        began_s: When.
        line: Where that stands.
        mended_s: When it was taken back; None for never.
        has_bit: Whether somebody saw that it acted.
        proof: What was seen.
    """

    kind: str
    on: str
    role: str
    slots: Slots
    began_s: float
    line: int
    mended_s: float | None = None
    has_bit: bool = False
    proof: str = ""

    def concerns(self, slot: int) -> bool:
        """Whether a slot's owner or its replica was hit."""
        return not self.slots or any(first <= slot <= last for first, last in self.slots)


class Final(NamedTuple):
    """What was read of a key when everything was whole again."""

    value: Found
    line: int


class Ownership(NamedTuple):
    """Which slots a node said were its own in the end."""

    node: str
    slots: Slots
    line: int


class Holding(NamedTuple):
    """Which keys of the workload a primary had in the end."""

    node: str
    keys: tuple[str, ...]
    line: int


@dataclass(slots=True)
class History:
    """A whole history.

    Args:
        header: Version and parameters of the run.
        operations: In the order of their invocation.
        faults: In the order of their beginning.
        finals: By key.
        owners: One a primary.
        holdings: One a primary.
        has_ended: Whether the run came to its end.
        torn_line: A last line that was cut off; 0 for none.
    """

    header: Mapping[str, object] = field(default_factory=dict)
    operations: Sequence[Operation] = ()
    faults: Sequence[FaultSpan] = ()
    finals: Mapping[str, Final] = field(default_factory=dict)
    owners: Sequence[Ownership] = ()
    holdings: Sequence[Holding] = ()
    has_ended: bool = False
    torn_line: int = 0
