"""Registers: one writer each, writing 1, 2, 3…, and readers beside it.

Because there is one writer and values only grow, an order is known without search: what was
acknowledged before a read began is the least that it may return. The write itself is a script that
never lowers a register, so that one that was UNKNOWN and arrives late can't undo a later one.
Source: issue "shard", Checker; Kingsbury's register tests in Jepsen.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from shard.check.events import Final, Op, Operation, Outcome
from shard.check.violation import Stale, Violation
from shard.check.windows import Window

LOST = "an acknowledged write is lost"
NEVER_WRITTEN = "a value that nobody wrote"
REFUSED_RAN = "a refused write was executed"
FROM_AHEAD = "a read saw a write that began after it had ended"
STALE = "a read is older than what was acknowledged before it began"


class Register(NamedTuple):
    """A register's writes, and the acknowledged ones in order."""

    key: str
    writes: Sequence[Operation]
    ok: Sequence[Operation]
    ok_ended_s: Sequence[float]


def register_of(key: str, operations: Sequence[Operation]) -> Register:
    """Sort out one key's writes."""
    writes = [each for each in operations if each.op is Op.RAISE]
    ok = [each for each in writes if each.outcome is Outcome.OK]
    return Register(key, writes, ok, [each.ended_s or 0.0 for each in ok])


def judge_final(register: Register, final: Final) -> list[Violation]:
    """Compare what is there in the end with what was told."""
    value = final.value or 0
    if not isinstance(value, int):
        return [Violation(NEVER_WRITTEN, register.key, "a number", f"found {value}", (final.line,))]
    found = _judge_value(register, value, final.line, f"the final read found {value}")
    lost = [each for each in register.ok if each.value > value]
    if lost:
        lines = (*(each.ended_line for each in lost), final.line)
        told = f"{lost[-1].value} was acknowledged"
        found.append(
            Violation(LOST, register.key, told, f"in the end it is {value}", lines, len(lost))
        )
    return found


def judge_reads(
    register: Register, reads: Sequence[Operation], windows: Sequence[Window]
) -> tuple[list[Violation], list[Stale]]:
    """Hold each read to what was acknowledged before it began."""
    violations: list[Violation] = []
    stale: list[Stale] = []
    for read in reads:
        if read.outcome is not Outcome.OK:
            continue
        value = read.found or 0
        violations += _judge_value(register, value, read.ended_line, f"a read found {value}")
        violations += _judge_ahead(register, read, value)
        old = _overtaken_by(register, read, value)
        if old is None:
            continue
        if any(window.touches(read) for window in windows):
            by_ms = (read.began_s - (old[0].ended_s or 0.0)) * 1000
            stale.append(Stale(register.key, by_ms, read.ended_line))
        else:
            told = f"{old[-1].value} was acknowledged"
            lines = (old[-1].ended_line, read.began_line, read.ended_line)
            violations.append(Violation(STALE, register.key, told, f"a read found {value}", lines))
    return violations, stale


def _overtaken_by(
    register: Register, read: Operation, value: int
) -> tuple[Operation, Operation] | None:
    """Return the first and the last write that a read should have seen and didn't."""
    before = bisect_left(register.ok_ended_s, read.began_s)
    if before == 0 or register.ok[before - 1].value <= value:
        return None
    first = next(each for each in register.ok[:before] if each.value > value)
    return first, register.ok[before - 1]


def _judge_value(register: Register, value: int, line: int, saw: str) -> list[Violation]:
    """A value must have been attempted, and not refused. 0 is the register before any write."""
    if value == 0:
        return []
    write = _write_of(register, value)
    if write is None:
        told = f"1 to {len(register.writes)} were attempted"
        return [Violation(NEVER_WRITTEN, register.key, told, saw, (line,))]
    if write.outcome is Outcome.REFUSED:
        lines = (write.ended_line, line)
        return [Violation(REFUSED_RAN, register.key, f"{value} was refused", saw, lines)]
    return []


def _judge_ahead(register: Register, read: Operation, value: int) -> list[Violation]:
    write = _write_of(register, value)
    if write is None or read.ended_s is None or write.began_s <= read.ended_s:
        return []
    lines = (read.ended_line, write.began_line)
    told = f"{value} was invoked later"
    return [Violation(FROM_AHEAD, register.key, told, f"a read found {value}", lines)]


def _write_of(register: Register, value: int) -> Operation | None:
    """Return the write of a value: values are 1, 2, 3…, in the order of their invocation."""
    if not 1 <= value <= len(register.writes):
        return None
    write = register.writes[value - 1]
    return write if write.value == value else None
