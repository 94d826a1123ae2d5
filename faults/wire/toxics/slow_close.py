"""Slow close: bytes pass, but the end of the stream arrives later.

Source: Shopify/toxiproxy: toxics/slow_close.go.
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Signal, Timed
from faults.wire.stage import Stage


class SlowClose(Stage):
    """Delay an end in order by ``ms``; a reset overtakes nothing, but isn't delayed."""

    counts_signals = True

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Only ends wait."""
        if piece is Signal.END or piece is Signal.CLOSE:
            return (Timed(now_s + self.spec.seconds("ms"), piece),)
        return (Timed(now_s, piece),)
