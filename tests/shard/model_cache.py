"""A cache node in plain Python: what the scripts of ``shard.cache_scripts`` do, on a clock of ours.

The stateful test drives it; ``test_cache_scripts.py`` holds it to a real node, step by step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shard.cache_scripts import GAP_S
from shard.policy.coherence import Board, Posting


@dataclass
class ModelNode:
    """Entries and the table of one node; ``run`` changes with every start."""

    name: str
    run: int = 0
    entries: dict[tuple[int, str], tuple[str, int | None]] = field(default_factory=dict)
    beat_s: float | None = None
    generation: int = 0
    rows: dict[str, tuple[float, Mapping[str, int]]] = field(default_factory=dict)
    flushed: dict[str, int] = field(default_factory=dict)

    def look(self, client: str, notices: Mapping[str, int], now_s: float) -> Board:
        """Flush after a gap; keep the client's notices; show the table."""
        if self.beat_s is None or now_s - self.beat_s > GAP_S:
            self._flush()
        self.beat_s = now_s
        self.rows.pop(client, None)
        if notices:
            self.rows[client] = (now_s, dict(notices))
        return Board(
            {
                Posting(who, node): number
                for who, (_, row) in self.rows.items()
                for node, number in row.items()
            },
            {who: now_s - written_s for who, (written_s, _) in self.rows.items()},
            dict(self.flushed),
            self.generation,
        )

    def get(self, key: str, token: str, now_s: float) -> tuple[str, int | None] | None:
        """Return (token, value), value None for a miss; None when a look is due first."""
        if self.beat_s is None or now_s - self.beat_s > GAP_S:
            return None
        return self.entries.setdefault((self.run, key), (token, None))

    def fill(self, key: str, token: str, value: int) -> bool:
        """Store where the token still is; the first of one token wins."""
        entry = self.entries.get((self.run, key))
        if entry is None or entry[0] != token:
            return False
        if entry[1] is None:
            self.entries[self.run, key] = (token, value)
        return True

    def unlink(self, key: str) -> None:
        """Forget a key, its token included."""
        self.entries.pop((self.run, key), None)

    def flush(self, client: str, number: int) -> bool:
        """Forget everything, once for each notice."""
        if self.flushed.get(client, 0) >= number:
            return False
        self._flush()
        self.flushed[client] = number
        return True

    def restart(self, kept: "ModelNode | None") -> None:
        """Begin another life: empty, or with what a snapshot of an earlier moment held."""
        self.run += 1
        self.entries = {} if kept is None else dict(kept.entries)
        self.beat_s = None if kept is None else kept.beat_s
        self.generation = 0 if kept is None else kept.generation
        self.rows = {} if kept is None else dict(kept.rows)
        self.flushed = {} if kept is None else dict(kept.flushed)

    def _flush(self) -> None:
        self.entries.clear()
        self.generation += 1
