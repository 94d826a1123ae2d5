"""Down: the link is cut. Connections on it are reset, and so is each new one before a byte flows.

Why not a closed listener: the kernel refuses connections without telling anybody, and then nothing
proves that the fault bit. A connection that is taken and reset is counted. What a client sees is
the same failure, one step later: a reset instead of a refusal.
Source: Shopify/toxiproxy, README ("down": a proxy that isn't enabled); free proxies of the HTTP API
do close their listener when they are disabled.
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Signal, Timed
from faults.wire.stage import Stage


class Down(Stage):
    """Reset the connection as soon as it is there."""

    def begin(self, now_s: float) -> None:
        """Cut, and count it."""
        self.hit(0)
        self.proof.resets += 1
        self.put(Timed(now_s, Signal.RESET))

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Nothing gets through any more."""
        return ()

    def _count(self, piece: Piece, planned: list[Timed], now_s: float) -> None:
        """The cut has been counted; what is still said into it doesn't."""
