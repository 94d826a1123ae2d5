"""Ketama as twemproxy has it: libketama's points, and keys placed by a hash that isn't MD5.

Why: a client beside a twemproxy must find what it stored. The points are MD5's, 160 a server; the
key's place is that of ``hash:``, whose default fnv1a_64 is computed in 32 bits, where the last
characters of a key hardly reach the upper ones: keys that differ only in a number at their end land
close together on the ring, and often on one server. Good keys, or ``hash: murmur``, cure that.
Source: twemproxy:src/hashkit/nc_ketama.c, ``ketama_update`` (the share plus 1e-10, in single
precision, 40 digests a server) and ``ketama_dispatch``; src/hashkit/nc_fnv.c.
A server is named as in its configuration: by its own name if it has one, else "host:port:weight",
and without ":11211" at that port.
Not handled: the other hash functions of ``hash:``; ejection (build without the ejected).
"""

import struct
from collections.abc import Iterator, Sequence

from hashing.algorithm import Node, checked
from hashing.digests import fnv1a_64_in_32_bits, md5
from hashing.ring import Ring

POINTS_PER_SERVER = 160  # nc_ketama.c: KETAMA_POINTS_PER_SERVER
POINTS_PER_DIGEST = 4
_TINY = 0.0000000001  # nc_ketama.c adds it before it rounds down

_FOUR_POINTS = struct.Struct("<4I")
_FLOAT = struct.Struct("<f")


def build(nodes: Sequence[Node]) -> Ring:
    """Place nodes on a ring (see ``hashing.algorithm.Build``).

    Raises:
        ValueError: When a weight isn't whole: ``server->weight`` is an integer.
    """
    for node in checked(nodes):
        if node.weight != int(node.weight):
            raise ValueError(f"node {node.name!r} has weight {node.weight}: must be whole")
    return Ring("ketama-twemproxy", _points(nodes), fnv1a_64_in_32_bits)


def _points(nodes: Sequence[Node]) -> Iterator[tuple[int, str]]:
    total = sum(node.weight for node in nodes)
    for node in nodes:
        for number in range(_digest_count(node.weight, total, len(nodes))):
            digest = md5(f"{node.name}-{number}".encode(), usedforsecurity=False).digest()
            for place in _FOUR_POINTS.unpack(digest):
                yield place, node.name


def _digest_count(weight: float, total: float, node_count: int) -> int:
    """Return a server's share of digests: products in single, the tiny sum in double precision."""
    share = _single(_single(weight) / _single(total))
    digests = _single(_single(share * POINTS_PER_SERVER) / POINTS_PER_DIGEST)
    return int(_single(_single(digests * node_count) + _TINY))


def _single(value: float) -> float:
    rounded: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    return rounded
