"""Slicer: bytes arrive in small slices, each a little after the one before.

Why: code that takes one read for one message works until the network cuts differently.
Source: Shopify/toxiproxy: toxics/slicer.go (``average_size``, ``size_variation``, ``delay`` after
each slice). Sizes are drawn one by one here, evenly around the average, instead of by halving.
"""

from collections.abc import Iterable

from faults.wire.piece import Piece, Timed
from faults.wire.stage import Stage


class Slicer(Stage):
    """Cut into slices of ``bytes`` ± ``variation``, ``us`` microseconds apart."""

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """The first slice leaves at once; a slice follows its predecessor, of another piece too."""
        if not isinstance(piece, bytes):
            return (Timed(now_s, piece),)
        gap_s = self.spec.number("us") / 1e6
        start_s = now_s if self.last_s is None else max(now_s, self.last_s + gap_s)
        slices = self._cut(piece)
        return [Timed(start_s + number * gap_s, part) for number, part in enumerate(slices)]

    def _cut(self, data: bytes) -> list[bytes]:
        size = int(self.spec.number("bytes"))
        variation = min(int(self.spec.number("variation")), size - 1)
        slices, start = [], 0
        while start < len(data):
            end = start + self.rng.randint(size - variation, size + variation)
            slices.append(data[start:end])
            start = end
        return slices
