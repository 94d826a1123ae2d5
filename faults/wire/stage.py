"""A stage: one toxic on one connection, in one direction; a line of pieces with leaving times.

Why: whatever a toxic does to a stream, it only decides *what leaves when*. So the line is written
once, and a toxic is a single pure method, ``plan``, tested with plain numbers. What is in the line
is never dropped: when its toxic ends, it leaves at once, in order.
Source: Shopify/toxiproxy, CREATING_TOXICS.md ("never drop bytes you have read") and link.go (a
chain of stubs; a toxic that goes is flushed).
Not handled: time and sockets; ``faults.wire.pipe`` has both.
"""

import random
from collections import deque
from collections.abc import Iterable

from faults.wire.piece import Piece, Signal, Timed, Way
from faults.wire.proof import WireProof
from faults.wire.spec import ToxicSpec


class Stage:
    """Hold pieces back until they may leave; this one holds nothing back.

    Args:
        spec: What it is told; may change while it acts (``change``).
        proof: Where it counts what it does.
        rng: Source of chance.

    Invariant: pieces leave in the order in which they came, whatever ``plan`` says.
    """

    counts_signals = False  # whether an end of stream that it delays is a hit

    def __init__(self, spec: ToxicSpec, proof: WireProof, rng: random.Random) -> None:
        self.spec = spec
        self.proof = proof
        self.rng = rng
        self.held_bytes = 0
        self.is_over = False
        self._line: deque[Timed] = deque()
        self._has_hit = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec.id}, {len(self._line)} held>"

    def begin(self, now_s: float) -> None:
        """Start to act; before the first piece, or in the middle of a stream."""

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Say what becomes of a piece: nothing, or one or more, each with its time."""
        return (Timed(now_s, piece),)

    def take(self, piece: Piece, now_s: float) -> None:
        """Take a piece into the line."""
        planned = list(self.plan(piece, now_s))
        if planned != [(now_s, piece)]:
            self._count(piece, planned, now_s)
        for timed in planned:
            self.put(timed)

    def put(self, timed: Timed) -> None:
        """Add to the line's end; not before what is there already."""
        last_s = self._line[-1].due_s if self._line else timed.due_s
        self._line.append(Timed(max(last_s, timed.due_s), timed.piece))
        self.held_bytes += _size(timed.piece)

    def pop(self, now_s: float) -> Piece | None:
        """Take what may leave now, one piece; None when nothing may."""
        if not self._line or self._line[0].due_s > now_s:
            return None
        piece = self._line.popleft().piece
        self.held_bytes -= _size(piece)
        return piece

    @property
    def next_s(self) -> float | None:
        """When the next piece may leave; None when the line is empty."""
        return self._line[0].due_s if self._line else None

    @property
    def last_s(self) -> float | None:
        """When the last piece may leave; None when the line is empty."""
        return self._line[-1].due_s if self._line else None

    def clear(self) -> None:
        """Forget what is in the line; only for a stage that puts signals of its own there."""
        assert self.held_bytes == 0, "bytes are never dropped out of the line"
        self._line.clear()

    def change(self, spec: ToxicSpec, now_s: float) -> None:
        """Take new figures; what is held leaves, what comes is planned by them."""
        self.release(now_s)
        self.spec = spec

    def end(self, now_s: float) -> None:
        """Stop acting; what is held leaves."""
        self.is_over = True
        self.release(now_s)

    def release(self, now_s: float) -> None:
        """Let everything go that is held."""
        self._line = deque(Timed(min(now_s, due_s), piece) for due_s, piece in self._line)

    @property
    def is_needed(self) -> bool:
        """Whether it must stay in the chain: it acts, or holds something."""
        return not self.is_over or bool(self._line)

    def hit(self, size: int, count: int = 1) -> None:
        """Count something disturbed, of so many bytes."""
        self.proof.hits += count
        self.proof.bytes += size
        self.proof.connections += not self._has_hit
        self._has_hit = True

    def _count(self, piece: Piece, planned: list[Timed], now_s: float) -> None:
        if isinstance(piece, Signal) and not self.counts_signals:
            return
        self.hit(_size(piece))
        if planned:
            self.proof.delayed_ms += max(0.0, planned[-1].due_s - now_s) * 1000.0


Stages = dict[Way, Stage]


def _size(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else 0
