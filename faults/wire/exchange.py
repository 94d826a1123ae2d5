"""All toxics of one connection: a chain of stages each way, changed while bytes are in them.

Why: a toxic comes, changes and goes on live connections, and no byte may be lost, doubled or
overtaken by it. A new one is put at the end of the chain (what is ahead of it has passed already);
one that goes hands what it holds to the next first.
Source: Shopify/toxiproxy: link.go and toxic_collection.go (order, flush, share drawn once a
connection; here the draw is kept when the share changes).
Not handled: time and sockets; ``faults.wire.pipe`` has both.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from faults.wire.piece import Piece, Signal, Timed, Way
from faults.wire.proof import WireProof
from faults.wire.spec import ToxicSpec
from faults.wire.stage import Stage, Stages
from faults.wire.toxics.registry import MESSAGE_KINDS, PROTOCOL_KINDS, TOXICS

Told = tuple[ToxicSpec, WireProof]


@dataclass(slots=True)
class _Placed:
    """A toxic on this connection."""

    spec: ToxicSpec
    stages: Stages


class Exchange:
    """Carry what flows on one connection through its toxics; pure.

    Args:
        rng: Draws shares, jitter and sizes.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._draws: dict[str, float] = {}
        self._placed: dict[str, _Placed] = {}
        self._chains: dict[Way, list[Stage]] = {way: [] for way in Way}
        self._out: dict[Way, Stage] = {way: _exit() for way in Way}
        self._has_begun = False

    def __repr__(self) -> str:
        return f"<Exchange {' '.join(self._placed) or 'plain'}>"

    def set_toxics(self, toxics: Sequence[Told], now_s: float) -> None:
        """Make these the toxics that act; those who stay keep their place and state."""
        told = {spec.id: (spec, proof) for spec, proof in toxics if self._is_hit(spec)}
        for name in [name for name in self._placed if name not in told]:
            self._remove(name, now_s)
        for name, (spec, proof) in told.items():
            placed = self._placed.get(name)
            if placed is not None and not _is_same_toxic(placed.spec, spec):
                self._remove(name, now_s)
                placed = None
            if placed is None:
                self._add(spec, proof, now_s)
            elif placed.spec != spec:
                self._change(placed, spec, now_s)

    def take(self, way: Way, piece: Piece, now_s: float) -> None:
        """Take what one side sent."""
        self._has_begun = True
        self._after(way, -1).take(piece, now_s)

    def leave(self, way: Way, now_s: float) -> Piece | None:
        """Return the next piece that may leave now; None when nothing may."""
        for each in (Way.UPSTREAM, Way.DOWNSTREAM, Way.UPSTREAM):  # a toxic may answer for a side
            self._advance(each, now_s)
        return self._out[way].pop(now_s)

    def next_s(self, way: Way) -> float | None:
        """When something may leave next; None when nothing is held."""
        times = [stage.next_s for stage in (*self._chains[way], self._out[way])]
        return min((time_s for time_s in times if time_s is not None), default=None)

    def held_bytes(self, way: Way) -> int:
        """How much is on its way."""
        return sum(stage.held_bytes for stage in (*self._chains[way], self._out[way]))

    def is_plain(self, way: Way) -> bool:
        """Whether bytes may pass by without a look."""
        return not self._chains[way] and self._out[way].next_s is None

    def _is_hit(self, spec: ToxicSpec) -> bool:
        if spec.share >= 1.0 or spec.kind in MESSAGE_KINDS:
            return True
        draw = self._draws.setdefault(spec.id, self._rng.random())
        return draw < spec.share

    def _add(self, spec: ToxicSpec, proof: WireProof, now_s: float) -> None:
        if spec.kind in PROTOCOL_KINDS and self._has_begun:
            # It can't tell where in the protocol this connection is; the next one it can follow.
            self._out[Way.DOWNSTREAM].put(Timed(now_s, Signal.CLOSE))
            return
        stages = TOXICS[spec.kind](spec, proof, self._rng)
        self._placed[spec.id] = _Placed(spec, stages)
        for way, stage in stages.items():
            self._chains[way].append(stage)
            stage.begin(now_s)

    def _change(self, placed: _Placed, spec: ToxicSpec, now_s: float) -> None:
        for stage in placed.stages.values():
            stage.change(spec, now_s)
        placed.spec = spec

    def _remove(self, name: str, now_s: float) -> None:
        placed = self._placed.pop(name)
        for stage in placed.stages.values():
            stage.end(now_s)
        for way in Way:
            self._advance(way, now_s)

    def _advance(self, way: Way, now_s: float) -> None:
        """Hand on what may leave each stage, and take out those whose toxic has ended."""
        chain = self._chains[way]
        for index, stage in enumerate(chain):
            following = self._after(way, index)
            while (piece := stage.pop(now_s)) is not None:
                following.take(piece, now_s)
        if not all(stage.is_needed for stage in chain):
            self._chains[way] = [stage for stage in chain if stage.is_needed]

    def _after(self, way: Way, index: int) -> Stage:
        chain = self._chains[way]
        return chain[index + 1] if index + 1 < len(chain) else self._out[way]


def _exit() -> Stage:
    """The end of a chain: what lies in it only waits until the socket takes it."""
    return Stage(ToxicSpec("", ""), WireProof(""), random.Random(0))


def _is_same_toxic(one: ToxicSpec, other: ToxicSpec) -> bool:
    return (one.kind, one.way) == (other.kind, other.way)
