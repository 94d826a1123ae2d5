"""The proof that a fault bit: what one process counts under its id."""

from dataclasses import dataclass, field
from typing import Any

# What is measured besides hits; a blocked loop is a delay of everything.
MEASURES = {"burn": "burnt_ms", "slow": "slowed_ms"}
DEFAULT_MEASURE = "delayed_ms"


@dataclass(slots=True)
class Proof:
    """What a fault has done here since the last reset.

    Args:
        kind: Of the fault; it says what ``ms`` measures.
        hits: Requests hit.
        ms: Milliseconds added: waited or blocked, burnt (CPU), or spent in the station longer.
        last_hit_s: Monotonic seconds; None before the first.
    """

    kind: str
    hits: int = 0
    ms: float = 0.0
    last_hit_s: float | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON, e.g. ``{"kind": "burn", "hits": 2, "burnt_ms": 40.1}``."""
        measure = MEASURES.get(self.kind, DEFAULT_MEASURE)
        return {"kind": self.kind, "hits": self.hits, measure: round(self.ms, 3)}
