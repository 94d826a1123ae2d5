"""A history as a file: JSON lines, a header first, appended as things happen.

Why: a verdict that can't be looked at again is an opinion. The file alone decides it, so it can be
judged on another machine, a year later, by a stricter judge.
A run that was killed leaves a last line torn: that one is left out and said. Anything else that
doesn't read is an error with its line, since a judge that skips what it doesn't understand would
skip violations.
Source: Jepsen's histories (invoke, ok, fail, info).
Not handled: histories of several processes with clocks of their own.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from shard.check.events import (
    FaultSpan,
    Final,
    History,
    Holding,
    Op,
    Operation,
    Outcome,
    Ownership,
)
from shard.check.fields import Event, HistoryError, is_amount

VERSION = "squall.store-history/1"
HEADER = "history"
_OPS = tuple(op.value for op in Op)
_LINES_KEPT = 80  # characters of a line that an error shows


def to_line(**fields: object) -> str:
    """Write one event."""
    return json.dumps(fields, separators=(",", ":")) + "\n"


def parse_history(text: str) -> History:
    """Read a history.

    Raises:
        HistoryError: Line N isn't what a history has there.
    """
    lines = text.splitlines(keepends=True)
    if not lines:
        raise HistoryError("line 1: an empty file is no history; `squall shard check` writes one")
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        fields = _fields(line, number, is_last=number == len(lines))
        if fields is None:
            reader.torn_line = number
        else:
            reader.take(fields, number)
    return reader.history()


@dataclass(slots=True)
class _Reader:
    """What has been read so far."""

    header: Mapping[str, object] = field(default_factory=dict)
    operations: dict[int, Operation] = field(default_factory=dict)
    faults: dict[int, FaultSpan] = field(default_factory=dict)
    finals: dict[str, Final] = field(default_factory=dict)
    owners: list[Ownership] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    writes: dict[str, tuple[Op, int]] = field(default_factory=dict)
    has_ended: bool = False
    torn_line: int = 0
    at_s: float = 0.0

    def take(self, fields: Mapping[str, object], line: int) -> None:
        if line == 1:
            self._begin(fields)
            return
        word = fields.get("do")
        take = _TAKERS.get(word) if isinstance(word, str) else None
        if take is None:
            raise HistoryError(f"line {line}: do is {word!r}: one of {', '.join(_TAKERS)}")
        if self.has_ended:
            raise HistoryError(f"line {line}: nothing follows the end")
        event = Event(fields, line)
        self._advance(event.amount("t"), line)
        take(self, event)

    def history(self) -> History:
        return History(
            self.header,
            list(self.operations.values()),
            list(self.faults.values()),
            self.finals,
            self.owners,
            self.holdings,
            self.has_ended,
            self.torn_line,
        )

    def _begin(self, fields: Mapping[str, object]) -> None:
        if fields.get(HEADER) != VERSION:
            raise HistoryError(
                f"line 1: {HEADER} is {fields.get(HEADER)!r}: this reads {VERSION!r}"
            )
        bound = fields.get("bound_s", 0.0)
        if not is_amount(bound):
            raise HistoryError(f"line 1: bound_s is {bound!r}: give a number, 0 or more")
        self.header = fields

    def _advance(self, at_s: float, line: int) -> None:
        if at_s < self.at_s:
            raise HistoryError(f"line {line}: {at_s} s comes after {self.at_s} s, out of order")
        self.at_s = at_s


def _invoke(reader: _Reader, event: Event) -> None:
    number, word = event.count("id"), event.text("op")
    if number in reader.operations:
        raise HistoryError(f"line {event.line}: operation {number} was invoked before")
    if word not in _OPS:
        raise event.wrong("op", ", ".join(_OPS))
    value = 0 if Op(word) is Op.READ else event.count("value")
    key, at_s = event.text("key"), event.amount("t")
    _check_write(reader, event, key, Op(word), value)
    reader.operations[number] = Operation(Op(word), key, value, at_s, event.line)


def _check_write(reader: _Reader, event: Event, key: str, op: Op, value: int) -> None:
    """A key is written in one way, and a register goes up by one: the judge relies on both."""
    if op is Op.READ:
        return
    before, last = reader.writes.get(key, (op, 0))
    if before is not op:
        raise HistoryError(f"line {event.line}: {op.value} of {key}, which had {before.value}")
    if op is Op.RAISE and value != last + 1:
        raise HistoryError(
            f"line {event.line}: {key} goes from {last} to {value}, not to {last + 1}"
        )
    reader.writes[key] = (op, value)


def _outcome(reader: _Reader, event: Event) -> None:
    operation = reader.operations.get(event.count("id"))
    if operation is None or operation.ended_s is not None:
        what = "was never invoked" if operation is None else f"ended in line {operation.ended_line}"
        raise HistoryError(f"line {event.line}: operation {event.fields['id']} {what}")
    operation.outcome = Outcome(event.text("do"))
    operation.ended_s, operation.ended_line = event.amount("t"), event.line
    if operation.op is Op.READ and operation.outcome is Outcome.OK:
        found = event.found("value")
        if isinstance(found, tuple):
            raise event.wrong("value", "null or a whole number")
        operation.found = found


def _fault(reader: _Reader, event: Event) -> None:
    number = event.count("id")
    if number in reader.faults:
        raise HistoryError(f"line {event.line}: fault {number} began before")
    kind, on, role = (event.text(name) for name in ("kind", "on", "role"))
    reader.faults[number] = FaultSpan(kind, on, role, event.slots(), event.amount("t"), event.line)


def _mended(reader: _Reader, event: Event) -> None:
    span = reader.faults.get(event.count("id"))
    if span is None or span.mended_s is not None:
        raise HistoryError(f"line {event.line}: no fault {event.fields['id']} acts here")
    span.mended_s, span.proof = event.amount("t"), event.text("proof")
    span.has_bit = event.fields.get("bit") is True


def _final(reader: _Reader, event: Event) -> None:
    reader.finals[event.text("key")] = Final(event.found("value"), event.line)


def _owner(reader: _Reader, event: Event) -> None:
    reader.owners.append(Ownership(event.text("node"), event.slots(), event.line))


def _holds(reader: _Reader, event: Event) -> None:
    reader.holdings.append(Holding(event.text("node"), event.names("keys"), event.line))


def _end(reader: _Reader, event: Event) -> None:
    reader.has_ended = True


_TAKERS: Mapping[str, Callable[[_Reader, Event], None]] = {
    "invoke": _invoke,
    "ok": _outcome,
    "refused": _outcome,
    "unknown": _outcome,
    "fault": _fault,
    "mended": _mended,
    "final": _final,
    "owner": _owner,
    "holds": _holds,
    "end": _end,
}


def _fields(line: str, number: int, *, is_last: bool) -> Mapping[str, object] | None:
    """Return a line's object; None for a last line that was cut off."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        if is_last and number > 1 and not line.endswith("\n"):
            return None
        raise HistoryError(f"line {number}: no JSON: {line.strip()[:_LINES_KEPT]!r}") from None
    if not isinstance(value, dict):
        raise HistoryError(f"line {number}: {type(value).__name__}, not an object")
    return value


def lines_of(events: Iterable[Mapping[str, object]], **header: object) -> str:
    """Write a whole history: the header, then the events."""
    return to_line(**{HEADER: VERSION, **header}) + "".join(to_line(**each) for each in events)
