"""How soon writes are taken again after a primary was killed; from the history alone."""

from collections.abc import Sequence
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
    good = (
        each.ended_s
        for each in _good(history.operations, kill)
        if each.op is Op.PROBE and each.began_s >= kill.began_s
    )
    return min((ended_s for ended_s in good if ended_s is not None), default=_NEVER) - kill.began_s


def _first_replicated_s(history: History, kill: FaultSpan) -> float:
    """A judged write that ended after the node was started, begun then or before."""
    since_s = kill.mended_s or 0.0
    good = (
        each.ended_s
        for each in _good(history.operations, kill)
        if each.op not in (Op.PROBE, Op.READ) and each.began_s >= kill.began_s
    )
    return min((e for e in good if e is not None and e >= since_s), default=_NEVER) - since_s


def _good(operations: Sequence[Operation], kill: FaultSpan) -> list[Operation]:
    return [
        each
        for each in operations
        if each.outcome is Outcome.OK and kill.concerns(slot_of(each.key.encode()))
    ]


_NEVER = float("inf")
