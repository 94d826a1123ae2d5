"""Latency: everything arrives later, by so much plus or minus a uniform jitter.

Source: Shopify/toxiproxy: toxics/latency.go. As there, order is kept: a piece with little jitter
waits behind one with more. Unlike there the end of a stream is delayed too, as on a long line.
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Timed
from faults.wire.stage import Stage


class Latency(Stage):
    """Delay by ``ms`` ± ``jitter_ms``."""

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Each piece waits by itself, so a burst stays a burst."""
        jitter_s = self.spec.seconds("jitter_ms")
        delay_s = self.spec.seconds("ms") + self.rng.uniform(-jitter_s, jitter_s)
        return (Timed(now_s + max(0.0, delay_s), piece),)
