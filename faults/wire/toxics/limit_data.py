"""Limit data: after so many bytes the connection closes.

Source: Shopify/toxiproxy: toxics/limit_data.go. As there, the count goes on when the limit changes,
and the last byte allowed is delivered before the close.
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Signal, Timed
from faults.wire.stage import Stage


class LimitData(Stage):
    """Let ``bytes`` pass, then close."""

    _passed_bytes = 0
    _is_shut = False

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Whole pieces pass until one reaches the limit."""
        if self._is_shut:
            return ()
        if not isinstance(piece, bytes):
            return (Timed(now_s, piece),)
        left = max(0, int(self.spec.number("bytes")) - self._passed_bytes)
        allowed = piece[:left]
        self._passed_bytes += len(allowed)
        if len(piece) < left:
            return (Timed(now_s, piece),)
        self._is_shut = True
        last = (Timed(now_s, allowed),) if allowed else ()
        return (*last, Timed(now_s, Signal.CLOSE))
