"""Coherence: no read that begins after a delete has returned yields what the delete was for.

A delete goes to every node its key may be on. One that could not be reached might still answer
others, from memory, what should be gone: it was frozen, or only our way to it is cut. So:

- The deleter *bars* the node: it writes a notice (who, number, which node) on the boards of all
  other nodes, and renews it with every look.
- Every client *looks* at every node each ``LOOK_INTERVAL_S``. It reads from a node only if it began
  less than ``LEASE_S`` ago a look at each node that isn't *gone* (``shard.policy.presence``), and
  knows of no notice against this one that this one has not acknowledged. So while a node is silent
  and not yet gone, it reads nothing.
- The deleter *waits* until its notice is ``LEASE_S`` old on every other board that isn't gone: by
  then nobody reads from the node any more. That is once an outage: while the notice stands on all
  of them, later deletes of the same client are covered by it and don't wait.
- A node acknowledges a notice only by being *flushed*: by the deleter when it reaches it, or by any
  other client once nobody has renewed the notice for ``NOTICE_TTL_S`` (the deleter has died). A
  notice stays on its boards until then, so clients that come later know it too.

**Invariant.** When a delete has returned, each candidate of its keys has executed it, or has been
flushed since, or is barred in the eyes of everybody who shares a live board with the deleter.
**Bound.** A deleter and a reader that no board lies between (each has been cut off for
``presence.GONE_S`` from every node that the other reaches, or the boards between them have
restarted and not been told again) don't know of each other: stale for ``STALE_BOUND_S`` at most,
since no value lives longer.

Why not leases per value (the deleter waits for them): every outage would then cost every write.
Why not a version read from the owner's store: the cache would depend on what it protects.
Source: Gray and Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache
Consistency" (SOSP 1989): who can't reach a holder waits until its lease has run out. Here the
reader holds the lease, on the right to believe a node.
Not handled: clocks that run at different rates (a lease of 0.5 s bears 10 % with room to spare).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

LOOK_INTERVAL_S = 0.15  # three looks a lease: one may be lost
LEASE_S = 0.5  # how old a look may be to read by it; what the first delete of an outage waits
NOTICE_TTL_S = 2.0  # a deleter that hasn't renewed for so long has died
STALE_BOUND_S = 300.0  # longest life of any value, and so of what a split network may hide


class Posting(NamedTuple):
    """A notice as it stands on a board: who can't reach which node."""

    client: str
    node: str


@dataclass(frozen=True, slots=True)
class Board:
    """What one look at a node showed.

    Args:
        notices: Posting -> number; of all clients, those that have died included.
        silent_s: Client -> seconds since it last renewed its notices here.
        flushed: Client -> number of its last notice that this node was flushed for.
        generation: Flushes so far.
    """

    notices: Mapping[Posting, int]
    silent_s: Mapping[str, float]
    flushed: Mapping[str, int]
    generation: int = 0


@dataclass(slots=True)
class _Bar:
    """Our notice against a node: since when each board has had it, and our last look there.

    ``is_spent`` when it covers no new delete: the node may have been flushed for it, by ourselves
    or, after a board went without renewal, by others.
    """

    number: int
    posted_s: dict[str, float] = field(default_factory=dict)
    renewed_s: dict[str, float] = field(default_factory=dict)
    is_flushing: bool = False
    is_spent: bool = False

    def is_renewed(self, board: str, now_s: float) -> bool:
        """Whether nobody takes it for orphaned there before a read that begins now ends."""
        return now_s < self.renewed_s[board] + NOTICE_TTL_S - LEASE_S


@dataclass(slots=True)
class _Seen:
    """What we know of one node: the last look, and notices against it not yet acknowledged."""

    looked_s: float = float("-inf")
    board: Board = field(default_factory=lambda: Board({}, {}, {}))
    owed: dict[str, int] = field(default_factory=dict)
    absent_s: dict[str, float] = field(default_factory=dict)


class Coherence:
    """One client's belief about which nodes may be read.

    Args:
        client: Unique among all clients, ever.
        nodes: Names, the same for all clients.
    """

    def __init__(self, client: str, nodes: Sequence[str]) -> None:
        self.client = client
        self._seen = {node: _Seen() for node in nodes}
        self._bars: dict[str, _Bar] = {}
        self._flushed = dict.fromkeys(nodes, 0)
        self._number = 0

    # The reader's side

    def on_look(
        self, node: str, began_s: float, now_s: float, board: Board, gone: Collection[str]
    ) -> None:
        """Take in what a look showed.

        Args:
            node: Where we looked.
            began_s: When the look left; it carried ``notices()`` as they were then.
            now_s: When its answer came.
            board: What it showed.
            gone: Nodes that answer nobody any more; their boards don't count.
        """
        seen = self._seen[node]
        if began_s < seen.looked_s:
            return
        seen.looked_s, seen.board = began_s, board
        for posting, number in board.notices.items():
            if posting.client != self.client and posting.node in self._seen:
                target = self._seen[posting.node]
                target.owed[posting.client] = max(number, target.owed.get(posting.client, 0))
        for name, each in self._seen.items():
            _forget_settled(each)
            self._note_absence(name, each, now_s, gone)
        for name, bar in self._bars.items():
            if board.notices.get(Posting(self.client, name)) == bar.number and name != node:
                bar.is_spent |= node in bar.posted_s and not bar.is_renewed(node, began_s)
                bar.posted_s.setdefault(node, now_s)
                bar.renewed_s[node] = began_s

    def may_read(self, node: str, now_s: float, gone: Collection[str]) -> bool:
        """Whether a read that begins now may believe this node (which is not gone)."""
        oldest_s = now_s - LEASE_S
        return not self.is_owed(node) and all(
            seen.looked_s > oldest_s for name, seen in self._seen.items() if name not in gone
        )

    def is_owed(self, node: str) -> bool:
        """Whether a node has to be flushed by anybody before it is read."""
        return node in self._bars or bool(self._seen[node].owed)

    def orphans(self, node: str, now_s: float) -> list[tuple[str, int]]:
        """Return (client, number) of notices against a node that nobody renews any more.

        Whoever reaches the node flushes it on their behalf.
        """
        seen = self._seen[node]
        return [
            (client, seen.owed[client])
            for client, since_s in seen.absent_s.items()
            if now_s - since_s >= NOTICE_TTL_S
        ]

    def generation(self, node: str) -> int:
        """Return how often the node had been flushed at the last look."""
        return self._seen[node].board.generation

    # The deleter's side

    def bar(self, node: str, now_s: float, gone: Collection[str]) -> int:
        """Note a delete that did not reach a node; return the number it waits for.

        The notice that stands serves, unless who sees one of its boards may hold us for dead by
        now: the node may then have been flushed for it, and read since.
        """
        bar = self._bars.get(node)
        if bar is None or bar.is_spent or self._has_lapsed(bar, now_s, gone):
            self._number += 1
            bar = self._bars[node] = _Bar(self._number)
        return bar.number

    def is_barred(self, node: str) -> bool:
        """Whether we have a notice out against a node."""
        return node in self._bars

    def is_settled(self, node: str, number: int, now_s: float, gone: Collection[str]) -> bool:
        """Whether a delete that got this number from ``bar`` may return."""
        if self._flushed[node] >= number:
            return True
        bar, boards = self._bars[node], self._boards(node, gone)
        return (
            bool(boards)
            and not bar.is_flushing
            and all(
                board in bar.posted_s
                and now_s >= bar.posted_s[board] + LEASE_S
                and bar.is_renewed(board, now_s)
                for board in boards
            )
        )

    def notices(self) -> dict[str, int]:
        """Return what belongs on every board now: node -> number."""
        return {node: bar.number for node, bar in self._bars.items()}

    def begin_flush(self, node: str) -> int | None:
        """Say that the flush of a barred node is on its way; None when nothing is owed to it.

        From here on its notice covers no new delete: the flush may run before that delete began.
        """
        bar = self._bars.get(node)
        if bar is None:
            return None
        bar.is_flushing = bar.is_spent = True
        return bar.number

    def on_flushed(self, node: str, number: int) -> None:
        """Lift the bar that a flush was for, unless another delete has failed meanwhile."""
        self._flushed[node] = max(number, self._flushed[node])
        bar = self._bars.get(node)
        if bar is not None and bar.number == number:
            del self._bars[node]

    def on_flush_failed(self, node: str) -> None:
        """Begin anew with a higher number: the node may have been flushed all the same."""
        bar = self._bars.get(node)
        if bar is not None and bar.is_flushing:
            self._number += 1
            self._bars[node] = _Bar(self._number)

    def can_settle(self, gone: Collection[str]) -> bool:
        """Whether waiting may help: some node isn't gone, to be told or to be flushed."""
        return any(name not in gone for name in self._seen)

    def _has_lapsed(self, bar: _Bar, now_s: float, gone: Collection[str]) -> bool:
        return not all(bar.is_renewed(each, now_s) for each in bar.posted_s if each not in gone)

    def _boards(self, node: str, gone: Collection[str]) -> set[str]:
        """Return the nodes whose boards must carry a notice against this one."""
        return {name for name in self._seen if name != node and name not in gone}

    def _note_absence(self, node: str, seen: _Seen, now_s: float, gone: Collection[str]) -> None:
        """Note since when no board shows that somebody renews what a node still owes."""
        boards = self._boards(node, gone)
        for client in seen.owed:
            if any(_is_renewed(self._seen[board].board, Posting(client, node)) for board in boards):
                seen.absent_s.pop(client, None)
            else:
                seen.absent_s.setdefault(client, now_s)


def _is_renewed(board: Board, posting: Posting) -> bool:
    return posting in board.notices and board.silent_s[posting.client] < NOTICE_TTL_S


def _forget_settled(seen: _Seen) -> None:
    for client, number in list(seen.owed.items()):
        if seen.board.flushed.get(client, 0) >= number:
            del seen.owed[client]
            seen.absent_s.pop(client, None)
