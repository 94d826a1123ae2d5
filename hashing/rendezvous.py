"""Rendezvous (highest random weight): every node scores the key, the highest score owns it.

Why: no ring and no table. Balance is that of the hash itself (skew about 1 %), the order of scores
is at once the list of successors, and a node that leaves gives up exactly its own keys: the scores
of the others don't depend on it. The price is O(nodes) per lookup.
Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", ToN 6(1),
1998. Weights: score = -weight / ln(u) with u uniform in (0, 1), the logarithmic method of
Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005; it keeps the same
promise when a weight changes: keys move only to or from the node whose weight changed.
Not handled: thousands of nodes, where a skeleton (tree) of the nodes would give O(log nodes).
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from hashing.algorithm import Node, checked

DIGEST_BYTES = 8  # 64 bits of blake2b; 52 are used, all that a double's half steps can hold
_UNUSED_BITS = 64 - 52
_STEPS = float(1 << 52)


class Rendezvous:
    """Nodes that score keys. Lookup is O(nodes) and allocates nothing that stays.

    Args:
        nodes: Unique names, weights > 0.
    """

    name = "rendezvous"

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._seeds = [(node.name, node.weight, _seed(node.name)) for node in checked(nodes)]

    def lookup(self, key: bytes) -> str:
        """Name the node with the highest score for the key."""
        return max((_score(key, seed, weight), name) for name, weight, seed in self._seeds)[1]

    def ranked(self, key: bytes, count: int | None = None) -> list[str]:
        """Name the nodes from the highest score down: the owner, then who would follow it.

        Args:
            count: How many at most; None means all.
        """
        scores = sorted(
            ((_score(key, seed, weight), name) for name, weight, seed in self._seeds), reverse=True
        )
        return [name for _, name in scores[:count]]


def build(nodes: Sequence[Node]) -> Rendezvous:
    """Let nodes score keys (see ``hashing.algorithm.Build``)."""
    return Rendezvous(nodes)


def _seed(name: str) -> bytes:
    """Return 16 bytes of a node's name: of one length, so that no name can run into a key."""
    return blake2b(name.encode(), digest_size=16).digest()


def _score(key: bytes, seed: bytes, weight: float) -> float:
    """Return a positive number; the greater, the more the node wants the key."""
    digest = blake2b(seed + key, digest_size=DIGEST_BYTES).digest()
    # The half step keeps u strictly between 0 and 1: ln(0) and division by ln(1) never happen.
    uniform = ((int.from_bytes(digest, "big") >> _UNUSED_BITS) + 0.5) / _STEPS
    return -weight / log(uniform)
