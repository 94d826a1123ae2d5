"""The judge: what a history shows of the store's promise. Pure: a history in, a verdict out.

It never proves. Finding nothing in N operations and M faults is as strong as N and M are, and a run
in which nothing happened says nothing: that is inconclusive, not good.
Source: design, "The sharded tier", Promise; Jepsen's set, counter and register checkers.
Not handled: linearizability in general (Knossos, Porcupine). One writer a key makes the order known
and the check linear in the history's length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shard.check.events import FaultSpan, History, Op, Operation, Outcome
from shard.check.ownership import judge_ownership
from shard.check.registers import judge_final, judge_reads, register_of
from shard.check.tallies import judge_counter, judge_set
from shard.check.violation import Stale, Violation
from shard.check.windows import bound_of, by_key, windows_of

MIN_ACKNOWLEDGED = 100  # writes; fewer say nothing of a store that does 5,000 a second

HELD, VIOLATED, INCONCLUSIVE = 0, 1, 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Args:
        operations: How many were invoked.
        outcomes: How many ended how.
        faults: Those that were declared.
        violations: Promises broken.
        stale: Reads that a failover window excuses.
        doubts: Why finding nothing would mean nothing.
    """

    operations: int
    outcomes: dict[str, int]
    faults: Sequence[FaultSpan]
    violations: Sequence[Violation]
    stale: Sequence[Stale]
    doubts: Sequence[str]

    @property
    def lost(self) -> int:
        """How many acknowledged writes are gone."""
        return sum(each.lost for each in self.violations)

    @property
    def exit_code(self) -> int:
        """0 nothing found, 1 a violation, 4 inconclusive."""
        if self.violations:
            return VIOLATED
        return INCONCLUSIVE if self.doubts else HELD

    def __str__(self) -> str:
        among = f"{_many(self.operations, 'operation')} and {_many(len(self.faults), 'fault')}"
        if not self.violations:
            return f"No violation in {among}"
        lost = f", {_many(self.lost, 'acknowledged write')} lost" if self.lost else ""
        return f"{_many(len(self.violations), 'violation')} in {among}{lost}"


def judge(history: History) -> Verdict:
    """Judge a history by its own parameters."""
    violations: list[Violation] = []
    stale: list[Stale] = []
    bound_s = bound_of(history)
    for key, operations in by_key(history).items():
        found, excused = _judge_key(history, key, operations, bound_s)
        violations += found
        stale += excused
    violations += judge_ownership(history.owners, history.holdings)
    return Verdict(
        len(history.operations),
        {each.value: _count(history, each) for each in Outcome},
        history.faults,
        violations,
        stale,
        doubts_of(history),
    )


def doubts_of(history: History) -> list[str]:
    """Say why a history in which nothing is found may mean nothing."""
    found: list[str] = []
    ok = sum(
        1
        for each in history.operations
        if each.outcome is Outcome.OK and each.op not in (Op.READ, Op.PROBE)
    )
    if ok < MIN_ACKNOWLEDGED:
        found.append(f"{ok} writes were acknowledged, and {MIN_ACKNOWLEDGED} are the least")
    if not history.has_ended:
        found.append("the history has no end: the run was cut off")
    if history.torn_line:
        found.append(f"line {history.torn_line}, the last, is torn and left out")
    missing = sorted(by_key(history).keys() - history.finals.keys())
    if missing:
        found.append(f"{len(missing)} keys were not read in the end, such as {missing[0]}")
    if not history.owners:
        found.append("nobody was asked who owns which slots")
    return found + _fault_doubts(history)


def _fault_doubts(history: History) -> list[str]:
    found = [
        f"the fault in line {each.line}, {each.kind} of {each.on}, has no proof that it bit"
        for each in history.faults
        if not each.has_bit
    ]
    wanted = history.header.get("faults")
    if isinstance(wanted, list) and wanted and not history.faults:
        found.append(f"{', '.join(map(str, wanted))} was asked for, and no fault began")
    return found


def _judge_key(
    history: History, key: str, operations: Sequence[Operation], bound_s: float
) -> tuple[list[Violation], list[Stale]]:
    final = history.finals.get(key)
    writes = [each for each in operations if each.op is not Op.READ]
    kinds = {each.op for each in writes}
    if Op.ADD in kinds or Op.COUNT in kinds:
        judge_one = judge_set if Op.ADD in kinds else judge_counter
        return (judge_one(key, writes, final) if final else []), []
    register = register_of(key, operations)
    windows = windows_of(key, writes, history.faults, bound_s)
    reads = [each for each in operations if each.op is Op.READ]
    violations, stale = judge_reads(register, reads, windows)
    return violations + (judge_final(register, final) if final else []), stale


def _count(history: History, outcome: Outcome) -> int:
    return sum(1 for each in history.operations if each.outcome is outcome)


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
