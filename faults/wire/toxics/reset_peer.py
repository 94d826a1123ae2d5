"""Reset peer: so long after a connection's first bytes, both its ends are reset (RST).

Source: Shopify/toxiproxy: toxics/reset_peer.go. As there, the clock starts with the first bytes in
its direction, and those bytes go nowhere; 0 ms resets at once.
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Signal, Timed
from faults.wire.stage import Stage


class ResetPeer(Stage):
    """Swallow what comes, and reset ``ms`` after its beginning."""

    _is_armed = False

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """The first piece sets the clock."""
        if self._is_armed:
            return ()
        self._is_armed = True
        self.proof.resets += 1
        return (Timed(now_s + self.spec.seconds("ms"), Signal.RESET),)
