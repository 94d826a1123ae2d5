"""A ring of points: a key belongs to the first point at or after its own place.

Why: what all flavours of ketama and Envoy's ring have in common. They differ in how a node's points
and a key's place are computed, and that is their file's; the search is this one's.
Source: Karger et al., "Consistent Hashing and Random Trees" (STOC 1997), section 4.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence


class Ring:
    """Points in order, and whose each is. Lookup is O(log points).

    Args:
        name: The algorithm whose points these are.
        points: Place and owner of each; at least one. Of two at one place the first stays.
        place_of: Where on the ring a key is.

    Raises:
        ValueError: When there is no point.
    """

    def __init__(
        self, name: str, points: Iterable[tuple[int, str]], place_of: Callable[[bytes], int]
    ) -> None:
        self.name = name
        ordered = sorted(points, key=lambda point: point[0])
        if not ordered:
            raise ValueError(f"{name}: every weight rounds to no point at all: give closer weights")
        self.points: Sequence[int] = [place for place, _ in ordered]
        self.owners: Sequence[str] = [owner for _, owner in ordered]
        self._around = [*self.owners, self.owners[0]]  # past the last point the ring closes
        self._place_of = place_of

    def lookup(self, key: bytes) -> str:
        """Name the node whose point comes first at or after the key's place."""
        return self._around[bisect_left(self.points, self._place_of(key))]

    def at(self, place: int) -> str:
        """Name the owner of the first point at or after a place."""
        return self._around[bisect_left(self.points, place)]
