"""Where a key is read now: the first of its candidates that is up, believed and not overloaded."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hashing.bounded import BoundedRing
from shard.cache_node import CacheNode
from shard.policy.coherence import Coherence


class Place(NamedTuple):
    """A node for one request; ``is_overflow`` when a better one had too much to do."""

    node: CacheNode
    is_overflow: bool


class Placement:
    """The ring, seen through what one client knows of the nodes.

    Args:
        ring: Names a key's candidates.
        nodes: By name.
        coherence: Says whom to believe.
        load_floor: Requests a second below which no node counts as overloaded, >= 0.
        ejects: Asked with each request whether other nodes stand in for an owner that is gone.
    """

    def __init__(
        self,
        ring: BoundedRing,
        nodes: Mapping[str, CacheNode],
        coherence: Coherence,
        load_floor: float,
        ejects: Callable[[], bool] = lambda: True,
    ) -> None:
        self._ring = ring
        self._nodes = nodes
        self._coherence = coherence
        self._load_floor = load_floor
        self._ejects = ejects

    def candidates(self, key: str) -> tuple[str, ...]:
        """Name every node the key may ever be on."""
        return self._ring.candidates(key.encode())

    def place(self, key: str, now_s: float) -> Place | None:
        """Choose the node for a request that begins now; None when there is none.

        With the owner gone, the next candidate stands in for it and isn't overflow; or there is
        none, where nodes aren't ejected.
        """
        up = {name for name, node in self._nodes.items() if node.is_up}
        gone = {name for name, node in self._nodes.items() if node.is_gone}
        candidates = self.candidates(key)
        usable = [
            name
            for name in candidates
            if name in up and self._coherence.may_read(name, now_s, gone)
        ]
        if not usable or (usable[0] != candidates[0] and not self._ejects()):
            return None
        first = self._nodes[usable[0]]
        if len(usable) == 1 or first.load.value(now_s) < self._load_floor:
            return Place(first, False)
        loads = {
            name: node.load.value(now_s)
            for name, node in self._nodes.items()
            if name in usable or (name in up and not self._coherence.is_barred(name))
        }
        index = self._ring.choose(usable, loads)
        return Place(self._nodes[usable[index]], index > 0)
