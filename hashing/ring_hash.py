"""Ring hash, Envoy's: XXH64 points on a ring of at least 1024, shared out by weight.

Why: 64-bit places instead of ketama's 32, and a ring whose size is chosen instead of 160 a node:
more points, evener arcs, more memory. The scale makes the lightest node's points a whole number, so
weights 1, 2, 3 get exactly 1, 2, 3 parts; it also means that a change of nodes changes how many
points the others have, and so moves some keys between those that stay: minimal only about.
Source: envoy:source/common/upstream/ring_hash_lb.cc, ``Ring::Ring``; hashes are of "host:port_i".
``minimum_ring_size`` 1024 and ``maximum_ring_size`` 8 Mi: ring_hash.proto.
Not handled: MURMUR_HASH_2; locality weights (multiply them into the nodes'); hosts in panic.
"""

from collections.abc import Iterator, Sequence
from math import ceil

from hashing.algorithm import Node, checked
from hashing.digests import xxh64
from hashing.ring import Ring

DEFAULT_MIN_SIZE = 1024  # ring_hash.proto: minimum_ring_size
DEFAULT_MAX_SIZE = 8 * 1024 * 1024  # ring_hash.proto: maximum_ring_size, and its upper limit


def build(
    nodes: Sequence[Node],
    *,
    min_size: int = DEFAULT_MIN_SIZE,
    max_size: int = DEFAULT_MAX_SIZE,
) -> Ring:
    """Place nodes on a ring (see ``hashing.algorithm.Build``).

    Args:
        min_size: Points at least, 1..max_size, unless the nodes' weights need fewer than a point.
        max_size: Points at most.

    Raises:
        ValueError: When the sizes contradict each other or are out of range.
    """
    if not 1 <= min_size <= max_size <= DEFAULT_MAX_SIZE:
        raise ValueError(
            f"ring sizes from {min_size} to {max_size}: give 1 <= min <= max <= {DEFAULT_MAX_SIZE}"
        )
    return Ring("ring-hash", _points(checked(nodes), min_size, max_size), xxh64)


def _points(nodes: Sequence[Node], min_size: int, max_size: int) -> Iterator[tuple[int, str]]:
    total = sum(node.weight for node in nodes)
    shares = [node.weight / total for node in nodes]
    scale = min(ceil(min(shares) * min_size) / min(shares), float(max_size))
    placed, target = 0, 0.0
    for node, share in zip(nodes, shares, strict=True):
        target += scale * share
        number = 0
        while placed < target:
            yield xxh64(f"{node.name}_{number}".encode()), node.name
            placed, number = placed + 1, number + 1
