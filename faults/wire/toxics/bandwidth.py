"""Bandwidth: at most so many kilobytes a second, in shares of a tenth of a second.

Source: Shopify/toxiproxy: toxics/bandwidth.go (``rate`` in KB/s, 1 KB = 1000 bytes; large chunks
leave every 100 ms).
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Timed
from faults.wire.stage import Stage

BYTES_PER_KB = 1_000
SHARE_S = 0.1  # toxics/bandwidth.go: 100 millisecond intervals


class Bandwidth(Stage):
    """Let ``kbps`` kilobytes a second pass.

    A piece arrives when its last byte does: the line is free again at ``_free_s``.
    """

    _free_s = 0.0

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Cut a piece into what passes in a tenth of a second each."""
        self._free_s = max(self._free_s, now_s)
        if not isinstance(piece, bytes):
            return (Timed(self._free_s, piece),)
        bytes_per_s = self.spec.number("kbps") * BYTES_PER_KB
        share = max(1, int(bytes_per_s * SHARE_S))
        planned = []
        for start in range(0, len(piece), share):
            part = piece[start : start + share]
            self._free_s += len(part) / bytes_per_s
            planned.append(Timed(self._free_s, part))
        return planned

    def release(self, now_s: float) -> None:
        """Let everything go, and owe nothing for it."""
        super().release(now_s)
        self._free_s = now_s
