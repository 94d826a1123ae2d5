"""Ketama: a ring of 160 MD5 points per server, in the flavour of libketama.

Why: a key belongs to the first point at or after its own hash, so a server that leaves gives up
only the arcs before its own points, and 160 points make the arcs even enough (skew about 10 %).
Source: Richard Jones, libketama (last.fm, 2007), libketama/ketama.c: ``ketama_create_continuum``
and ``ketama_get_server``. Reproduced to the point, single-precision shares included, since other
clients of the same ring must agree; tested against the checksum that its own test.sh holds.
Not handled: the flavours of twemproxy (drops the ":11211"), nginx and libmemcached; two points that
are equal (libketama's order is then up to qsort; ours is the order of the servers).
"""

import struct
from bisect import bisect_left
from collections.abc import Sequence

from hashing.algorithm import Node, checked
from hashing.digests import md5

DIGESTS_PER_NODE = 40  # libketama: 40 hashes, 4 numbers per hash = 160 points per server
POINTS_PER_DIGEST = 4

_FOUR_POINTS = struct.Struct("<4I")
_first_point = struct.Struct("<I").unpack_from
_FLOAT = struct.Struct("<f")


class Ketama:
    """A built ring. Lookup is O(log points); memory is one integer and one reference a point.

    Args:
        nodes: Unique names, weights > 0. A node so light that its share rounds to no point at all
            owns nothing, as in libketama.
    """

    name = "ketama"

    def __init__(self, nodes: Sequence[Node]) -> None:
        ring: list[tuple[int, int]] = []
        checked(nodes)
        total = sum(node.weight for node in nodes)
        for index, node in enumerate(nodes):
            for number in range(_digest_count(node.weight, total, len(nodes))):
                digest = md5(f"{node.name}-{number}".encode(), usedforsecurity=False).digest()
                ring.extend((point, index) for point in _FOUR_POINTS.unpack(digest))
        ring.sort()
        self._points = [point for point, _ in ring]
        self._owners = [nodes[index].name for _, index in ring]
        self._around = [*self._owners, *self._owners[:1]]  # past the last point the ring closes

    def lookup(self, key: bytes) -> str:
        """Name the node whose point comes first at or after the key's."""
        place = _first_point(md5(key).digest())[0]  # hash_key, without a call in a call
        return self._around[bisect_left(self._points, place)]

    def at(self, place: int) -> tuple[int, str]:
        """Return the first point at or after a place on the ring, and whose it is.

        Args:
            place: 0..2**32 - 1, such as ``hash_key`` returns.
        """
        position = bisect_left(self._points, place)
        if position == len(self._points):
            position = 0  # past the last point the ring closes
        return self._points[position], self._owners[position]

    @property
    def points(self) -> Sequence[int]:
        """The places of all points, ascending."""
        return self._points

    @property
    def owners(self) -> Sequence[str]:
        """Whose each point is, in the same order."""
        return self._owners

    @property
    def point_count(self) -> int:
        """How many points the ring has; 160 a node when weights are equal."""
        return len(self._points)


def build(nodes: Sequence[Node]) -> Ketama:
    """Place nodes on a ring (see ``hashing.algorithm.Build``)."""
    return Ketama(nodes)


def hash_key(key: bytes) -> int:
    """Return a key's place on the ring: the first four bytes of its MD5, little endian."""
    first: int = _first_point(md5(key, usedforsecurity=False).digest())[0]
    return first


def _digest_count(weight: float, total: float, node_count: int) -> int:
    """Return a server's share of digests, rounded as the C code rounds.

    ``float pct``, then ``floorf(pct * 40.0 * n)``: the quotient and the argument of floorf are
    single precision. In double precision some weights would get a digest more or less, and the
    ring would no longer be libketama's.
    """
    share = _single(_single(weight) / _single(total))
    return int(_single(share * float(DIGESTS_PER_NODE) * float(node_count)))


def _single(value: float) -> float:
    """Round to IEEE single precision."""
    rounded: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    return rounded
