"""Writes a history down while it happens."""

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from shard.check.events import Found, Op, Slots
from shard.check.history import HEADER, VERSION, to_line


class Recorder:
    """Appends events to a file; the header first.

    Args:
        file: Takes lines.
        header: Parameters of the run, JSON-serialisable.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        file: TextIO,
        header: Mapping[str, object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.operations = 0
        self.outcomes: dict[str, int] = {}
        self._faults = 0
        self._file = file
        self._clock = clock
        self._began_s = clock()
        file.write(to_line(**{HEADER: VERSION, **header}))

    @property
    def at_s(self) -> float:
        """Seconds since the history began."""
        return round(self._clock() - self._began_s, 6)

    def invoke(self, op: Op, key: str, value: int = 0) -> int:
        """Write down that an operation begins; return its number."""
        self.operations += 1
        fields = {} if op is Op.READ else {"value": value}
        self._say("invoke", id=self.operations, op=op.value, key=key, **fields)
        return self.operations

    def end(self, number: int, outcome: str, reason: str | None = None) -> None:
        """Write down what a write's caller was told."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        fields = {"reason": reason} if reason else {}
        self._say(outcome, id=number, **fields)

    def found(self, number: int, value: int | None) -> None:
        """Write down what a read returned."""
        self.outcomes["ok"] = self.outcomes.get("ok", 0) + 1
        self._say("ok", id=number, value=value)

    def fault(self, kind: str, on: str, role: str, slots: Slots) -> int:
        """Declare a fault, just before it acts; return its number."""
        self._faults += 1
        self._say("fault", id=self._faults, kind=kind, on=on, role=role, slots=slots)
        self._file.flush()
        return self._faults

    def mended(self, number: int, *, has_bit: bool, proof: str) -> None:
        """Write down that a fault is being taken back, and what was seen of it."""
        self._say("mended", id=number, bit=has_bit, proof=proof)
        self._file.flush()

    def final(self, key: str, value: Found) -> None:
        """Write down what a key holds in the end."""
        self._say("final", key=key, value=value)

    def owner(self, node: str, slots: Slots) -> None:
        """Write down what a primary owns in the end."""
        self._say("owner", node=node, slots=slots)

    def holds(self, node: str, keys: list[str]) -> None:
        """Write down which keys of the workload a primary has in the end."""
        self._say("holds", node=node, keys=keys)

    def finish(self) -> None:
        """Write down that nothing is missing."""
        self._say("end")
        self._file.flush()

    def _say(self, do: str, **fields: object) -> None:
        self._file.write(to_line(t=self.at_s, do=do, **fields))
