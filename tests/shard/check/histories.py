"""Histories from a correct model: a store that keeps its promise, its clients and its faults."""

import random
from dataclasses import dataclass, field
from typing import Any

from shard.check.history import lines_of

REGISTERS = ("register:1", "register:2")
EVERY_SLOT = [[0, 16383]]


@dataclass
class Model:
    """A correct store and the events that its clients wrote down.

    An unknown write is executed or not, by chance, now or later; a refused one never is.
    """

    seed: int
    events: list[dict[str, Any]] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGISTERS, 0))
    written: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGISTERS, 0))
    elements: set[int] = field(default_factory=set)
    counter: int = 0
    at_s: float = 0.0
    made: int = 0
    faults: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def run(self, steps: int) -> "Model":
        """Do some operations and faults, then read everything."""
        for _ in range(steps):
            step = self.rng.choice((self.write, self.write, self.read, self.add, self.count))
            step()
            if self.rng.random() < 0.02:
                self.fault()
        return self.finish()

    def say(self, do: str, **fields: Any) -> None:
        """Write an event down, a moment after the last."""
        self.at_s = round(self.at_s + self.rng.uniform(0.0001, 0.01), 6)
        self.events.append({"t": self.at_s, "do": do, **fields})

    def write(self) -> None:
        """Raise a register."""
        key = self.rng.choice(REGISTERS)
        self.written[key] += 1
        value = self.written[key]
        if self._do("raise", key, value):
            self.registers[key] = max(value, self.registers[key])

    def add(self) -> None:
        """Add an element that nobody added before."""
        if self._do("add", "set:1", self.made + 1):
            self.elements.add(self.made)

    def count(self) -> None:
        """Count."""
        if self._do("count", "counter:1", 1):
            self.counter += 1

    def read(self) -> None:
        """Read a register."""
        key = self.rng.choice(REGISTERS)
        self.made += 1
        self.say("invoke", id=self.made, op="read", key=key)
        self.say("ok", id=self.made, value=self.registers[key] or None)

    def fault(self) -> None:
        """Declare a fault and take it back."""
        self.faults += 1
        where = {"on": "127.0.0.1:1", "role": "primary", "slots": EVERY_SLOT}
        self.say("fault", id=self.faults, kind="kill", **where)
        self.say("mended", id=self.faults, bit=True, proof="another node is primary")

    def finish(self) -> "Model":
        """Read every key, and who owns what."""
        for key in REGISTERS:
            self.say("final", key=key, value=self.registers[key] or None)
        self.say("final", key="set:1", value=sorted(self.elements))
        self.say("final", key="counter:1", value=self.counter)
        self.say("owner", node="127.0.0.1:1", slots=EVERY_SLOT)
        self.say("holds", node="127.0.0.1:1", keys=[*REGISTERS, "set:1", "counter:1"])
        self.say("end")
        return self

    def text(self, **header: object) -> str:
        """Return it as a file."""
        return lines_of(self.events, **header)

    def find(self, do: str, **fields: Any) -> int:
        """Return the index of the last event of a kind with these fields."""
        wanted = {"do": do, **fields}
        return max(n for n, each in enumerate(self.events) if wanted.items() <= each.items())

    def _do(self, op: str, key: str, value: int) -> bool:
        """Invoke, be told by chance how it ended, and return whether it was executed."""
        self.made += 1
        number = self.made
        self.say("invoke", id=number, op=op, key=key, value=value)
        outcome = self.rng.choices(("ok", "refused", "unknown"), (0.9, 0.05, 0.05))[0]
        self.say(outcome, id=number)
        return outcome == "ok" or (outcome == "unknown" and self.rng.random() < 0.5)
