"""How soon writes are taken again after a primary was killed; from the history alone."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice
from statistics import median
from typing import NamedTuple

from hashing.slots import slot_of
from shard.check.events import FaultSpan, History, Op, Operation, Outcome

LOCAL, REPLICATED = "first good LOCAL write", "first REPLICATED write after the node's start"


class Recovery(NamedTuple):
    """One figure over all kills.

    Args:
        name: What was measured.
        seconds: One a kill; infinite where it never happened.
    """

    name: str
    seconds: Sequence[float]

    def __str__(self) -> str:
        many = len(self.seconds)
        return (
            f"{self.name}: median {median(self.seconds):.2f} s, "
            f"{min(self.seconds):.2f} to {max(self.seconds):.2f} s of {many}"
        )


def recoveries(history: History) -> list[Recovery]:
    """Return the figures of all killed primaries; none where nobody was killed."""
    kills = [each for each in history.faults if (each.kind, each.role) == ("kill", "primary")]
    if not kills:
        return []
    figures = [Recovery(LOCAL, [_first_local_s(history, kill) for kill in kills])]
    if history.header.get("durability") == "replicated":
        mended = [kill for kill in kills if kill.mended_s is not None]
        figures.append(Recovery(REPLICATED, [_first_replicated_s(history, k) for k in mended]))
    return [each for each in figures if each.seconds]


def _first_local_s(history: History, kill: FaultSpan) -> float:
    """A write begun after the kill, by whoever probes that shard."""
    return _first_ended_s(history.operations, kill, (Op.PROBE,), kill.began_s) - kill.began_s


def _first_replicated_s(history: History, kill: FaultSpan) -> float:
    """A judged write that ended after the node was started, begun then or before."""
    since_s = kill.mended_s or 0.0
    return _first_ended_s(history.operations, kill, _JUDGED, since_s) - since_s


def _first_ended_s(
    operations: Sequence[Operation], kill: FaultSpan, ops: Sequence[Op], since_s: float
) -> float:
    """Return when the first write to the killed node's shard was good, since a moment.

    Operations stand in the order in which they began, so the search ends at the first that began
    after the best end so far.
    """
    best_s = _NEVER
    first = bisect_left(operations, kill.began_s, key=lambda each: each.began_s)
    for each in islice(operations, first, None):
        if each.began_s > best_s:
            break
        is_good = each.op in ops and each.outcome is Outcome.OK and each.ended_s is not None
        if is_good and kill.concerns(slot_of(each.key.encode())):
            ended_s = each.ended_s or 0.0
            best_s = min(best_s, ended_s) if ended_s >= since_s else best_s
    return best_s


_JUDGED = (Op.RAISE, Op.ADD, Op.COUNT)
_NEVER = float("inf")
