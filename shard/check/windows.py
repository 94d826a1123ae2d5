"""When a failover excuses a stale read: from a declared fault until its shard is itself again.

A window of a key begins with a fault that concerns its slot. It ends a bound after the later of
two moments: the fault was taken back, and a write begun after the fault was acknowledged. The bound
is what a primary that was cut off or stopped needs to notice that it is none any more.
Source: design, "Not promised: reads from a primary that is cut off (bounded by the node timeout)".
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from hashing.slots import slot_of
from shard.check.events import FaultSpan, History, Op, Operation, Outcome

DEFAULT_BOUND_S = 2.0  # two node timeouts: to be declared dead, and to hear of it
FOREVER = float("inf")


class Window(NamedTuple):
    """From when to when, seconds."""

    from_s: float
    to_s: float

    def touches(self, operation: Operation) -> bool:
        """Whether an operation ran in it, even for a moment."""
        ended_s = FOREVER if operation.ended_s is None else operation.ended_s
        return operation.began_s <= self.to_s and ended_s >= self.from_s


def bound_of(history: History) -> float:
    """Return the bound that the run declared, seconds."""
    declared = history.header.get("bound_s")
    return float(declared) if isinstance(declared, int | float) else DEFAULT_BOUND_S


def windows_of(
    key: str, writes: Sequence[Operation], faults: Sequence[FaultSpan], bound_s: float
) -> list[Window]:
    """Return a key's failover windows.

    Args:
        key: Whose slot decides which faults concern it.
        writes: Of that key, in the order of their invocation.
        faults: All that were declared.
        bound_s: See above.
    """
    slot = slot_of(key.encode())
    return [
        Window(each.began_s, _end_s(each, writes) + bound_s)
        for each in faults
        if each.concerns(slot)
    ]


def first_good_s(writes: Sequence[Operation], after_s: float) -> float:
    """Return when the first write begun after a moment was acknowledged."""
    first = bisect_left(writes, after_s, key=lambda each: each.began_s)
    good = (
        each.ended_s
        for each in islice(writes, first, None)
        if each.outcome is Outcome.OK and each.ended_s is not None
    )
    return next(good, FOREVER)


def by_key(history: History) -> Mapping[str, list[Operation]]:
    """Return the operations of each key, probes left out, in the order of their invocation."""
    found: dict[str, list[Operation]] = {}
    for each in history.operations:
        if each.op is not Op.PROBE:
            found.setdefault(each.key, []).append(each)
    return found


def _end_s(fault: FaultSpan, writes: Sequence[Operation]) -> float:
    mended_s = FOREVER if fault.mended_s is None else fault.mended_s
    return max(mended_s, first_good_s(writes, fault.began_s))
