"""What a judge has to say: a promise broken, with the lines that show it."""

from typing import NamedTuple

LINES_SHOWN = 6


class Violation(NamedTuple):
    """A promise that the history shows broken.

    Args:
        rule: Which, in words.
        key: Of what; a slot for ownership.
        acknowledged: What callers were told.
        found: What was there instead.
        lines: Where the history says so.
        lost: Acknowledged writes that are gone, 0 where the rule counts none.
    """

    rule: str
    key: str
    acknowledged: str
    found: str
    lines: tuple[int, ...]
    lost: int = 0

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.lines[:LINES_SHOWN]))
        more = f" and {len(self.lines) - LINES_SHOWN} more" if len(self.lines) > LINES_SHOWN else ""
        where = f"line{'s' if len(self.lines) > 1 else ''} {shown}{more}"
        return f"{self.key}: {self.rule}: {self.acknowledged}, {self.found} ({where})"


class Stale(NamedTuple):
    """A read that a failover window excuses: of which key, by how much, in which line."""

    key: str
    by_ms: float
    line: int
