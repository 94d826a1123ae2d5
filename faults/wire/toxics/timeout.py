"""Timeout: nothing gets through, and after ``ms`` the connection closes; 0 keeps it open.

Why it drops instead of holding: a black hole forgets what falls into it. So a connection that has
lost bytes is closed when its toxic ends, since a stream with a hole in it must never go on.
Source: Shopify/toxiproxy: toxics/timeout.go (``Cleanup`` closes the connection). As there, the
clock starts with the connection, or with the toxic on a connection that stands.
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Signal, Timed
from faults.wire.spec import ToxicSpec
from faults.wire.stage import Stage


class Timeout(Stage):
    """Swallow everything; close after ``ms``."""

    _has_lost = False

    def begin(self, now_s: float) -> None:
        """Set the clock."""
        if self.spec.seconds("ms") > 0:
            self.put(Timed(now_s + self.spec.seconds("ms"), Signal.CLOSE))

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Bytes go nowhere; when a side ends by itself, there is nothing left to wait for."""
        if isinstance(piece, bytes):
            self._has_lost = True
            return ()
        self.clear()
        return (Timed(now_s, piece),)

    def change(self, spec: ToxicSpec, now_s: float) -> None:
        """Set the clock anew."""
        self.clear()
        self.spec = spec
        self.begin(now_s)

    def end(self, now_s: float) -> None:
        """Close what has lost something; what hasn't goes on as if nothing had been."""
        self.clear()
        if self._has_lost:
            self.put(Timed(now_s, Signal.CLOSE))
        super().end(now_s)
