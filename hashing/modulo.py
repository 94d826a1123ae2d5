"""Modulo: the hash of the key, divided by the number of nodes; what remains is the node.

Why: the baseline, and what most people write first. Perfectly even and as fast as it gets, and on
any change of n nodes to n + 1 all keys move but one in n + 1: a cache is as good as empty.
Source: twemproxy:src/hashkit/nc_modula.c ("modula": a table in which a server of weight w has w
places, in the order of the configuration); the hash is CRC-32 (zlib's), as in its ``hash: crc32a``.
Not handled: weights that aren't whole numbers (a share has no half places).
"""

from collections.abc import Sequence
from zlib import crc32

from hashing.algorithm import Node, checked

MAX_PLACES = 1 << 20  # a million: the table of modula has a place a unit of weight


class Modulo:
    """A table of places, the nodes in their order. Lookup is O(1).

    Args:
        nodes: Unique names, whole weights > 0; their order decides who owns what.

    Raises:
        ValueError: When a weight isn't whole, or all together are more than ``MAX_PLACES``.
    """

    name = "modulo"

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._places: list[str] = []
        for node in checked(nodes):
            if node.weight != int(node.weight):
                raise ValueError(
                    f"node {node.name!r} has weight {node.weight}: modulo needs whole weights"
                )
            if len(self._places) + node.weight > MAX_PLACES:
                raise ValueError(f"weights of more than {MAX_PLACES} together: give smaller ones")
            self._places.extend([node.name] * int(node.weight))

    def lookup(self, key: bytes) -> str:
        """Name the node at the place that remains of the key's CRC-32."""
        return self._places[crc32(key) % len(self._places)]


def build(nodes: Sequence[Node]) -> Modulo:
    """Give nodes their places (see ``hashing.algorithm.Build``)."""
    return Modulo(nodes)
